//! ISO 15118-20:2022, DC and bidirectional DC, scheduled and dynamic control, with external
//! payment: its messages read into [`crate::message::Request`] ([`request`]), and written from
//! [`crate::message::Answer`] ([`answer`]).
//!
//! Some answers take their form from the open request: a parameter or charge-loop response has
//! the type of its request. [`Form`] carries that.

mod read;
mod write;

use iso15118::iso20::messages::{Parameter, ParameterChoice, ParameterSet};

use super::Identity;
use crate::message::ControlMode;

pub(super) use read::request;
pub(super) use write::answer;

/// Service identifiers of table 204.
const DC: u16 = 2;
const DC_BPT: u16 = 6;
/// Connector of table 207: the extended pins of a combo plug.
const CONNECTOR_EXTENDED: i32 = 2;
/// MobilityNeedsMode: the vehicle says what it needs.
const NEEDS_FROM_VEHICLE: i32 = 1;
/// Pricing. A schedule has price levels, and one alone: some vehicles refuse it without any.
const NO_PRICES: i32 = 0;
const PRICE_LEVELS: i32 = 2;
/// BPTChannel: one pair of wires for both directions.
const CHANNEL_UNIFIED: i32 = 1;
/// GeneratorMode: follows the grid.
const GRID_FOLLOWING: i32 = 1;
/// What an answer takes from the request that it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Form {
    bidirectional: bool,
    dynamic: bool,
}

/// The parameter sets of a service, the preferred control mode first; none: it is not offered.
fn parameter_sets(service: u16, identity: &Identity) -> Option<Vec<ParameterSet>> {
    let bidirectional = match service {
        DC => false,
        DC_BPT => true,
        _ => return None,
    };
    let number =
        |name: &str, value| Parameter { name: name.to_owned(), choice: ParameterChoice::IntValue(value) };
    let set = |(id, mode): (u16, &ControlMode)| {
        let (mode, pricing) = match mode {
            ControlMode::Scheduled => (1, PRICE_LEVELS),
            ControlMode::Dynamic => (2, NO_PRICES),
        };
        let mut parameter = vec![
            number("Connector", CONNECTOR_EXTENDED),
            number("ControlMode", mode),
            number("MobilityNeedsMode", NEEDS_FROM_VEHICLE),
            number("Pricing", pricing),
        ];
        if bidirectional {
            parameter.push(number("BPTChannel", CHANNEL_UNIFIED));
            parameter.push(number("GeneratorMode", GRID_FOLLOWING));
        }
        ParameterSet { parameter_set_id: id, parameter }
    };
    Some((1..).zip(&identity.control_modes).map(set).collect())
}
