//! OCPP 2.0.1: a transaction runs from the first of the configured start points that comes true to
//! the first of the stop points that ceases to be (part 2, E, TxStartPoint and TxStopPoint).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::measurands::{Context, sign, v201 as meter_value};
use super::{About, Event, Kind, Message, Occasion, PublicKey, Reason, Sample, Token, Told};
use crate::time::rfc3339;

/// What is plugged in, by EVSE.
pub type Plugs = BTreeMap<u32, Plugged>;

/// A condition that starts a transaction by coming true, or ends it by ceasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxPoint {
    /// A vehicle is connected.
    EvConnected,
    /// A driver is authorized.
    Authorized,
    /// The meter has signed the start value. A start point alone: nothing ends by it.
    DataSigned,
    /// Both, and the book has opened its transaction: power may flow.
    PowerPathClosed,
    /// Current flows.
    EnergyTransfer,
}

impl TxPoint {
    /// All that this station knows of: it has no detector in its parking bays.
    pub const ALL: [Self; 5] =
        [Self::EvConnected, Self::Authorized, Self::DataSigned, Self::PowerPathClosed, Self::EnergyTransfer];

    /// The specification's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EvConnected => "EVConnected",
            Self::Authorized => "Authorized",
            Self::DataSigned => "DataSigned",
            Self::PowerPathClosed => "PowerPathClosed",
            Self::EnergyTransfer => "EnergyTransfer",
        }
    }

    /// The points of a comma-separated list.
    #[must_use]
    pub fn parse_list(list: &str) -> Vec<Self> {
        let named = |name: &str| Self::ALL.into_iter().find(|point| point.name() == name);
        list.split(',').map(str::trim).filter_map(named).collect()
    }
}

/// One plug-in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plugged {
    /// The book's number of it.
    pub session: u64,
    /// The book's transaction; 0 before it.
    #[serde(default)]
    pub transaction: u64,
    connected: bool,
    authorized: bool,
    /// Who was let in may no longer charge; what the book opened for him meanwhile lets nobody in.
    #[serde(default)]
    deauthorized: bool,
    path_closed: bool,
    energy: bool,
    /// As last heard; a store from before it was kept has none.
    #[serde(default)]
    state: Option<ChargingState>,
    token: Option<Token>,
    remote_start: Option<i64>,
    reservation: Option<i64>,
    /// The register as last heard, for events that come without.
    register: Option<i64>,
    /// The running transaction.
    pub running: Option<Running>,
    /// Transactions that this plug-in has had.
    count: u32,
    /// What brought the authorization or the cable, whichever came last.
    last_by_cable: bool,
}

/// 2.0.1's ChargingStateEnumType.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum ChargingState {
    Charging,
    EVConnected,
    SuspendedEV,
    SuspendedEVSE,
    Idle,
}

/// A transaction of 2.0.1 that the CSMS believes to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its id.
    pub id: String,
    next_seq: u32,
    evse_told: bool,
    token_told: bool,
    remote_start_told: bool,
    /// The key that verifies the meter's signed readings.
    #[serde(default)]
    key_told: bool,
}

impl Plugged {
    const fn holds(&self, point: TxPoint) -> bool {
        match point {
            TxPoint::EvConnected => self.connected,
            TxPoint::Authorized => self.authorized,
            // The book opens its transaction with the start value, signed where the meter signs. One that was not
            // signed counts as well: what is charged must be told.
            TxPoint::DataSigned | TxPoint::PowerPathClosed => self.path_closed,
            TxPoint::EnergyTransfer => self.energy,
        }
    }

    /// Whether this token let it charge.
    #[must_use]
    pub fn is_of(&self, token: &Token) -> bool {
        self.token.as_ref().is_some_and(|own| own.id.eq_ignore_ascii_case(&token.id))
    }

