//! A vehicle, and the link that speaks with it.

use std::time::Duration;

use voltry_bus::{Authorization, LinkOutcome, LinkPhase, PhaseAnswer, Pilot};
use voltry_evse::energy_path::{Command, Discharge, Input, Present, Target, VehicleLimits};
use voltry_units::{Amps, Percent, Timestamp, Volts, Watts};

use super::Devices;

/// What a vehicle does after it stopped for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Chooses another service in the same conversation.
    AnotherService,
    /// Pauses.
    Pause,
    /// Renegotiates as ISO 15118-2 has it: without a stop, by the insulation test again.
    Renegotiation,
    /// So too, and opens S2 until it asks for the test.
    RenegotiationInB,
}

/// What the vehicle does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Unplugged,
    Plugged,
    Talking(LinkPhase),
    Asleep,
    Done,
}

#[derive(Clone)]
pub struct Vehicle {
    pub pilot: Pilot,
    /// Its own contactor.
    pub contactor: bool,
    pub voltage_max: f64,
    pub current_max: f64,
    pub target_current: f64,
    /// What it lets be taken from it, in amperes; it wants nothing else then.
    pub gives: f64,
    /// What it asks for in PreCharge, where it means nothing.
    pub pre_charge_current: f64,
    pub soc: f64,
    pub target_voltage: f64,
    pub phase: LinkPhase,
    pub step: Step,
    /// Stops sending targets.
    pub mute: bool,
    /// Says nothing at all any more; its link gives it up after a minute.
    pub silent: bool,
    /// Sends a target only every 1.5 s.
    pub slow: bool,
    /// Asks for more than anybody offered.
    pub overasks: bool,
    /// Repeats PreCharge for ever.
    pub stays_in_pre_charge: bool,
    /// Its contactor does not open any more once it is closed.
    pub welded: bool,
    /// Nor does S2, when it gives up.
    pub holds_c: bool,
    /// Nothing of it arrives on the powerline: no conversation begins.
    pub unheard: bool,
    /// Ends charging by itself at this state of charge.
    pub enough: f64,
    /// Never closes its contactor's way: asks for power whatever the voltage.
    pub impatient: bool,
    /// Asks PreCharge for 0 V so long, because it does not know its battery's voltage yet.
    pub undecided: Duration,
    pub wants_stop: bool,
    pub unplug_when_done: bool,
    /// Begins CableCheck without closing S2.
    pub stays_in_b: bool,
    /// After it stopped once; it then wants more.
    pub again: Option<Again>,
    /// How long it renegotiates before it asks for the test.
    pub agrees_for: Duration,
    pub told: Option<Present>,
    counter: u64,
    entered: Timestamp,
    attached: bool,
    authorized: bool,
    answer: Option<(u64, PhaseAnswer)>,
    ticks: u64,
}

impl Default for Vehicle {
    fn default() -> Self {
        Self {
            pilot: Pilot::A,
            contactor: false,
            voltage_max: 450.0,
            current_max: 125.0,
            target_current: 110.0,
            gives: 0.0,
            pre_charge_current: 2.0,
            soc: 20.0,
            target_voltage: 420.0,
            phase: LinkPhase::Detached,
            step: Step::Unplugged,
            mute: false,
            silent: false,
            slow: false,
            overasks: false,
            stays_in_pre_charge: false,
            welded: false,
            holds_c: false,
            unheard: false,
            enough: 99.0,
            impatient: false,
            undecided: Duration::ZERO,
            wants_stop: false,
            unplug_when_done: true,
            stays_in_b: false,
            again: None,
            agrees_for: Duration::from_secs(1),
            told: None,
            counter: 0,
            entered: Timestamp::BOOT,
            attached: false,
            authorized: false,
            answer: None,
            ticks: 0,
        }
    }
}

impl Vehicle {
    pub fn plug(&mut self) {
        self.pilot = Pilot::B;
        self.step = Step::Plugged;
        self.wants_stop = false;
    }

    /// As new, and unplugged; its link counts on.
    pub fn repair(&mut self) {
        let (counter, attached, phase) = (self.counter, self.attached, self.phase);
        *self = Self { counter, attached, phase, ..Self::default() };
    }

    pub fn unplug(&mut self) {
        self.pilot = Pilot::A;
        self.contactor = false;
        self.step = Step::Unplugged;
    }

    /// Toggles its pilot once, B-C-B, and talks again.
    pub fn wake(&mut self) {
        self.pilot = Pilot::C;
        self.step = Step::Plugged;
    }

    pub fn battery(&self) -> f64 {
        380.0 + self.soc * 0.2
    }

