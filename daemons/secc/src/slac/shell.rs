//! The socket and the clock around [`Slac`], and what a person is told.

use std::io;

use tokio::time::Instant;
use voltry_service::RateLimit;
use voltry_service::clock::now;
use voltry_units::Timestamp;

use super::socket::RawSocket;
use super::wire::{FRAME_MAX, Mac, spelled};
use super::{Event, Matching, Slac};
use crate::random;

/// The powerline modem of one EVSE.
#[derive(Debug)]
pub struct Powerline {
    slac: Slac,
    socket: RawSocket,
    frame: Box<[u8; FRAME_MAX]>,
    unusable: u64,
    /// The last match: vehicle, tenths of a dB, when.
    matched: Option<(Mac, u16, Timestamp)>,
    lines: RateLimit,
}

/// Lines of log a minute about vehicles, ours or a neighbour's: a match has four.
const LINES_A_MINUTE: u32 = 40;

impl Powerline {
    /// Opens the interface and begins to set a key.
    ///
    /// # Errors
    /// There is no such interface; CAP_NET_RAW is missing; the kernel has no random bytes.
    pub fn open(interface: &str, matching: Matching) -> io::Result<Self> {
        let socket = RawSocket::open(interface)?;
        let slac = Slac::new(matching, socket.address);
        let lines = RateLimit::allowing(LINES_A_MINUTE);
        let mut powerline =
            Self { slac, socket, frame: Box::new([0; FRAME_MAX]), unusable: 0, matched: None, lines };
        powerline.flush(now())?;
        Ok(powerline)
    }

    /// Waits for the next frame or deadline, and deals with it. May be dropped without loss.
    ///
    /// # Errors
    /// The interface is gone.
    pub async fn turn(&mut self) -> io::Result<()> {
        let deadline = self.slac.deadline().map(|at| Instant::now() + at.since(now()));
        tokio::select! {
            length = self.socket.receive(&mut self.frame[..]) => {
                if let Err(error) = self.slac.receive(now(), &self.frame[..length?]) {
                    self.unusable += 1;
                    tracing::debug!(%error, count = self.unusable, "management message dropped");
                }
            }
            () = async { match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            } } => self.slac.timeout(now()),
        }
        self.flush(now())
    }

    /// A vehicle is plugged in and its pilot offers communication.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn attach(&mut self, now: Timestamp) -> io::Result<()> {
        self.slac.attach(now);
        self.flush(now)
    }

    /// The vehicle is gone, or must not talk.
    ///
    /// # Errors
    /// The interface is gone; the kernel has no random bytes.
    pub fn detach(&mut self, now: Timestamp) -> io::Result<()> {
        self.slac.detach();
        self.flush(now)
    }

    /// The interface lost its carrier, or has it again.
    ///
    /// # Errors
    /// The interface is gone; the kernel has no random bytes.
    pub fn carrier(&mut self, now: Timestamp, up: bool) -> io::Result<()> {
        tracing::info!(up, "the modem's carrier");
        self.slac.carrier(now, up);
        self.flush(now)
    }

    /// A conversation runs over the link, or none does.
    pub fn set_engaged(&mut self, engaged: bool) {
        self.slac.set_engaged(engaged);
    }

    /// The vehicle paused its session: its modem may sleep.
    pub fn let_sleep(&mut self) {
        self.slac.let_sleep();
    }

    /// Whether a vehicle is matched and its link is up.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.slac.is_linked()
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.slac.poll_event()?;
        if let Some(count) = self.lines.count(now()) {
            log(&event);
            if count > 1 {
                tracing::info!(count = count - 1, "earlier events of the powerline were not logged");
            }
        }
        if let Event::Matched { vehicle, attenuation } = event {
            self.matched = Some((vehicle, attenuation, now()));
        }
        Some(event)
    }

    /// What a person is shown.
    #[must_use]
    pub fn shown(&self) -> voltry_bus::Powerline {
        let (vehicle, attenuation, matched_at) = match self.matched {
            Some((vehicle, tenths, at)) => {
                (spelled(vehicle).to_string(), f64::from(tenths) / 10.0, at.as_micros())
            }
            None => (String::new(), 0.0, 0),
        };
        let (state, retries) = (self.slac.state(), self.slac.retries());
        voltry_bus::Powerline { state, vehicle, attenuation, matched_at, retries }
    }

    /// A vehicle's datagram came over the network. Whether it may be answered.
    pub fn heard_data(&mut self, now: Timestamp) -> bool {
        self.slac.heard_data(now);
        self.slac.is_linked()
    }

    fn flush(&mut self, now: Timestamp) -> io::Result<()> {
        if self.slac.wants_key() {
            self.slac.renew_key(now, random()?);
        }
        while let Some(frame) = self.slac.take_transmit() {
            match self.socket.send(&frame) {
                Ok(()) => {}
                // As a frame lost on the cable: whatever needs an answer is repeated.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Tenths of a dB, as a person reads them.
fn db(tenths: u16) -> String {
    format!("{}.{} dB", tenths / 10, tenths % 10)
}

/// A vehicle's address may be what lets it charge: its last two bytes tell one from another.
fn masked(vehicle: Mac) -> impl std::fmt::Display {
    let [.., last_but_one, last] = vehicle;
    std::fmt::from_fn(move |f| write!(f, "…{last_but_one:02x}:{last:02x}"))
}

fn log(event: &Event) {
    match event {
        Event::ModemReady(modem) => tracing::info!(modem = %spelled(*modem), "new key set"),
        // The fault says it, with the cause.
        Event::ModemSilent | Event::Unmatched(_, None) => {}
        Event::LinkNotTold => {
            tracing::warn!(
                "the modem does not tell whether its link is up: it is taken to be from the match on"
            );
        }
        Event::Measured { vehicle, run, attenuation, sounds } => tracing::info!(
            vehicle = %masked(*vehicle),
            run = format_args!("{:016x}", u64::from_be_bytes(*run)),
            attenuation = db(*attenuation),
            sounds,
            "vehicle measured"
        ),
        Event::NotMeasured(vehicle) => tracing::warn!(
            vehicle = %masked(*vehicle),
            "a vehicle sounded, and the modem reported no attenuation: is it configured for a station?"
        ),
        Event::Farther { vehicle, attenuation, nearer: (nearer, least) } => tracing::info!(
            vehicle = %masked(*vehicle),
            attenuation = db(*attenuation),
            nearer = %masked(*nearer),
            its_attenuation = db(*least),
            "no match: another vehicle is nearer"
        ),
        Event::Busy(vehicle) => {
            tracing::info!(vehicle = %masked(*vehicle), "no match: another vehicle has the link");
        }
        Event::Matched { vehicle, attenuation } => {
            tracing::info!(vehicle = %masked(*vehicle), attenuation = db(*attenuation), "matched");
        }
        Event::LinkUp(vehicle, took) => tracing::info!(
            vehicle = %masked(*vehicle),
            ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "powerline link up"
        ),
        Event::LinkLost(vehicle) => tracing::info!(vehicle = %masked(*vehicle), "powerline link ended"),
        Event::Unmatched(cause, Some(time)) => {
            tracing::info!(%cause, time, "the vehicle is started anew by its pilot");
        }
        Event::Pilot(output) => tracing::debug!(%output, "pilot asked for"),
    }
}
