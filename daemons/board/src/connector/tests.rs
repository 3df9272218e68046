use super::*;
use crate::frame::Frame;
use crate::message::{self, Contactor, ContactorCodes, ProximityCode};
use voltry_bus::{Alarm, Alarms, Pilot, PilotFault};
use voltry_service::Config;
use voltry_units::Celsius;

mod lock;
mod property;

const EVSE: &str = ":1.7";

/// Milliseconds after an arbitrary instant well after boot.
fn ms(ms: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + ms * 1_000)
}

fn settings() -> ConnectorSettings {
    Config::parse([("test", "[board.1]\ndevice = 'x'")]).unwrap().load("board.1").unwrap()
}

fn state(pilot: Pilot, contactor: Contactor) -> ChargeState {
    ChargeState {
        pilot,
        pilot_fault: PilotFault::None,
        proximity: ProximityCode::None,
        contactors: [contactor, contactor, Contactor::Unused],
        emergency_stop: false,
        alarms: Alarms::default(),
        lock: Lock::NotFitted,
        safe_state: None,
    }
}

fn at(celsius: i32) -> [Option<Channel>; 4] {
    let channel = Channel { temperature: Some(Celsius::new(celsius)), stopped: false, failed: false };
    [Some(channel), Some(channel), None, None]
}

/// A connector and its controller under one virtual clock.
struct Bench {
    connector: Connector,
    now: u64,
    epoch: u64,
    sequence: u64,
    /// The newest periodic message.
    control: [u8; 8],
    /// What is wanted of the lock.
    lock: Option<bool>,
    once: Vec<Frame>,
    published: Vec<ConnectorState>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            connector: Connector::new(settings(), ms(0)),
            now: 0,
            epoch: 0,
            sequence: 0,
            control: [0xFF; 8],
            lock: None,
            once: Vec::new(),
            published: Vec::new(),
        };
        bench.poll();
        bench
    }

    /// A vehicle ready in C, a lease, contactors confirmed closed.
    fn closed() -> Self {
        let mut bench = Self::new();
        bench.connector.set_pilot(ms(0), EVSE, PilotOutput::Digital).unwrap();
        bench.hears(state(Pilot::C, Contactor::Open));
        bench.enable().unwrap();
        bench.close().unwrap();
        assert_eq!(bench.control[2], 0b11);
        bench.pass(50);
        bench.hears(state(Pilot::C, Contactor::Closed));
        assert_eq!(bench.told().contactors, Contactors::Closed);
        bench
    }

    fn poll(&mut self) {
        for action in self.connector.poll(ms(self.now)) {
            match action {
                Action::Want(Wanted { pilot, close, lock }) => {
                    self.lock = lock;
                    self.control = message::charge_control(pilot, close, 2).data;
                }
                Action::AskVersion => self.once.push(message::version_inquiry()),
                Action::Reset => self.once.push(message::reset(2)),
                Action::Publish(state) => self.published.push(state),
            }
        }
    }

    /// Time passes with nothing heard; every deadline is kept.
    fn pass(&mut self, time: u64) {
        let end = self.now + time;
        while self.connector.deadline() <= ms(end) {
            self.now = (self.connector.deadline().since(ms(0)).as_micros() / 1_000).try_into().unwrap();
            self.poll();
            assert!(self.connector.deadline() > ms(self.now), "a deadline that was kept is over");
        }
        self.now = end;
    }

    fn hears(&mut self, state: ChargeState) {
        self.connector.heard(ms(self.now), Message::ChargeState(state));
        self.connector.heard(ms(self.now), Message::Temperatures(at(25)));
        self.poll();
    }

    fn enable(&mut self) -> Result<(), Error> {
        self.epoch = ms(self.now).as_micros();
        self.sequence = 0;
        self.connector.enable(ms(self.now), EVSE, self.epoch)
    }

    fn stamp(&mut self) -> Stamp {
        self.sequence += 1;
        Stamp { epoch: self.epoch, sequence: self.sequence, sent_at: ms(self.now) }
    }

    fn close(&mut self) -> Result<(), Error> {
        let stamp = self.stamp();
        let verdict = self.connector.close(ms(self.now), EVSE, stamp);
        self.poll();
        verdict
    }

    fn renew(&mut self) -> Result<(), Error> {
        let stamp = self.stamp();
        self.connector.renew(ms(self.now), EVSE, stamp)
    }

    fn set_lock(&mut self, locked: bool) -> Result<(), Error> {
        let verdict = self.connector.set_lock(ms(self.now), locked);
        self.poll();
        verdict
    }

    fn told(&self) -> &ConnectorState {
        self.published.last().expect("something was published")
    }

    fn requests_open(&self) -> bool {
        self.control[2] == 0
    }
}

