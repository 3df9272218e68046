//! A running daemon: its connection, its readiness, its watchdog, its end.

use std::time::Duration;

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use voltry_units::Timestamp;
use zbus::Connection;
use zbus::fdo::RequestNameFlags;

/// Between two beats of the watchdog of a daemon that has nothing to do.
const BEAT: Duration = Duration::from_secs(1);

/// What a daemon's `run` works with.
#[derive(Debug)]
pub struct Daemon {
    connection: Connection,
    bus: Option<String>,
    instance: String,
    stop: watch::Receiver<Option<Stop>>,
}

/// Why a daemon ends. In either case it makes its I/O safe before it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM or SIGINT.
    Asked,
    /// The bus went away: nobody can command any more. The process then exits with a failure,
    /// so that the supervisor starts it again.
    BusLost,
}

impl Daemon {
    /// Connects to `bus` (an address), or to the system bus, and listens for SIGTERM and SIGINT.
    pub(crate) async fn start(bus: Option<&str>, instance: &str) -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let connection = crate::connect(bus).await.context("connecting to the bus")?;
        let (sender, stop) = watch::channel(None);
        tokio::spawn(end(connection.clone(), terminate, interrupt, sender));
        Ok(Self { connection, bus: bus.map(str::to_owned), instance: instance.to_owned(), stop })
    }

    /// The connection to the bus.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// One more connection to the same bus, without a name: nobody can call it, and what it hears does not wait
    /// behind those who call this daemon. Whoever uses it ends when it does.
    ///
    /// # Errors
    /// If the bus refuses it.
    pub async fn connect_apart(&self) -> anyhow::Result<Connection> {
        crate::connect(self.bus.as_deref()).await.context("connecting to the bus once more")
    }

    /// The instance that the command line named; empty for a daemon without instances.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Claims a bus name. Only after every object is served: whoever sees the name calls.
    ///
    /// # Errors
    /// If another process has the name, or the policy denies it.
    pub async fn claim(&self, name: &str) -> anyhow::Result<()> {
        self.connection
            .request_name_with_flags(name, RequestNameFlags::DO_NOT_QUEUE)
            .await
            .with_context(|| format!("claiming {name}"))?;
        Ok(())
    }

    /// Tells the supervisor that the daemon does its work.
    pub fn ready(&self) {
        notify(NotifyState::Ready);
        tracing::info!("ready");
    }

    /// Completes when the daemon has to end, and again for whoever asks later.
    pub async fn stop(&self) -> Stop {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await.map(|reason| *reason) {
            Ok(Some(reason)) => reason,
            Ok(None) | Err(_) => Stop::BusLost,
        }
    }

    /// Nothing is configured for this daemon: waits until it is asked to end.
    ///
    /// # Errors
    /// None; as the `run` of a daemon that has work.
    pub async fn idle(&self, why: &str) -> anyhow::Result<()> {
        tracing::info!(why, "nothing to do");
        self.ready();
        let mut watchdog = Watchdog::from_environment();
        loop {
            watchdog.beat(crate::clock::now());
            if tokio::time::timeout(BEAT, self.stop()).await.is_ok() {
                return Ok(());
            }
        }
    }

    pub(crate) fn stop_watch(&self) -> watch::Receiver<Option<Stop>> {
        self.stop.clone()
    }
}

async fn end(
    connection: Connection,
    mut terminate: Signal,
    mut interrupt: Signal,
    stop: watch::Sender<Option<Stop>>,
) {
    let reason = tokio::select! {
        _ = terminate.recv() => Stop::Asked,
        _ = interrupt.recv() => Stop::Asked,
        () = connection.closed() => Stop::BusLost,
    };
    match reason {
        Stop::Asked => {
            notify(NotifyState::Stopping);
            tracing::info!("stopping");
        }
        Stop::BusLost => tracing::error!("the bus is gone; making safe and ending"),
    }
    // Nobody is left to hear it only if `run` has returned already.
    let _ = stop.send(Some(reason));
}

/// Feeds the supervisor's watchdog, if it watches.
///
/// Only the control loop holds it, and calls [`Watchdog::beat`] where it made progress: a timer
/// that feeds it would keep a hung loop alive.
#[derive(Debug)]
pub struct Watchdog {
    /// `None`: nobody watches.
    interval: Option<Duration>,
    beaten: Option<Timestamp>,
}

impl Watchdog {
    /// As the supervisor asked for it in `WATCHDOG_USEC`.
    #[must_use]
    pub fn from_environment() -> Self {
        let for_us = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let asked = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        Self::new(asked.filter(|_| for_us).map(Duration::from_micros))
    }

    const fn new(interval: Option<Duration>) -> Self {
        Self { interval, beaten: None }
    }

    /// The control loop went round. Cheap: tells the supervisor four times an interval at most.
    pub fn beat(&mut self, now: Timestamp) {
        if self.due(now) {
            notify(NotifyState::Watchdog);
        }
    }

    fn due(&mut self, now: Timestamp) -> bool {
        let Some(interval) = self.interval else { return false };
        let due = self.beaten.is_none_or(|at| now.since(at) >= interval / 4);
        if due {
            self.beaten = Some(now);
        }
        due
    }
}

fn notify(state: NotifyState<'_>) {
    let state = [state];
    if let Err(error) = sd_notify::notify(&state) {
        tracing::warn!(%error, ?state, "cannot notify the supervisor");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    #[test]
    fn the_watchdog_is_fed_four_times_an_interval_and_only_by_a_beat() {
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(2)));
        let fed = (0..100).filter(|n| watchdog.due(ms(n * 100))).count();
        assert_eq!(fed, 20, "in ten seconds");
    }

    #[test]
    fn without_a_supervisor_nobody_is_told() {
        assert!(!Watchdog::new(None).due(ms(1)));
    }
}
