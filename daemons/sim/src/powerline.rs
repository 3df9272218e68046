//! The powerline between an EVSE and its vehicle: two modems, a cable, and the vehicle's side of
//! SLAC (ISO 15118-3).
//!
//! ```text
//! voltry-secc ── evseN ═══ evN ── this: [station's modem] ~~ cable ~~ [vehicle's modem] ── vehicle
//! ```
//! Management messages arrive at the vehicle's end of the veth pair, as if the cable began there:
//! those to a modem are the station's to its own modem, which answers; all others are for the
//! vehicle. Data does not pass through here: the veth pair carries it, and a vehicle begins to
//! talk when the two modems have one key, as a real one does.
//!
//! A vehicle whose own program does its matching has another cable: `foreign.rs`.

mod ether;
mod foreign;
mod modem;

pub use foreign::{ForeignCable, Line};

use std::time::Duration;

use iso15118::session::Instant as V2gInstant;
use iso15118::slac::matching::{Ev, EvConfig, EvEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::electrical::SharedCircuit;
use crate::faults::Fault;
use ether::{FRAME_MAX, RawSocket};
use modem::Modem;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// How well the station hears the vehicle at its own cable, and one at the next, dB. Recorded
/// stations heard theirs at 18 to 48.
const OWN_DB: u8 = 31;
const NEXT_DB: u8 = 58;
/// The vehicle at the next cable.
const NEXT_VEHICLE: Mac = [0x02, 0x4e, 0x45, 0x58, 0x54, 0x01];
/// From the key to a vehicle's modem in the network.
const JOINING: Duration = Duration::from_millis(150);
/// Between a run that failed and the next.
const PAUSE: Duration = Duration::from_millis(400);

/// A vehicle's hold on its modem. Clones hold the same.
#[derive(Debug, Clone)]
pub struct Powerline(mpsc::Sender<Request>);

#[derive(Debug)]
enum Request {
    /// Match, and say when the vehicle is in the station's network.
    Join { vehicle: Mac, joined: oneshot::Sender<Matching> },
    /// The vehicle's modem forgets its key.
    Leave,
}

/// How long a vehicle's last matching run took, to its modem in the network, and how much of that the station
/// took to answer: from the last frame that the vehicle or the station's modem sent to each answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Matching {
    pub(crate) whole: Duration,
    pub(crate) station: Duration,
}

/// A vehicle in its station's network. It leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Joined<'a> {
    powerline: &'a Powerline,
    pub(crate) matching: Matching,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        // A full queue holds a request of this vehicle that has nobody to answer any more.
        let _ = self.powerline.0.try_send(Request::Leave);
    }
}

impl Powerline {
    /// Builds the powerline whose vehicle's end is `interface`.
    ///
    /// # Errors
    /// The interface cannot be opened for raw frames.
    pub fn build(interface: &str, circuit: SharedCircuit) -> std::io::Result<(Self, Cable)> {
        let (requests, received) = mpsc::channel(4);
        let cable = Cable {
            socket: RawSocket::management(interface)?,
            circuit,
            requests: received,
            modem: Modem::new(modem::STATIONS),
            began: Instant::now(),
            runs: 0,
            vehicle: None,
            next: None,
            key: None,
        };
        Ok((Self(requests), cable))
    }

