//! The client of `SwitchMatrix1`: one task sends orders under the lease, another hears the feedback. They are
//! two, for a task that waits for a reply reads no signals.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{Notify, watch};
use voltry_bus::{Error, MatrixState, SwitchMatrix1Proxy};
use voltry_service::{Binding, LeaseHolder, RateLimit, clock};
use zbus::Connection;
use zbus::proxy::CacheProperties;

/// A call that was not answered for so long was not made.
const CALL_WITHIN: Duration = Duration::from_millis(500);
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a control step wants of the contactors. Each step says it anew, and renews the lease by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Group and EVSE.
    pub(crate) close: Vec<(String, u32)>,
    pub(crate) open: Vec<(String, u32)>,
    pub(crate) clear_faults: bool,
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
    let mut lease = LeaseHolder::new();
    let mut open = false;
    let mut lines = RateLimit::new();
    while wanted.changed().await.is_ok() {
        let now = wanted.borrow_and_update().clone();
        if now.end {
            let _ = within(proxy.open_all()).await;
            return;
        }
        let had = open;
        match step(&proxy, &now, &mut lease, &mut open).await {
            Ok(()) => {}
            // It is asked again with the next step: another contactor is not proven open yet.
            Err(Error::Refused(cause)) => tracing::debug!(cause, "the matrix refuses"),
            Err(error) => {
                if let Some(count) = lines.count(clock::now()) {
                    tracing::warn!(%error, count, "the matrix does not do as ordered");
                }
            }
        }
        if had && !open {
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

async fn step(
    proxy: &SwitchMatrix1Proxy<'_>,
    wanted: &Wanted,
    lease: &mut LeaseHolder,
    open: &mut bool,
) -> Result<(), Error> {
    if wanted.clear_faults {
        within(proxy.clear_faults()).await?;
    }
    if !*open {
        within(proxy.enable(lease.open(clock::now()))).await?;
        *open = true;
    }
    let stamp = lease.stamp(clock::now());
    let renewed = within(proxy.renew_lease(stamp.epoch, stamp.sequence, stamp.sent_at.as_micros())).await;
    *open &= !ended(&renewed);
    renewed?;
    let mut first = Ok(());
    for (group, evse) in &wanted.open {
        first = first.and(within(proxy.open(group, *evse)).await);
    }
    for (group, evse) in &wanted.close {
        let stamp = lease.stamp(clock::now());
        let call = proxy.close(stamp.epoch, stamp.sequence, stamp.sent_at.as_micros(), group, *evse);
        let closed = within(call).await;
        *open &= !ended(&closed);
        first = first.and(closed);
    }
    first
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
