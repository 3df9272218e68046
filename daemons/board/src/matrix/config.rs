//! `[board.matrix]`: the contactors between module groups and EVSEs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::names;
use voltry_service::config::duration_ms;

use super::message::{CONTACTORS_MAX, EVSES_MAX};

/// A matrix on its controller.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixSettings {
    /// The serial line, as `/dev/ttyLP3`; 115200 baud, 8N1.
    pub device: PathBuf,
    /// The two that each contactor joins, group and EVSE, in the order of the controller's outputs.
    pub contactors: Vec<(String, u32)>,
    /// Feedback and voltages are stale after this long, milliseconds. Default 300.
    #[serde(default = "stale", rename = "stale_ms", deserialize_with = "duration_ms")]
    pub stale: Duration,
    /// The feedback follows a request within this long, milliseconds. Default and most 500: who shares modules
    /// waits for it twice, for one to be proven open and for the next to be closed.
    #[serde(default = "feedback", rename = "feedback_ms", deserialize_with = "duration_ms")]
    pub feedback: Duration,
}

const fn stale() -> Duration {
    Duration::from_millis(300)
}

const fn feedback() -> Duration {
    Duration::from_millis(500)
}

impl MatrixSettings {
    /// The EVSEs, in the order of their voltages.
    #[must_use]
    pub fn evses(&self) -> Vec<u32> {
        let evses: BTreeSet<u32> = self.contactors.iter().map(|(_, evse)| *evse).collect();
        evses.into_iter().collect()
    }

    pub(crate) fn problems(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let mut seen = BTreeSet::new();
        let twice = !self.contactors.iter().all(|contactor| seen.insert(contactor));
        let few = self.contactors.is_empty() || self.contactors.len() > CONTACTORS_MAX;
        [
            (few, "contactors", "are 1 to 48"),
            (twice, "contactors", "has one twice: one contactor joins a group and an EVSE"),
            (self.evses().len() > EVSES_MAX, "contactors", "lead to 8 EVSEs at most"),
            (self.stale > stale(), "stale_ms", "is at most 300"),
            (self.feedback > feedback(), "feedback_ms", "is at most 500"),
        ]
        .into_iter()
        .filter_map(|(wrong, key, text)| wrong.then_some((key, text)))
    }
}

/// The matrix's object.
#[must_use]
pub fn path() -> String {
    names::path("switch_matrix", "1")
}
