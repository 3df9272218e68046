//! What is known of the vehicle that is plugged in.

use voltry_bus::{Authorization, EvseState, LinkPhase, PhaseAnswer, SessionEnd};
use voltry_units::{Percent, Timestamp, Volts, WattHours};

use super::{Discharge, FaultCode, MeterReading, Target, VehicleLimits};

/// Why delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The vehicle ended it.
    Vehicle,
    /// The station asked for it.
    Station,
    /// The driver is not allowed to charge.
    NotAuthorized,
    /// The permit was withdrawn, or ran out.
    NoPermit,
    /// The vehicle's limits and ours have nothing in common.
    Incompatible,
    /// Authorization or a phase took too long.
    TimedOut,
    /// The energy can't be metered.
    Unmetered,
    /// The EVSE is taken out of service, or its process ends.
    OutOfService,
    /// A fault.
    Fault(FaultCode),
}

impl StopReason {
    /// In a person's words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Vehicle => SessionEnd::Vehicle.as_str(),
            Self::Station => SessionEnd::Station.as_str(),
            Self::NotAuthorized => SessionEnd::NotAuthorized.as_str(),
            Self::NoPermit => SessionEnd::NoPermit.as_str(),
            Self::Incompatible => SessionEnd::Incompatible.as_str(),
            Self::TimedOut => SessionEnd::TimedOut.as_str(),
            Self::Unmetered => SessionEnd::Unmetered.as_str(),
            Self::OutOfService => SessionEnd::OutOfService.as_str(),
            Self::Fault(code) => code.name(),
        }
    }
}

/// A session: plugged in to unplugged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its identity on this EVSE since boot, above 0.
    pub id: u64,
    /// When the plug was seen.
    pub plugged_at: Timestamp,
    /// When current first could flow.
    pub energised_at: Option<Timestamp>,
    /// When delivery ended for good.
    pub ended_at: Option<Timestamp>,
    /// Whether the driver may charge.
    pub authorization: Authorization,
    /// Why delivery ended.
    pub stop: Option<StopReason>,
    /// Where the EVSE stood when it came to that.
    pub stopped_in: Option<EvseState>,
    /// What the vehicle named.
    pub limits: VehicleLimits,
    /// What it named that can be taken from it.
    pub discharge: Discharge,
    /// What it wanted last; a wish of an earlier phase, if it has said nothing in this one.
    pub target: Option<Target>,
    /// Its state of charge.
    pub soc: Option<Percent>,
    /// The meter's register when the contactors first closed.
    pub register_start: Option<WattHours>,
    /// The meter's register now, or when it last answered; once energised the highest that it read.
    pub register: Option<WattHours>,
    /// The meter's register of what came back when the contactors first closed, and now.
    pub export: Option<(WattHours, WattHours)>,
    /// The vehicle's last conversation ended with a pause.
    pub(super) paused: bool,
    answered: Option<(u64, PhaseAnswer)>,
}

impl Session {
    pub(super) fn new(id: u64, now: Timestamp) -> Self {
        Self {
            id,
            plugged_at: now,
            energised_at: None,
            ended_at: None,
            authorization: Authorization::Pending,
            stop: None,
            stopped_in: None,
            limits: VehicleLimits::default(),
            discharge: Discharge::default(),
            target: None,
            soc: None,
            register_start: None,
            register: None,
            export: None,
            paused: false,
            answered: None,
        }
    }

    pub(super) fn see_registers(&mut self, MeterReading { energy: register, export, .. }: MeterReading) {
        let counting = self.register_start.is_some();
        self.register = self.register.filter(|before| counting && *before > register).or(Some(register));
        if self.energised_at.is_some() {
            self.register_start.get_or_insert(register);
            let (start, before) = self.export.unwrap_or((export, export));
            self.export = Some((start, export.max(before)));
        }
    }

    /// The energy that came from the vehicle, by the meter's register; never negative.
    #[must_use]
    pub fn exported(&self) -> WattHours {
        self.export.map_or(WattHours::ZERO, |(start, now)| now - start)
    }

    /// The energy of the session by the meter's register; never negative.
    #[must_use]
    pub fn energy(&self) -> WattHours {
        match (self.register_start, self.register) {
            (Some(start), Some(now)) => now - start,
            _ => WattHours::ZERO,
        }
    }

    /// The vehicle's highest voltage; what it never named cannot be exceeded, so zero.
    pub(super) fn voltage_max(&self) -> Volts {
        self.limits.voltage_max.unwrap_or(Volts::ZERO)
    }

    /// Whether this answer was not given to this phase yet.
    pub(super) fn is_new_answer(&mut self, counter: u64, answer: PhaseAnswer) -> bool {
        let given = Some((counter, answer));
        let new = self.answered != given;
        self.answered = given;
        new
    }
}

impl VehicleLimits {
    /// What the vehicle names anew; what it leaves out stays. `bound`: its voltage may only fall,
    /// since insulation is tested, and the class chosen, for the first.
    pub(super) fn update(&mut self, new: Self, bound: bool) {
        let voltage_max = match (self.voltage_max, new.voltage_max) {
            (Some(old), Some(new)) if bound => Some(old.min(new)),
            (old, new) => new.or(old),
        };
        self.voltage_max = voltage_max;
        self.current_max = new.current_max.or(self.current_max);
        self.power_max = new.power_max.or(self.power_max);
    }
}

/// Whether the vehicle, being in this phase, has not yet come so far that contactors close.
pub(super) fn is_before_energising(phase: LinkPhase) -> bool {
    match phase {
        LinkPhase::Detached
        | LinkPhase::Listening
        | LinkPhase::Connected
        | LinkPhase::Authorizing
        | LinkPhase::Parameters => true,
        LinkPhase::CableCheck
        | LinkPhase::PreCharge
        | LinkPhase::PowerOn
        | LinkPhase::Charging
        | LinkPhase::Renegotiating
        | LinkPhase::PowerOff
        | LinkPhase::WeldingDetection
        | LinkPhase::Stopping => false,
    }
}
