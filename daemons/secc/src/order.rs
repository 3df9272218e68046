//! Which request may follow which (ISO 15118-2, 8.8.4; ISO 15118-20, 8.6; DIN 70121, whose order is
//! that of -2; DC with external payment).
//!
//! ```text
//! -2:  Handshake ─▶ Setup ─▶ Services ─▶ Selected ─▶ Authorizing ─▶ Parameters ─▶ CableCheck
//!                                                                                │
//!      WeldingDetection ◀─ PowerOff ◀─ Charging ◀─ PowerOn ◀──────────────── PreCharge
//!              └───────────────┴──▶ Stopping          (Charging ⇄ Renegotiating, Standby;
//!                                                      Renegotiating ─▶ CableCheck)
//!
//! -20: Handshake ─▶ Setup ─▶ Identified ─▶ AuthorizationOffered ─▶ Authorizing ─▶ Services
//!                                     ─▶ Selected ─▶ Parameters, and on as above
//! ```
//! In -2 a vehicle that was told to sign what was metered does that next (ReceiptDue), or stops; and one
//! that renegotiates comes back by CableCheck, or, as Volkswagens do, stays in state C and goes on.
//! In -20 a vehicle that was warned of its contract may fetch another (Authorizing ─▶ AuthorizationOffered).
//! In -20 SessionStop(ServiceRenegotiation) leads back to Services, from Selected and Parameters, and
//! from PowerOff and WeldingDetection, when the current is off and the contactors are open.
//! SessionStop leads to Stopping from everywhere after Setup, and PowerDelivery(Stop) to
//! PowerOff from Parameters on: vehicles give up in either way, and one that is refused then
//! keeps its plug locked. A step forward is only open once the step before it was granted.

use voltry_bus::LinkPhase;

use crate::contract;
use crate::message::{Progress, Protocol, Request};
use crate::v2g::Tolerance;

/// Where a conversation stands, by the request that was last accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connected, no protocol agreed.
    Handshake,
    /// A protocol is agreed, no session.
    Setup,
    /// A session; nothing is agreed (ISO 15118-20).
    Identified,
    /// The ways to be authorized are told (ISO 15118-20).
    AuthorizationOffered,
    /// Services are being chosen.
    Services,
    /// Services, and in -2 the payment, are chosen.
    Selected,
    /// Payment by contract and services are chosen; the contract is not shown, or being fetched.
    ContractSelected,
    /// The contract's certificate is believed.
    ContractKnown,
    /// Asking for authorization.
    Authorizing {
        /// It was granted.
        granted: bool,
    },
    /// Agreeing on limits.
    Parameters {
        /// They were agreed.
        agreed: bool,
    },
    /// Testing the insulation.
    CableCheck {
        /// It passed.
        passed: bool,
    },
    /// Bringing the cable to the battery's voltage.
    PreCharge,
    /// PowerDelivery(Start) is open.
    PowerOn,
    /// The charge loop.
    Charging,
    /// The vehicle was told to sign what was metered, and does that next (ISO 15118-2).
    ReceiptDue,
    /// Limits are agreed on again, while the current flows.
    Renegotiating,
    /// The vehicle rests at no current, its contactors and ours closed (ISO 15118-20). It may go on
    /// with the charge loop, where it hears of us.
    Standby,
    /// PowerDelivery(Stop) came.
    PowerOff,
    /// The vehicle opens its contactors.
    WeldingDetection,
    /// SessionStop came.
    Stopping,
    /// A failure was told; the vehicle may only say goodbye.
    Failed,
    /// The connection ends.
    Closed,
}

impl Stage {
    /// The stage that `request` leads to; `None`: out of order.
    #[must_use]
    pub fn after(self, request: &Request, protocol: Protocol) -> Option<Self> {
        let agreed = match protocol {
            Protocol::Din | Protocol::Iso2 => self.towards_parameters_in_iso2(request),
            Protocol::Iso20 => self.towards_parameters_in_iso20(request),
        };
        agreed.or_else(|| self.after_parameters(request))
    }