    /// Matches until the vehicle is in the station's network, however often it takes.
    pub(crate) async fn join(&self, vehicle: Mac) -> Joined<'_> {
        // Made before anything is awaited: a vehicle that is pulled away gives its runs up too.
        let mut hold = Joined { powerline: self, matching: Matching::default() };
        loop {
            let (joined, answer) = oneshot::channel();
            if self.0.send(Request::Join { vehicle, joined }).await.is_ok()
                && let Ok(matching) = answer.await
            {
                hold.matching = matching;
                return hold;
            }
            // The cable is gone, or another request took the place of this one.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A vehicle's matching run, and the runs after it.
struct Run {
    ev: Ev,
    mac: Mac,
    db: u8,
    again_at: Option<Instant>,
    /// The key that it got, and when its modem is in the network.
    key: Option<([u8; 16], Instant)>,
    joined: Option<oneshot::Sender<Matching>>,
    began: Instant,
    /// Since when the station may answer.
    asked: Option<Instant>,
    /// How long its answers took so far.
    station: Duration,
}

/// The powerline itself; [`Cable::run`] is its life.
pub struct Cable {
    socket: RawSocket,
    circuit: SharedCircuit,
    requests: mpsc::Receiver<Request>,
    modem: Modem,
    began: Instant,
    runs: u64,
    vehicle: Option<Run>,
    next: Option<Run>,
    /// The key of the vehicle's modem.
    key: Option<[u8; 16]>,
}

impl Cable {
    /// Serves for ever.
    ///
    /// # Errors
    /// The interface is gone.
    pub async fn run(mut self) -> std::io::Result<()> {
        let mut frame = [0; FRAME_MAX];
        loop {
            let deadline = self.deadline();
            tokio::select! {
                length = self.socket.receive(&mut frame) => {
                    let length = length?;
                    self.heard(&frame[..length]);
                }
                Some(request) = self.requests.recv() => self.asked(request),
                () = async { match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                } } => {}
            }
            self.act();
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.circuit.with(|circuit| circuit.faults.has(fault))
    }

    fn clock(&self) -> V2gInstant {
        V2gInstant::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn deadline(&self) -> Option<Instant> {
        let runs = self.vehicle.iter().chain(&self.next);
        runs.flat_map(|run| {
            let ev = run.ev.poll_timeout().map(|at| self.began + Duration::from_millis(at.as_millis()));
            let joined = run.joined.as_ref().and(run.key).map(|(_, at)| at);
            [ev, run.again_at, joined]
        })
        .flatten()
        .min()
    }

    fn asked(&mut self, request: Request) {
        match request {
            Request::Join { vehicle, joined } => {
                self.vehicle = Some(self.start(vehicle, OWN_DB, Some(joined)));
                self.next =
                    self.has(Fault::PowerlineCrosstalk).then(|| self.start(NEXT_VEHICLE, NEXT_DB, None));
            }
            Request::Leave => {
                self.vehicle = None;
                self.next = None;
                self.key = None;
            }
        }
    }

    fn start(&mut self, mac: Mac, db: u8, joined: Option<oneshot::Sender<Matching>>) -> Run {
        // Unique, which is all that a simulated run needs to be.
        self.runs += 1;
        let mut ev = Ev::new(EvConfig {
            mac,
            id: [0; 17],
            run_id: self.runs.to_be_bytes(),
            sounding_payload: [0x5a; 16],
            attenuation_limit: None,
        });
        ev.start(self.clock());
        Run {
            ev,
            mac,
            db,
            again_at: None,
            key: None,
            joined,
            began: Instant::now(),
            asked: None,
            station: Duration::ZERO,
        }
    }

    /// A frame of the station's.
    fn heard(&mut self, frame: &[u8]) {
        if self.has(Fault::ModemSilent) && self.modem.is_meant(frame) {
            return;
        }
        let linked = self.key.is_some() && self.key == self.modem.key;
        if let Some(answer) = self.modem.answer(frame, linked) {
            return self.send(&answer);
        }
        let clock = self.clock();
        for run in self.vehicle.iter_mut().chain(&mut self.next) {
            if frame.starts_with(&run.mac) {
                run.station += run.asked.take().map_or(Duration::ZERO, |asked| asked.elapsed());
                run.ev.handle_frame(clock, frame);
            }
        }
    }

    fn act(&mut self) {
        let (clock, now) = (self.clock(), Instant::now());
        let mute = self.has(Fault::VehicleNeverMatches);
        let mut out = Vec::new();
        for run in self.vehicle.iter_mut().chain(&mut self.next) {
            run.ev.handle_timeout(clock);
            if run.again_at.is_some_and(|at| at <= now) {
                run.again_at = None;
                (run.began, run.asked, run.station) = (now, None, Duration::ZERO);
                run.ev.start(clock);
            }
            while let Some(event) = run.ev.poll_event() {
                if let EvEvent::Matched { nmk, .. } = event {
                    run.key = Some((nmk, now + JOINING));
                } else if let EvEvent::Failed(reason) = event {
                    tracing::debug!(%reason, "matching failed");
                    run.again_at = Some(now + PAUSE);
                }
            }
            while let Some(sent) = run.ev.poll_transmit() {
                if !mute {
                    out.push((run.mac, run.db, sent.frame));
                }
            }
        }
        for (mac, db, frame) in out {
            self.send(&frame);
            if let Some(report) =
                self.modem.measure(&frame, &modem::attenuation(db)).filter(|_| !self.has(Fault::ModemSilent))
            {
                self.send(&report);
            }
            for run in self.vehicle.iter_mut().chain(&mut self.next).filter(|run| run.mac == mac) {
                run.asked = Some(Instant::now());
            }
        }
        if let Some(run) = &mut self.vehicle
            && let Some((key, at)) = run.key
            && at <= now
        {
            self.key = Some(key);
            // Who waited may be gone.
            let matching = Matching { whole: run.began.elapsed(), station: run.station };
            let _ = run.joined.take().map(|joined| joined.send(matching));
        }
    }

    fn send(&self, frame: &[u8]) {
        if let Err(error) = self.socket.send(frame) {
            tracing::debug!(%error, "a frame was lost on the powerline");
        }
    }
}
