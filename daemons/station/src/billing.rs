//! Opening and closing a transaction: the meter first, then the book, then the word that it is so.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{error, info, warn};
use voltry_bus::{EnergyMeter1Proxy, Error, SignedReading};
use voltry_units::{WattHours, Watts};

use crate::authorization::{Payer, Token};
use crate::book::{Book, Closing, Measured, NewTransaction, Signed, TransactionId};
use crate::clock::{Clock, unix_now};
use crate::session::Ending;

/// How long the meter may take to start or stop a transaction. Meters that sign take seconds.
const METER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the meter is asked for its last reading before the stored one is taken.
const CLOSING_ATTEMPTS: u32 = 3;

/// The session of an EVSE, in this boot.
#[derive(Debug, Clone)]
pub(crate) struct Billed {
    pub(crate) evse: u32,
    pub(crate) clock: Clock,
    pub(crate) session: u64,
    /// What was last measured besides the register.
    pub(crate) measured: Measured,
}

impl Billed {
    /// The transaction's name in the meter: known before the book has a number for it.
    fn name_in_meter(&self) -> String {
        format!("{}-{}-{}", self.evse, self.clock.boot().split('-').next().unwrap_or_default(), self.session)
    }
}

/// Starts the meter's transaction and writes the book.
///
/// Returns the transaction's number and the register at its start, or why there is none.
pub(crate) async fn open(
    meter: EnergyMeter1Proxy<'static>,
    book: Book,
    billed: Billed,
    payer: Payer,
) -> Result<(TransactionId, WattHours), String> {
    let name = billed.name_in_meter();
    let identity = payer.token.as_ref().map_or("", Token::reveal).to_owned();
    let start =
        start(&meter, &name, &identity).await.map_err(|error| format!("the meter did not start: {error}"))?;
    let register =
        WattHours::from_si(start.energy).map_err(|error| format!("the meter's register: {error}"))?;
    let evse = billed.evse;
    let new = NewTransaction {
        evse,
        plug: billed.session,
        token: payer.token,
        stamp: billed.clock.stamp(),
        register,
        signed: signed(start),
        measured: billed.measured,
    };
    match book.begin(new).await {
        Ok(id) => {
            info!(evse, transaction = id, %register, "transaction begun");
            Ok((id, register))
        }
        Err(problem) => {
            error!(evse, error = %problem, "a transaction could not be written and is not begun");
            let _ = timeout(METER_TIMEOUT, meter.stop(&name)).await;
            Err(problem.to_string())
        }
    }
}

async fn start(meter: &EnergyMeter1Proxy<'_>, name: &str, identity: &str) -> Result<SignedReading, Error> {
    match within(meter.start(name, identity, "")).await {
        // Left open by a meter that lost its power, or by us: the book closed it with a reading.
        Err(Error::Refused(reason)) => {
            let unfinished = unfinished(meter).await;
            if unfinished.is_empty() {
                return Err(Error::Refused(reason));
            }
            warn!(unfinished, "ending a transaction that the meter still had open");
            within(meter.stop(&unfinished)).await?;
            within(meter.start(name, identity, "")).await
        }
        other => other,
    }
}

/// Ends the meter's transaction and closes the book, with the stored reading if the meter is out
/// of reach. Does not give up: returns when the book has it.
pub(crate) async fn close(
    meter: EnergyMeter1Proxy<'static>,
    book: Book,
    billed: Billed,
    transaction: TransactionId,
    why: Ending,
    power_limit: Watts,
) -> voltry_bus::Transaction {
    let last = last_reading(&meter, &billed.name_in_meter()).await;
    let register = last.as_ref().and_then(|reading| WattHours::from_si(reading.energy).ok());
    if register.is_none() {
        warn!(evse = billed.evse, transaction, "the meter is out of reach; closing with the stored reading");
    }
    let closing = Closing {
        stamp: billed.clock.stamp(),
        register,
        power_limit,
        signed: last.map_or_else(Signed::default, signed),
        measured: billed.measured,
        reason: why.reason,
        detail: why.words,
    };
    let mut pause = Duration::from_millis(100);
    loop {
        match book.close(transaction, closing.clone()).await {
            Ok(closed) => {
                info!(
                    evse = billed.evse,
                    transaction,
                    energy_wh = closed.energy,
                    reason = closed.end_reason,
                    note = closed.note,
                    "transaction closed"
                );
                return closed;
            }
            Err(problem) => {
                error!(transaction, error = %problem, "the book cannot be written; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
            }
        }
    }
}

async fn last_reading(meter: &EnergyMeter1Proxy<'_>, name: &str) -> Option<SignedReading> {
    for attempt in 1..=CLOSING_ATTEMPTS {
        match within(meter.stop(name)).await {
            Ok(reading) => return Some(reading),
            Err(problem) => warn!(attempt, error = %problem, "the meter did not end the transaction"),
        }
        // After a reboot the meter's transaction has a name of the boot before.
        let unfinished = unfinished(meter).await;
        if !unfinished.is_empty()
            && let Ok(reading) = within(meter.stop(&unfinished)).await
        {
            return Some(reading);
        }
        // A meter that knows nothing of the transaction still has its register.
        if let Ok(reading) = within(meter.read_register()).await {
            return Some(SignedReading {
                energy: reading.energy_import,
                format: "none".to_owned(),
                data: String::new(),
                public_key: String::new(),
                unix_time: unix_now(),
                at: reading.at,
            });
        }
    }
    None
}

fn signed(reading: SignedReading) -> Signed {
    if reading.data.is_empty() {
        return Signed::default();
    }
    Signed { data: reading.data, format: reading.format, public_key: reading.public_key }
}

/// The transaction that the meter has open; empty if it has none, or does not say.
async fn unfinished(meter: &EnergyMeter1Proxy<'_>) -> String {
    let answer = timeout(METER_TIMEOUT, meter.unfinished()).await;
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(METER_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable(format!("no answer in {} s", METER_TIMEOUT.as_secs()))))
}
