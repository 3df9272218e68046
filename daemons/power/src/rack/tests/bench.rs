//! Modules that do what a test tells them, and the slots of a bus, in virtual time.

use std::collections::VecDeque;

use voltry_power_module::{
    Capability, Conditions, Family, Order, Range, Refusal, Report, SetPoint, Status, infypower,
};
use voltry_units::Celsius;

use super::*;
use crate::budget::Budget;

/// How often the bus task looks, unless a test wants to know more exactly.
const STEP: Duration = Duration::from_millis(5);

/// A module as the vendor document describes it, with faults to inject.
pub(super) struct Fake {
    pub(super) on: bool,
    pub(super) voltage: Volts,
    pub(super) current: Amps,
    pub(super) conditions: Conditions,
    pub(super) available: Amps,
    pub(super) walk_in: Option<bool>,
    pub(super) heard: Timestamp,
    /// Its answers do not reach us.
    pub(super) mute: bool,
    /// Our frames do not reach it.
    pub(super) deaf: bool,
    /// It answers so often.
    pub(super) times: usize,
    /// It answers as if it were another.
    pub(super) speaks_as: Option<u8>,
    pub(super) delay: Duration,
    /// Gives this many percent of what it was told.
    pub(super) percent: i64,
    /// Gives no more than this.
    pub(super) most: Amps,
    pub(super) ignores_off: bool,
    pub(super) refuses_set: bool,
    /// The data of its answer to [`Request::ReadSerial`].
    pub(super) serial: [u8; 8],
    /// A battery holds the output at this voltage.
    pub(super) battery: Option<Volts>,
    pub(super) family: &'static Family,
    /// It delivers so long after it confirmed to be on.
    pub(super) starts_in: Duration,
    pub(super) started: Timestamp,
    pub(super) stopped: Timestamp,
    pub(super) range: Range,
    pub(super) range_changed: Timestamp,
    pub(super) inverting: bool,
    pub(super) cut_off: Option<Volts>,
    /// Of a group that is spoken to as one: what each says, and whether it answers.
    pub(super) members: Vec<(Conditions, bool)>,
    reported: Timestamp,
    last_report: Option<Output>,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            on: true,
            voltage: Volts::new(400),
            current: Amps::new(50),
            conditions: Conditions::NONE,
            available: Amps::new(100),
            walk_in: None,
            heard: Timestamp::BOOT,
            mute: false,
            deaf: false,
            times: 1,
            speaks_as: None,
            delay: Duration::from_millis(2),
            percent: 100,
            most: Amps::MAX,
            ignores_off: false,
            refuses_set: false,
            serial: [0x56, 0x13, 0x0C, 0x15, 0xA3, 0xFB, 0x06, 0xA8],
            battery: None,
            family: &infypower::FAMILY,
            starts_in: Duration::ZERO,
            started: Timestamp::BOOT,
            stopped: Timestamp::BOOT,
            range: Range::High,
            range_changed: Timestamp::BOOT,
            inverting: false,
            cut_off: None,
            members: Vec::new(),
            reported: Timestamp::BOOT,
            last_report: None,
        }
    }

    pub(super) fn delivers(&self) -> Amps {
        let told = self.current.max(self.family.current_least);
        if self.on { told.scaled(self.percent, 100).min(self.most) } else { Amps::ZERO }
    }

    /// Whether it says to be on: a while after it was told.
    fn runs(&self, now: Timestamp) -> bool {
        self.on && now.since(self.started) >= self.starts_in
    }

    fn conditions(&self, now: Timestamp) -> Conditions {
        let off = if self.runs(now) { Conditions::NONE } else { Conditions::NONE.with(Condition::DcOff) };
        self.conditions.union(off)
    }

    fn switch(&mut self, on: bool, now: Timestamp) {
        let on = on || self.on && self.ignores_off;
        if on && !self.on {
            let rest = now.since(self.range_changed);
            assert!(self.family.ranges.is_empty() || rest >= Duration::from_secs(2), "its relays still move");
            self.started = now;
        }
        if !on && self.on {
            self.stopped = now;
        }
        self.on = on;
    }

    /// What it says by itself, if its family does.
    fn report(&mut self, now: Timestamp) -> Option<[Reply; 3]> {
        let every = self.family.reports?.every;
        let output = self.output();
        if now.since(self.reported) < every && self.last_report == Some(output) {
            return None;
        }
        (self.reported, self.last_report) = (now, Some(output));
        let status = Status { group: None, inlet: None, conditions: Conditions::NONE };
        let report = Report { output, conditions: self.conditions(now) };
        Some([Reply::Report(report), Reply::Temperature(Celsius::new(24)), Reply::Status(status)])
    }

    fn output(&self) -> Output {
        let voltage = self.battery.unwrap_or(if self.on { self.voltage } else { Volts::ZERO });
        Output { voltage, current: self.delivers() }
    }

    pub(super) fn answer(&mut self, request: Request, now: Timestamp) -> Option<Reply> {
        self.say(request, now).or_else(|| self.obey(request, now))
    }

    /// Answers to questions.
    fn say(&self, request: Request, now: Timestamp) -> Option<Reply> {
        Some(match request {
            Request::ReadOutput if self.family.set_point == SetPoint::Apart => {
                Reply::Report(Report { output: self.output(), conditions: self.conditions(now) })
            }
            Request::ReadOutput => Reply::Output(self.output()),
            Request::ReadOutputFixed => Reply::OutputFixed(self.output()),
            Request::ReadVoltage => Reply::Voltage(self.output().voltage),
            Request::ReadCurrent => Reply::Current(self.output().current),
            Request::ReadTemperature => Reply::Temperature(Celsius::new(24)),
            Request::ReadSerialRest => Reply::SerialRest("0002".into()),
            Request::ReadRange => Reply::Range(self.range),
            Request::ReadDirection => Reply::Direction { inverting: self.inverting },
            Request::ReadInput => Reply::Input(voltry_power_module::Input { lines: [Volts::new(400); 3] }),
            Request::ReadStatus => {
                let (group, inlet) = (Some(1), Some(Celsius::new(30)));
                Reply::Status(Status { group, inlet, conditions: self.conditions(now) })
            }
            Request::ReadCapability => Reply::Capability(Capability {
                voltage_min: Volts::new(150),
                voltage_max: Volts::new(1000),
                current_max: Amps::new(100),
                power_max: Watts::new(30_000),
            }),
            Request::ReadSerial => (infypower::FAMILY.decode)(0x028B_F000, &self.serial).ok()?.reply,
            Request::ReadAvailable => Reply::Available { external: None, current: self.available },
            _ => return None,
        })
    }

    /// Answers to orders.
    fn obey(&mut self, request: Request, now: Timestamp) -> Option<Reply> {
        Some(match request {
            Request::Switch { on } => {
                self.switch(on, now);
                let reports = self.family.reports.is_some();
                Reply::Done(if reports { Order::Deliver } else { Order::Switch })
            }
            Request::Deliver { voltage, current } => {
                (self.voltage, self.current) = (voltage, current);
                self.switch(true, now);
                Reply::Done(Order::Deliver)
            }
            Request::SetVoltage { voltage } => {
                self.voltage = voltage;
                Reply::Done(Order::SetVoltage)
            }
            Request::SetCurrent { current } => {
                self.current = current;
                Reply::Done(Order::SetCurrent)
            }
            Request::SetRange { .. } if self.refuses_set => {
                Reply::Refused { order: Some(Order::SetRange), why: Refusal::Data }
            }
            Request::SetRange { range } => {
                let off = !self.on && now.since(self.stopped) >= Duration::from_secs(2);
                assert!(off, "the range is changed only while it is off");
                (self.range, self.range_changed) = (range, now);
                Reply::Done(Order::SetRange)
            }
            Request::SetDirection { inverting } => {
                let off = !self.on && now.since(self.stopped) >= Duration::from_secs(2);
                assert!(off, "the way of power is changed only while it is off");
                (self.inverting, self.range_changed) = (inverting, now);
                Reply::Done(Order::SetDirection)
            }
            Request::SetCutOff { voltage } => {
                self.cut_off = Some(voltage);
                Reply::Done(Order::SetCutOff)
            }
            // Not every module has it.
            Request::SetSilenceLimit { .. } => {
                Reply::Refused { order: Some(Order::SetSilenceLimit), why: Refusal::Command }
            }
            Request::SetOutput { .. } if self.refuses_set => {
                Reply::Refused { order: Some(Order::SetOutput), why: Refusal::Data }
            }
            Request::SetOutput { voltage, current } => {
                (self.voltage, self.current) = (voltage, current);
                Reply::Done(Order::SetOutput)
            }
            Request::WalkIn { on } => {
                self.walk_in = Some(on);
                Reply::Done(Order::WalkIn)
            }
            Request::Sleep { on } => {
                let others = self.conditions.iter().filter(|condition| *condition != Condition::Asleep);
                self.conditions = others.collect();
                if on {
                    self.conditions = self.conditions.with(Condition::Asleep);
                }
                Reply::Done(Order::Sleep)
            }
            _ => return None,
        })
    }
}

