//! `org.voltry.Evse1`: what station commands and everybody may read.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use voltry_bus::{Authorization, DcCapability, Error, EvseEnding, EvseSession, EvseState, Fault, Live};
use voltry_service::{Refusals, clock};
use voltry_units::{Timestamp, Watts};
use zbus::object_server::{InterfaceRef, SignalEmitter};
use zbus::{Connection, interface};

use crate::energy_path::Permit;

/// Orders that wait for the control loop; more than this is a station gone wild.
const MAX_ORDERS: usize = 32;
/// Properties change at most ten times a second.
const CHANGE_INTERVAL: Duration = Duration::from_millis(100);
/// The longest reason taken, in bytes; the rest is cut off.
const REASON_MAX: usize = 200;
/// No station plans further than this.
const LONGEST_PERMIT: Duration = Duration::from_secs(600);

/// What station wants.
#[derive(Debug)]
pub(crate) enum Order {
    Permit(Permit),
    Authorization { session: u64, authorization: Authorization },
    Stop(String),
    ClearFaults(oneshot::Sender<Vec<Fault>>),
    Available(bool),
    Unlock(oneshot::Sender<Result<(), Error>>),
}

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Published {
    pub(crate) state: EvseState,
    pub(crate) session: EvseSession,
    pub(crate) ending: EvseEnding,
    pub(crate) vehicle_id: String,
    pub(crate) contract: String,
    pub(crate) capability: DcCapability,
    pub(crate) live: Live,
}

impl Default for Published {
    fn default() -> Self {
        let live = Live {
            sequence: 0,
            voltage: 0.0,
            current: 0.0,
            target_voltage: 0.0,
            target_current: 0.0,
            soc: -1.0,
            energy: 0.0,
            at: 0,
        };
        Self {
            state: EvseState::Starting,
            session: EvseSession::default(),
            ending: EvseEnding::default(),
            vehicle_id: String::new(),
            contract: String::new(),
            capability: DcCapability::default(),
            live,
        }
    }
}

/// Serves `Evse1` at `path`: orders come out, what is published goes in.
///
/// # Errors
/// If the path is none.
pub(crate) async fn serve(
    connection: &Connection,
    path: &str,
) -> zbus::Result<(mpsc::Receiver<Order>, watch::Sender<Published>)> {
    let (orders, inbox) = mpsc::channel(MAX_ORDERS);
    let (publish, published) = watch::channel(Published::default());
    let server = connection.object_server();
    server.at(path, Evse1 { orders, published: published.clone(), refusals: Refusals::new() }).await?;
    let served = server.interface::<_, Evse1>(path).await?;
    tokio::spawn(tell_changes(served, published));
    Ok((inbox, publish))
}

struct Evse1 {
    orders: mpsc::Sender<Order>,
    published: watch::Receiver<Published>,
    refusals: Refusals,
}

impl Evse1 {
    fn order(&self, order: Order) -> Result<(), Error> {
        self.orders.try_send(order).map_err(|_| Error::Busy("too many orders at once".to_owned()))
    }
}

#[interface(name = "org.voltry.Evse1", spawn = false)]
impl Evse1 {
    fn set_permit(&self, permit: voltry_bus::Permit) -> Result<(), Error> {
        let taken = permit_until(&permit, clock::now()).and_then(|permit| self.order(Order::Permit(permit)));
        self.refusals.note("SetPermit", taken)
    }

    fn set_authorization(&self, session: u64, authorization: Authorization) -> Result<(), Error> {
        let current = self.published.borrow().session.id;
        let taken = if session == 0 || session != current {
            Err(Error::Stale(format!("session {session} is over, the present one is {current}")))
        } else {
            self.order(Order::Authorization { session, authorization })
        };
        self.refusals.note("SetAuthorization", taken)
    }

    fn stop(&self, mut reason: String) -> Result<(), Error> {
        reason.truncate(reason.floor_char_boundary(REASON_MAX));
        self.refusals.note("Stop", self.order(Order::Stop(reason)))
    }

    async fn clear_faults(&self) -> Result<Vec<Fault>, Error> {
        let (answer, remaining) = oneshot::channel();
        self.refusals.note("ClearFaults", self.order(Order::ClearFaults(answer)))?;
        remaining.await.map_err(|_| Error::Unavailable("the EVSE is ending".to_owned()))
    }

    fn set_available(&self, available: bool) -> Result<(), Error> {
        self.refusals.note("SetAvailable", self.order(Order::Available(available)))
    }

    async fn unlock(&self) -> Result<(), Error> {
        let (answer, unlocked) = oneshot::channel();
        self.refusals.note("Unlock", self.order(Order::Unlock(answer)))?;
        unlocked.await.unwrap_or_else(|_| Err(Error::Unavailable("the EVSE is ending".to_owned())))
    }

