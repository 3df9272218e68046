//! What a vehicle asks, and what it says of itself.

use std::time::Duration;

use voltry_units::{Amps, Percent, Volts, WattHours, Watts};

use super::Plan;
use crate::contract;

/// A request of the vehicle.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Opens the session.
    SessionSetup {
        /// What the EVCC calls itself: its MAC address, six bytes (in DIN 70121 perhaps eight), which some vehicles draw anew
        /// for each session; in ISO 15118-20 the characters of its id.
        evcc_id: Vec<u8>,
    },
    /// Asks what is offered.
    ServiceDiscovery,
    /// Asks how it may be authorized (ISO 15118-20).
    AuthorizationSetup,
    /// Asks for the details of one service.
    ServiceDetail {
        /// The service's identifier.
        service_id: u16,
        /// Whether this station has it.
        offered: bool,
    },
    /// Chooses the service (ISO 15118-20).
    ServiceSelection {
        /// Whether this station has it, with these parameters.
        chosen: Chosen,
    },
    /// Chooses the payment and the services.
    PaymentServiceSelection {
        /// Plug & Charge instead of external payment.
        contract: bool,
        /// Whether this station has the services.
        chosen: Chosen,
    },
    /// Asks whether it may charge.
    Authorization,
    /// Names its limits, and asks for ours.
    ChargeParameterDiscovery {
        /// What it can take and needs.
        dc: Result<DcParameters, Unfit>,
    },
    /// Agrees on the schedule, or on dynamic control (ISO 15118-20).
    ScheduleExchange {
        /// What it needs by when.
        needs: Needs,
        /// How many entries it takes in each schedule; 0: it did not say.
        entries_max: u16,
        /// The station sets the power.
        dynamic: bool,
    },
    /// Asks whether the insulation test is done.
    CableCheck {
        /// Its own state, if the message set has it here.
        status: Option<EvStatus>,
    },
    /// Asks for its battery's voltage on the cable.
    PreCharge {
        /// Its own state, likewise.
        status: Option<EvStatus>,
        /// What it wants.
        target: Result<Target, Unfit>,
    },
    /// Starts, stops or renegotiates the delivery.
    PowerDelivery {
        /// Which of these.
        progress: Progress,
        /// Its own state, if it told.
        status: Option<EvStatus>,
        /// Which schedule it chose, and what it means to take; `None` where there is nothing to choose.
        plan: Option<Plan>,
    },
    /// One round of the charge loop.
    CurrentDemand {
        /// Its own state, likewise.
        status: Option<EvStatus>,
        /// What it wants.
        target: Result<Target, Unfit>,
        /// The limits that it repeats or changes here.
        limits: EvLimits,
        /// What it needs by when, likewise.
        needs: Needs,
    },
    /// Asks for the voltage on the cable, while it opens its own contactors.
    WeldingDetection {
        /// Its own state, likewise.
        status: Option<EvStatus>,
    },
    /// Ends the session.
    SessionStop {
        /// It means to come back under the same session id.
        pause: bool,
    },
    /// Ends nothing: the vehicle chooses its service anew (ISO 15118-20).
    ServiceRenegotiation,
    /// Plug & Charge.
    Contract(contract::Request),
    /// A request of the message set that this station never offers, by its name.
    NotOffered(&'static str),
}

impl Request {
    /// The message's name in the standard.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SessionSetup { .. } => "SessionSetupReq",
            Self::ServiceDiscovery => "ServiceDiscoveryReq",
            Self::AuthorizationSetup => "AuthorizationSetupReq",
            Self::ServiceDetail { .. } => "ServiceDetailReq",
            Self::ServiceSelection { .. } => "ServiceSelectionReq",
            Self::ScheduleExchange { .. } => "ScheduleExchangeReq",
            Self::PaymentServiceSelection { .. } => "PaymentServiceSelectionReq",
            Self::Authorization => "AuthorizationReq",
            Self::ChargeParameterDiscovery { .. } => "ChargeParameterDiscoveryReq",
            Self::CableCheck { .. } => "CableCheckReq",
            Self::PreCharge { .. } => "PreChargeReq",
            Self::PowerDelivery { .. } => "PowerDeliveryReq",
            Self::CurrentDemand { .. } => "CurrentDemandReq",
            Self::WeldingDetection { .. } => "WeldingDetectionReq",
            Self::SessionStop { .. } => "SessionStopReq",
            Self::ServiceRenegotiation => "SessionStopReq(ServiceRenegotiation)",
            Self::Contract(request) => request.name(),
            Self::NotOffered(name) => name,
        }
    }

    /// What the vehicle says of itself in this request.
    #[must_use]
    pub const fn status(&self) -> Option<&EvStatus> {
        match self {
            Self::ChargeParameterDiscovery { dc: Ok(DcParameters { status, .. }) }
            | Self::CableCheck { status }
            | Self::PreCharge { status, .. }
            | Self::PowerDelivery { status, .. }
            | Self::CurrentDemand { status, .. }
            | Self::WeldingDetection { status } => status.as_ref(),
            Self::SessionSetup { .. }
            | Self::AuthorizationSetup
            | Self::ServiceDiscovery
            | Self::ServiceDetail { .. }
            | Self::ServiceSelection { .. }
            | Self::PaymentServiceSelection { .. }
            | Self::Authorization
            | Self::ChargeParameterDiscovery { dc: Err(_) }
            | Self::ScheduleExchange { .. }
            | Self::SessionStop { .. }
            | Self::ServiceRenegotiation
            | Self::Contract(_)
            | Self::NotOffered(_) => None,
        }
    }

    /// What the vehicle needs by when, as far as it says so in this request.
    #[must_use]
    pub const fn needs(&self) -> Option<&Needs> {
        match self {
            Self::ChargeParameterDiscovery { dc: Ok(DcParameters { needs, .. }) }
            | Self::ScheduleExchange { needs, .. }
            | Self::CurrentDemand { needs, .. } => Some(needs),
            Self::SessionSetup { .. }
            | Self::AuthorizationSetup
            | Self::ServiceDiscovery
            | Self::ServiceDetail { .. }
            | Self::ServiceSelection { .. }
            | Self::PaymentServiceSelection { .. }
            | Self::Authorization
            | Self::ChargeParameterDiscovery { dc: Err(_) }
            | Self::CableCheck { .. }
            | Self::PreCharge { .. }
            | Self::PowerDelivery { .. }
            | Self::WeldingDetection { .. }
            | Self::SessionStop { .. }
            | Self::ServiceRenegotiation
            | Self::Contract(_)
            | Self::NotOffered(_) => None,
        }
    }
}

