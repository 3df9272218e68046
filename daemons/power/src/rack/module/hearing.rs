//! What a module's words change.

use voltry_power_module::{
    Condition, Conditions, Kind, Order, Output, Range, Reply, Report, Request, Status,
};
use voltry_units::{Amps, Measured, Timestamp};

use super::super::answers::Asked;
use super::{Module, NOISE, Phase, SETTLES_IN, SetPoint, Switch};

impl Module {
    /// Takes what the module said. Only answers count as life: what comes a second late, or
    /// unasked, tells nothing of now.
    pub(in crate::rack) fn hear(&mut self, reply: &Reply, now: Timestamp) {
        self.ledger.heard(reply, now);
        if let (Reply::Serial(told), Some(known)) = (reply, &self.serial)
            && matches!(self.phase, Phase::Qualifying | Phase::Ready)
        {
            self.ledger.introduced(known, told, now);
        }
        let Some(asked) = self.answers.answered(reply).or_else(|| self.unasked(reply, now)) else { return };
        self.heard = Some(now);
        match self.phase {
            Phase::Absent | Phase::Silent { .. } => self.found(now),
            Phase::Qualifying | Phase::Ready => {}
        }
        match reply {
            Reply::Output(output) | Reply::OutputFixed(output) => self.take_output(*output, asked),
            Reply::Voltage(voltage) => self.voltage = Some(Measured::new(*voltage, asked.at)),
            Reply::Current(current) => self.current = Some(Measured::new(*current, asked.at)),
            Reply::Report(Report { output, conditions }) => {
                self.take_output(*output, asked);
                self.reported = *conditions;
                self.take_conditions(*conditions, asked);
            }
            Reply::Status(status) => self.take_status(*status, asked),
            Reply::Temperature(temperature) => self.temperature = Some(*temperature),
            Reply::Available { current, .. } => self.available = Some(*current),
            Reply::Capability(capability) => self.told = Some(*capability),
            Reply::Serial(serial) => self.serial = Some(serial.clone()),
            Reply::SerialRest(rest) => self.serial_rest = Some(rest.clone()),
            Reply::Hours(hours) => self.hours = Some(*hours),
            Reply::Range(range) => self.range = Some(*range),
            Reply::Direction { inverting } => self.direction = Some(*inverting),
            Reply::Done(order) => self.take_confirmation(*order, asked, now),
            Reply::Refused { order, .. } => self.take_refusal(*order, asked),
            Reply::SystemOutput(_) | Reply::Count(_) | Reply::Input(_) => {}
        }
    }

    /// A member of a group said its conditions, and with them the group's are `merged`. They are of
    /// `at`, or younger.
    pub(in crate::rack) fn hear_merged(
        &mut self,
        reply: &Reply,
        merged: Status,
        at: Timestamp,
        now: Timestamp,
    ) {
        let asked = self.answers.answered(reply);
        if asked.is_none() && self.status.is_none() {
            return;
        }
        self.heard = Some(now);
        match self.phase {
            Phase::Absent | Phase::Silent { .. } => self.found(now),
            Phase::Qualifying | Phase::Ready => {}
        }
        self.take_status(merged, Asked { request: Request::ReadStatus, at });
    }

    /// What a module of a family that reports says by itself: it is measured when it comes.
    fn unasked(&self, reply: &Reply, now: Timestamp) -> Option<Asked> {
        let report = matches!(reply, Reply::Report(_) | Reply::Status(_) | Reply::Temperature(_));
        (report && self.ways.family.reports.is_some())
            .then_some(Asked { request: Request::KeepAlive, at: now })
    }

    fn take_output(&mut self, Output { voltage, current }: Output, asked: Asked) {
        self.voltage = Some(Measured::new(voltage, asked.at));
        self.current = Some(Measured::new(current, asked.at));
    }

    /// It answers again. It may be another one in the same place: everything is asked anew.
    fn found(&mut self, now: Timestamp) {
        self.phase = Phase::Qualifying;
        self.switch = Switch::TurningOff { sent: None };
        self.voltage = None;
        self.current = None;
        self.reported = Conditions::NONE;
        self.status = None;
        self.available = None;
        self.derated = None;
        self.told = None;
        self.serial = None;
        self.serial_rest = None;
        self.hours = None;
        self.range = None;
        self.direction = None;
        self.cut_off_set = false;
        self.walk_in_set = false;
        self.silence_set = false;
        for question in self.ways.family.questions.perhaps {
            self.last.remove(&std::mem::discriminant(question));
        }
        self.ready_once = false;
        self.blinking = false;
        self.refusals = 0;
        self.breach_since = None;
        self.heard = Some(now);
    }

