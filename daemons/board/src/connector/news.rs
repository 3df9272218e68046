//! What is told of a connector, and how often.

use std::time::Duration;

use voltry_bus::ConnectorState;
use voltry_units::Timestamp;

use super::Connector;

/// The same state is told again no sooner; a controller that floods must not flood the bus.
const REPEAT_INTERVAL: Duration = Duration::from_millis(50);

impl Connector {
    /// The state to tell: on any change, and else every [`REPEAT_INTERVAL`] at most.
    pub(super) fn news(&mut self, now: Timestamp) -> Option<ConnectorState> {
        let contactors = self.contactors(now);
        let mut state = self.complete(now)?.to_wire(contactors, self.settings.proximity)?;
        if let Some(last) = &self.published {
            let repeat = Timestamp::from_micros(last.at) + REPEAT_INTERVAL;
            let same = ConnectorState { sequence: last.sequence, at: last.at, ..state.clone() } == *last;
            if same && Timestamp::from_micros(state.at) < repeat {
                return None;
            }
            state.sequence = last.sequence + 1;
        }
        self.published = Some(state.clone());
        Some(state)
    }
}
