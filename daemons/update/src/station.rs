//! What an update has to know of the station: who charges, and which EVSEs work.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use voltry_bus::{Connector, ConnectorUse, EvseState, EvseStatus, Station1Proxy, names};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::course::Input;

/// How often the station is asked.
const EVERY: Duration = Duration::from_secs(1);
/// It answers within this time, or is silent.
const ANSWER: Duration = Duration::from_secs(1);

/// The station as it was when it was asked last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Station {
    /// Each EVSE, and whether it works: a vehicle could charge, or does.
    pub evses: Vec<(u32, bool)>,
    /// The EVSEs where somebody charges, or is about to.
    pub charging: Vec<u32>,
}

impl Station {
    fn new(evses: &[EvseStatus], connectors: &[Connector]) -> Self {
        Self {
            evses: evses.iter().map(|evse| (evse.evse, works(&evse.state))).collect(),
            charging: connectors
                .iter()
                .filter(|connector| charges(&connector.state))
                .map(|connector| connector.evse)
                .collect(),
        }
    }
}

/// Whether an EVSE in this state works. Out of service is no fault: an uplink takes EVSEs out of it for the
/// time of an update.
fn works(state: &str) -> bool {
    match state.parse::<EvseState>() {
        Ok(
            EvseState::Available
            | EvseState::Connected
            | EvseState::Authorizing
            | EvseState::Parameters
            | EvseState::CableCheck
            | EvseState::PreCharge
            | EvseState::Charging
            | EvseState::Stopping
            | EvseState::Finished
            | EvseState::Paused
            | EvseState::Unavailable,
        ) => true,
        Ok(EvseState::Starting | EvseState::ErrorShutdown | EvseState::Emergency | EvseState::Faulted) => {
            false
        }
        // `absent`: its daemon is.
        Err(_) => false,
    }
}

/// Whether somebody is not to be interrupted there. A word that nobody knows counts as charging.
fn charges(state: &str) -> bool {
    match state.parse::<ConnectorUse>() {
        Ok(
            ConnectorUse::Preparing
            | ConnectorUse::Charging
            | ConnectorUse::SuspendedEv
            | ConnectorUse::SuspendedEvse,
        )
        | Err(_) => true,
        Ok(
            ConnectorUse::Available
            | ConnectorUse::Finishing
            | ConnectorUse::Reserved
            | ConnectorUse::Unavailable
            | ConnectorUse::Faulted,
        ) => false,
    }
}

/// Asks the station for ever.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn watch(connection: Connection, inputs: mpsc::Sender<Input>) -> zbus::Result<()> {
    let proxy = Station1Proxy::builder(&connection)
        .destination(names::STATION)
        .path(names::STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let asked = timeout(ANSWER, async {
            Ok::<_, zbus::Error>((proxy.evses().await?, proxy.connectors().await?))
        });
        let seen = asked.await.ok().and_then(Result::ok);
        let station = seen.map(|(evses, connectors)| Station::new(&evses, &connectors));
        if inputs.send(Input::Station(station)).await.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_and_an_absent_daemon_are_told_from_being_out_of_service() {
        assert!(works("available") && works("charging") && works("unavailable"));
        assert!(!works("faulted") && !works("absent") && !works("starting") && !works("emergency"));
    }

    #[test]
    fn whoever_is_plugged_in_and_not_done_is_not_interrupted() {
        assert!(
            charges("preparing") && charges("charging") && charges("suspended-ev") && charges("a new word")
        );
        assert!(!charges("finishing") && !charges("faulted") && !charges("reserved"));
    }
}
