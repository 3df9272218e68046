//! The client of `SwitchMatrix1`: one task sends orders under the lease, another hears the feedback. They are
//! two, for a task that waits for a reply reads no signals.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{Notify, watch};
use voltry_bus::{Error, MatrixState, SwitchMatrix1Proxy};
use voltry_service::{Binding, LeaseHolder, RateLimit, Stamp, clock};
use voltry_units::Timestamp;
use zbus::Connection;
use zbus::proxy::CacheProperties;

/// A call that was not answered for so long was not made.
const CALL_WITHIN: Duration = Duration::from_millis(500);
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a control step wants of the contactors. Each step says it anew, and renews the lease by it; one that
/// waits is replaced by the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// When the step was taken. What it wants is dated so, for later it may be wanted no more.
    pub(crate) at: Timestamp,
    /// Group and EVSE.
    pub(crate) close: Vec<(String, u32)>,
    pub(crate) open: Vec<(String, u32)>,
    /// How often it was asked to clear faults: a count is not lost with a step that is replaced.
    pub(crate) clears: u64,
    /// Everything opens, and nothing more is asked.
    pub(crate) end: bool,
}

/// Sends what control steps want until one wants the end. `lost` is notified when the driver has opened
/// everything by itself, because the lease was not renewed in time, or is another's.
pub(crate) async fn order(
    connection: Connection,
    driver: Binding,
    mut wanted: watch::Receiver<Wanted>,
    lost: Arc<Notify>,
) {
    let proxy = match proxy(&connection, &driver).await {
        Ok(proxy) => proxy,
        Err(error) => {
            tracing::error!(%error, "the matrix can't be ordered");
            return;
        }
    };
    let mut holder = Holder::default();
    let mut lines = RateLimit::new();
    while wanted.changed().await.is_ok() {
        let step = wanted.borrow_and_update().clone();
        if step.end {
            let _ = within(proxy.open_all()).await;
            return;
        }
        let had = holder.open;
        match holder.ask(&step, |asked| call(&proxy, asked)).await {
            Ok(()) => {}
            // It is asked again with the next step: another contactor is not proven open yet.
            Err(Error::Refused(cause)) => tracing::debug!(cause, "the matrix refuses"),
            Err(error) => {
                if let Some(count) = lines.count(clock::now()) {
                    tracing::warn!(%error, count, "the matrix does not do as ordered");
                }
            }
        }
        if had && !holder.open {
            lost.notify_one();
        }
    }
}

async fn proxy<'a>(connection: &Connection, driver: &'a Binding) -> zbus::Result<SwitchMatrix1Proxy<'a>> {
    SwitchMatrix1Proxy::builder(connection)
        .destination(driver.name.clone())
        .path(driver.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

/// A call of `SwitchMatrix1`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    ClearFaults,
    Enable(u64),
    Renew(Stamp),
    Open((String, u32)),
    Close(Stamp, (String, u32)),
}

async fn call(proxy: &SwitchMatrix1Proxy<'_>, call: Call) -> Result<(), Error> {
    let of = |stamp: Stamp| (stamp.epoch, stamp.sequence, stamp.sent_at.as_micros());
    let verdict = async {
        match call {
            Call::ClearFaults => proxy.clear_faults().await,
            Call::Enable(epoch) => proxy.enable(epoch).await,
            Call::Renew(stamp) => {
                let (epoch, sequence, sent_at) = of(stamp);
                proxy.renew_lease(epoch, sequence, sent_at).await
            }
            Call::Open((group, evse)) => proxy.open(&group, evse).await,
            Call::Close(stamp, (group, evse)) => {
                let (epoch, sequence, sent_at) = of(stamp);
                proxy.close(epoch, sequence, sent_at, &group, evse).await
            }
        }
    };
    within(verdict).await
}

/// The holder of the matrix's lease.
#[derive(Debug, Default)]
struct Holder {
    lease: LeaseHolder,
    /// Whether an epoch is open, as far as it knows.
    open: bool,
    /// How many requests to clear faults were passed on.
    cleared: u64,
}

