//! What a driver is to see of an EVSE. Pure.

use voltry_bus::{ConnectorUse, EvseState, EvseStatus, SessionEnd, Transaction};

use crate::bus::{Seen, Station, Vehicle};

/// An EVSE as its driver meets it.
#[derive(Debug, Clone, PartialEq)]
pub enum Face {
    /// Nobody knows: the station does not answer.
    Away,
    /// Its daemon does not answer, and what was charged before it fell silent.
    Absent(Option<Receipt>),
    /// It proves that everything is off.
    Starting,
    /// Somebody took it out of service.
    OutOfService,
    /// Anybody may come.
    Free,
    /// Held for somebody.
    Reserved,
    /// Somebody is let in, and the plug is not in.
    PlugIn,
    /// The plug is in, and nobody is let in.
    Authorize,
    /// On the way to the first current.
    Preparing {
        /// How far it has come.
        step: Step,
        /// Whether a card is still wanted.
        card: bool,
    },
    /// Current flows.
    Charging(Flow),
    /// Nothing flows, and it will go on.
    Paused {
        /// Who does not want it.
        why: Pause,
        /// What there is so far.
        flow: Flow,
    },
    /// The current is taken away.
    Stopping(Flow),
    /// Over; the plug is still in.
    Finished(Option<Receipt>),
    /// Off because of a fault, or on the way there.
    Fault {
        /// The codes of its faults, in the order in which they came; none: it has not said.
        codes: Vec<String>,
        /// What was charged before it.
        receipt: Option<Receipt>,
    },
}

/// How far the preparation has come; a vehicle takes them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Matching, and setting up a session.
    Connecting,
    /// The permission.
    Authorizing,
    /// Limits of both sides.
    Parameters,
    /// The insulation.
    CableCheck,
    /// The battery's voltage on the cable.
    PreCharge,
}

impl Step {
    /// All, in order.
    pub const ALL: [Self; 5] =
        [Self::Connecting, Self::Authorizing, Self::Parameters, Self::CableCheck, Self::PreCharge];

    /// The key of what it is called.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Connecting => "step-connecting",
            Self::Authorizing => "step-authorizing",
            Self::Parameters => "step-parameters",
            Self::CableCheck => "step-cable-check",
            Self::PreCharge => "step-pre-charge",
        }
    }
}

/// Who does not want current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The vehicle.
    Vehicle,
    /// The station: others have the power.
    Station,
    /// Somebody who set a limit.
    Limit,
}

/// What flows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flow {
    /// Watts.
    pub power: f64,
    /// Watt-hours so far.
    pub energy: f64,
    /// Percent, if the vehicle told it.
    pub soc: Option<f64>,
    /// Minutes to a state of charge, if it can be said.
    pub left: Option<(u32, f64)>,
    /// What it costs so far, if the back end told it.
    pub cost: Option<f64>,
}

/// What was charged.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// Watt-hours.
    pub energy: f64,
    /// Microseconds of Unix time.
    pub started: i64,
    /// The same.
    pub ended: i64,
    /// What it cost, if the back end told it.
    pub cost: Option<f64>,
    /// Who ended it.
    pub end: Ending,
}

/// Who ended a charge, as far as its driver is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The vehicle.
    Vehicle,
    /// The driver, by card or screen.
    Driver,
    /// The back end, or a person at the station.
    Operator,
    /// The driver was not let in.
    NotAllowed,
    /// It took too long.
    Timeout,
    /// Vehicle and station have nothing in common.
    Incompatible,
    /// A fault, by its code.
    Fault(String),
    /// Anything else.
    Otherwise,
}

/// Less power than this gives no time that is worth telling, watts.
const POWER_MIN: f64 = 1_000.0;
/// What fast charging is for; above it vehicles take so little that no time holds, percent.
const USUAL_TARGET: f64 = 80.0;
/// What a screen shows as more than nothing, watt-hours.
const WORTH_A_RECEIPT: f64 = 5.0;
/// A receipt is of the session that is shown if it ended no longer before what is shown began, seconds.
const RECEIPT_AGE: i64 = 60;

/// The faces of all EVSEs, in order of their numbers.
#[must_use]
pub fn faces(seen: &Seen) -> Vec<(u32, Face)> {
    let Some(station) = &seen.station else { return Vec::new() };
    station.evses.iter().map(|status| (status.evse, face(seen, station, status))).collect()
}