    const fn towards_parameters_in_iso2(self, request: &Request) -> Option<Self> {
        use Request as R;
        use Stage as S;
        use contract::Request as C;
        Some(match (self, request) {
            (S::Setup, R::SessionSetup { .. }) => S::Services,
            (S::Services, R::ServiceDiscovery | R::ServiceDetail { .. }) => S::Services,
            (S::Services, R::PaymentServiceSelection { .. }) => S::Selected,
            (S::Services, R::Contract(C::Selection { .. }))
            | (S::ContractSelected, R::Contract(C::Certificate { .. })) => S::ContractSelected,
            (S::ContractSelected, R::Contract(C::Details { .. })) => S::ContractKnown,
            (S::Selected, R::Authorization) | (S::ContractKnown, R::Contract(C::Authorization { .. })) => {
                S::Authorizing { granted: false }
            }
            (S::Authorizing { granted }, R::Authorization | R::Contract(C::Authorization { .. })) => {
                S::Authorizing { granted }
            }
            (S::ReceiptDue, R::Contract(C::MeteringReceipt { .. })) => S::Charging,
            (S::Authorizing { granted: true }, R::ChargeParameterDiscovery { .. }) => {
                S::Parameters { agreed: false }
            }
            (S::Parameters { agreed }, R::ChargeParameterDiscovery { .. }) => S::Parameters { agreed },
            // Whatever the table does not name is out of order.
            _ => return None,
        })
    }

    const fn towards_parameters_in_iso20(self, request: &Request) -> Option<Self> {
        use Request as R;
        use Stage as S;
        use contract::Request as C;
        Some(match (self, request) {
            (S::Setup, R::SessionSetup { .. }) => S::Identified,
            (S::Identified, R::AuthorizationSetup) => S::AuthorizationOffered,
            (
                S::AuthorizationOffered | S::Authorizing { granted: false },
                R::Contract(C::Certificate { .. }),
            ) => S::AuthorizationOffered,
            (S::AuthorizationOffered, R::Authorization | R::Contract(C::Authorization { .. })) => {
                S::Authorizing { granted: false }
            }
            (S::Authorizing { granted }, R::Authorization | R::Contract(C::Authorization { .. })) => {
                S::Authorizing { granted }
            }
            (S::Authorizing { granted: true }, R::ServiceDiscovery)
            | (S::Services, R::ServiceDiscovery | R::ServiceDetail { .. }) => S::Services,
            (S::Services, R::ServiceSelection { .. }) => S::Selected,
            (S::Selected | S::Parameters { .. }, R::ChargeParameterDiscovery { .. }) => {
                S::Parameters { agreed: false }
            }
            (S::Parameters { agreed }, R::ScheduleExchange { .. }) => S::Parameters { agreed },
            // Beside the other messages: it may cross those that end the charge loop.
            (
                S::Charging | S::Standby | S::Renegotiating | S::PowerOff | S::WeldingDetection,
                R::Contract(C::MeteringReceipt { .. }),
            ) => self,
            (
                S::Selected | S::Parameters { .. } | S::PowerOff | S::WeldingDetection,
                R::ServiceRenegotiation,
            ) => S::Services,
            // As above.
            _ => return None,
        })
    }

    const fn after_parameters(self, request: &Request) -> Option<Self> {
        use Request as R;
        use Stage as S;
        Some(match (self, request) {
            (S::Parameters { agreed: true } | S::Renegotiating, R::CableCheck { .. }) => {
                S::CableCheck { passed: false }
            }
            (S::CableCheck { passed }, R::CableCheck { .. }) => S::CableCheck { passed },
            (S::CableCheck { passed: true } | S::PreCharge, R::PreCharge { .. }) => S::PreCharge,
            (S::PreCharge, R::PowerDelivery { progress: Progress::Preparing, .. }) => S::PreCharge,
            (S::PreCharge, R::PowerDelivery { progress: Progress::Start, .. }) => S::PowerOn,
            (S::Charging, R::CurrentDemand { .. }) => S::Charging,
            (S::Charging | S::Standby, R::PowerDelivery { progress: Progress::Standby, .. })
            | (
                S::Standby,
                R::CurrentDemand { .. } | R::PowerDelivery { progress: Progress::Preparing, .. },
            ) => S::Standby,
            (S::Charging | S::Standby, R::PowerDelivery { progress: Progress::Renegotiate, .. })
            | (
                S::Renegotiating,
                R::ChargeParameterDiscovery { .. }
                | R::ScheduleExchange { .. }
                | R::PowerDelivery { progress: Progress::Preparing, .. },
            ) => S::Renegotiating,
            (S::Renegotiating | S::Standby, R::PowerDelivery { progress: Progress::Start, .. }) => {
                S::Charging
            }
            (
                S::Parameters { .. }
                | S::CableCheck { .. }
                | S::PreCharge
                | S::Charging
                | S::ReceiptDue
                | S::Renegotiating
                | S::Standby
                | S::PowerOff,
                R::PowerDelivery { progress: Progress::Stop, .. },
            ) => S::PowerOff,
            (S::PowerOff | S::WeldingDetection, R::WeldingDetection { .. }) => S::WeldingDetection,
            (
                S::Identified
                | S::AuthorizationOffered
                | S::Services
                | S::Selected
                | S::ContractSelected
                | S::ContractKnown
                | S::Authorizing { .. }
                | S::Parameters { .. }
                | S::CableCheck { .. }
                | S::PreCharge
                | S::Charging
                | S::ReceiptDue
                | S::Renegotiating
                | S::Standby
                | S::PowerOff
                | S::WeldingDetection,
                R::SessionStop { .. },
            ) => S::Stopping,
            // As above.
            _ => return None,
        })
    }