    pub fn hear(&mut self, command: Command) {
        match command {
            Command::Attach => self.attached = true,
            Command::Detach => {
                if self.contactor {
                    self.give_up();
                } else if matches!(self.step, Step::Talking(_)) {
                    self.step = Step::Plugged;
                }
                self.attached = false;
                self.authorized = false;
                self.answer = None;
            }
            Command::Authorize(authorization) => self.authorized = authorization == Authorization::Granted,
            Command::Answer { counter, answer } => self.answer = Some((counter, answer)),
            Command::Present(present) => self.told = Some(present),
            Command::RequestStop(_) => self.wants_stop = true,
            Command::Abort(_) => self.give_up(),
            _ => {}
        }
    }

    const fn opens(&mut self) {
        self.contactor &= self.welded;
    }

    /// An emergency of the charger: the vehicle opens.
    fn give_up(&mut self) {
        self.opens();
        if self.pilot != Pilot::A && !self.holds_c {
            self.pilot = Pilot::B;
        }
        if self.step != Step::Unplugged {
            self.step = Step::Done;
        }
    }

    fn enter(&mut self, phase: LinkPhase, now: Timestamp, inbox: &mut Vec<Input>) {
        self.counter += 1;
        self.phase = phase;
        self.entered = now;
        if self.step != Step::Unplugged && self.step != Step::Done {
            self.step = Step::Talking(phase);
        }
        inbox.push(Input::Phase { counter: self.counter, phase });
    }

