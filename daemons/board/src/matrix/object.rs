//! `SwitchMatrix1`. It only hands calls to the control loop and waits for its verdict, and tells what the
//! control loop publishes.

use tokio::sync::watch;
use voltry_bus::{Error, MatrixState};
use voltry_service::Stamp;
use zbus::message::Header;
use zbus::object_server::{InterfaceRef, SignalEmitter};
use zbus::{Connection, interface};

use crate::calls::Calls;

#[derive(Debug, Clone)]
pub(crate) enum Method {
    Enable { epoch: u64 },
    Close { stamp: Stamp, group: String, evse: u32 },
    RenewLease(Stamp),
    Open { group: String, evse: u32 },
    OpenAll,
    ClearFaults,
}

impl Method {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Enable { .. } => "Enable",
            Self::Close { .. } => "Close",
            Self::RenewLease(_) => "RenewLease",
            Self::Open { .. } => "Open",
            Self::OpenAll => "OpenAll",
            Self::ClearFaults => "ClearFaults",
        }
    }
}

/// The served object. The newest state is told; what the bus is too slow for is left out.
#[derive(Debug)]
pub(crate) struct Object(watch::Sender<Option<MatrixState>>);

impl Object {
    pub(crate) async fn serve(
        connection: &Connection,
        path: &str,
        calls: Calls<Method>,
    ) -> zbus::Result<Self> {
        let (state, states) = watch::channel(None);
        connection.object_server().at(path, SwitchMatrix1 { calls }).await?;
        let served = connection.object_server().interface::<_, SwitchMatrix1>(path).await?;
        tokio::spawn(tell(served, states));
        Ok(Self(state))
    }

    pub(crate) fn publish(&self, state: MatrixState) {
        self.0.send_replace(Some(state));
    }
}

async fn tell(
    served: InterfaceRef<SwitchMatrix1>,
    mut states: watch::Receiver<Option<MatrixState>>,
) -> zbus::Result<()> {
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        if let Some(state) = state {
            SwitchMatrix1::matrix(served.signal_emitter(), state).await?;
        }
    }
    Ok(())
}

#[derive(Debug)]
struct SwitchMatrix1 {
    calls: Calls<Method>,
}

// One after the other in the order of arrival: a later Open must not overtake.
#[interface(name = "org.voltry.SwitchMatrix1", spawn = false)]
impl SwitchMatrix1 {
    async fn enable(&self, epoch: u64, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.calls.call(&header, Method::Enable { epoch }).await
    }

    async fn close(
        &self,
        epoch: u64,
        sequence: u64,
        sent_at: u64,
        group: String,
        evse: u32,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let stamp = Stamp::new(epoch, sequence, sent_at);
        self.calls.call(&header, Method::Close { stamp, group, evse }).await
    }

    async fn renew_lease(
        &self,
        epoch: u64,
        sequence: u64,
        sent_at: u64,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.calls.call(&header, Method::RenewLease(Stamp::new(epoch, sequence, sent_at))).await
    }

    async fn open(&self, group: String, evse: u32, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.calls.call(&header, Method::Open { group, evse }).await
    }

    async fn open_all(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.calls.call(&header, Method::OpenAll).await
    }

    async fn clear_faults(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.calls.call(&header, Method::ClearFaults).await
    }

    #[zbus(signal)]
    async fn matrix(emitter: &SignalEmitter<'_>, state: MatrixState) -> zbus::Result<()>;
}