    /// What the standards refuse here and this table takes.
    #[must_use]
    pub const fn tolerates(self, request: &Request) -> Option<Tolerance> {
        match (self, request) {
            (
                Self::Parameters { .. } | Self::CableCheck { .. } | Self::PreCharge,
                Request::PowerDelivery { progress: Progress::Stop, .. },
            ) => Some(Tolerance::EarlyStop),
            (
                Self::CableCheck { .. }
                | Self::PreCharge
                | Self::Charging
                | Self::ReceiptDue
                | Self::Renegotiating
                | Self::Standby,
                Request::SessionStop { .. },
            ) => Some(Tolerance::EarlyGoodbye),
            _ => None,
        }
    }

    /// Where it stands, in the standards' words, to be said after "out of order".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Handshake => "before supportedAppProtocol",
            Self::Setup => "before SessionSetup",
            Self::Identified => "after SessionSetup",
            Self::AuthorizationOffered => "after AuthorizationSetup",
            Self::Services => "before the services are selected",
            Self::Selected => "after the services are selected",
            Self::ContractSelected => "before PaymentDetails",
            Self::ContractKnown => "after PaymentDetails",
            Self::Authorizing { granted: false } => "before Authorization is finished",
            Self::Authorizing { granted: true } => "after Authorization",
            Self::Parameters { agreed: false } => "before charge parameters and schedule are agreed on",
            Self::Parameters { agreed: true } => "after charge parameters and schedule are agreed on",
            Self::CableCheck { passed: false } => "before CableCheck is finished",
            Self::CableCheck { passed: true } => "after CableCheck",
            Self::PreCharge => "in PreCharge",
            Self::PowerOn => "in PowerDelivery(Start)",
            Self::Charging => "in the charge loop",
            Self::ReceiptDue => "before MeteringReceipt",
            Self::Renegotiating => "in a renegotiation",
            Self::Standby => "in standby",
            Self::PowerOff => "after PowerDelivery(Stop)",
            Self::WeldingDetection => "in WeldingDetection",
            Self::Stopping => "after SessionStop",
            Self::Failed => "after a failure",
            Self::Closed => "after the end",
        }
    }

    /// The phase that evse is told; `None`: none of its business yet, or over.
    #[must_use]
    pub const fn phase(self) -> Option<LinkPhase> {
        match self {
            Self::Handshake | Self::Setup | Self::Failed | Self::Closed => None,
            Self::Identified
            | Self::AuthorizationOffered
            | Self::Services
            | Self::Selected
            | Self::ContractSelected
            | Self::ContractKnown => Some(LinkPhase::Connected),
            Self::Authorizing { .. } => Some(LinkPhase::Authorizing),
            Self::Parameters { .. } => Some(LinkPhase::Parameters),
            Self::CableCheck { .. } => Some(LinkPhase::CableCheck),
            Self::PreCharge => Some(LinkPhase::PreCharge),
            Self::PowerOn => Some(LinkPhase::PowerOn),
            Self::Charging | Self::ReceiptDue | Self::Standby => Some(LinkPhase::Charging),
            Self::Renegotiating => Some(LinkPhase::Renegotiating),
            Self::PowerOff => Some(LinkPhase::PowerOff),
            Self::WeldingDetection => Some(LinkPhase::WeldingDetection),
            Self::Stopping => Some(LinkPhase::Stopping),
        }
    }
}