/// Which services a vehicle chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// This station has all of them, and charging is among them.
    Offered,
    /// Charging is not among them; in ISO 15118-20 no energy transfer of ours, with these parameters.
    NoCharging,
    /// This station has not all of them: one is internet access, or another beside charging.
    NotOffered,
}

/// Why what a vehicle says is not for this station.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It wants an energy transfer mode that is not offered.
    #[error("the vehicle wants {0}")]
    Mode(&'static str),
    /// Its parameters are of another energy transfer than it chose.
    #[error("the parameters are of another energy transfer than the vehicle chose")]
    Parameters,
    /// It chose a schedule that it was not offered.
    #[error("the vehicle chose a schedule that it was not offered")]
    Schedule,
    /// It means to take more than that.
    #[error("the vehicle means to take more than its schedule allows")]
    Profile,
    /// An element that is missing, or no possible value.
    #[error("{0} is no possible value")]
    Value(&'static str),
}

/// What a vehicle says of itself in ChargeParameterDiscovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DcParameters {
    /// What it can take.
    pub limits: EvLimits,
    /// Its own state, if the message set has it here.
    pub status: Option<EvStatus>,
    /// What it needs by when.
    pub needs: Needs,
    /// How many entries it takes in each schedule; 0: it did not say.
    pub entries_max: u16,
}

/// What a vehicle needs by when; `None`: it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// DepartureTime: how long after the request it leaves.
    pub departure: Option<Duration>,
    /// EVTargetEnergyRequest; in ISO 15118-2 and DIN 70121 EVEnergyRequest.
    pub energy: Option<WattHours>,
    /// EVMinimumEnergyRequest.
    pub energy_min: Option<WattHours>,
    /// EVMaximumEnergyRequest.
    pub energy_max: Option<WattHours>,
    /// MinimumSOC.
    pub soc_min: Option<Percent>,
    /// TargetSOC; in ISO 15118-2 and DIN 70121 FullSOC.
    pub soc: Option<Percent>,
}

impl Needs {
    /// These needs, and `older` where these say nothing.
    #[must_use]
    pub fn or(self, older: Self) -> Self {
        Self {
            departure: self.departure.or(older.departure),
            energy: self.energy.or(older.energy),
            energy_min: self.energy_min.or(older.energy_min),
            energy_max: self.energy_max.or(older.energy_max),
            soc_min: self.soc_min.or(older.soc_min),
            soc: self.soc.or(older.soc),
        }
    }
}

/// ChargeProgress of a PowerDeliveryReq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Deliver, but not yet: the vehicle asks again (ISO 15118-20).
    Preparing,
    /// Deliver.
    Start,
    /// Stop delivering.
    Stop,
    /// Agree on limits again, without stopping.
    Renegotiate,
    /// Rest without ending the session (ISO 15118-20).
    Standby,
}

/// What a vehicle wants on the cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// EVTargetVoltage.
    pub voltage: Volts,
    /// EVTargetCurrent.
    pub current: Amps,
}

/// What a vehicle can take; `None`: it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EvLimits {
    /// EVMaximumVoltageLimit.
    pub voltage: Option<Volts>,
    /// EVMaximumCurrentLimit.
    pub current: Option<Amps>,
    /// EVMaximumPowerLimit.
    pub power: Option<Watts>,
    /// EVEnergyCapacity.
    pub capacity: Option<WattHours>,
    /// EVMinimumVoltage (ISO 15118-20).
    pub voltage_min: Option<Volts>,
    /// EVMinimumChargeCurrent (ISO 15118-20).
    pub current_min: Option<Amps>,
    /// EVMinimumChargePower (ISO 15118-20).
    pub power_min: Option<Watts>,
    /// EVMaximumDischargeCurrent (ISO 15118-20).
    pub discharge_current: Option<Amps>,
    /// EVMaximumDischargePower (ISO 15118-20).
    pub discharge_power: Option<Watts>,
}

impl EvLimits {
    /// These limits, and `older` where these say nothing.
    #[must_use]
    pub fn or(self, older: Self) -> Self {
        Self {
            voltage: self.voltage.or(older.voltage),
            current: self.current.or(older.current),
            power: self.power.or(older.power),
            capacity: self.capacity.or(older.capacity),
            voltage_min: self.voltage_min.or(older.voltage_min),
            current_min: self.current_min.or(older.current_min),
            power_min: self.power_min.or(older.power_min),
            discharge_current: self.discharge_current.or(older.discharge_current),
            discharge_power: self.discharge_power.or(older.discharge_power),
        }
    }
}

/// DC_EVStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvStatus {
    /// EVRESSSOC.
    pub soc: Percent,
    /// EVReady. False in ChargeParameterDiscovery is normal.
    pub ready: bool,
    /// EVErrorCode in the standard's words; empty for NO_ERROR.
    pub error: &'static str,
}