pub(super) struct Bench {
    pub(super) rack: Rack,
    pub(super) fakes: BTreeMap<u8, Fake>,
    pub(super) now: Timestamp,
    pub(super) on_the_way: VecDeque<(Timestamp, Message)>,
    pub(super) actions: Vec<Action>,
    pub(super) sent: Vec<(Timestamp, Destination, Request)>,
    pub(super) step: Duration,
    budget: Budget,
}

pub(super) fn supply(text: &str) -> Supply {
    supply_of("infypower", text)
}

pub(super) fn supply_of(family: &str, text: &str) -> Supply {
    let text = format!("[power.supply.1]\nfamily = '{family}'\nbus = 'main'\n{text}");
    let config = voltry_service::Config::parse([("voltry.toml", text.as_str())]).unwrap();
    config.load("power.supply.1").unwrap()
}

impl Bench {
    /// Modules 0, 1, …, all delivering 50 A as after a crash of ours; the link just opened.
    pub(super) fn start(modules: u8, more: &str) -> Self {
        let addresses: Vec<u8> = (0..modules).collect();
        Self::with(supply(&format!("modules = {addresses:?}\n{more}")), modules)
    }

    pub(super) fn with(supply: Supply, modules: u8) -> Self {
        let now = Timestamp::from_micros(1_000_000_000);
        let rack = Rack::new("1", supply, now);
        let family = rack.ways.family;
        let first = *family.addresses.start();
        let fake = |address| (address, Fake { heard: now, family, stopped: now, ..Fake::new() });
        let fakes = (first..first + modules).map(fake).collect();
        let (on_the_way, actions, sent) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut bench =
            Self { rack, fakes, now, on_the_way, actions, sent, step: STEP, budget: Budget::new(now) };
        bench.input(Input::LinkUp);
        bench
    }

