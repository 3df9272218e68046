//! What watchers are told: the log, the faults, and what the bus is shown.

use voltry_bus::{CheckResult, Component, DcCapability, DeviceVariable, Error};
use voltry_service::{FaultLog, clock};
use voltry_units::Timestamp;

use super::Shell;
use crate::energy_path::{Report, StaysLocked, StopReason};
use crate::evse1::Published;

impl Shell {
    pub(super) fn report(&mut self, report: &Report) {
        if let Some(count) = self.lines.count(clock::now()) {
            self.log(report, count);
        }
        match report {
            Report::Fault(_) | Report::FaultsCleared => self.device.set_faults(&self.fault_log()),
            Report::Session if self.path.session().is_none() => self.station_words = None,
            Report::Checked(checked) => {
                if let Some(answer) = self.checking.take() {
                    // Whoever asked may have left.
                    let _ =
                        answer.send(CheckResult { outcome: checked.outcome, seen: checked.seen.to_string() });
                }
            }
            Report::Unlock(unlocked) => {
                if let Some(answer) = self.unlocking.take() {
                    // Whoever asked may have left.
                    let _ = answer.send(unlocked.map_err(|why| match why {
                        StaysLocked::NoLock => Error::Invalid(why.to_string()),
                        StaysLocked::MayCharge | StaysLocked::NotSafe | StaysLocked::Stuck => {
                            Error::Refused(why.to_string())
                        }
                    }));
                }
            }
            Report::Session | Report::State(_) | Report::CableCheckSlow => {}
        }
    }

    /// `count`: of how many reports this is the one that is told.
    fn log(&self, report: &Report, count: u64) {
        match report {
            Report::State(state) => tracing::info!(%state, count, "state"),
            Report::Fault(fault) => {
                tracing::error!(code = fault.code.name(), cause = fault.cause(), count, "fault");
            }
            Report::FaultsCleared => {
                tracing::info!(remaining = self.path.faults().len(), count, "faults cleared");
            }
            Report::Session => {
                if let Some(session) = self.path.session() {
                    tracing::info!(
                        session = session.id,
                        authorization = %session.authorization,
                        end = session.stop.map(StopReason::words),
                        count,
                        "session"
                    );
                }
            }
            Report::Checked(checked) => {
                tracing::info!(check = %checked.check, outcome = %checked.outcome, seen = %checked.seen, count, "self-test");
            }
            Report::Unlock(Ok(())) => tracing::info!(count, "the plug is unlocked, as was asked"),
            Report::Unlock(Err(why)) => tracing::info!(count, %why, "the plug stays as it is"),
            Report::CableCheckSlow => tracing::warn!(count, "CableCheck takes longer than 20 s"),
        }
    }

    pub(super) fn fault_log(&self) -> FaultLog {
        let mut log = FaultLog::new();
        for fault in self.path.faults() {
            log.raise(fault.code.name(), fault.cause(), fault.at);
        }
        log
    }

    /// Properties, and the live values with them.
    pub(super) fn tell(&mut self, now: Timestamp) {
        let micros = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_micros);
        self.published.state = self.path.state();
        self.published.capability = self.capability();
        if self.path.session().is_none() {
            self.vehicle_id.clear();
            self.contract.clear();
        }
        self.published.vehicle_id.clone_from(&self.vehicle_id);
        self.published.contract.clone_from(&self.contract);
        self.published.ending = self.evidence.ending(&self.path);
        self.published.session = match self.path.session() {
            None => voltry_bus::EvseSession::default(),
            Some(session) => voltry_bus::EvseSession {
                id: session.id,
                plugged_at: session.plugged_at.as_micros(),
                energised_at: micros(session.energised_at),
                ended_at: micros(session.ended_at),
                protocol: self.protocol.clone(),
                end_reason: match (session.stop, &self.station_words) {
                    (Some(StopReason::Station), Some(words)) => words.clone(),
                    (stop, _) => stop.map(StopReason::words).unwrap_or_default().to_owned(),
                },
                at: now.as_micros(),
            },
        };
        self.tell_live(now);
    }

    /// What can be given, when it is another: station shares its power by it.
    pub(super) fn tell_capability(&mut self) {
        let capability = self.capability();
        if self.published.capability != capability {
            self.published.capability = capability;
            self.publish.send_replace(self.published.clone());
        }
    }

    fn capability(&self) -> DcCapability {
        let capability = self.path.capability();
        DcCapability {
            voltage_min: capability.voltage_min.as_si(),
            voltage_max: capability.voltage_max.as_si(),
            current_max: capability.current_max.as_si(),
            power_max: capability.power_max.as_si(),
        }
    }

    /// Of the EVSE and of the vehicle at it, in OCPP's words.
    pub(super) fn variables(&self) -> Vec<DeviceVariable> {
        let evse = Component::new("EVSE").of_evse(self.number);
        let vehicle = Component::new("ConnectedEV").of_evse(self.number);
        let Published { live, capability, session, .. } = &self.published;
        let known = |value: f64, known: bool| known.then_some(value);
        let there = session.id != 0;
        vec![
            DeviceVariable::decimal(&evse, "Power", "W", Some(live.voltage * live.current))
                .within(0.0, if capability.power_max > 0.0 { capability.power_max } else { self.power_max }),
            DeviceVariable::decimal(&evse, "DCVoltage", "V", Some(live.voltage)),
            DeviceVariable::decimal(&evse, "DCCurrent", "A", Some(live.current)),
            // There is nothing to reset in one EVSE alone.
            DeviceVariable::boolean(&evse, "AllowReset", false),
            // OCPP 2.0.1 part 2, EVSE: 0 is DC.
            DeviceVariable::integer(&evse, "SupplyPhases", 0),
            DeviceVariable::boolean(&vehicle, "Connected", there),
            DeviceVariable::text(&vehicle, "ProtocolAgreed", if there { &self.protocol } else { "" }),
            DeviceVariable::decimal(
                &vehicle,
                "StateOfCharge",
                "Percent",
                known(live.soc, there && live.soc >= 0.0),
            ),
        ]
    }

    pub(super) fn tell_live(&mut self, now: Timestamp) {
        self.live_told = now;
        let (cable, supply) = self.path.measured(now);
        let session = self.path.session();
        let target = session.and_then(|session| session.target);
        let live = &mut self.published.live;
        live.sequence += 1;
        live.voltage = cable.map_or(0.0, voltry_units::Volts::as_si);
        live.current = supply.map_or(0.0, |supply| supply.current.as_si());
        live.target_voltage = target.map_or(0.0, |target| target.voltage.as_si());
        live.target_current = target.map_or(0.0, |target| target.current.as_si());
        live.soc = session.and_then(|session| session.soc).map_or(-1.0, voltry_units::Percent::as_si);
        live.energy = session.map_or(0.0, |session| session.energy().as_si());
        live.at = supply.map_or(now, |supply| supply.at).as_micros();
        self.publish.send_replace(self.published.clone());
    }
}
