//! What evse last pushed: the only source of what a vehicle is told. Nothing here is asked for
//! while a vehicle waits.

use std::sync::Arc;
use std::time::Duration;

use voltry_bus::{Authorization, EvseStatusCode, Isolation, PhaseAnswer};
use voltry_units::{Amps, Measured, Timestamp, Volts, WattHours, Watts};

use crate::contract::CertificateAnswer;
use crate::message::{Limited, Limits, Offer};

/// Present values older than this are refused, never repeated.
pub const PRESENT_MAX_AGE: Duration = Duration::from_millis(300);

/// The newest of each thing that evse pushes.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// A vehicle is plugged in and may talk: which one, counted.
    pub attached: Option<u64>,
    /// Vehicles attached so far.
    pub plugs: u64,
    /// What the EVSE offers.
    pub limits: Option<Limits>,
    /// What it takes from the vehicle, at most.
    pub discharge: (Amps, Watts),
    /// Whether the driver may charge.
    pub authorization: Authorization,
    /// The answer to the phase with this counter.
    pub answer: Option<(u64, PhaseAnswer)>,
    /// The back end's answer to a vehicle's request for a certificate.
    pub certificate: Option<CertificateAnswer>,
    /// Contracts without a root of ours may be judged by the back end.
    pub central_validation: bool,
    /// What the back end says of the doubted contract with this id.
    pub judgement: Option<(u64, bool)>,
    /// What a planner offers the vehicle.
    pub schedules: Option<Arc<Offer>>,
    /// Present values and status.
    pub present: Option<Measured<Present>>,
    /// What the meter's register says.
    pub meter: Option<Measured<WattHours>>,
    /// The vehicle is asked to stop, and why.
    pub stop: Option<Arc<str>>,
    /// The session is to fail with the next answer, and why.
    pub abort: Option<Arc<str>>,
}

/// A meter's reading older than this is told to no vehicle.
pub const METER_MAX_AGE: Duration = Duration::from_secs(3);

/// Present values and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// The counter of the phase they are for.
    pub phase: u64,
    /// On the cable side.
    pub voltage: Volts,
    /// Towards the vehicle.
    pub current: Amps,
    /// The insulation's verdict.
    pub isolation: Isolation,
    /// The EVSE's status.
    pub status: EvseStatusCode,
    /// Which limits hold the output.
    pub limited: Limited,
}

impl Default for Pushed {
    fn default() -> Self {
        Self {
            attached: None,
            plugs: 0,
            limits: None,
            discharge: (Amps::ZERO, Watts::ZERO),
            authorization: Authorization::Pending,
            answer: None,
            certificate: None,
            central_validation: false,
            judgement: None,
            schedules: None,
            present: None,
            meter: None,
            stop: None,
            abort: None,
        }
    }
}

impl Pushed {
    /// All that the EVSE offers, both ways.
    #[must_use]
    pub fn offered(&self) -> Option<Limits> {
        let (discharge_current, discharge_power) = self.discharge;
        self.limits.map(|limits| Limits { discharge_current, discharge_power, ..limits })
    }

    /// The present values, if they are fresh at `now` and not from a session before the phase
    /// counter `since`.
    #[must_use]
    pub fn present(&self, now: Timestamp, since: u64) -> Option<&Present> {
        self.present
            .as_ref()
            .and_then(|present| present.fresh(now, PRESENT_MAX_AGE))
            .filter(|present| present.phase >= since)
    }

    /// What the meter's register says and how long ago it was read, if that is fresh at `now`.
    #[must_use]
    pub fn meter(&self, now: Timestamp) -> Option<(WattHours, Duration)> {
        let meter = self.meter.as_ref()?;
        let energy = meter.fresh(now, METER_MAX_AGE)?;
        Some((*energy, now.since(meter.at)))
    }

    /// The answer to the phase with this counter; `Ongoing` while there is none.
    #[must_use]
    pub fn answer(&self, counter: u64) -> PhaseAnswer {
        match self.answer {
            Some((phase, answer)) if phase == counter => answer,
            Some(_) | None => PhaseAnswer::Ongoing,
        }
    }

    /// The vehicle is gone: forgets all but what the EVSE offers, and what the back end allows.
    pub fn detach(&mut self) {
        let Self { limits, plugs, central_validation, .. } = *self;
        *self = Self { limits, plugs, central_validation, ..Self::default() };
    }

    /// Forgets what was meant for the session that ended.
    pub fn session_over(&mut self) {
        self.answer = None;
        self.certificate = None;
        self.judgement = None;
        self.schedules = None;
        self.stop = None;
        self.abort = None;
    }
}
