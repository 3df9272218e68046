//! The settings that may be changed while the station runs: `Settings1`.

use std::time::Duration;

use voltry_service::settings::{Access, Kind, Settings, Spec, Writer};

const READING_INTERVAL: &str = "reading_interval";
const CLOCK_ALIGNED_INTERVAL: &str = "clock_aligned_interval";
const CONNECTION_TIMEOUT: &str = "connection_timeout";

/// Their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variables {
    /// How often a reading is written as an event; zero: never.
    pub(crate) reading_interval: Duration,
    /// The marks of the clock at which one is; zero: none.
    pub(crate) clock_aligned_interval: Duration,
    /// How long somebody is waited for who was let in.
    pub(crate) connection_timeout: Duration,
}

impl Variables {
    pub(crate) fn of(settings: &Settings) -> Self {
        let seconds = |name| Duration::from_secs(u64::try_from(settings.integer(name)).unwrap_or(0));
        Self {
            reading_interval: seconds(READING_INTERVAL),
            clock_aligned_interval: seconds(CLOCK_ALIGNED_INTERVAL),
            connection_timeout: seconds(CONNECTION_TIMEOUT),
        }
    }
}

/// What may be changed. `remember_token`: how long a token is waited for until somebody says otherwise.
pub(crate) fn specs(remember_token: Duration) -> Vec<Spec> {
    let seconds = |name, minimum, maximum, default: u64, (component, variable), about| Spec {
        name,
        kind: Kind::Integer { minimum, maximum },
        unit: "s",
        access: Access::ReadWrite,
        writers: &[Writer::Csms, Writer::Operator],
        default: default.to_string(),
        component,
        variable,
        about,
    };
    vec![
        seconds(
            READING_INTERVAL,
            0,
            86_400,
            60,
            ("SampledDataCtrlr", "TxUpdatedInterval"),
            "How often a transaction's meter reading is written as an event of the book; 0: never.",
        ),
        seconds(
            CLOCK_ALIGNED_INTERVAL,
            0,
            86_400,
            0,
            ("AlignedDataCtrlr", "Interval"),
            "Readings of transactions on the marks that this makes from midnight, UTC; 0: none.",
        ),
        seconds(
            CONNECTION_TIMEOUT,
            1,
            3_600,
            remember_token.as_secs(),
            ("TxCtrlr", "EVConnectionTimeOut"),
            "How long somebody who was let in is waited for until the vehicle is plugged in.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_settings_are_the_variables_that_the_uplink_has_keys_for() {
        let specs = specs(Duration::from_secs(60));
        let served: Vec<_> = specs.iter().map(|spec| (spec.name, spec.component, spec.variable)).collect();
        assert_eq!(served, voltry_bus::STATION_SETTINGS);
    }
}
