//! ISO 15118-20:2022 with amendment 1: DC, bidirectional DC and MCS, which runs the messages of DC;
//! scheduled and dynamic control, with external payment and by contract: its messages read into
//! [`crate::message::Request`] ([`request`]), and written from [`crate::message::Answer`] ([`answer`]).
//!
//! Some answers take their form from the open request: a parameter or charge-loop response has
//! the type of its request. [`Form`] carries that.

mod read;
mod write;

use iso15118::iso20::messages::{Parameter, ParameterChoice, ParameterSet};

use super::Identity;
use crate::message::{ControlMode, DcMode, Service};

pub(super) use read::request;
pub(super) use write::answer;

/// Connector of table 207: the core or the extended pins of a combo plug; of amendment 1: the plug of MCS.
const CONNECTOR_CORE: i32 = 1;
const CONNECTOR_EXTENDED: i32 = 2;
const CONNECTOR_MCS: i32 = 1;
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
    /// The vehicle wants to know the meter's reading.
    meter: bool,
}

/// ServiceID (table 204 and amendment 1).
const fn id(service: Service) -> u16 {
    match service {
        Service::Dc => 2,
        Service::DcBpt => 6,
        Service::Mcs => 8,
        Service::McsBpt => 9,
    }
}

fn combo_connector(identity: &Identity) -> i32 {
    match identity.dc_modes.first() {
        Some(DcMode::Core | DcMode::ComboCore) => CONNECTOR_CORE,
        Some(DcMode::Extended | DcMode::Unique) | None => CONNECTOR_EXTENDED,
    }
}

/// The parameter sets of a service, the preferred control mode first; none: it is not offered.
fn parameter_sets(service_id: u16, identity: &Identity) -> Option<Vec<ParameterSet>> {
    let service = identity.services.iter().copied().find(|service| id(*service) == service_id)?;
    let (connector, bidirectional) = match service {
        Service::Dc => (combo_connector(identity), false),
        Service::DcBpt => (combo_connector(identity), true),
        Service::Mcs => (CONNECTOR_MCS, false),
        Service::McsBpt => (CONNECTOR_MCS, true),
    };
    let number =
        |name: &str, value| Parameter { name: name.to_owned(), choice: ParameterChoice::IntValue(value) };
    let set = |(id, mode): (u16, &ControlMode)| {
        let (mode, pricing) = match mode {
            ControlMode::Scheduled => (1, PRICE_LEVELS),
            ControlMode::Dynamic => (2, NO_PRICES),
        };
        let mut parameter = vec![
            number("Connector", connector),
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
