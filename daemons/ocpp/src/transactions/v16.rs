//! OCPP 1.6: a transaction is what the book calls one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::measurands::{Context, v16 as meter_value};
use super::{About, Event, Kind, Message, Occasion, Reason, STOP_READINGS_MAX, Sample, Token, Told};
use crate::time::rfc3339;

/// The open transactions, by the book's number.
pub type Charges = BTreeMap<u64, Charging>;

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Charging {
    /// Where.
    pub evse: u32,
    /// The CSMS's number; `None` if it never took the start.
    pub csms: Option<i64>,
    /// Who started it.
    pub token: Option<Token>,
    /// For the StopTransaction: the start, and readings by the interval.
    #[serde(flatten)]
    sampled: Kept,
    /// Likewise on the marks of the clock.
    #[serde(default)]
    aligned: Kept,
}

/// Readings of one kind, thinned as they grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    #[serde(default)]
    readings: Vec<Sample>,
    /// Every how many-th reading is kept.
    #[serde(default = "one")]
    every: u32,
    /// Readings since the last one that was kept.
    #[serde(default)]
    passed: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self { readings: Vec::new(), every: 1, passed: 0 }
    }
}

const fn one() -> u32 {
    1
}

/// What the CSMS must hear of a line of the book. `event.sample.unix` is the time to tell.
pub(crate) fn apply(charges: &mut Charges, event: &Event, told: &Told) -> Option<Message> {
    match event.kind {
        Kind::Started => Some(start(charges, event)),
        Kind::Reading => reading(charges, event, told),
        Kind::Ended => charges.remove(&event.transaction).map(|charge| stop(&charge, event, told)),
        Kind::Plugged
        | Kind::Authorized
        | Kind::Charging
        | Kind::SuspendedEv
        | Kind::SuspendedEvse
        | Kind::Deauthorized
        | Kind::Unplugged
        | Kind::ConnectTimedOut
        | Kind::Other => None,
    }
}

fn start(charges: &mut Charges, event: &Event) -> Message {
    let charge = Charging {
        evse: event.evse,
        csms: None,
        token: event.token.clone(),
        sampled: Kept { readings: vec![event.sample], ..Kept::default() },
        aligned: Kept::default(),
    };
    charges.insert(event.transaction, charge);
    let mut payload = json!({
        "connectorId": event.evse,
        "idTag": id_tag(event.token.as_ref()),
        "meterStart": event.sample.whole_wh(),
        "timestamp": rfc3339(event.sample.unix),
    });
    if let Some(reservation) = event.reservation {
        payload["reservationId"] = reservation.into();
    }
    let about = About::Start { transaction: event.transaction, token: event.token.clone() };
    Message { action: "StartTransaction", payload, about }
}

fn reading(charges: &mut Charges, event: &Event, told: &Told) -> Option<Message> {
    let (measurands, context) = match event.occasion {
        Occasion::Interval => (&told.sampled, Context::Periodic),
        Occasion::Clock => (&told.aligned, Context::Clock),
        Occasion::Trigger | Occasion::RateChanged => (&told.sampled, Context::Trigger),
    };
    let charge = charges.get_mut(&event.transaction)?;
    match event.occasion {
        Occasion::Interval if !told.ended.is_empty() => charge.sampled.keep(event.sample),
        Occasion::Clock if !told.ended_aligned.is_empty() => charge.aligned.keep(event.sample),
        Occasion::Interval | Occasion::Clock | Occasion::Trigger | Occasion::RateChanged => {}
    }
    let value = meter_value(&event.sample, measurands, context)?;
    let mut payload = json!({ "connectorId": event.evse, "meterValue": [value] });
    Some(match charge.csms {
        Some(number) => {
            payload["transactionId"] = number.into();
            Message { action: "MeterValues", payload, about: About::Values }
        }
        None => Message { action: "MeterValues", payload, about: About::Undeliverable },
    })
}

fn stop(charge: &Charging, event: &Event, told: &Told) -> Message {
    let mut payload = json!({
        "meterStop": event.sample.whole_wh(),
        "timestamp": rfc3339(event.sample.unix),
        "reason": event.reason.map_or("Local", reason),
    });
    // Who asked for the end, not who began.
    if let Some(token) = event.token.as_ref().filter(|_| event.is_end_by_token()) {
        payload["idTag"] = id_tag(Some(token)).into();
    }
    let data = transaction_data(charge, event, told);
    if !data.is_empty() {
        payload["transactionData"] = data.into();
    }
    let about = match charge.csms {
        Some(number) => {
            payload["transactionId"] = number.into();
            About::Stop { token: event.token.clone().or_else(|| charge.token.clone()) }
        }
        None => About::Undeliverable,
    };
    Message { action: "StopTransaction", payload, about }
}

fn transaction_data(charge: &Charging, event: &Event, told: &Told) -> Vec<Value> {
    let (sampled, aligned) = (&told.ended, &told.ended_aligned);
    let context = |place| if place == 0 { Context::Begin } else { Context::Periodic };
    let by_interval = charge.sampled.readings.iter().enumerate();
    let by_interval = by_interval.map(|(place, sample)| (sample, context(place), sampled));
    let on_marks = charge.aligned.readings.iter().map(|sample| (sample, Context::Clock, aligned));
    let mut kept: Vec<_> = by_interval.chain(on_marks).collect();
    kept.sort_by_key(|(sample, ..)| sample.unix);
    kept.push((&event.sample, Context::End, sampled));
    let values = kept.into_iter();
    values.filter_map(|(sample, context, measurands)| meter_value(sample, measurands, context)).collect()
}

impl Kept {
    fn keep(&mut self, sample: Sample) {
        self.passed += 1;
        if self.passed < self.every {
            return;
        }
        self.passed = 0;
        self.readings.push(sample);
        if self.readings.len() >= STOP_READINGS_MAX {
            let mut place = 0;
            self.readings.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every = self.every.saturating_mul(2);
        }
    }
}

/// The idTag of 1.6 has 20 characters; where nobody presented a token, vending was free.
pub(crate) fn id_tag(token: Option<&Token>) -> String {
    let token = token.filter(|token| !token.id.is_empty());
    token.map_or_else(|| "FREE".to_owned(), |token| token.id.chars().take(20).collect())
}

/// 1.6's word for it.
const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::DeAuthorized => "DeAuthorized",
        Reason::EmergencyStop => "EmergencyStop",
        Reason::EVDisconnected => "EVDisconnected",
        Reason::ImmediateReset => "HardReset",
        Reason::SoftReset => "SoftReset",
        Reason::PowerLoss => "PowerLoss",
        Reason::Reboot => "Reboot",
        Reason::Remote => "Remote",
        Reason::UnlockCommand => "UnlockCommand",
        Reason::Local | Reason::MasterPass | Reason::StoppedByEV => "Local",
        Reason::EnergyLimitReached
        | Reason::GroundFault
        | Reason::LocalOutOfCredit
        | Reason::Other
        | Reason::OvercurrentFault
        | Reason::PowerQuality
        | Reason::SOCLimitReached
        | Reason::TimeLimitReached
        | Reason::Timeout => "Other",
    }
}
