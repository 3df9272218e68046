//! `ConnectorIo1` of one connector. It only hands calls to the control loop and waits for its
//! verdict, and tells what the control loop publishes.

use tokio::sync::watch;
use voltry_bus::{ConnectorState, Error, PilotOutput};
use voltry_service::Stamp;
use zbus::message::Header;
use zbus::object_server::{InterfaceRef, SignalEmitter};
use zbus::{Connection, interface};

use crate::calls::Calls;

/// A method, and the connector that it is called of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfConnector {
    pub(crate) connector: u32,
    pub(crate) method: Method,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    Enable { epoch: u64 },
    CloseContactors(Stamp),
    RenewLease(Stamp),
    OpenContactors,
    SetPilot(PilotOutput),
    SetLock(bool),
    Reset,
}

impl Method {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enable { .. } => "Enable",
            Self::CloseContactors(_) => "CloseContactors",
            Self::RenewLease(_) => "RenewLease",
            Self::OpenContactors => "OpenContactors",
            Self::SetPilot(_) => "SetPilot",
            Self::SetLock(_) => "SetLock",
            Self::Reset => "Reset",
        }
    }
}

/// A served object. The newest state and count are told; what the bus is too slow for is left out.
#[derive(Debug)]
pub(crate) struct Object {
    state: watch::Sender<Option<ConnectorState>>,
    opened_under_load: watch::Sender<u32>,
}

impl Object {
    pub(crate) async fn serve(
        connection: &Connection,
        path: &str,
        connector: u32,
        calls: Calls<OfConnector>,
    ) -> zbus::Result<Self> {
        let (state, states) = watch::channel(None);
        let (opened_under_load, count) = watch::channel(0);
        let object = ConnectorIo1 { connector, calls, opened_under_load: count.clone() };
        connection.object_server().at(path, object).await?;
        let served = connection.object_server().interface::<_, ConnectorIo1>(path).await?;
        tokio::spawn(tell_states(served.clone(), states));
        tokio::spawn(tell_count(served, count));
        Ok(Self { state, opened_under_load })
    }

    pub(crate) fn publish(&self, state: ConnectorState) {
        self.state.send_replace(Some(state));
    }

    pub(crate) fn set_opened_under_load(&self, count: u32) {
        self.opened_under_load.send_if_modified(|told| std::mem::replace(told, count) != count);
    }
}

async fn tell_states(
    served: InterfaceRef<ConnectorIo1>,
    mut states: watch::Receiver<Option<ConnectorState>>,
) -> zbus::Result<()> {
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        if let Some(state) = state {
            ConnectorIo1::io(served.signal_emitter(), state).await?;
        }
    }
    Ok(())
}

async fn tell_count(served: InterfaceRef<ConnectorIo1>, mut count: watch::Receiver<u32>) -> zbus::Result<()> {
    while count.changed().await.is_ok() {
        count.borrow_and_update();
        served.get().await.opened_under_load_changed(served.signal_emitter()).await?;
    }
    Ok(())
}

#[derive(Debug)]
struct ConnectorIo1 {
    connector: u32,
    calls: Calls<OfConnector>,
    opened_under_load: watch::Receiver<u32>,
}

impl ConnectorIo1 {
    async fn call(&self, header: &Header<'_>, method: Method) -> Result<(), Error> {
        self.calls.call(header, OfConnector { connector: self.connector, method }).await
    }
}

// One after the other in the order of arrival: a later OpenContactors must not overtake.
#[interface(name = "org.voltry.ConnectorIo1", spawn = false)]
impl ConnectorIo1 {
    async fn enable(&self, epoch: u64, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.call(&header, Method::Enable { epoch }).await
    }

    async fn close_contactors(
        &self,
        epoch: u64,
        sequence: u64,
        sent_at: u64,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.call(&header, Method::CloseContactors(Stamp::new(epoch, sequence, sent_at))).await
    }

    async fn renew_lease(
        &self,
        epoch: u64,
        sequence: u64,
        sent_at: u64,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.call(&header, Method::RenewLease(Stamp::new(epoch, sequence, sent_at))).await
    }

    async fn open_contactors(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.call(&header, Method::OpenContactors).await
    }

    async fn set_pilot(&self, output: PilotOutput, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.call(&header, Method::SetPilot(output)).await
    }

    async fn set_lock(&self, locked: bool, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.call(&header, Method::SetLock(locked)).await
    }

    async fn reset(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.call(&header, Method::Reset).await
    }

    #[zbus(signal)]
    async fn io(emitter: &SignalEmitter<'_>, state: ConnectorState) -> zbus::Result<()>;

    #[zbus(property)]
    fn opened_under_load(&self) -> u32 {
        *self.opened_under_load.borrow()
    }
}