    /// Whether a transaction runs that ends with its session: somebody was let in, or his cable is waited
    /// for. Where there is a cable and nobody was let in, there is none to be ended.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        self.running.is_some() && (self.authorized || self.path_closed || !self.connected)
    }

    /// Whether a reading that was asked for earlier is of the transaction that runs.
    pub(crate) fn may_have(&self, event: &Event) -> bool {
        let same = event.transaction == 0 || event.transaction == self.transaction;
        self.running.is_some() && self.session == event.session && same
    }

    fn hear(&mut self, event: &Event) {
        if event.transaction != 0 {
            self.transaction = event.transaction;
        }
        self.register = event.sample.register.or(self.register);
        self.remote_start = event.remote_start.or(self.remote_start);
        self.reservation = event.reservation.or(self.reservation);
        match event.kind {
            Kind::Plugged => (self.connected, self.last_by_cable) = (true, true),
            Kind::Authorized => {
                (self.authorized, self.deauthorized, self.last_by_cable) = (true, false, false);
                self.token = event.token.clone().or_else(|| self.token.take());
            }
            Kind::Started => {
                (self.authorized, self.path_closed) = (!self.deauthorized, true);
                self.token = event.token.clone().or_else(|| self.token.take());
            }
            Kind::Charging => self.energy = true,
            Kind::SuspendedEv | Kind::SuspendedEvse => self.energy = false,
            Kind::Deauthorized | Kind::ConnectTimedOut => {
                (self.authorized, self.deauthorized) = (false, true);
            }
            Kind::Ended => (self.authorized, self.path_closed, self.energy) = (false, false, false),
            Kind::Unplugged => {
                (self.connected, self.authorized, self.path_closed, self.energy) =
                    (false, false, false, false);
            }
            Kind::Reading | Kind::Other => {}
        }
        self.state = self.state_by(event).or(self.state);
    }

    /// The state that an event tells of.
    const fn state_by(&self, event: &Event) -> Option<ChargingState> {
        match event.kind {
            Kind::Charging => Some(ChargingState::Charging),
            Kind::SuspendedEv => Some(ChargingState::SuspendedEV),
            Kind::SuspendedEvse => Some(ChargingState::SuspendedEVSE),
            Kind::Plugged | Kind::Authorized | Kind::Started if self.connected => {
                Some(ChargingState::EVConnected)
            }
            Kind::Plugged | Kind::Authorized | Kind::Started | Kind::Unplugged => Some(ChargingState::Idle),
            Kind::Ended if self.connected && !matches!(event.reason, Some(Reason::EVDisconnected)) => {
                Some(ChargingState::EVConnected)
            }
            Kind::Ended => Some(ChargingState::Idle),
            Kind::Reading if self.energy => Some(ChargingState::Charging),
            Kind::Reading | Kind::Deauthorized | Kind::ConnectTimedOut | Kind::Other => None,
        }
    }

    /// The state as it is now.
    fn state(&self) -> ChargingState {
        self.state.unwrap_or(match (self.energy, self.connected) {
            (true, _) => ChargingState::Charging,
            (false, true) => ChargingState::EVConnected,
            (false, false) => ChargingState::Idle,
        })
    }
}

/// What the CSMS must hear of a line of the book. `offline`: it happened while nobody listened.
pub(crate) fn apply(plugs: &mut Plugs, event: &Event, told: &Told, offline: bool) -> Option<Message> {
    if event.kind == Kind::Other {
        return None;
    }
    if plugs.get(&event.evse).is_none_or(|plug| plug.session != event.session) {
        // A reading, an end, an unplugging of a session whose beginning the CSMS never heard.
        if matches!(event.kind, Kind::Unplugged | Kind::Ended | Kind::Deauthorized | Kind::ConnectTimedOut) {
            return None;
        }
        // Power paths close behind plugs: a session that we meet in its middle is connected.
        let connected = !matches!(event.kind, Kind::Plugged | Kind::Authorized);
        plugs.insert(event.evse, Plugged { session: event.session, connected, ..Plugged::default() });
    }
    let plug = plugs.get_mut(&event.evse)?;
    let before = plug.clone();
    plug.hear(event);
    // Who is let in after the plug's first transaction begins another one, also where the cable began that.
    let let_in = matches!(event.kind, Kind::Authorized | Kind::Started) && plug.authorized;
    let starts =
        told.start_points.iter().any(|point| plug.holds(*point) && (let_in || !before.holds(*point)));
    // Where the session is over nothing would end the transaction later, whatever its stop points are.
    let over = matches!(event.kind, Kind::Unplugged | Kind::ConnectTimedOut);
    // B12: so does a reset that the CSMS does not want to wait for; the meter's last word comes first.
    let last = event.kind == Kind::Ended
        || event.kind == Kind::Deauthorized && !before.authorized && !before.path_closed;
    let reset = last && matches!(event.reason, Some(Reason::ImmediateReset | Reason::SoftReset));
    let stops =
        over || reset || told.stop_points.iter().any(|point| !plug.holds(*point) && before.holds(*point));
    let message = match (&plug.running, starts, stops) {
        (None, true, _) => {
            plug.count += 1;
            let id = transaction_id(&told.prefix, event.session, plug.count);
            plug.running = Some(Running {
                id,
                next_seq: 0,
                evse_told: false,
                token_told: false,
                remote_start_told: false,
                key_told: false,
            });
            Some(message(plug, event, told, "Started", offline))
        }
        (None, false, _) => None,
        (Some(_), _, true) => {
            let ended = message(plug, event, told, "Ended", offline);
            plug.running = None;
            Some(ended)
        }
        (Some(_), _, false) => {
            let periodic = event.kind == Kind::Reading && event.occasion.is_booked();
            let empty = periodic && reading(plug, event, told, "Updated").is_none();
            (!empty).then(|| message(plug, event, told, "Updated", offline))
        }
    };
    if over {
        plugs.remove(&event.evse);
    }
    message
}

