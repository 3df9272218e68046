//! An isoCHA425HV by its register table.

use std::collections::BTreeMap;

use super::*;

const PATIENCE: Patience = Patience { misses: 3, back_off: Duration::from_secs(5) };
pub(super) const SILENCE: Failure = Failure::Timeout(Duration::from_millis(300));

/// An isoCHA425HV by its register table, and the driver, in virtual time.
pub(super) struct Bench {
    pub(super) driver: Driver,
    pub(super) registers: BTreeMap<u16, u16>,
    /// Registers that the device refuses.
    pub(super) refuses: Vec<u16>,
    /// Whether a test begins when it is ordered.
    pub(super) begins: bool,
    pub(super) silent: bool,
    /// Answers to the next requests that get lost.
    pub(super) loses: u32,
    pub(super) writes: Vec<(u16, u16)>,
    pub(super) asked: Vec<Request>,
    pub(super) now: Timestamp,
    counts: f32,
    /// From one request to the next: an exchange, and the rest after it.
    pub(super) exchange: Duration,
}

impl Bench {
    pub(super) fn new(settings: Settings) -> Self {
        Self::looking_every(Duration::from_secs(1), settings)
    }

    pub(super) fn looking_every(period: Duration, settings: Settings) -> Self {
        let mut bench = Self {
            driver: Driver::IsoCha425Hv(IsoCha425Hv::new(settings, period, PATIENCE)),
            registers: BTreeMap::new(),
            refuses: Vec::new(),
            begins: false,
            silent: false,
            loses: 0,
            writes: Vec::new(),
            asked: Vec::new(),
            now: Timestamp::from_micros(1_000_000),
            counts: 7.0,
            exchange: Duration::from_millis(28) + PAUSE,
        };
        for (register, word) in (9800..).zip(b"isoCHA425HV\0\0\0".chunks(2)) {
            bench.registers.insert(register, u16::from_be_bytes([word[0], word[1]]));
        }
        bench.registers.insert(9821, 520);
        bench.channel(1000, 250_000.0, 0x0002);
        bench.channel(1008, 400.0, 0x0004);
        bench.count();
        bench
    }

    pub(super) fn ready() -> Self {
        let mut bench = Self::new(Settings::default());
        bench.until(|event| *event == Event::Active(true));
        bench.asked.clear();
        bench.writes.clear();
        bench
    }

    pub(super) fn channel(&mut self, register: u16, value: f32, flags: u16) {
        let bits = value.to_bits();
        let words = [(bits >> 16) as u16, (bits & 0xFFFF) as u16, flags];
        self.registers.extend((register..).zip(words));
    }

    /// The device finishes a measurement.
    pub(super) fn count(&mut self) {
        self.counts += 1.0;
        self.channel(1032, self.counts, 0x0001);
    }

    pub(super) fn exchange(&mut self) -> Vec<Event> {
        let (sent, request) = self.ask();
        self.now = self.now + if self.silent { Duration::from_millis(300) } else { self.exchange };
        let mut outcome = if self.silent { Err(SILENCE) } else { self.answer(&request) };
        if self.loses > 0 {
            self.loses -= 1;
            outcome = Err(SILENCE);
        }
        self.driver.reply(sent, self.now, outcome)
    }

    /// One exchange whose answer is lost, which costs the line so long.
    pub(super) fn lose(&mut self, cost: Duration) -> Vec<Event> {
        let (sent, _) = self.ask();
        self.now = self.now + cost;
        self.driver.reply(sent, self.now, Err(SILENCE))
    }

    fn ask(&mut self) -> (Timestamp, Request) {
        self.now = self.now.max(self.driver.due());
        let request = self.driver.request(self.now);
        self.asked.push(request.clone());
        (self.now, request)
    }

    fn answer(&mut self, request: &Request) -> Result<Vec<u16>, Failure> {
        match request {
            Request::Read(block) => {
                if self.refuses.contains(&block.address) {
                    return Err(Failure::Refused(2));
                }
                let all = block.address..block.address + block.count;
                Ok(all.map(|register| self.registers.get(&register).copied().unwrap_or(0)).collect())
            }
            Request::Write { address, words } => {
                if self.refuses.contains(address) {
                    return Err(Failure::Refused(2));
                }
                if *address == 8005 && self.begins {
                    // While it runs it cannot be started.
                    self.refuses.push(8005);
                    self.channel(1000, 250_000.0, 0x8002);
                }
                for (register, word) in (*address..).zip(words) {
                    self.registers.insert(register, *word);
                    self.writes.push((register, *word));
                }
                Ok(Vec::new())
            }
        }
    }

    /// All events up to the first that `wanted` accepts.
    #[track_caller]
    pub(super) fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..2000 {
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
