//! A station's matching under virtual time, with its modem, and vehicles on the same cable.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]

use std::collections::VecDeque;
use std::time::Duration;

use iso15118::session::Instant as V2gInstant;
use iso15118::slac::matching::{Ev, EvConfig, EvEvent};
use iso15118::slac::{
    AAG_LEN, AttenCharRsp, AttenProfile, AttenProfileInd, Mmtype, Mmv, MnbcSoundInd, SetKeyCnf, SetKeyReq,
    SlacMatchReq, SlacParmReq, StartAttenCharInd, parse_frame, write_frame,
};
use voltry_secc::slac::wire::{Mac, ModemKind};
use voltry_secc::slac::{Event, Matching, Slac};
use voltry_units::Timestamp;

pub const STATION: Mac = [0x02, 0, 0, 0, 0, 0x01];
pub const MODEM: Mac = [0x00, 0x01, 0x87, 0, 0, 0x07];
pub const STEP: Duration = Duration::from_millis(1);

pub fn matching(modem: ModemKind) -> Matching {
    Matching {
        modem,
        attenuation_offset_db: 0,
        init: Duration::from_secs(40),
        first_word: Duration::from_secs(30),
        retries: 2,
    }
}

pub fn frame(to: Mac, from: Mac, mmv: Mmv, mmtype: Mmtype, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 192];
    let length = write_frame(&mut frame, to, from, mmv, mmtype, payload).unwrap();
    frame.truncate(length);
    frame
}

pub fn profile(from: Mac, vehicle: Mac, db: u8) -> Vec<u8> {
    let ind =
        AttenProfileInd { pev_mac: vehicle, profile: AttenProfile { num_groups: 58, aag: [db; AAG_LEN] } };
    let mut payload = [0; AttenProfileInd::LEN];
    ind.encode(&mut payload).unwrap();
    frame([0xff; 6], from, Mmv::Av1_1, Mmtype::AttenProfileInd, &payload)
}

pub fn parm_req(from: Mac, run: [u8; 8]) -> Vec<u8> {
    let mut payload = [0; SlacParmReq::LEN];
    SlacParmReq { run_id: run }.encode(&mut payload).unwrap();
    frame([0xff; 6], from, Mmv::Av1_1, Mmtype::SlacParmReq, &payload)
}

pub fn start_atten(from: Mac, run: [u8; 8]) -> Vec<u8> {
    let mut payload = [0; StartAttenCharInd::LEN];
    let ind =
        StartAttenCharInd { num_sounds: 10, timeout: 6, resp_type: 1, forwarding_sta: from, run_id: run };
    ind.encode(&mut payload).unwrap();
    frame([0xff; 6], from, Mmv::Av1_1, Mmtype::StartAttenCharInd, &payload)
}

pub fn atten_char_rsp(from: Mac, run: [u8; 8]) -> Vec<u8> {
    let mut payload = [0; AttenCharRsp::LEN];
    let rsp =
        AttenCharRsp { source_address: from, run_id: run, source_id: [0; 17], resp_id: [0; 17], result: 0 };
    rsp.encode(&mut payload).unwrap();
    frame(STATION, from, Mmv::Av1_1, Mmtype::AttenCharRsp, &payload)
}

pub fn match_req(from: Mac, run: [u8; 8]) -> Vec<u8> {
    let mut payload = [0; SlacMatchReq::LEN];
    let request =
        SlacMatchReq { pev_id: [0; 17], pev_mac: from, evse_id: [0; 17], evse_mac: STATION, run_id: run };
    request.encode(&mut payload).unwrap();
    frame(STATION, from, Mmv::Av1_1, Mmtype::SlacMatchReq, &payload)
}

pub fn sound(from: Mac, run: [u8; 8]) -> Vec<u8> {
    let mut payload = [0; MnbcSoundInd::LEN];
    let ind = MnbcSoundInd { sender_id: [0; 17], remaining_sound_count: 0, run_id: run, random: [7; 16] };
    ind.encode(&mut payload).unwrap();
    frame([0xff; 6], from, Mmv::Av1_1, Mmtype::MnbcSoundInd, &payload)
}

/// What a QCA7000 says when it took a key.
pub fn key_set(station: Mac, modem: Mac, nonce: u32) -> Vec<u8> {
    key_set_with(1, station, modem, nonce)
}

