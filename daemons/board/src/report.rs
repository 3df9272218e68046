//! What a back end says of a connector's wires.

use voltry_units::Timestamp;

use crate::message::Message;

/// A message, whose it is, and when it was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) connector: u32,
    pub(crate) message: Message,
    pub(crate) at: Timestamp,
}