/// At most 36 characters.
fn transaction_id(prefix: &str, session: u64, count: u32) -> String {
    if count == 1 { format!("{prefix}-{session}") } else { format!("{prefix}-{session}-{count}") }
}

fn message(plug: &mut Plugged, event: &Event, told: &Told, kind: &str, offline: bool) -> Message {
    let mut value = reading(plug, event, told, kind);
    // F06.FR.07: whoever asks is told it in any case.
    let asked = (!event.occasion.is_booked()).then(|| plug.state());
    let state = asked.or_else(|| plug.state_by(event));
    let running = plug.running.as_mut().expect("the caller started it");
    let mut info = json!({ "transactionId": running.id });
    if let Some(state) = state {
        info["chargingState"] = json!(state);
    }
    if let Some(number) = plug.remote_start.filter(|_| !running.remote_start_told) {
        info["remoteStartId"] = number.into();
        running.remote_start_told = true;
    }
    if kind == "Ended" {
        info["stoppedReason"] = event.reason.map_or_else(|| unsaid(event.kind), reason).into();
    }
    let mut payload = json!({
        "eventType": kind,
        "timestamp": rfc3339(event.sample.unix),
        "triggerReason": trigger(plug, event, kind, told),
        "seqNo": plug.running.as_ref().map_or(0, |running| running.next_seq),
        "transactionInfo": info,
    });
    if offline {
        payload["offline"] = true.into();
    }
    let running = plug.running.as_mut().expect("the caller started it");
    if let (Some(value), Some(signed)) = (&mut value, event.signed.as_ref().filter(|_| told.signs)) {
        let with_key = match told.public_key {
            PublicKey::Never => false,
            PublicKey::OncePerTransaction => !running.key_told,
            PublicKey::EveryMeterValue => true,
        };
        sign(value, signed, with_key);
        running.key_told |= with_key;
    }
    running.next_seq += 1;
    if plug.connected && !running.evse_told {
        running.evse_told = true;
        payload["evse"] = json!({ "id": event.evse, "connectorId": 1 });
    }
    // E07: who ended it is told too, be it the same or another of the group.
    let ended_by = event.token.as_ref().filter(|_| running.token_told && event.is_end_by_token());
    let token = if running.token_told { ended_by.cloned() } else { plug.token.clone() };
    if let Some(token) = &token {
        running.token_told = true;
        payload["idToken"] = id_token(token);
        if let Some(number) = plug.reservation.take() {
            payload["reservationId"] = number.into();
        }
    }
    if let Some(value) = value {
        payload["meterValue"] = json!([value]);
    }
    let (evse, unix) = (event.evse, event.sample.unix);
    let about = About::Event { evse, transaction: plug.transaction, token, unix };
    Message { action: "TransactionEvent", payload, about }
}

fn reading(plug: &Plugged, event: &Event, told: &Told, kind: &str) -> Option<Value> {
    let sample = Sample { register: event.sample.register.or(plug.register), ..event.sample };
    match (kind, event.kind) {
        ("Started", _) => meter_value(&sample, &told.started, Context::Begin),
        ("Ended", _) => meter_value(&sample, &told.ended, Context::End),
        (_, Kind::Reading) => match event.occasion {
            Occasion::Interval => meter_value(&sample, &told.sampled, Context::Periodic),
            Occasion::Clock => meter_value(&sample, &told.aligned, Context::Clock),
            Occasion::Trigger => meter_value(&sample, &told.sampled, Context::Trigger),
            Occasion::RateChanged => meter_value(&sample, &told.sampled, Context::Other),
        },
        // The bill's two registers, where the transaction of the CSMS is longer than the book's.
        (_, Kind::Started) => meter_value(&sample, &told.started, Context::Begin),
        (_, Kind::Ended) => meter_value(&sample, &told.ended, Context::End),
        (
            _,
            Kind::Plugged
            | Kind::Authorized
            | Kind::Charging
            | Kind::SuspendedEv
            | Kind::SuspendedEvse
            | Kind::Deauthorized
            | Kind::Unplugged
            | Kind::ConnectTimedOut
            | Kind::Other,
        ) => None,
    }
}

