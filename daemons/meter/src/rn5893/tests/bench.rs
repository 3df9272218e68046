//! An RN5893 by its registers.

use std::collections::BTreeMap;

use super::*;

const PATIENCE: Patience = Patience { misses: 3, back_off: Duration::from_secs(5) };
pub(super) const SILENCE: Failure = Failure::Timeout(Duration::from_millis(300));
pub(super) const MEASURING: u16 = 1;
pub(super) const TESTING: u16 = 3;
pub(super) const STOPPED: u16 = 5;
/// Registers 2000 to 2010 as the defaults want them, 2004 as the device had it.
const AS_WANTED: [u16; 11] = [1, 0, 0, 2, 77, 100, 250, 1, 8, 8, 0];

/// An RN5893 by its registers, and the driver, in virtual time.
pub(super) struct Bench {
    pub(super) driver: Driver,
    pub(super) input: BTreeMap<u16, u16>,
    pub(super) holding: BTreeMap<u16, u16>,
    /// What the device does as soon as its control word is written.
    pub(super) obeys: bool,
    pub(super) refuses: Option<u16>,
    /// The next writes are carried out, and their answers lost.
    pub(super) loses: u32,
    pub(super) silent: bool,
    pub(super) writes: Vec<(u16, Vec<u16>)>,
    pub(super) now: Timestamp,
}

impl Bench {
    pub(super) fn new() -> Self {
        let driver = Rn5893::new(Settings::default(), Duration::from_secs(1), PATIENCE);
        let mut bench = Self {
            driver: Driver::Rn5893(driver),
            input: BTreeMap::from([(0, 0), (1, MEASURING), (2_000, 4_321), (2_001, 0), (2_002, 400)]),
            holding: BTreeMap::from([(0, 0), (1, 0), (2, 3_000)]),
            obeys: true,
            refuses: None,
            loses: 0,
            silent: false,
            writes: Vec::new(),
            now: Timestamp::from_micros(1_000_000),
        };
        bench.holding.extend((2_000..).zip(AS_WANTED));
        bench
    }

    pub(super) fn ready() -> Self {
        let mut bench = Self::new();
        bench.until(|event| *event == Event::Active(true));
        bench.writes.clear();
        bench
    }

    pub(super) fn state(&mut self, fault: u16, state: u16) {
        self.input.extend([(0, fault), (1, state)]);
    }

    pub(super) fn exchange(&mut self) -> Vec<Event> {
        self.exchange_of(if self.silent { Duration::from_millis(300) } else { Duration::from_millis(30) })
    }

    pub(super) fn exchange_of(&mut self, time: Duration) -> Vec<Event> {
        self.now = self.now.max(self.driver.due());
        let sent = self.now;
        let request = self.driver.request(self.now);
        self.now = self.now + time;
        let outcome = if self.silent { Err(SILENCE) } else { self.answer(&request) };
        self.driver.reply(sent, self.now, outcome)
    }

    fn answer(&mut self, request: &Request) -> Result<Vec<u16>, Failure> {
        let address = match request {
            Request::Read(block) => block.address,
            Request::Write { address, .. } => *address,
        };
        if self.refuses == Some(address) {
            return Err(Failure::Refused(2));
        }
        // After its time-out it takes nothing but a reset; a test that runs cannot be started.
        let written = match request {
            Request::Write { address, words } => Some((*address, words.clone())),
            Request::Read(_) => None,
        };
        let stands = self.input[&0] == 9 && written.as_ref().is_some_and(|it| *it != (0, vec![RESET_FAULTS]));
        let runs = self.input[&1] == TESTING && written.is_some_and(|it| it == (0, vec![START_TEST]));
        if stands || runs {
            return Err(Failure::Refused(3));
        }
        match request {
            Request::Read(block) => {
                let table = match block.function {
                    Function::InputRegisters => &self.input,
                    Function::HoldingRegisters => &self.holding,
                };
                Ok((block.address..block.address + block.count).map(|register| table[&register]).collect())
            }
            Request::Write { address, words } => {
                self.holding.extend((*address..).zip(words.iter().copied()));
                self.writes.push((*address, words.clone()));
                if *address == CONTROL && self.obeys {
                    self.obey(words[0]);
                }
                if self.loses > 0 {
                    self.loses -= 1;
                    return Err(SILENCE);
                }
                Ok(Vec::new())
            }
        }
    }

    fn obey(&mut self, control: u16) {
        match control {
            RESET_FAULTS => self.state(0, MEASURING),
            START_TEST => self.input.extend([(1, TESTING)]),
            MEASUREMENT_OFF => self.input.extend([(1, STOPPED)]),
            _ => self.input.extend([(1, MEASURING)]),
        }
    }

    #[track_caller]
    pub(super) fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..2_000 {
            let found = self.exchange();
            let done = found.iter().any(&wanted);
            events.extend(found);
            if done {
                return events;
            }
        }
        panic!("not within 2000 exchanges; last were {:?}", &events[events.len().saturating_sub(5)..]);
    }

    pub(super) fn run(&mut self, time: Duration) -> Vec<Event> {
        let end = self.now + time;
        let mut events = Vec::new();
        while self.now < end {
            events.extend(self.exchange());
        }
        events
    }

    pub(super) fn order(&mut self, order: Order) -> Vec<Event> {
        self.driver.order(self.now, Ticket(1), order)
    }
}