    fn take_status(&mut self, Status { group, inlet, conditions }: Status, asked: Asked) {
        self.status = Some(conditions);
        self.group = group;
        self.temperature = inlet.or(self.temperature);
        self.take_conditions(conditions, asked);
    }

    fn take_conditions(&mut self, conditions: Conditions, asked: Asked) {
        self.take_derating(conditions, asked.at);
        if !conditions.has(Condition::DcOff) {
            return;
        }
        match self.switch {
            Switch::TurningOff { sent: Some(sent) } if asked.at >= sent => self.is_off(asked.at),
            // It switched itself off, or started anew: it has forgotten its set-point.
            Switch::On { since } if asked.at > since + SETTLES_IN => {
                self.phase = Phase::Qualifying;
                self.is_off(asked.at);
                self.sent = SetPoint::default();
                self.confirmed = SetPoint::default();
                self.walk_in_set = false;
                self.silence_set = false;
                self.range = None;
                self.direction = None;
                self.cut_off_set = false;
            }
            Switch::On { .. } | Switch::Off | Switch::TurningOn { .. } | Switch::TurningOff { .. } => {}
        }
    }

    fn is_off(&mut self, at: Timestamp) {
        self.switch = Switch::Off;
        self.off_since = at;
    }

    /// A module that does not say how much it can give, gives it when it says that it cannot give all.
    fn take_derating(&mut self, conditions: Conditions, at: Timestamp) {
        if conditions.of(Kind::Derating).next().is_none() || self.ways.can(Request::ReadAvailable) {
            return;
        }
        if let Some(derated) = &mut self.derated {
            derated.at = at;
        }
        let settled = matches!(self.switch, Switch::On { since } if at.since(since) > SETTLES_IN);
        let measured = self.current.filter(|_| settled).map(|current| current.value);
        if let (Some(measured), Some(told)) = (measured, self.confirmed.current)
            && measured < told - NOISE.max(told.scaled(5, 100))
        {
            self.derated = Some(Measured::new(measured, at));
        }
    }

    fn take_confirmation(&mut self, order: Order, asked: Asked, now: Timestamp) {
        match (order, asked.request) {
            // A group's first member that says so is not the whole group.
            (Order::Switch, Request::Switch { on: false }) if self.ways.family.grouped => {}
            (Order::Switch | Order::Deliver, Request::Switch { on: false }) => {
                if matches!(self.switch, Switch::TurningOff { sent: Some(sent) } if asked.at >= sent) {
                    self.is_off(now);
                }
            }
            (Order::Switch, Request::Switch { on: true }) => self.is_on(now),
            (Order::Deliver, Request::Deliver { .. }) => {
                self.is_on(now);
                self.take_set_point(asked.request);
            }
            (Order::SetOutput | Order::SetVoltage | Order::SetCurrent, request) => {
                self.take_set_point(request);
            }
            (Order::WalkIn, _) => self.walk_in_set = true,
            (Order::SetSilenceLimit, _) => self.silence_set = true,
            (Order::SetDirection, _) => {
                // What it really does is read.
                self.direction = None;
                self.range_changed = now;
            }
            (Order::SetCutOff, _) => self.cut_off_set = true,
            (Order::SetRange, Request::SetRange { range }) => self.take_range(range, now),
            (Order::Identify, Request::Identify { on }) => self.blinking = on,
            _ => {}
        }
    }

    fn is_on(&mut self, now: Timestamp) {
        if matches!(self.switch, Switch::TurningOn { .. }) {
            self.switch = Switch::On { since: now };
        }
    }

    fn take_set_point(&mut self, request: Request) {
        self.refusals = 0;
        self.confirmed.take(request);
        let Some(current) = SetPoint::of(request).and_then(|part| part.current) else { return };
        // Orders still under way may raise it again.
        let open = self.answers.open().filter_map(|asked| SetPoint::of(asked.request)?.current);
        self.ceiling = open.fold(current, Amps::max);
    }

    fn take_refusal(&mut self, order: Option<Order>, asked: Asked) {
        match (order, asked.request) {
            (Some(Order::SetOutput | Order::SetVoltage | Order::SetCurrent | Order::Deliver), _) => {
                self.refusals += 1;
                self.sent = SetPoint::default();
            }
            // Not every module has these.
            (Some(Order::WalkIn), _) => self.walk_in_set = true,
            (Some(Order::SetSilenceLimit), _) => self.silence_set = true,
            (Some(Order::SetRange), Request::SetRange { range: Range::Automatic }) => {
                self.range = Some(Range::Automatic);
            }
            (None, Request::ReadSerial) => self.serial = Some(String::new()),
            _ => {}
        }
    }
}
