//! A hostile vehicle: sessions of each protocol, our own and recorded ones, spoilt, reordered, cut and
//! flooded, against the station's side, under a virtual clock. `make hostile TRIES=100000` tries long.
//!
//! [`process`] does the same to the daemon itself, over TCP.
//!
//! Whatever it sends, nothing panics, what is held stays bounded, evse is never told to energise
//! what it has not granted, and every conversation ends. Memory does not grow with the tries.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

mod bench;
mod evse;
#[path = "hostile_vehicle/malice.rs"]
mod malice;
#[path = "../../../tests/private_bus.rs"]
mod private_bus;
#[path = "hostile_vehicle/process.rs"]
mod process;
mod recordings;
#[path = "hostile_vehicle/sessions.rs"]
mod sessions;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bench::Bench;
use malice::{Chance, spoil};
use sessions::Good;
use voltry_bus::{Authorization, LinkOutcome, LinkPhase, PhaseAnswer};
use voltry_secc::session::Event;
use voltry_secc::v2g::{MAX_PAYLOAD, MAX_PENDING};

/// Without `VOLTRY_HOSTILE_TRIES`.
const TRIES: u64 = 1000;
/// How much the memory may grow from a tenth of the tries to their end.
const GROWTH: u64 = 1024 * 1024;

/// What evse grants of each conversation, at most. It grants at once, and each phase only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grant {
    Nothing,
    Authorization,
    Parameters,
    CableCheck,
    PowerOn,
}

const GRANTS: [Grant; 5] =
    [Grant::Nothing, Grant::Authorization, Grant::Parameters, Grant::CableCheck, Grant::PowerOn];

impl Grant {
    /// What must have been granted before a phase is entered.
    fn wanted_for(phase: LinkPhase) -> Self {
        match phase {
            LinkPhase::Detached
            | LinkPhase::Listening
            | LinkPhase::Connected
            | LinkPhase::Authorizing
            | LinkPhase::PowerOff
            | LinkPhase::WeldingDetection
            | LinkPhase::Stopping => Self::Nothing,
            LinkPhase::Parameters => Self::Authorization,
            LinkPhase::CableCheck => Self::Parameters,
            LinkPhase::PreCharge | LinkPhase::PowerOn => Self::CableCheck,
            LinkPhase::Charging | LinkPhase::Renegotiating => Self::PowerOn,
        }
    }

    /// What evse's answer in a phase grants.
    fn given_in(phase: LinkPhase) -> Option<Self> {
        match phase {
            LinkPhase::Parameters => Some(Self::Parameters),
            LinkPhase::CableCheck => Some(Self::CableCheck),
            LinkPhase::PowerOn => Some(Self::PowerOn),
            _ => None,
        }
    }
}

/// evse's side, which watches that it is not led on.
struct Evse {
    most: Grant,
    granted: Grant,
    phase: LinkPhase,
    counter: u64,
    deepest: usize,
    ended: Option<LinkOutcome>,
}

impl Evse {
    fn hear(&mut self, bench: &mut Bench) {
        loop {
            let events = std::mem::take(&mut bench.events);
            if events.is_empty() {
                return;
            }
            for event in events {
                self.take(&event);
            }
            if self.phase == LinkPhase::PowerOff {
                bench.answer(PhaseAnswer::Finished);
                continue;
            }
            let Some(grant) = Grant::given_in(self.phase) else { continue };
            if grant <= self.most && self.ended.is_none() {
                self.granted = self.granted.max(grant);
                bench.answer(PhaseAnswer::Finished);
            }
        }
    }

    fn take(&mut self, event: &Event) {
        assert_eq!(self.ended, None, "{event:?} after the end");
        match event {
            Event::Phase { counter, phase } => {
                assert!(*counter > self.counter, "phase {counter} after {}", self.counter);
                let wanted = Grant::wanted_for(*phase);
                assert!(wanted <= self.granted, "{phase:?}, but granted is {:?}", self.granted);
                (self.counter, self.phase) = (*counter, *phase);
                self.deepest = self.deepest.max(depth(*phase));
            }
            Event::Target(target) => assert!(
                matches!(self.phase, LinkPhase::PreCharge | LinkPhase::Charging),
                "{target:?} in {:?}",
                self.phase
            ),
            Event::Ended(outcome, _) => self.ended = Some(*outcome),
            Event::Protocol(_)
            | Event::Limits(_)
            | Event::Needs(_)
            | Event::Status(_)
            | Event::Contract(_)
            | Event::VehicleId(_)
            | Event::ContractDoubted { .. }
            | Event::CertificateRequest { .. }
            | Event::SchedulesWanted(_)
            | Event::ScheduleChosen { .. } => {}
        }
    }
}