fn face(seen: &Seen, station: &Station, status: &EvseStatus) -> Face {
    let connector = station.connectors.iter().find(|connector| connector.evse == status.evse);
    let used = connector.and_then(|connector| connector.state.parse::<ConnectorUse>().ok());
    let flow = || flow(seen, status);
    let receipt = || receipt(seen, status.evse, connector.map_or(0, |connector| connector.since));
    // Mostly nothing has flowed before something went wrong, and a receipt of nothing only puzzles.
    let of_something = || receipt().filter(|receipt| receipt.energy >= WORTH_A_RECEIPT);
    // An EVSE whose daemon is away is `absent`, which is no state.
    let Ok(state) = status.state.parse::<EvseState>() else { return Face::Absent(of_something()) };
    match state {
        EvseState::Starting => Face::Starting,
        EvseState::Unavailable => Face::OutOfService,
        EvseState::Available if !status.available => Face::OutOfService,
        EvseState::Available => match used {
            Some(ConnectorUse::Reserved) => Face::Reserved,
            Some(ConnectorUse::Preparing) => Face::PlugIn,
            Some(ConnectorUse::Unavailable) => Face::OutOfService,
            Some(
                ConnectorUse::Available
                | ConnectorUse::Charging
                | ConnectorUse::SuspendedEv
                | ConnectorUse::SuspendedEvse
                | ConnectorUse::Finishing
                | ConnectorUse::Faulted,
            )
            | None => Face::Free,
        },
        EvseState::Connected => Face::Preparing { step: Step::Connecting, card: !status.authorized },
        EvseState::Authorizing if status.authorized => preparing(Step::Authorizing),
        EvseState::Authorizing => Face::Authorize,
        EvseState::Parameters => preparing(Step::Parameters),
        EvseState::CableCheck => preparing(Step::CableCheck),
        EvseState::PreCharge => preparing(Step::PreCharge),
        EvseState::Charging => match used {
            Some(ConnectorUse::SuspendedEv) => Face::Paused { why: Pause::Vehicle, flow: flow() },
            Some(ConnectorUse::SuspendedEvse) => {
                Face::Paused { why: withheld(station, status.evse), flow: flow() }
            }
            Some(
                ConnectorUse::Available
                | ConnectorUse::Preparing
                | ConnectorUse::Charging
                | ConnectorUse::Finishing
                | ConnectorUse::Reserved
                | ConnectorUse::Unavailable
                | ConnectorUse::Faulted,
            )
            | None => Face::Charging(flow()),
        },
        EvseState::Paused => Face::Paused { why: Pause::Vehicle, flow: flow() },
        EvseState::Stopping => Face::Stopping(flow()),
        EvseState::Finished => Face::Finished(receipt()),
        EvseState::ErrorShutdown | EvseState::Emergency | EvseState::Faulted => Face::Fault {
            codes: status.faults.iter().map(|fault| fault.code.clone()).collect(),
            receipt: of_something(),
        },
    }
}

const fn preparing(step: Step) -> Face {
    Face::Preparing { step, card: false }
}

/// Who holds the share of an EVSE at nothing.
fn withheld(station: &Station, evse: u32) -> Pause {
    let share = station.shares.iter().find(|share| share.evse == evse);
    match share.map(|share| share.source.as_str()) {
        Some("csms" | "operator") => Pause::Limit,
        _ => Pause::Station,
    }
}

fn flow(seen: &Seen, status: &EvseStatus) -> Flow {
    let power = (status.voltage * status.current).max(0.0);
    let soc = Some(status.soc).filter(|soc| (0.0..=100.0).contains(soc));
    let vehicle = seen.vehicles.get(&status.evse).copied().unwrap_or_default();
    let left = soc.and_then(|soc| time_left(vehicle, soc, power));
    Flow { power, energy: status.energy, soc, left, cost: cost(seen, status.evse) }
}

/// How many minutes the vehicle needs, at this power, to the state of charge that it wants.
fn time_left(vehicle: Vehicle, soc: f64, power: f64) -> Option<(u32, f64)> {
    let target = if soc < USUAL_TARGET { USUAL_TARGET } else { vehicle.wanted };
    let wanted = if vehicle.wanted > soc { target.min(vehicle.wanted) } else { target };
    if power < POWER_MIN || vehicle.capacity <= 0.0 || wanted <= soc || wanted > 100.0 {
        return None;
    }
    let minutes = (vehicle.capacity * (wanted - soc) / 100.0 / power * 60.0).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held to a day")]
    (minutes <= 1440.0).then_some((minutes as u32, wanted))
}

