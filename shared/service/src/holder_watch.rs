//! Notices when the holder of a lease leaves the bus.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::task::JoinSet;
use zbus::export::futures_core::Stream;
use zbus::names::BusName;
use zbus::{Connection, MatchRule, MessageStream, fdo};

/// Tells which watched connection left the bus: killed, crashed or disconnected. A process that
/// hangs stays on the bus; its lease lapses instead.
///
/// One for a daemon. It listens from the start, so a name watched later cannot slip through
/// between being recorded and being listened for; [`HolderWatch::watch`] asks the bus once
/// whether it was gone already.
#[derive(Debug)]
pub struct HolderWatch {
    connection: Connection,
    departures: MessageStream,
    watched: HashSet<String>,
    checks: JoinSet<Option<String>>,
}

impl HolderWatch {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the bus refuses the match rule or is gone.
    pub async fn new(connection: &Connection) -> zbus::Result<Self> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(2, "") // no new owner: the name left
            .build()?;
        let departures = MessageStream::for_match_rule(rule, connection, None).await?;
        Ok(Self {
            connection: connection.clone(),
            departures,
            watched: HashSet::new(),
            checks: JoinSet::new(),
        })
    }

    /// Watches a unique name, from when it was recorded as the holder. Does not wait.
    pub fn watch(&mut self, holder: &str) {
        if self.watched.insert(holder.to_owned()) {
            self.checks.spawn(gone(self.connection.clone(), holder.to_owned()));
        }
    }

    /// The next watched name that left. Can be dropped and called again without loss.
    pub async fn lost(&mut self) -> String {
        loop {
            let name = tokio::select! {
                name = departed(&mut self.departures) => name,
                Some(check) = self.checks.join_next() => check.ok().flatten(),
            };
            if let Some(name) = name.filter(|name| self.watched.remove(name)) {
                return name;
            }
        }
    }
}

async fn gone(connection: Connection, holder: String) -> Option<String> {
    let name = BusName::try_from(holder.clone()).ok()?;
    let bus = fdo::DBusProxy::new(&connection).await.ok()?;
    let there = bus.name_has_owner(name).await.ok()?;
    (!there).then_some(holder)
}

async fn departed(departures: &mut MessageStream) -> Option<String> {
    let next = poll_fn(|context| match Pin::new(&mut *departures).poll_next(context) {
        Poll::Ready(Some(message)) => Poll::Ready(message),
        // The bus is gone: the daemon ends by `Daemon::stop`, not from here.
        Poll::Ready(None) | Poll::Pending => Poll::Pending,
    })
    .await
    .ok()?;
    let (name, _, _): (String, String, String) = next.body().deserialize().ok()?;
    Some(name)
}