/// The place of a phase in a session.
fn depth(phase: LinkPhase) -> usize {
    LinkPhase::ALL.iter().position(|known| *known == phase).unwrap()
}

/// One conversation: how deep it got, and how it ended.
fn attempt(seed: u64, sessions: &[Good]) -> (LinkPhase, LinkOutcome) {
    let mut chance = Chance::new(seed);
    let which = chance.below(sessions.len());
    let mut bench =
        if chance.one_in(8) { Bench::new() } else { Bench::speaking(&[sessions[which].protocol]) };
    let most = GRANTS[chance.below(GRANTS.len()).max(chance.below(GRANTS.len()))];
    let granted = most.min(Grant::Authorization);
    if granted == Grant::Authorization {
        bench.pushed.authorization = Authorization::Granted;
    }
    let mut evse = Evse {
        most,
        granted,
        phase: LinkPhase::Listening,
        counter: bench.session.counter(),
        deepest: 0,
        ended: None,
    };
    for piece in spoil(&mut chance, sessions, which) {
        if !chance.one_in(16) {
            bench.present(400, 100);
        }
        bench.session.receive(bench.now, &piece.bytes, &bench.pushed);
        let (bytes, frames, _) = bench.session.buffered();
        assert!(bytes <= MAX_PAYLOAD + 8 + piece.bytes.len() && frames <= MAX_PENDING, "{bytes}, {frames}");
        collect(&mut bench);
        evse.hear(&mut bench);
        pass(&mut bench, &mut evse, piece.pause);
    }
    if chance.one_in(2) {
        bench.session.disconnected(bench.now, "the vehicle closed it");
        collect(&mut bench);
        evse.hear(&mut bench);
    } else {
        pass(&mut bench, &mut evse, Duration::from_secs(600));
    }
    assert!(bench.session.is_closed(), "it is still open ten minutes later, in {:?}", evse.phase);
    (LinkPhase::ALL[evse.deepest], evse.ended.expect("evse is told the end"))
}

/// The answers are written and thrown away; what evse is told stays.
fn collect(bench: &mut Bench) {
    drop(bench.session.take_transmit());
    drop(bench.session.take_said());
    while let Some(event) = bench.session.poll_event() {
        bench.events.push(event);
    }
}

fn pass(bench: &mut Bench, evse: &mut Evse, time: Duration) {
    let end = bench.now + time;
    while let Some(deadline) = bench.session.deadline().filter(|deadline| *deadline <= end) {
        bench.now = bench.now.max(deadline);
        bench.session.timeout(bench.now, &bench.pushed);
        collect(bench);
        evse.hear(bench);
    }
    bench.now = bench.now.max(end);
}

/// Bytes that this process holds in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// This process's memory is measured: no other test runs beside.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_hostile_vehicle_ends_its_conversation_and_nothing_else() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let tries = std::env::var("VOLTRY_HOSTILE_TRIES").map_or(TRIES, |tries| tries.parse().unwrap());
    let sessions = sessions::all();
    let (mut phases, mut outcomes) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    let mut warm = 0;
    for seed in 0..tries {
        if seed == tries / 10 {
            warm = resident();
        }
        let done = std::panic::catch_unwind(|| attempt(seed, &sessions));
        let (deepest, outcome) = done.unwrap_or_else(|_| panic!("try {seed} of {tries}"));
        *phases.entry(deepest.as_str()).or_default() += 1;
        *outcomes.entry(outcome.as_str()).or_default() += 1;
    }
    let end = resident();
    println!("{tries} tries from {} sessions; as deep as {phases:?}; ended {outcomes:?}", sessions.len());
    println!("resident after a tenth of them {} KiB, after all {} KiB", warm / 1024, end / 1024);
    assert!(phases.contains_key(LinkPhase::Charging.as_str()), "none got as far as charging: {phases:?}");
    assert!(outcomes.contains_key(LinkOutcome::Normal.as_str()), "none ended well: {outcomes:?}");
    assert!(end <= warm + GROWTH, "{} KiB more than after a tenth of the tries", (end - warm) / 1024);
}