fn trigger(plug: &Plugged, event: &Event, kind: &str, told: &Told) -> &'static str {
    let by_signature = event.signed.is_some() && told.start_points.contains(&TxPoint::DataSigned);
    match event.kind {
        Kind::Plugged => "CablePluggedIn",
        // Who or what began it was told with that.
        Kind::Started if kind != "Started" => "ChargingStateChanged",
        Kind::Authorized | Kind::Started if plug.remote_start.is_some() => "RemoteStart",
        Kind::Started if by_signature => "SignedDataReceived",
        Kind::Started if plug.last_by_cable => "CablePluggedIn",
        Kind::Authorized | Kind::Started => "Authorized",
        Kind::Charging | Kind::SuspendedEv | Kind::SuspendedEvse => "ChargingStateChanged",
        Kind::Reading => match event.occasion {
            Occasion::Interval => "MeterValuePeriodic",
            Occasion::Clock => "MeterValueClock",
            Occasion::Trigger => "Trigger",
            Occasion::RateChanged => "ChargingRateChanged",
        },
        Kind::Deauthorized => event.reason.map_or("Deauthorized", stop_trigger),
        Kind::Ended => event.reason.map_or("ChargingStateChanged", stop_trigger),
        Kind::Unplugged => "EVCommunicationLost",
        Kind::ConnectTimedOut => "EVConnectTimeout",
        Kind::Other => "AbnormalCondition",
    }
}

const fn stop_trigger(reason: Reason) -> &'static str {
    match reason {
        Reason::DeAuthorized => "Deauthorized",
        Reason::EVDisconnected => "EVCommunicationLost",
        Reason::EnergyLimitReached => "EnergyLimitReached",
        Reason::TimeLimitReached => "TimeLimitReached",
        Reason::Timeout => "EVConnectTimeout",
        Reason::Local | Reason::LocalOutOfCredit | Reason::MasterPass => "StopAuthorized",
        Reason::Remote => "RemoteStop",
        Reason::ImmediateReset | Reason::SoftReset => "ResetCommand",
        Reason::UnlockCommand => "UnlockCommand",
        Reason::StoppedByEV | Reason::SOCLimitReached => "ChargingStateChanged",
        Reason::EmergencyStop
        | Reason::GroundFault
        | Reason::Other
        | Reason::OvercurrentFault
        | Reason::PowerLoss
        | Reason::PowerQuality
        | Reason::Reboot => "AbnormalCondition",
    }
}

const fn unsaid(kind: Kind) -> &'static str {
    match kind {
        Kind::Unplugged => "EVDisconnected",
        Kind::Deauthorized => "DeAuthorized",
        Kind::SuspendedEv => "StoppedByEV",
        Kind::ConnectTimedOut => "Timeout",
        Kind::Plugged
        | Kind::Authorized
        | Kind::Started
        | Kind::Charging
        | Kind::SuspendedEvse
        | Kind::Reading
        | Kind::Ended
        | Kind::Other => "Other",
    }
}

/// 2.0.1's word for it; it has none for an unlock.
const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::DeAuthorized => "DeAuthorized",
        Reason::EmergencyStop => "EmergencyStop",
        Reason::EnergyLimitReached => "EnergyLimitReached",
        Reason::EVDisconnected => "EVDisconnected",
        Reason::GroundFault => "GroundFault",
        Reason::ImmediateReset | Reason::SoftReset => "ImmediateReset",
        Reason::Local => "Local",
        Reason::LocalOutOfCredit => "LocalOutOfCredit",
        Reason::MasterPass => "MasterPass",
        Reason::OvercurrentFault => "OvercurrentFault",
        Reason::PowerLoss => "PowerLoss",
        Reason::PowerQuality => "PowerQuality",
        Reason::Reboot => "Reboot",
        Reason::Remote => "Remote",
        Reason::SOCLimitReached => "SOCLimitReached",
        Reason::StoppedByEV => "StoppedByEV",
        Reason::TimeLimitReached => "TimeLimitReached",
        Reason::Timeout => "Timeout",
        Reason::Other | Reason::UnlockCommand => "Other",
    }
}

/// An IdTokenType.
pub(crate) fn id_token(token: &Token) -> Value {
    json!({ "idToken": token.id, "type": token.kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_from_before_the_charging_state_was_kept_is_read() {
        let kept = |energy, connected| {
            let plug = json!({
                "session": 1, "connected": connected, "authorized": true, "path_closed": energy, "energy": energy,
                "token": null, "remote_start": null, "reservation": null, "register": null, "running": null,
                "count": 1, "last_by_cable": true,
            });
            serde_json::from_value::<Plugged>(plug).unwrap().state()
        };
        assert_eq!(kept(true, true), ChargingState::Charging);
        assert_eq!(kept(false, true), ChargingState::EVConnected);
        assert_eq!(kept(false, false), ChargingState::Idle);
    }
}