impl Holder {
    /// Asks for what a step wants, call by call.
    async fn ask<F>(&mut self, wanted: &Wanted, call: impl Fn(Call) -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        if wanted.clears != self.cleared {
            call(Call::ClearFaults).await?;
            self.cleared = wanted.clears;
        }
        if !self.open {
            call(Call::Enable(self.lease.open(clock::now()))).await?;
            self.open = true;
        }
        let renewed = call(Call::Renew(self.lease.stamp(wanted.at))).await;
        self.open &= !ended(&renewed);
        let may_close = renewed.is_ok();
        let mut first = renewed;
        // Opening needs no lease.
        for contactor in &wanted.open {
            first = first.and(call(Call::Open(contactor.clone())).await);
        }
        for contactor in wanted.close.iter().filter(|_| may_close) {
            let closed = call(Call::Close(self.lease.stamp(wanted.at), contactor.clone())).await;
            self.open &= !ended(&closed);
            first = first.and(closed);
        }
        first
    }
}

/// Whether only a new epoch closes anything.
const fn ended(verdict: &Result<(), Error>) -> bool {
    matches!(verdict, Err(Error::Lapsed(_) | Error::NotHolder(_) | Error::StaleEpoch(_)))
}

async fn within(call: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    match tokio::time::timeout(CALL_WITHIN, call).await {
        Ok(verdict) => verdict,
        Err(_) => Err(Error::Unavailable("the matrix's driver does not answer".into())),
    }
}

/// Hears the feedback for ever.
pub(crate) async fn hear(
    connection: Connection,
    driver: Binding,
    heard: watch::Sender<Option<MatrixState>>,
    wake: Arc<Notify>,
) {
    loop {
        if let Err(error) = listen(&connection, &driver, &heard, &wake).await {
            tracing::warn!(%error, "cannot listen to the matrix");
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn listen(
    connection: &Connection,
    driver: &Binding,
    heard: &watch::Sender<Option<MatrixState>>,
    wake: &Notify,
) -> zbus::Result<()> {
    let mut states = proxy(connection, driver).await?.receive_matrix().await?;
    while let Some(state) = states.next().await {
        if let Ok(arguments) = state.args() {
            heard.send_replace(Some(arguments.state));
            wake.notify_one();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Asks a driver that answers everything with `verdict`, and tells what it was asked.
    fn ask(holder: &mut Holder, wanted: &Wanted, verdict: &Result<(), Error>) -> Vec<Call> {
        let asked = RefCell::new(Vec::new());
        let driver = |call| {
            asked.borrow_mut().push(call);
            std::future::ready(verdict.clone())
        };
        let _ = futures_util::FutureExt::now_or_never(holder.ask(wanted, driver)).unwrap();
        asked.into_inner()
    }

    #[test]
    fn what_a_step_wants_is_dated_by_the_step_and_not_by_when_it_is_sent() {
        let at = Timestamp::from_micros(7);
        let to = |evse| ("a".to_owned(), evse);
        let wanted = Wanted { at, close: vec![to(1)], open: vec![to(2)], ..Wanted::default() };
        let mut holder = Holder::default();
        let asked = ask(&mut holder, &wanted, &Ok(()));
        let epoch = holder.lease.epoch();
        let stamp = |sequence| Stamp { epoch, sequence, sent_at: at };
        let expected = [Call::Renew(stamp(1)), Call::Open(to(2)), Call::Close(stamp(2), to(1))];
        assert_eq!(asked[1..], expected);
        let asked = ask(&mut holder, &wanted, &Err(Error::TooOld(String::new())));
        let expected = [Call::Renew(stamp(3)), Call::Open(to(2))];
        assert_eq!(asked, expected, "too late to close, never to open");
    }

    #[test]
    fn a_request_to_clear_faults_outlives_the_steps_that_are_replaced() {
        let mut holder = Holder::default();
        let wanted = |clears| Wanted { clears, ..Wanted::default() };
        let clears = |asked: Vec<Call>| asked.into_iter().filter(|call| *call == Call::ClearFaults).count();
        assert_eq!(clears(ask(&mut holder, &wanted(0), &Ok(()))), 0);
        let silent = Err(Error::Unavailable(String::new()));
        assert_eq!(clears(ask(&mut holder, &wanted(2), &silent)), 1);
        assert_eq!(clears(ask(&mut holder, &wanted(2), &Ok(()))), 1, "again: nobody answered");
        assert_eq!(clears(ask(&mut holder, &wanted(2), &Ok(()))), 0);
    }
}