fn cost(seen: &Seen, evse: u32) -> Option<f64> {
    let driver = seen.drivers.iter().find(|driver| driver.evse == evse)?;
    Some(driver.cost).filter(|cost| *cost >= 0.0 && cost.is_finite())
}

/// The receipt of the session that is shown since `since`; never that of somebody before.
fn receipt(seen: &Seen, evse: u32, since: i64) -> Option<Receipt> {
    let transaction = seen.ended.get(&evse)?;
    let before = since.saturating_sub(transaction.ended);
    (before <= RECEIPT_AGE * 1_000_000).then(|| Receipt {
        energy: transaction.energy,
        started: transaction.started,
        ended: transaction.ended,
        cost: cost(seen, evse),
        end: ending(transaction),
    })
}

fn ending(transaction: &Transaction) -> Ending {
    let words = transaction.end_reason.as_str();
    match words.parse() {
        Ok(SessionEnd::Vehicle) => Ending::Vehicle,
        Ok(SessionEnd::NotAuthorized) => Ending::NotAllowed,
        Ok(SessionEnd::TimedOut) => Ending::Timeout,
        Ok(SessionEnd::Incompatible) => Ending::Incompatible,
        Ok(SessionEnd::OutOfService) => Ending::Operator,
        Ok(SessionEnd::Station | SessionEnd::NoPermit | SessionEnd::Unmetered) => Ending::Otherwise,
        Err(_) => by_other_words(words),
    }
}