    /// Modules that are off and qualified.
    pub(super) fn ready(modules: u8) -> Self {
        let mut bench = Self::start(modules, "");
        bench.run_ms(1000);
        assert_eq!(bench.rack.state(), voltry_bus::SupplyState::Off);
        bench
    }

    /// Modules that share `current` at 200 V.
    pub(super) fn delivering(modules: u8, current: i32) -> Self {
        let mut bench = Self::ready(modules);
        bench.input(Input::Enable);
        bench.set(1, current);
        bench.run_ms(1000);
        assert_eq!(bench.delivered(), Amps::new(current));
        bench
    }

    pub(super) fn input(&mut self, input: Input) {
        let actions = self.rack.step(self.now, input);
        self.actions.extend(actions);
    }

    pub(super) fn set(&mut self, sequence: u64, current: i32) {
        self.input(Input::Set { epoch: 9, sequence, voltage: Volts::new(200), current: Amps::new(current) });
    }

    pub(super) fn delivered(&self) -> Amps {
        self.fakes.values().map(Fake::delivers).sum()
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        self.run_checked(ms, |_| ());
    }

    pub(super) fn run_checked(&mut self, ms: u64, mut check: impl FnMut(&Self)) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.now = self.now + self.step;
            let alone = self.rack.supply.delivers_alone();
            for (address, fake) in &mut self.fakes {
                if alone.is_some_and(|alone| self.now.since(fake.heard) > alone) {
                    fake.on = false;
                }
                let Some(report) = fake.report(self.now).filter(|_| !fake.mute) else { continue };
                for reply in report {
                    let message = Message { source: Source::Module(*address), reply };
                    self.on_the_way.push_back((self.now, message));
                }
            }
            while self.on_the_way.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, message) = self.on_the_way.pop_front().unwrap();
                self.input(Input::Heard(message));
            }
            let on_bus = self.rack.answering();
            while let Ok(room) = self.budget.room(self.now)
                && let Ok((to, request)) = self.rack.next_request(on_bus, room, self.now)
            {
                let sent = (self.rack.ways.family.encode)(to, request);
                assert!(sent.is_ok(), "{sent:?}");
                self.budget.spend(self.now);
                self.sent.push((self.now, to, request));
                self.deliver(to, request);
            }
            self.input(Input::Tick);
            check(self);
        }
    }

    pub(super) fn deliver(&mut self, to: Destination, request: Request) {
        for (address, fake) in &mut self.fakes {
            let meant = match to {
                Destination::Module(meant) => meant == *address,
                Destination::Group(_) | Destination::All => true,
            };
            if !meant || fake.deaf {
                continue;
            }
            fake.heard = self.now;
            let broadcast = to == Destination::All;
            // What is for all is answered by modules of one family only.
            let answered = !fake.mute && (!broadcast || fake.family.name == "infypower");
            let Some(reply) = fake.answer(request, self.now).filter(|_| answered) else { continue };
            let at = self.now + fake.delay;
            let replies: Vec<(u8, Reply)> = match request {
                // Each member tells these by itself.
                Request::ReadStatus | Request::Switch { .. } if fake.family.grouped => {
                    let members = (0..).zip(&fake.members).filter(|(_, (_, answers))| *answers);
                    let said = |conditions: &Conditions| match &reply {
                        Reply::Status(status) => Reply::Status(Status {
                            conditions: status.conditions.union(*conditions),
                            ..*status
                        }),
                        other => other.clone(),
                    };
                    members.map(|(member, (conditions, _))| (member, said(conditions))).collect()
                }
                _ => {
                    let own = if fake.family.grouped { 0 } else { *address };
                    vec![(fake.speaks_as.unwrap_or(own), reply); fake.times]
                }
            };
            for (address, reply) in replies {
                let message = Message { source: Source::Module(address), reply };
                let place = self.on_the_way.partition_point(|(other, _)| *other <= at);
                self.on_the_way.insert(place, (at, message));
            }
        }
    }

    pub(super) fn fake(&mut self, address: u8) -> &mut Fake {
        self.fakes.get_mut(&address).unwrap()
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.rack.faults().to_wire().into_iter().map(|fault| fault.code).collect()
    }

    pub(super) fn current_max(&self) -> f64 {
        self.rack.capability(self.now).current_max
    }
}
