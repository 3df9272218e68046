//! What a vehicle is answered.

use std::sync::Arc;
use std::time::Duration;

use voltry_units::{Amps, Volts, WattHours, Watts};

use super::Offer;

/// The station's answer to the request that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// ResponseCode.
    pub code: Code,
    /// The rest of the message.
    pub body: Body,
}

/// ResponseCode, as far as this station gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's own words")]
pub enum Code {
    Ok,
    OkNewSessionEstablished,
    OkOldSessionJoined,
    Failed,
    FailedSequenceError,
    FailedServiceIdInvalid,
    FailedServiceSelectionInvalid,
    FailedUnknownSession,
    FailedPaymentSelectionInvalid,
    FailedNoChargeServiceSelected,
    FailedWrongChargeParameter,
    FailedTariffSelectionInvalid,
    FailedChargingProfileInvalid,
    FailedWrongEnergyTransferMode,
    FailedPowerDeliveryNotApplied,
    FailedCertChainError,
    FailedCertificateExpired,
    FailedCertificateRevoked,
    FailedNoCertificateAvailable,
    FailedSignatureError,
    FailedChallengeInvalid,
    FailedMeteringSignatureNotValid,
}

impl Code {
    /// Whether it ends the session.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Ok | Self::OkNewSessionEstablished | Self::OkOldSessionJoined => false,
            Self::Failed
            | Self::FailedSequenceError
            | Self::FailedServiceIdInvalid
            | Self::FailedServiceSelectionInvalid
            | Self::FailedUnknownSession
            | Self::FailedPaymentSelectionInvalid
            | Self::FailedNoChargeServiceSelected
            | Self::FailedWrongChargeParameter
            | Self::FailedTariffSelectionInvalid
            | Self::FailedChargingProfileInvalid
            | Self::FailedWrongEnergyTransferMode
            | Self::FailedPowerDeliveryNotApplied
            | Self::FailedCertChainError
            | Self::FailedCertificateExpired
            | Self::FailedCertificateRevoked
            | Self::FailedNoCertificateAvailable
            | Self::FailedSignatureError
            | Self::FailedChallengeInvalid
            | Self::FailedMeteringSignatureNotValid => true,
        }
    }
}

/// The fields of an answer.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the standard's messages and elements")]
pub enum Body {
    SessionSetup,
    AuthorizationSetup,
    ServiceDiscovery,
    ServiceDetail {
        service_id: u16,
    },
    ServiceSelection,
    PaymentServiceSelection,
    Authorization {
        processing: Processing,
    },
    ChargeParameterDiscovery {
        processing: Processing,
        status: Status,
        limits: Limits,
        /// With the answer that finishes.
        offer: Option<Offer>,
    },
    ScheduleExchange {
        processing: Processing,
        limits: Limits,
        /// Likewise.
        offer: Option<Offer>,
    },
    CableCheck {
        processing: Processing,
        status: Status,
    },
    PreCharge {
        status: Status,
        voltage: Volts,
    },
    PowerDelivery {
        status: Status,
    },
    CurrentDemand {
        status: Status,
        voltage: Volts,
        current: Amps,
        limited: Limited,
        limits: Option<Limits>,
        meter: Option<Metered>,
    },
    WeldingDetection {
        status: Status,
        voltage: Volts,
    },
    SessionStop,
    /// The answer to a contract's certificate, with a challenge.
    PaymentDetails,
    /// A contract certificate, the back end's message; `None`: there is none.
    Certificate(Option<Arc<[u8]>>),
    MeteringReceipt {
        status: Status,
    },
    /// The answer to [`super::Request::NotOffered`]; every field at the schema's least.
    NotOffered,
}

/// EVSEProcessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processing {
    /// Ask again.
    Ongoing,
    /// Ask again; a person has to do something.
    WaitingForCustomer,
    /// Done.
    Finished,
}

/// DC_EVSEStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// EVSENotification is StopCharging.
    pub stop: bool,
    /// It is ReNegotiation; to stop comes first.
    pub renegotiate: bool,
    /// EVSEIsolationStatus.
    pub isolation: voltry_bus::Isolation,
    /// EVSEStatusCode.
    pub code: voltry_bus::EvseStatusCode,
}

/// What the EVSE offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// EVSEMinimumVoltageLimit.
    pub voltage_min: Volts,
    /// EVSEMaximumVoltageLimit.
    pub voltage_max: Volts,
    /// EVSEMinimumCurrentLimit.
    pub current_min: Amps,
    /// EVSEMaximumCurrentLimit.
    pub current_max: Amps,
    /// EVSEMaximumPowerLimit.
    pub power_max: Watts,
    /// EVSEMaximumDischargeCurrent (ISO 15118-20); zero: nothing is taken.
    pub discharge_current: Amps,
    /// EVSEMaximumDischargePower (ISO 15118-20).
    pub discharge_power: Watts,
}

/// MeterInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metered {
    /// The meter's register.
    pub energy: WattHours,
    /// How long ago it was read.
    pub age: Duration,
    /// The vehicle is to sign it: ReceiptRequired; in ISO 15118-20 the notification MeteringConfirmation.
    pub receipt: bool,
}

/// Which of its limits the output is held at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limited {
    /// EVSEVoltageLimitAchieved.
    pub voltage: bool,
    /// EVSECurrentLimitAchieved.
    pub current: bool,
    /// EVSEPowerLimitAchieved.
    pub power: bool,
}