fn by_other_words(words: &str) -> Ending {
    // The station's own words for what was asked of it.
    match words {
        "stopped: local" | "stopped by token" | "stopped by a token of its group" => Ending::Driver,
        "stopped by the operator"
        | "stopped by the back end"
        | "the station is reset"
        | "stopped by a master pass" => Ending::Operator,
        // Codes are one word with a capital; what else stands there is no text for drivers.
        code if code.starts_with(|c: char| c.is_ascii_uppercase()) && !code.contains(' ') => {
            Ending::Fault(code.to_owned())
        }
        _ => Ending::Otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voltry_bus::{Connector, DriverText, Fault, PowerShare};

    fn status(state: &str) -> EvseStatus {
        EvseStatus {
            evse: 1,
            state: state.to_owned(),
            available: true,
            authorized: true,
            voltage: 400.0,
            current: 100.0,
            share: 1e5,
            energy: 10_000.0,
            soc: 50.0,
            transaction: 1,
            faults: Vec::new(),
        }
    }

    fn seen(status: EvseStatus, used: &str) -> Seen {
        let connector = Connector {
            evse: 1,
            state: used.to_owned(),
            since: 1_000_000_000,
            transaction: 0,
            reservation: String::new(),
            limit: 1e5,
            limit_origin: "hardware".to_owned(),
        };
        let station = Station { evses: vec![status], connectors: vec![connector], ..Station::default() };
        Seen { station: Some(station), ..Seen::default() }
    }

    fn shown(status: EvseStatus, used: &str) -> Face {
        faces(&seen(status, used)).remove(0).1
    }

    #[test]
    fn a_driver_is_shown_where_the_session_stands() {
        let waiting = |state| EvseStatus { authorized: false, ..status(state) };
        let step = |step| Face::Preparing { step, card: false };
        for (status, used, face) in [
            (status("absent"), "unavailable", Face::Absent(None)),
            (status("starting"), "unavailable", Face::Starting),
            (status("unavailable"), "unavailable", Face::OutOfService),
            (EvseStatus { available: false, ..status("available") }, "unavailable", Face::OutOfService),
            (status("available"), "available", Face::Free),
            (status("available"), "reserved", Face::Reserved),
            (status("available"), "preparing", Face::PlugIn),
            (waiting("connected"), "preparing", Face::Preparing { step: Step::Connecting, card: true }),
            (status("connected"), "preparing", step(Step::Connecting)),
            (waiting("authorizing"), "preparing", Face::Authorize),
            (status("authorizing"), "preparing", step(Step::Authorizing)),
            (status("parameters"), "preparing", step(Step::Parameters)),
            (status("cable-check"), "preparing", step(Step::CableCheck)),
            (status("pre-charge"), "preparing", step(Step::PreCharge)),
            (status("finished"), "finishing", Face::Finished(None)),
        ] {
            let state = status.state.clone();
            assert_eq!(shown(status, used), face, "{state} {used}");
        }
        assert_eq!(faces(&Seen::default()), [], "without a station nothing is known");
    }

    #[test]
    fn a_pause_says_whose_will_it_is() {
        let why = |seen: &Seen| match faces(seen).remove(0).1 {
            Face::Paused { why, .. } => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&seen(status("charging"), "suspended-ev")), Pause::Vehicle);
        assert_eq!(why(&seen(status("paused"), "suspended-ev")), Pause::Vehicle);
        let mut seen = seen(status("charging"), "suspended-evse");
        assert_eq!(why(&seen), Pause::Station);
        let source = "csms".to_owned();
        let share =
            PowerShare { evse: 1, permit: 0.0, share: 0.0, wants: 1.0, source, detail: String::new() };
        seen.station.as_mut().unwrap().shares.push(share);
        assert_eq!(why(&seen), Pause::Limit);
    }

    #[test]
    fn what_flows_is_told_and_what_nobody_knows_is_not() {
        let flow = |seen: &Seen| match faces(seen).remove(0).1 {
            Face::Charging(flow) => flow,
            other => panic!("{other:?}"),
        };
        let mut seen = seen(EvseStatus { soc: -1.0, ..status("charging") }, "charging");
        let nothing = Flow { power: 40_000.0, energy: 10_000.0, soc: None, left: None, cost: None };
        assert_eq!(flow(&seen), nothing);
        seen.station.as_mut().unwrap().evses[0].soc = 50.0;
        seen.vehicles.insert(1, Vehicle { capacity: 80_000.0, wanted: -1.0 });
        seen.drivers.push(DriverText { evse: 1, cost: 3.5, text: String::new() });
        // 30 % of 80 kWh at 40 kW.
        assert_eq!(flow(&seen).left, Some((36, 80.0)));
        assert_eq!(flow(&seen).cost, Some(3.5));
        seen.drivers[0].cost = -1.0;
        assert_eq!(flow(&seen).cost, None, "the back end did not say");
        seen.vehicles.insert(1, Vehicle { capacity: 80_000.0, wanted: 60.0 });
        assert_eq!(flow(&seen).left, Some((12, 60.0)), "it wants no more");
        seen.station.as_mut().unwrap().evses[0].current = 1.0;
        assert_eq!(flow(&seen).left, None, "at so little power no time holds");
    }

    #[test]
    fn a_receipt_is_of_the_session_that_is_shown_and_says_who_ended_it() {
        let transaction = |ended: i64, end_reason: &str| Transaction {
            id: 1,
            evse: 1,
            identity: "04**".to_owned(),
            state: "closed".to_owned(),
            started: ended - 1,
            ended,
            register_start: 0.0,
            register_end: 5.0,
            energy: 5.0,
            end_reason: end_reason.to_owned(),
            note: String::new(),
            why: String::new(),
        };
        let end = |ended, words: &str| {
            let mut seen = seen(status("finished"), "finishing");
            seen.ended.insert(1, transaction(ended, words));
            match faces(&seen).remove(0).1 {
                Face::Finished(receipt) => receipt.map(|receipt| receipt.end),
                other => panic!("{other:?}"),
            }
        };
        let now = 1_000_000_000;
        for (words, ending) in [
            ("ended by the vehicle", Ending::Vehicle),
            ("timed out", Ending::Timeout),
            ("vehicle and charger are not compatible", Ending::Incompatible),
            ("stopped: local", Ending::Driver),
            ("stopped by token", Ending::Driver),
            ("stopped by the back end", Ending::Operator),
            ("MREC22ResistanceFault", Ending::Fault("MREC22ResistanceFault".to_owned())),
            ("whatever a maker writes", Ending::Otherwise),
        ] {
            assert_eq!(end(now, words), Some(ending), "{words}");
        }
        assert_eq!(end(now - 120_000_000, "timed out"), None, "somebody who was here before");
        let mut absent = seen(status("absent"), "unavailable");
        absent.ended.insert(1, Transaction { energy: 9_000.0, ..transaction(now, "timed out") });
        let Face::Absent(Some(receipt)) = faces(&absent).remove(0).1 else { panic!("it is there too") };
        assert_eq!(receipt.energy, 9_000.0);
    }

    #[test]
    fn of_several_faults_none_is_left_out() {
        let fault = |code: &str| Fault { code: code.to_owned(), cause: String::new(), at: 1 };
        for state in ["faulted", "emergency", "error-shutdown"] {
            let faults = vec![fault("MREC8EmergencyStop"), fault("MeterStuck")];
            let Face::Fault { codes, .. } = shown(EvseStatus { faults, ..status(state) }, "faulted") else {
                panic!("{state} is no fault");
            };
            assert_eq!(codes, ["MREC8EmergencyStop", "MeterStuck"]);
        }
    }
}