fn key_set_with(result: u8, station: Mac, modem: Mac, nonce: u32) -> Vec<u8> {
    let cnf =
        SetKeyCnf { result, my_nonce: 77, your_nonce: nonce, pid: 4, prn: 0, pmn: 0xff, cco_capability: 0 };
    let mut payload = [0; SetKeyCnf::LEN];
    cnf.encode(&mut payload).unwrap();
    frame(station, modem, Mmv::Av1_1, Mmtype::SetKeyCnf, &payload)
}

/// The station's modem.
pub struct Modem {
    pub answers: bool,
    pub tells_link: bool,
    pub measures: bool,
    pub link: bool,
    /// The keys that it was given.
    pub keys: Vec<[u8; 16]>,
    /// What a QCA7000 says when it took a key.
    pub result: u8,
}

impl Default for Modem {
    fn default() -> Self {
        Self { answers: true, tells_link: true, measures: true, link: false, keys: Vec::new(), result: 1 }
    }
}

/// A vehicle, of the codec crate's making.
pub struct Vehicle {
    pub mac: Mac,
    pub run: [u8; 8],
    pub db: u8,
    pub ev: Ev,
    pub key: Option<[u8; 16]>,
    pub failed: bool,
    /// Starts anew when a run failed.
    pub persistent: bool,
}

impl Vehicle {
    pub fn new(number: u8, db: u8) -> Self {
        Self::with_run(number, db, [number; 8])
    }

    pub fn with_run(number: u8, db: u8, run: [u8; 8]) -> Self {
        let mac = [0x02, 0xee, 0, 0, 0, number];
        let ev = Ev::new(EvConfig {
            mac,
            id: [0; 17],
            run_id: run,
            sounding_payload: [number; 16],
            attenuation_limit: None,
        });
        Self { mac, run, db, ev, key: None, failed: false, persistent: false }
    }
}

/// One frame on the medium: when, and its bytes.
pub type Passed = (Timestamp, Vec<u8>);

type Loss = Box<dyn FnMut(usize, &[u8]) -> bool>;

pub struct World {
    pub now: Timestamp,
    pub slac: Slac,
    pub modem: Modem,
    pub vehicles: Vec<Vehicle>,
    pub events: Vec<(Timestamp, Event)>,
    /// Everything the station sent.
    pub sent: Vec<Passed>,
    /// Whether the medium loses the frame with this number and these bytes.
    pub loses: Loss,
    medium: VecDeque<Vec<u8>>,
    passed: usize,
    keys: u8,
}

impl World {
    pub fn new(modem: ModemKind) -> Self {
        Self::with(matching(modem))
    }

    pub fn with(matching: Matching) -> Self {
        Self::with_modem(matching, Modem::default())
    }

    pub fn with_modem(matching: Matching, modem: Modem) -> Self {
        let mut world = Self {
            now: Timestamp::from_micros(1_000_000_000),
            slac: Slac::new(matching, STATION),
            modem,
            vehicles: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            loses: Box::new(|_, _| false),
            medium: VecDeque::new(),
            passed: 0,
            keys: 0,
        };
        world.run(Duration::from_millis(10));
        world
    }

    /// Attached, and ready to match.
    pub fn attached() -> Self {
        let mut world = Self::new(ModemKind::Qca7000);
        world.slac.attach(world.now);
        world
    }

    pub fn start(&mut self, vehicle: Vehicle) -> usize {
        self.vehicles.push(vehicle);
        let index = self.vehicles.len() - 1;
        let at = self.clock();
        self.vehicles[index].ev.start(at);
        index
    }