    /// The counter of the phase it is in.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    fn answered(&self, answer: PhaseAnswer) -> bool {
        self.answer == Some((self.counter, answer))
    }

    pub fn act(&mut self, now: Timestamp, devices: &Devices, inbox: &mut Vec<Input>) {
        self.ticks += 1;
        if self.step == Step::Done {
            let lingered = now.since(self.entered) > Duration::from_secs(3);
            let silent = matches!(self.phase, LinkPhase::Listening | LinkPhase::Detached);
            if self.unplug_when_done && silent && lingered {
                self.unplug();
            }
        }
        if !self.attached || self.step == Step::Unplugged {
            if self.phase != LinkPhase::Detached {
                self.enter(LinkPhase::Detached, now, inbox);
            }
            if !self.attached {
                return;
            }
        }
        if self.step == Step::Done || self.step == Step::Asleep {
            return;
        }
        if self.silent {
            if now.since(self.entered) > Duration::from_secs(60) && self.step != Step::Plugged {
                self.breaks_off(now, inbox);
            }
            return;
        }
        if self.answered(PhaseAnswer::Failed) {
            inbox.push(Input::LinkEnded(LinkOutcome::Failed));
            self.enter(LinkPhase::Listening, now, inbox);
            self.give_up();
            return;
        }
        self.talk(now, devices, inbox);
    }

    /// The conversation ends where it must not: out of order, or without a word.
    pub fn breaks_off(&mut self, now: Timestamp, inbox: &mut Vec<Input>) {
        if matches!(self.step, Step::Talking(_)) {
            inbox.push(Input::LinkEnded(LinkOutcome::Failed));
            self.enter(LinkPhase::Listening, now, inbox);
            self.give_up();
        }
    }

    fn talk(&mut self, now: Timestamp, devices: &Devices, inbox: &mut Vec<Input>) {
        let finished = self.answered(PhaseAnswer::Finished);
        let waited = now.since(self.entered) > Duration::from_millis(100);
        match self.phase {
            LinkPhase::Detached if self.step == Step::Plugged => self.enter(LinkPhase::Listening, now, inbox),
            LinkPhase::Detached => {}
            LinkPhase::Listening if waited && !self.unheard => {
                self.pilot = Pilot::B;
                self.enter(LinkPhase::Connected, now, inbox);
            }
            LinkPhase::Connected if waited => self.enter(LinkPhase::Authorizing, now, inbox),
            LinkPhase::Authorizing if self.authorized => self.names_limits(now, inbox),
            LinkPhase::Parameters if finished => {
                self.pilot = if self.stays_in_b { Pilot::B } else { Pilot::C };
                self.enter(LinkPhase::CableCheck, now, inbox);
            }
            LinkPhase::CableCheck if finished => self.enter(LinkPhase::PreCharge, now, inbox),
            LinkPhase::CableCheck if self.wants_stop => self.enter(LinkPhase::Stopping, now, inbox),
            LinkPhase::PreCharge => self.pre_charge(now, devices, inbox),
            LinkPhase::PowerOn if finished => self.enter(LinkPhase::Charging, now, inbox),
            LinkPhase::Charging => self.charge(now, devices, inbox),
            LinkPhase::Renegotiating if waited && self.again == Some(Again::RenegotiationInB) => {
                self.again = None;
                self.opens();
                self.pilot = Pilot::B;
            }
            LinkPhase::Renegotiating if now.since(self.entered) >= self.agrees_for => {
                self.enough += 5.0;
                self.pilot = Pilot::C;
                self.enter(LinkPhase::CableCheck, now, inbox);
            }
            LinkPhase::PowerOff if finished => {
                self.opens();
                self.pilot = Pilot::B;
                self.enter(LinkPhase::WeldingDetection, now, inbox);
            }
            LinkPhase::WeldingDetection if waited && self.again == Some(Again::AnotherService) => {
                self.again = None;
                self.enough += 5.0;
                self.enter(LinkPhase::Connected, now, inbox);
            }
            LinkPhase::WeldingDetection if waited => {
                self.opens();
                self.enter(LinkPhase::Stopping, now, inbox);
            }
            LinkPhase::Stopping if finished && self.again == Some(Again::Pause) => {
                self.again = None;
                self.enough += 5.0;
                self.pilot = Pilot::B;
                inbox.push(Input::LinkEnded(LinkOutcome::Paused));
                self.enter(LinkPhase::Listening, now, inbox);
                self.step = Step::Asleep;
            }
            LinkPhase::Stopping if finished => {
                self.pilot = Pilot::B;
                inbox.push(Input::LinkEnded(LinkOutcome::Normal));
                self.enter(LinkPhase::Listening, now, inbox);
                self.step = Step::Done;
            }
            _ => {}
        }
    }

    fn names_limits(&mut self, now: Timestamp, inbox: &mut Vec<Input>) {
        self.enter(LinkPhase::Parameters, now, inbox);
        inbox.push(Input::VehicleLimits(VehicleLimits {
            voltage_max: Some(Volts::from_si(self.voltage_max).unwrap()),
            current_max: Some(Amps::from_si(self.current_max).unwrap()),
            power_max: None,
        }));
        if self.gives > 0.0 {
            inbox.push(Input::VehicleDischarge(Discharge {
                voltage_min: Volts::new(300),
                current_max: Amps::from_si(self.gives).unwrap(),
                power_max: Watts::new(15_000),
            }));
        }
        inbox.push(Input::Soc(Percent::from_si(self.soc).unwrap()));
    }

    fn pre_charge(&mut self, now: Timestamp, devices: &Devices, inbox: &mut Vec<Input>) {
        let wanted = self.battery();
        if self.wants_stop {
            self.enter(LinkPhase::Stopping, now, inbox);
            return;
        }
        if self.ticks.is_multiple_of(10) && !self.mute {
            let decided = now.since(self.entered) >= self.undecided;
            inbox.push(self.target(if decided { wanted } else { 0.0 }, self.pre_charge_current, now));
        }
        let told = self.told.filter(|told| told.counter == self.counter);
        let near = told.is_some_and(|told| (told.voltage.as_si() - wanted).abs() < 15.0);
        let late = self.impatient && now.since(self.entered) > Duration::from_millis(150);
        if (near || late) && !self.stays_in_pre_charge {
            self.contactor = near && (devices.cable - wanted).abs() < 20.0;
            self.enter(LinkPhase::PowerOn, now, inbox);
        }
    }

    fn charge(&mut self, now: Timestamp, devices: &Devices, inbox: &mut Vec<Input>) {
        // A hundredth of a second of this current, on a small battery.
        self.soc = (self.soc + devices.current / 125.0 * 0.006).min(100.0);
        if self.soc >= self.enough || self.wants_stop {
            if devices.current.abs() < 5.0 && self.again == Some(Again::RenegotiationInB) {
                self.enter(LinkPhase::Renegotiating, now, inbox);
            } else if devices.current < 5.0 && self.again == Some(Again::Renegotiation) {
                self.again = None;
                self.enough += 5.0;
                self.contactor = false;
                self.enter(LinkPhase::CableCheck, now, inbox);
            } else if devices.current.abs() < 5.0 {
                self.enter(LinkPhase::PowerOff, now, inbox);
            } else if self.ticks.is_multiple_of(10) {
                inbox.push(self.target(self.target_voltage, 0.0, now));
            }
            return;
        }
        if self.ticks.is_multiple_of(if self.slow { 150 } else { 10 }) && !self.mute {
            let (volts, amps) = if self.overasks { (2.2, 10.0) } else { (1.0, 1.0) };
            let current = if self.gives > 0.0 { -self.gives } else { self.target_current };
            inbox.push(self.target(self.target_voltage * volts, current * amps, now));
            if self.ticks.is_multiple_of(100) {
                inbox.push(Input::Soc(Percent::from_si(self.soc).unwrap()));
            }
        }
    }

    fn target(&self, voltage: f64, current: f64, at: Timestamp) -> Input {
        Input::Target(Target {
            counter: self.counter,
            voltage: Volts::from_si(voltage).unwrap(),
            current: Amps::from_si(current).unwrap(),
            at,
        })
    }
}
