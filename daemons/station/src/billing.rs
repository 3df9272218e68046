//! Opening and closing a transaction: the meter first, then the book, then the word that it is so.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{error, info, warn};
use voltry_bus::{EndReason, EnergyMeter1Proxy, Error, EventKind, SignedReading};
use voltry_units::{WattHours, Watts};

use crate::authorization::{Payer, Token};
use crate::book::{
    Book, BookError, Closing, Measured, NewEvent, NewTransaction, OpenTransaction, Signed, TransactionId,
};
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
/// of reach. `sentence`: why it ended, for a technician. Does not give up: returns when the book has it.
pub(crate) async fn close(
    meter: EnergyMeter1Proxy<'static>,
    book: Book,
    billed: Billed,
    transaction: TransactionId,
    (why, sentence): (Ending, String),
    power_limit: Watts,
) -> voltry_bus::Transaction {
    let last = last_reading(&meter, &billed.name_in_meter()).await;
    let register = last.as_ref().and_then(|reading| WattHours::from_si(reading.energy).ok());
    if register.is_none() {
        warn!(evse = billed.evse, transaction, "the meter is out of reach; closing with the stored reading");
    }
    let measured = Measured { export: last_export(&meter, billed.measured.export).await, ..billed.measured };
    let closing = Closing {
        stamp: billed.clock.stamp(),
        register,
        power_limit,
        signed: last.map_or_else(Signed::default, signed),
        measured,
        reason: why.reason,
        detail: why.words,
        why: sentence,
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

/// Closes what an EVSE left open that is not configured any more, as if its meter were out of reach,
/// and ends its session: nobody is left who could.
///
/// # Errors
/// The book cannot be read or written.
pub(crate) async fn close_left_behind(
    book: &Book,
    clock: &Clock,
    left: Vec<OpenTransaction>,
) -> Result<(), BookError> {
    for OpenTransaction { id, evse, boot_id, session, .. } in left {
        let detail = format!("EVSE {evse} is not configured any more");
        let closing = Closing {
            stamp: clock.stamp(),
            register: None,
            power_limit: Watts::ZERO,
            signed: Signed::default(),
            measured: Measured::NOTHING,
            reason: EndReason::Other,
            detail: detail.clone(),
            why: format!("{detail}: the station closed its transaction at its start; nothing to check"),
        };
        let closed = book.close(id, closing).await?;
        warn!(evse, transaction = id, energy_wh = closed.energy, note = closed.note, "closed: {detail}");
        // Closing ended a session of another boot.
        if boot_id == **clock.boot() {
            book.record(NewEvent {
                evse,
                plug: session,
                stamp: clock.stamp(),
                kind: EventKind::Unplugged,
                payer: None,
                measured: Measured::NOTHING,
                reason: EndReason::Other,
                detail,
            })?;
        }
    }
    Ok(())
}

async fn last_reading(meter: &EnergyMeter1Proxy<'_>, name: &str) -> Option<SignedReading> {
    for attempt in 1..=CLOSING_ATTEMPTS {
        let ended = within(meter.stop(name)).await;
        let refused = matches!(ended, Err(Error::Refused(_)));
        match ended {
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
        // A meter that knows nothing of the transaction still has its register. One whose answer was lost has a signed
        // reading for whoever asks again.
        if (refused || attempt == CLOSING_ATTEMPTS)
            && let Ok(reading) = within(meter.read_register()).await
        {
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

/// The export register at the end, asked for anew where it has ever counted: a transaction's last reading has the
/// import register alone.
async fn last_export(meter: &EnergyMeter1Proxy<'_>, known: Option<WattHours>) -> Option<WattHours> {
    if known.is_none_or(|known| known <= WattHours::ZERO) {
        return known;
    }
    let reading = within(meter.read_register()).await.ok();
    reading.and_then(|reading| WattHours::from_si(reading.energy_export).ok()).max(known)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_an_evse_left_open_that_is_not_configured_any_more_is_closed_with_the_stored_reading() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(&folder.path().join("book.db")).unwrap();
        let clock = Clock::new().unwrap();
        let register = |wh| Measured { register: Some(WattHours::new(wh)), ..Measured::NOTHING };
        let mut earlier = clock.stamp();
        earlier.unix -= 90_000_000;
        let mut boots = vec![clock.stamp().boot, "another".into()];
        for boot in boots.drain(..) {
            let stamp = crate::clock::Stamp { boot, ..earlier.clone() };
            let new = NewTransaction {
                evse: 3,
                plug: 7,
                token: None,
                stamp: stamp.clone(),
                register: WattHours::new(1_000),
                signed: Signed::default(),
                measured: Measured::NOTHING,
            };
            let id = book.begin(new).await.unwrap();
            book.reading(id, stamp, register(1_250), None).await.unwrap();
        }

        close_left_behind(&book, &clock, book.open_transactions().await.unwrap()).await.unwrap();
        assert_eq!(book.open_transactions().await.unwrap(), []);
        for closed in book.newest(10).await.unwrap() {
            assert_eq!((closed.state.as_str(), closed.energy), ("closed", 250.0));
            assert_eq!(closed.end_reason, "EVSE 3 is not configured any more");
            assert!(closed.note.starts_with("meter out of reach: stored reading, 9"), "{}", closed.note);
            let (_, events) = book.transaction(closed.id).await.unwrap();
            assert_eq!(events.last().unwrap().kind, "ended");
        }
        assert_eq!(book.open_plugs(clock.stamp().boot).await.unwrap(), [], "its session is over");
    }
}