    fn clock(&self) -> V2gInstant {
        V2gInstant::from_millis(self.now.as_micros() / 1000)
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    pub fn until(&mut self, limit: Duration, what: &str, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now.since(start) < limit, "not within {limit:?}: {what}; saw {:?}", self.events);
            self.step();
        }
        self.now.since(start)
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        let clock = self.clock();
        for vehicle in &mut self.vehicles {
            vehicle.ev.handle_timeout(clock);
            while let Some(event) = vehicle.ev.poll_event() {
                match event {
                    EvEvent::Matched { nmk, .. } => vehicle.key = Some(nmk),
                    EvEvent::Failed(_) if vehicle.persistent => vehicle.ev.start(clock),
                    EvEvent::Failed(_) => vehicle.failed = true,
                    _ => {}
                }
            }
            while let Some(out) = vehicle.ev.poll_transmit() {
                self.medium.push_back(out.frame);
            }
        }
        if self.slac.deadline().is_some_and(|at| at <= self.now) {
            self.slac.timeout(self.now);
            let next = self.slac.deadline();
            assert!(next.is_none_or(|at| at > self.now), "its deadline stays in the past");
        }
        self.settle();
        while let Some(frame) = self.medium.pop_front() {
            self.pass(&frame);
        }
    }

    /// Takes what the station wants sent and told.
    pub fn settle(&mut self) {
        if self.slac.wants_key() {
            self.keys += 1;
            self.slac.renew_key(self.now, [self.keys; 20]);
        }
        while let Some(frame) = self.slac.take_transmit() {
            self.sent.push((self.now, frame.clone()));
            self.medium.push_back(frame);
        }
        while let Some(event) = self.slac.poll_event() {
            self.events.push((self.now, event));
        }
    }

    /// A frame from nobody that this world knows.
    pub fn inject(&mut self, frame: &[u8]) {
        let _ = self.slac.receive(self.now, frame);
        self.settle();
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.passed += 1;
        let parsed = parse_frame(bytes).unwrap();
        let local = parsed.destination == voltry_secc::slac::wire::LOCAL_MODEM;
        if !local && (self.loses)(self.passed, bytes) {
            return;
        }
        if local {
            return self.ask_modem(bytes);
        }
        let clock = self.clock();
        for vehicle in &mut self.vehicles {
            if parsed.destination == vehicle.mac {
                vehicle.ev.handle_frame(clock, bytes);
            }
        }
        if parsed.source != STATION && (parsed.destination == STATION || parsed.destination == [0xff; 6]) {
            self.slac.receive(self.now, bytes).unwrap();
            self.settle();
            if parsed.mmtype == Mmtype::MnbcSoundInd
                && self.modem.measures
                && let Some(vehicle) = self.vehicles.iter().find(|vehicle| vehicle.mac == parsed.source)
            {
                let report = profile(MODEM, vehicle.mac, vehicle.db);
                self.slac.receive(self.now, &report).unwrap();
                self.settle();
            }
        }
    }

    fn ask_modem(&mut self, bytes: &[u8]) {
        if !self.modem.answers {
            return;
        }
        let parsed = parse_frame(bytes).unwrap();
        let answer = match parsed.mmtype {
            Mmtype::SetKeyReq => {
                let request = SetKeyReq::decode(parsed.payload).unwrap();
                self.modem.keys.push(request.new_key);
                self.modem.link = false;
                key_set_with(self.modem.result, STATION, MODEM, request.my_nonce)
            }
            // VS_LINK_STATUS of Qualcomm: no fragmentation field, maker, status, link.
            Mmtype::Other(0xa0b8) if self.modem.tells_link => {
                assert_eq!(&bytes[14..20], &[0x00, 0xb8, 0xa0, 0x00, 0xb0, 0x52]);
                let payload = [0x00, 0xb0, 0x52, 0x00, u8::from(self.modem.link)];
                frame(STATION, MODEM, Mmv::Av1_0, Mmtype::Other(0xa0b9), &payload)
            }
            // NSCM_GET_D_LINK_STATUS of Lumissil: maker, 19 bytes of header, link.
            Mmtype::Other(0xac9c) if self.modem.tells_link => {
                assert_eq!(&bytes[14..22], &[0x01, 0x9c, 0xac, 0x00, 0x00, 0x00, 0x16, 0xe8]);
                let mut payload = [0; 23];
                payload[..3].copy_from_slice(&[0x00, 0x16, 0xe8]);
                payload[22] = u8::from(self.modem.link);
                frame(STATION, MODEM, Mmv::Av1_1, Mmtype::Other(0xac9d), &payload)
            }
            _ => return,
        };
        self.slac.receive(self.now, &answer).unwrap();
        self.settle();
    }

    /// How often the station sent this message.
    pub fn count(&self, mmtype: Mmtype) -> usize {
        self.sent.iter().filter(|(_, frame)| parse_frame(frame).unwrap().mmtype == mmtype).count()
    }

    pub fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }

    pub fn key(&self) -> [u8; 16] {
        *self.modem.keys.last().expect("a key was set")
    }
}