    #[zbus(signal)]
    async fn live(emitter: &SignalEmitter<'_>, live: Live) -> zbus::Result<()>;

    #[zbus(property)]
    fn state(&self) -> EvseState {
        self.published.borrow().state
    }

    #[zbus(property)]
    fn session(&self) -> EvseSession {
        self.published.borrow().session.clone()
    }

    #[zbus(property)]
    fn ending(&self) -> EvseEnding {
        self.published.borrow().ending.clone()
    }

    #[zbus(property)]
    fn vehicle_id(&self) -> String {
        self.published.borrow().vehicle_id.clone()
    }

    #[zbus(property)]
    fn contract(&self) -> String {
        self.published.borrow().contract.clone()
    }

    #[zbus(property)]
    fn capability(&self) -> DcCapability {
        self.published.borrow().capability
    }
}

/// A permit runs from when it was sent: one that waited somewhere has less left.
fn permit_until(permit: &voltry_bus::Permit, now: Timestamp) -> Result<Permit, Error> {
    let sent_at = Timestamp::from_micros(permit.sent_at);
    if sent_at > now {
        return Err(Error::FromTheFuture(format!("sent at {sent_at:?}, now is {now:?}")));
    }
    let valid_for = Duration::try_from_secs_f64(permit.valid_for)
        .ok()
        .filter(|time| *time <= LONGEST_PERMIT)
        .ok_or_else(|| Error::OutOfRange(format!("valid for {} s", permit.valid_for)))?;
    let power = Watts::from_si(permit.power)?;
    if power < Watts::ZERO {
        return Err(Error::OutOfRange(format!("a share of {power}")));
    }
    Ok(Permit { allowed: permit.allowed, power, until: sent_at + valid_for })
}

async fn tell_changes(served: InterfaceRef<Evse1>, mut published: watch::Receiver<Published>) {
    let mut told = Published::default();
    while published.changed().await.is_ok() {
        let now = published.borrow_and_update().clone();
        if tell(&served, &told, &now).await.is_err() {
            // The bus is gone, and with it whoever listened.
            return;
        }
        told = now;
        tokio::time::sleep(CHANGE_INTERVAL).await;
    }
}

async fn tell(served: &InterfaceRef<Evse1>, before: &Published, now: &Published) -> zbus::Result<()> {
    let emitter = served.signal_emitter();
    let evse = served.get().await;
    if before.state != now.state {
        evse.state_changed(emitter).await?;
    }
    if before.session != now.session {
        evse.session_changed(emitter).await?;
    }
    if before.ending != now.ending {
        evse.ending_changed(emitter).await?;
    }
    if before.vehicle_id != now.vehicle_id {
        evse.vehicle_id_changed(emitter).await?;
    }
    if before.contract != now.contract {
        evse.contract_changed(emitter).await?;
    }
    if before.capability != now.capability {
        evse.capability_changed(emitter).await?;
    }
    drop(evse);
    if before.live.sequence != now.live.sequence {
        Evse1::live(emitter, now.live).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(power: f64, valid_for: f64, sent_at: u64) -> voltry_bus::Permit {
        voltry_bus::Permit { allowed: true, power, valid_for, sent_at }
    }

    #[test]
    fn a_permit_runs_from_when_it_was_sent() {
        let now = Timestamp::from_micros(50_000_000);
        let taken = permit_until(&permit(50_000.0, 30.0, 40_000_000), now).unwrap();
        assert_eq!(taken.until, Timestamp::from_micros(70_000_000));
        assert_eq!(taken.power, Watts::new(50_000));
    }

    #[test]
    fn orders_that_the_control_loop_does_not_take_are_answered_busy() {
        let (orders, mut inbox) = mpsc::channel(MAX_ORDERS);
        let (_publish, published) = watch::channel(Published::default());
        let evse = Evse1 { orders, published, refusals: Refusals::new() };
        for _ in 0..MAX_ORDERS {
            assert_eq!(evse.set_available(true), Ok(()));
        }
        assert!(matches!(evse.set_available(true), Err(Error::Busy(_))));
        inbox.try_recv().unwrap();
        assert_eq!(evse.set_available(true), Ok(()));
    }

    #[test]
    fn a_permit_that_means_nothing_is_refused() {
        let now = Timestamp::from_micros(50_000_000);
        for bad in [
            permit(f64::NAN, 30.0, 1),
            permit(-1.0, 30.0, 1),
            permit(1.0, f64::NAN, 1),
            permit(1.0, -1.0, 1),
            permit(1.0, 1e9, 1),
            permit(1.0, 30.0, 50_000_001),
        ] {
            assert!(permit_until(&bad, now).is_err(), "{bad:?}");
        }
    }
}