#[test]
fn after_its_start_the_board_requests_open_contactors_and_minus_12_volts_at_once() {
    assert_eq!(Bench::new().control, [0x80, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_controller_is_spoken_to_every_100_ms() {
    let mut connector = Connector::new(settings(), ms(0));
    let controls =
        |actions: Vec<Action>| actions.iter().filter(|action| matches!(action, Action::Want(_))).count();
    let sent: usize = (0..1_000).map(|now| controls(connector.poll(ms(now)))).sum();
    assert_eq!(sent, 10);
}

#[test]
fn contactors_close_under_a_lease_with_the_pilot_in_c_and_the_feedback_confirms() {
    Bench::closed();
}

#[test]
fn contactors_do_not_close_without_a_lease() {
    let mut bench = Bench::new();
    bench.hears(state(Pilot::C, Contactor::Open));
    assert!(matches!(bench.close(), Err(Error::Lapsed(_))));
    assert!(bench.requests_open());
}

#[test]
fn contactors_do_not_close_while_the_vehicle_is_not_ready() {
    for pilot in [Pilot::A, Pilot::B, Pilot::E, Pilot::F, Pilot::Invalid, Pilot::Unknown] {
        let mut bench = Bench::new();
        bench.hears(state(pilot, Contactor::Open));
        bench.enable().unwrap();
        assert!(matches!(bench.close(), Err(Error::Refused(_))), "{pilot}");
        assert!(bench.requests_open());
    }
}

#[test]
fn contactors_do_not_close_while_the_controller_is_silent() {
    let mut bench = Bench::new();
    bench.enable().unwrap();
    assert!(matches!(bench.close(), Err(Error::Unavailable(_))));
}

#[test]
fn each_local_fault_opens_the_contactors_at_once_and_is_told_with_it() {
    let good = state(Pilot::C, Contactor::Closed);
    let faults = [
        ("MREC8EmergencyStop", ChargeState { emergency_stop: true, ..good }),
        ("MREC14PilotFault", ChargeState { pilot_fault: PilotFault::Short, ..good }),
        ("DiodeFault", ChargeState { pilot_fault: PilotFault::Diode, ..good }),
        ("EnclosureOpen", ChargeState { alarms: Alarms::from(vec![Alarm::EnclosureOpen]), ..good }),
        ("TiltDetected", ChargeState { alarms: Alarms::from(vec![Alarm::Tilted]), ..good }),
        ("WaterIngress", ChargeState { alarms: Alarms::from(vec![Alarm::Water]), ..good }),
        ("BoardSafeState", ChargeState { safe_state: Some(SafeState(1)), ..good }),
        ("MREC17EVSEContactorFault", state(Pilot::C, Contactor::Open)),
    ];
    for (code, state) in faults {
        let mut bench = Bench::closed();
        let told = bench.published.len();
        bench.hears(state);
        assert!(bench.requests_open(), "{code}");
        assert_eq!(bench.published.len(), told + 1, "{code}");
        assert!(bench.connector.faults().contains(code), "{code}");
        assert!(matches!(bench.renew(), Err(Error::Lapsed(_))), "its epoch has ended: {code}");
        assert_eq!(bench.connector.opened_under_load(), 1);
    }
}

#[test]
fn a_cooling_that_failed_is_told_and_opens_nothing() {
    let mut bench = Bench::closed();
    let alarms = Alarms::from(vec![Alarm::CoolingFailed]);
    bench.hears(ChargeState { alarms, ..state(Pilot::C, Contactor::Closed) });
    assert!(!bench.requests_open());
    assert_eq!(bench.told().alarms, alarms);
    assert!(bench.connector.faults().contains("CoolingFailed"));
    bench.renew().unwrap();
}

#[test]
fn a_hot_contact_or_a_broken_sensor_opens_the_contactors() {
    for (stopped, failed) in [(true, false), (false, true)] {
        let mut bench = Bench::closed();
        let channel = Channel { temperature: Some(Celsius::new(86)), stopped, failed };
        let channels = [Some(channel), None, None, None];
        bench.connector.heard(ms(bench.now), Message::Temperatures(channels));
        bench.poll();
        assert!(bench.requests_open());
        assert!(bench.connector.faults().contains("MREC19CableOverTempStop"));
    }
}

#[test]
fn contactors_opened_by_the_vehicle_do_not_close_again_by_themselves() {
    let mut bench = Bench::closed();
    bench.hears(state(Pilot::B, Contactor::Open));
    assert!(bench.requests_open());
    bench.hears(state(Pilot::C, Contactor::Open));
    bench.pass(200);
    assert!(bench.requests_open());
    assert!(matches!(bench.close(), Err(Error::Lapsed(_))), "it takes a new epoch");
}

#[test]
fn a_controller_silent_for_300_ms_is_missing_and_its_contactors_are_requested_open() {
    let mut bench = Bench::closed();
    let told = bench.published.len();
    for _ in 0..3 {
        bench.pass(95);
        bench.renew().unwrap();
    }
    assert!(bench.connector.is_online(ms(bench.now)));
    bench.pass(15);
    assert!(!bench.connector.is_online(ms(bench.now)));
    assert!(bench.requests_open());
    assert!(bench.connector.faults().contains("CommunicationFault"));
    assert_eq!(bench.published.len(), told, "stale is missing, never repeated");
}

#[test]
fn a_state_without_temperatures_is_no_state() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.connector.heard(ms(bench.now), Message::ChargeState(state(Pilot::A, Contactor::Open)));
        bench.pass(100);
    }
    assert_eq!(bench.published, []);
    assert!(bench.connector.faults().contains("CommunicationFault"));
}

#[test]
fn a_lease_that_lapses_opens_the_contactors_and_takes_the_pilot_away() {
    let mut bench = Bench::closed();
    for _ in 0..5 {
        bench.hears(state(Pilot::C, Contactor::Closed));
        assert!(!bench.requests_open());
        bench.pass(90);
    }
    assert!(bench.requests_open(), "500 ms after Enable");
    assert_eq!(bench.control[..2], [0x80, 0], "pilot at -12 V");
}

#[test]
fn a_renewed_lease_keeps_the_contactors_closed() {
    let mut bench = Bench::closed();
    for _ in 0..50 {
        bench.renew().unwrap();
        bench.hears(state(Pilot::C, Contactor::Closed));
        bench.pass(100);
    }
    assert!(!bench.requests_open());
}

#[test]
fn contactors_open_300_ms_after_their_holder_left() {
    let mut bench = Bench::closed();
    bench.renew().unwrap();
    bench.connector.left(ms(bench.now), EVSE);
    bench.poll();
    let left_at = bench.now;
    while bench.now < left_at + 299 {
        assert!(!bench.requests_open());
        bench.hears(state(Pilot::C, Contactor::Closed));
        bench.pass(1);
    }
    assert_eq!(bench.control[1], 50, "the pilot stays until they are open");
    bench.pass(1);
    assert!(bench.requests_open());
    assert_eq!(bench.control[..2], [0x80, 0]);
}

#[test]
fn the_pilot_goes_to_minus_12_volts_when_who_drives_it_leaves() {
    let mut bench = Bench::new();
    bench.connector.set_pilot(ms(0), EVSE, PilotOutput::X1).unwrap();
    bench.poll();
    assert_eq!(bench.control[..2], [0x83, 0xE8]);
    bench.connector.left(ms(0), ":1.99");
    bench.poll();
    assert_eq!(bench.control[..2], [0x83, 0xE8], "that was somebody else");
    bench.connector.left(ms(0), EVSE);
    bench.poll();
    assert_eq!(bench.control[..2], [0x80, 0]);
}

#[test]
fn the_pilot_follows_a_lost_holder_also_when_the_vehicle_opens_first() {
    let mut bench = Bench::closed();
    bench.renew().unwrap();
    bench.connector.left(ms(bench.now), EVSE);
    bench.pass(50);
    bench.hears(state(Pilot::B, Contactor::Closed));
    assert!(bench.requests_open());
    assert_eq!(bench.control[..2], [0x80, 0]);
}

#[test]
fn without_the_bus_contactors_open_within_300_ms_and_the_pilot_follows() {
    let mut bench = Bench::closed();
    bench.connector.shut_down(ms(bench.now));
    bench.poll();
    assert!(!bench.connector.is_shut_down());
    assert!(matches!(
        bench.connector.set_pilot(ms(bench.now), EVSE, PilotOutput::X1),
        Err(Error::Unavailable(_))
    ));
    bench.pass(150);
    bench.hears(state(Pilot::C, Contactor::Closed));
    bench.pass(150);
    assert!(bench.connector.is_shut_down());
    assert_eq!(bench.control[..3], [0x80, 0, 0]);
}

#[test]
fn with_open_contactors_the_daemon_ends_at_once() {
    let mut bench = Bench::new();
    bench.connector.set_pilot(ms(0), EVSE, PilotOutput::X1).unwrap();
    bench.connector.shut_down(ms(0));
    bench.poll();
    assert!(bench.connector.is_shut_down());
}

/// Another connector's contactors wait for their current meanwhile: a session that begins here would keep the
/// daemon from ending, and be cut off when it is killed.
#[test]
fn a_daemon_that_ends_takes_no_new_epoch() {
    let mut bench = Bench::new();
    bench.connector.set_pilot(ms(0), EVSE, PilotOutput::Digital).unwrap();
    bench.hears(state(Pilot::C, Contactor::Open));
    bench.connector.shut_down(ms(bench.now));
    assert!(matches!(bench.enable(), Err(Error::Unavailable(_))));
    assert!(bench.close().is_err());
    assert!(bench.connector.is_shut_down());
}

#[test]
fn opening_on_request_is_not_counted_and_needs_no_lease() {
    let mut bench = Bench::closed();
    bench.connector.open(ms(bench.now));
    bench.poll();
    assert!(bench.requests_open());
    assert_eq!(bench.connector.opened_under_load(), 0);
}

#[test]
fn feedback_that_does_not_follow_is_a_mismatch_after_300_ms() {
    let mut bench = Bench::closed();
    bench.connector.open(ms(bench.now));
    bench.hears(state(Pilot::B, Contactor::Closed));
    assert_eq!(bench.told().contactors, Contactors::Closed);
    bench.pass(280);
    bench.hears(state(Pilot::B, Contactor::Closed));
    assert_eq!(bench.told().contactors, Contactors::Closed);
    bench.pass(30);
    bench.hears(state(Pilot::B, Contactor::Closed));
    assert_eq!(bench.told().contactors, Contactors::Mismatch, "welded");
}

#[test]
fn contactors_that_disagree_are_unknown() {
    let mut bench = Bench::new();
    let mut half = state(Pilot::B, Contactor::Open);
    half.contactors[1] = Contactor::Closed;
    bench.hears(half);
    assert_eq!(bench.told().contactors, Contactors::Unknown);
}

#[test]
fn a_controller_that_latched_while_we_were_away_is_reset_once() {
    let latched =
        ChargeState { safe_state: Some(SafeState::HOST_SILENT), ..state(Pilot::F, Contactor::Open) };
    let mut bench = Bench::new();
    bench.once.clear();
    bench.hears(latched);
    assert_eq!(bench.once, [message::reset(2)]);
    bench.pass(100);
    bench.hears(latched);
    assert_eq!(bench.published, [], "that was from before the reset");
    bench.pass(500);
    bench.hears(latched);
    assert_eq!(bench.told().safe_state, "no message from the host in time");
    assert_eq!(bench.once.iter().filter(|frame| frame.id == 0xFE).count(), 1);
}

#[test]
fn a_safe_state_is_left_by_reset_only() {
    let mut bench = Bench::new();
    let latched = ChargeState { safe_state: Some(SafeState(13)), ..state(Pilot::F, Contactor::Open) };
    bench.hears(latched);
    assert_eq!(bench.told().safe_state, "MREC14PilotFault: pilot shorted");
    bench.once.clear();
    bench.connector.reset(ms(bench.now)).unwrap();
    bench.poll();
    assert_eq!(bench.once, [message::reset(2)]);
    assert!(bench.connector.faults().contains("BoardSafeState"), "not before it is seen to be gone");
    bench.pass(600);
    bench.hears(state(Pilot::B, Contactor::Open));
    bench.connector.reset(ms(bench.now)).unwrap();
    assert!(bench.connector.faults().is_empty());
}

#[test]
fn a_reset_is_refused_while_contactors_are_closed() {
    let mut bench = Bench::closed();
    assert!(matches!(bench.connector.reset(ms(bench.now)), Err(Error::Refused(_))));
}

#[test]
fn the_version_is_asked_for_until_it_is_told() {
    let mut bench = Bench::new();
    bench.pass(2_500);
    assert_eq!(bench.once.iter().filter(|frame| frame.id == 0xFF).count(), 3);
    let frame = Frame { id: 0x0A, data: [1, 4, 2, 0x82, 3, 0, 0, 0] };
    bench.connector.heard(ms(bench.now), Message::from_frame(frame, ContactorCodes::default()));
    bench.pass(2_500);
    assert_eq!(bench.once.iter().filter(|frame| frame.id == 0xFF).count(), 3);
    assert_eq!(bench.connector.firmware().unwrap().platform, "Charge Control Y");
}

#[test]
fn a_controller_that_floods_does_not_flood_the_bus() {
    let mut bench = Bench::new();
    for _ in 0..1_000 {
        bench.hears(state(Pilot::A, Contactor::Open));
        bench.pass(1);
    }
    assert!((19..=22).contains(&bench.published.len()), "{}", bench.published.len());
    let sequences: Vec<u64> = bench.published.iter().map(|state| state.sequence).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b));
}
