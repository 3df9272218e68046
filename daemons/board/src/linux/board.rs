//! The threads of one connector.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use voltry_service::{RateLimit, clock};
use voltry_units::Timestamp;

use super::config::LinuxSettings;
use super::hardware::{Hardware, Thermometers};
use super::lines::{GpioLines, Lines};
use super::wires::{CYCLE, Wires};
use crate::message::Message;
use crate::report::Report;
use crate::wanted::Wanted;

/// What failed is opened again after this long.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);
/// Temperatures are told this often, or as seldom as they can be read.
const THERMOMETERS_EVERY: Duration = Duration::from_millis(100);
/// A thread that ends needs a cycle, and one conversion.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// What the hardware has, as far as the other back end always has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fitted {
    pub(crate) emergency_stop: bool,
}

impl Fitted {
    pub(crate) const ALL: Self = Self { emergency_stop: true };
}

/// One connector. Its outputs are safe when this was dropped and its threads have ended.
#[derive(Debug)]
pub struct LinuxBoard {
    fitted: Fitted,
    wanted: watch::Sender<(Wanted, Timestamp)>,
    threads: Vec<JoinHandle<()>>,
}

impl LinuxBoard {
    /// Opens the lines, now and after every failure. What is seen goes to `heard`, as of `connector`.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub(crate) fn open(
        settings: LinuxSettings,
        connector: u32,
        heard: mpsc::Sender<Report>,
    ) -> io::Result<Self> {
        Self::with_lines(settings, connector, heard, |settings| {
            Ok(Arc::new(GpioLines::take(settings.inputs(), settings.outputs())?))
        })
    }

    pub(super) fn with_lines(
        settings: LinuxSettings,
        connector: u32,
        heard: mpsc::Sender<Report>,
        take: impl Fn(&LinuxSettings) -> io::Result<Arc<dyn Lines>> + Send + 'static,
    ) -> io::Result<Self> {
        say_what_is_missing(&settings, connector);
        let fitted = Fitted { emergency_stop: settings.emergency_stop.is_some() };
        let (wanted, newest) = watch::channel((Wanted::SAFE, clock::now()));
        let tell = Teller { connector, heard };
        let thermometers = (settings.clone(), newest.clone(), tell.clone());
        let threads = vec![
            thread::Builder::new()
                .name(format!("wires {connector}"))
                .spawn(move || drive_wires(&settings, &newest, &tell, take))?,
            thread::Builder::new().name(format!("temperatures {connector}")).spawn(move || {
                let (settings, newest, tell) = thermometers;
                read_thermometers(&settings, &newest, &tell);
            })?,
        ];
        Ok(Self { fitted, wanted, threads })
    }

    /// Replaces what is wanted; it counts for 300 ms.
    pub(crate) fn want(&self, wanted: Wanted) {
        self.wanted.send_replace((wanted, clock::now()));
    }

    pub(crate) const fn fitted(&self) -> Fitted {
        self.fitted
    }

    /// Ends with everything safe.
    pub(crate) async fn close(self) {
        let Self { wanted, threads, .. } = self;
        drop(wanted);
        let ended = async {
            while !threads.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(ENDS_WITHIN, ended).await.is_err() {
            tracing::error!("the kernel does not return from a read or write of the board's lines");
        }
    }
}

fn say_what_is_missing(settings: &LinuxSettings, connector: u32) {
    if settings.emergency_stop.is_none() {
        tracing::warn!(connector, "no input for the emergency stop: nobody hears when it is pressed");
    }
    if settings.temperature.is_empty() {
        tracing::warn!(connector, "no thermometers: a connector that gets hot is not seen");
    }
    if settings.heartbeat.is_none() {
        tracing::info!(connector, "no heartbeat: the contactors open by other means, says the configuration");
    }
}

/// Where reports go. The newest counts: what finds no room is left out, and missed when it was the last.
#[derive(Debug, Clone)]
struct Teller {
    connector: u32,
    heard: mpsc::Sender<Report>,
}

impl Teller {
    fn tell(&self, message: Message, at: Timestamp) {
        let _ = self.heard.try_send(Report { connector: self.connector, message, at });
    }
}

type Newest = watch::Receiver<(Wanted, Timestamp)>;

/// Whether somebody still wants something.
fn is_wanted(newest: &Newest) -> bool {
    newest.has_changed().is_ok()
}

fn drive_wires(
    settings: &LinuxSettings,
    newest: &Newest,
    tell: &Teller,
    take: impl Fn(&LinuxSettings) -> io::Result<Arc<dyn Lines>>,
) {
    let mut failures = RateLimit::new();
    while is_wanted(newest) {
        let done = take(settings)
            .and_then(|lines| Hardware::open(settings, lines))
            .and_then(|hardware| drive_until_it_fails(settings, &hardware, newest, tell));
        let Err(error) = done else { return };
        if let Some(count) = failures.count(clock::now()) {
            tracing::error!(connector = tell.connector, %error, count, "the board's lines failed");
        }
        let until = clock::now() + REOPEN_INTERVAL;
        while is_wanted(newest) && clock::now() < until {
            thread::sleep(CYCLE);
        }
    }
}

fn drive_until_it_fails(
    settings: &LinuxSettings,
    hardware: &Hardware,
    newest: &Newest,
    tell: &Teller,
) -> io::Result<()> {
    let lock_time = settings.lock.as_ref().map_or(Duration::ZERO, |lock| lock.drive);
    let mut wires = Wires::new(settings.pilot.debounce, lock_time, clock::now());
    while is_wanted(newest) {
        let begun = clock::now();
        let sample = hardware.sample()?;
        let wanted = *newest.borrow();
        // As of the sample's beginning: what was measured may be older than its end, never younger. What is wanted
        // is judged as of now.
        let (outputs, state) = wires.step(clock::now(), wanted, sample);
        hardware.drive(outputs)?;
        if let Some(state) = state {
            tell.tell(Message::ChargeState(state), begun);
        }
        thread::sleep(CYCLE.saturating_sub(clock::now().since(begun)));
    }
    Ok(())
}

fn read_thermometers(settings: &LinuxSettings, newest: &Newest, tell: &Teller) {
    let mut failures = RateLimit::new();
    let mut thermometers = Thermometers::open(settings);
    let mut opened = clock::now();
    while is_wanted(newest) {
        let begun = clock::now();
        if let Some(problem) = thermometers.problem()
            && begun.since(opened) >= REOPEN_INTERVAL
        {
            if let Some(count) = failures.count(begun) {
                tracing::error!(connector = tell.connector, problem, count, "a thermometer is missing");
            }
            thermometers = Thermometers::open(settings);
            opened = begun;
        }
        tell.tell(Message::Temperatures(thermometers.read()), begun);
        thread::sleep(THERMOMETERS_EVERY.saturating_sub(clock::now().since(begun)));
    }
}
