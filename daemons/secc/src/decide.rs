//! What a request is answered, from what evse last pushed. Pure.

use std::sync::Arc;
use std::time::Duration;

use voltry_bus::{Authorization, EvseStatusCode, Isolation, LinkPhase, PhaseAnswer};
use voltry_units::{Amps, Timestamp, Volts};

use crate::config::Timing;
use crate::contract;
use crate::message::{
    Body, Chosen, Code, Limited, Metered, Offer, Processing, Progress, Protocol, Request, Status, Unfit,
};
use crate::order::Stage;
use crate::pushed::{PRESENT_MAX_AGE, Present, Pushed};
use crate::v2g::WireError;

/// How long a vehicle in ISO 15118-20 may take to sign what was metered, while it goes on charging.
pub const RECEIPT_WITHIN: Duration = Duration::from_secs(30);

/// An open request and everything its answer depends on.
#[derive(Debug)]
pub struct Question<'a> {
    /// The request.
    pub request: &'a Request,
    /// The protocol that was agreed.
    pub protocol: Protocol,
    /// The stage it led to.
    pub stage: Stage,
    /// That phase's counter.
    pub counter: u64,
    /// The counter of the session's first phase.
    pub since: u64,
    /// Now.
    pub now: Timestamp,
    /// When the request came.
    pub asked: Timestamp,
    /// When the phase was entered.
    pub entered: Timestamp,
    /// The vehicle must be answered now.
    pub due: bool,
    /// Whether the vehicle has to sign what was metered.
    pub receipt: Receipt,
    /// What the back end says of the contract that leads to no root of ours; `None`: nothing yet.
    pub judged: Option<bool>,
    /// How its schedules stand.
    pub planning: Planning,
    /// What evse pushed.
    pub pushed: &'a Pushed,
    /// The station's times.
    pub timing: &'a Timing,
}

/// Whether a vehicle under a contract has to sign what was metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It need not.
    NotDue,
    /// It is told to, with this answer.
    Due,
    /// It was told to and has had its time.
    Overdue,
}

/// How a vehicle's schedules stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planning {
    /// Whether what it chose is what it was offered.
    pub plan: Result<(), Unfit>,
    /// A planner has still time for an offer.
    pub awaited: bool,
    /// How many entries the vehicle takes in each; 0: it did not say.
    pub entries_max: u16,
    /// It is to agree anew.
    pub renegotiate: bool,
}

/// What to do about an open request.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Nothing yet: evse may still push something better.
    Wait,
    /// Answer, and go on.
    Say(Processing),
    /// Answer with this code, and let the vehicle try otherwise.
    Warn(Code, Cause),
    /// Answer with this code, and end.
    Fail(Code, Cause),
}

/// Why a conversation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The bytes are no conversation.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A request that the order of messages does not allow.
    #[error("{request} is out of order {}", stage.words())]
    Order {
        /// The request.
        request: &'static str,
        /// Where it came.
        stage: Stage,
    },
    /// A request under a session id that this station did not give.
    #[error("{0} carries an unknown session id")]
    UnknownSession(&'static str),
    /// The vehicle wants what this station has not.
    #[error("the vehicle wants {0}")]
    NotOffered(&'static str),
    /// What the vehicle says of itself is not for this station.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A contract's certificate or signature is not good.
    #[error("{0}")]
    Disbelieved(String),
    /// The driver may not charge.
    #[error("not authorized")]
    NotAuthorized,
    /// evse refused the phase.
    #[error("evse refused {0}")]
    Refused(&'static str),
    /// evse ended the session.
    #[error("{0}")]
    Aborted(Arc<str>),
    /// evse's answer did not come in the station's time.
    #[error("{request} was not granted within {} s", limit.as_secs_f64())]
    Overdue {
        /// The request.
        request: &'static str,
        /// The station's time for it.
        limit: Duration,
    },
    /// There are no present values, or only old ones.
    #[error("no present values of the last {max} ms for {0}", max = PRESENT_MAX_AGE.as_millis())]
    Stale(&'static str),
    /// The vehicle did not sign what was metered.
    #[error("no receipt of the vehicle for what was metered within {} s", RECEIPT_WITHIN.as_secs())]
    NoReceipt,
    /// evse has not said what the EVSE offers.
    #[error("no limits are known")]
    NoLimits,
    /// The vehicle fell silent.
    #[error("the vehicle sent nothing for {} s", .0.as_secs_f64())]
    Silent(Duration),
    /// There was no TLS, or none where there must be.
    #[error("{0}")]
    Tls(String),
    /// The connection ended before SessionStop.
    #[error("the connection ended: {0}")]
    Disconnected(&'static str),
}

/// How the vehicle ended a conversation by itself, in one sentence: where, and why as far as it is
/// known. `error` is its EVErrorCode, empty for none; `asked` why the station had asked it to stop.
#[must_use]
pub fn goodbye(paused: bool, phase: Option<LinkPhase>, error: &str, asked: Option<&str>) -> String {
    let phase = phase.map_or_else(String::new, |phase| format!(" in {phase}"));
    let mut sentence =
        format!("the vehicle {} it{phase} with SessionStop", if paused { "paused" } else { "ended" });
    if let Some(asked) = asked {
        sentence += &format!(", as the station had asked: {asked}");
    }
    if !error.is_empty() {
        sentence += &format!("; it says {error}");
    }
    sentence
}

impl Cause {
    /// Who ended the conversation, where, and why, in one sentence. `phase`: none before a
    /// session was set up.
    #[must_use]
    pub fn sentence(&self, phase: Option<LinkPhase>) -> String {
        let phase = phase.map_or_else(|| "the handshake".to_owned(), |phase| phase.to_string());
        match self {
            // Their own words say who.
            Self::Silent(_) | Self::Tls(_) | Self::Disconnected(_) => format!("in {phase} {self}"),
            Self::Wire(_)
            | Self::Order { .. }
            | Self::UnknownSession(_)
            | Self::NotOffered(_)
            | Self::Unfit(_)
            | Self::Disbelieved(_)
            | Self::NotAuthorized
            | Self::Refused(_)
            | Self::Aborted(_)
            | Self::Overdue { .. }
            | Self::Stale(_)
            | Self::NoReceipt
            | Self::NoLimits => format!("the station ended it in {phase}: {self}"),
        }
    }

    /// The kind alone, to count by.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Wire(WireError::Framing(_)) => "framing",
            Self::Wire(WireError::Codec(_)) => "codec",
            Self::Wire(WireError::NotARequest(_)) => "not a request",
            Self::Wire(WireError::NoCommonProtocol(_)) => "no common protocol",
            Self::Order { .. } => "order",
            Self::UnknownSession(_) => "unknown session",
            Self::NotOffered(_) | Self::Unfit(Unfit::Mode(_)) => "not offered",
            Self::Unfit(Unfit::Parameters | Unfit::Schedule | Unfit::Profile | Unfit::Value(_)) => "unfit",
            Self::Disbelieved(_) => "contract not believed",
            Self::NotAuthorized => "not authorized",
            Self::Refused(_) => "refused",
            Self::Aborted(_) => "aborted",
            Self::Overdue { .. } => "overdue",
            Self::Stale(_) => "stale",
            Self::NoReceipt => "no receipt",
            Self::NoLimits => "no limits",
            Self::Silent(_) => "silent",
            Self::Tls(_) => "TLS",
            Self::Disconnected(_) => "disconnected",
        }
    }
}

impl Question<'_> {
    /// Answer, wait, or fail.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if let (Some(reason), false) =
            (&self.pushed.abort, matches!(self.request, Request::SessionStop { .. }))
        {
            return Verdict::Fail(Code::Failed, Cause::Aborted(Arc::clone(reason)));
        }
        match self.request {
            Request::SessionSetup { .. }
            | Request::AuthorizationSetup
            | Request::ServiceDiscovery
            | Request::ServiceDetail { offered: true, .. }
            | Request::ServiceRenegotiation
            | Request::SessionStop { .. } => Verdict::Say(Processing::Finished),
            Request::ServiceDetail { offered: false, .. } => Verdict::Fail(
                Code::FailedServiceIdInvalid,
                Cause::NotOffered("a service that is not offered"),
            ),
            Request::ServiceSelection { chosen } => services(*chosen),
            Request::PaymentServiceSelection { contract: true, .. } => Verdict::Fail(
                Code::FailedPaymentSelectionInvalid,
                Cause::NotOffered("payment by contract, which is not offered"),
            ),
            Request::PaymentServiceSelection { contract: false, chosen } => services(*chosen),
            Request::Contract(request) => self.contract(request),
            Request::Authorization => self.authorization(self.timing.authorization_in(self.protocol)),
            Request::ChargeParameterDiscovery { dc: Err(unfit) } => refused(*unfit),
            Request::ChargeParameterDiscovery { dc: Ok(_) } => self.parameters(),
            Request::ScheduleExchange { .. } => self.agreement(),
            Request::CableCheck { .. } => self.looped(Code::Failed, self.timing.cable_check),
            Request::PreCharge { target: Err(unfit), .. }
            | Request::CurrentDemand { target: Err(unfit), .. } => {
                Verdict::Fail(Code::Failed, Cause::Unfit(*unfit))
            }
            Request::PreCharge { .. } => self.pre_charge(),
            Request::PowerDelivery { progress, .. } => self.power_delivery(*progress),
            Request::CurrentDemand { .. } if self.receipt == Receipt::Overdue => {
                Verdict::Fail(Code::Failed, Cause::NoReceipt)
            }
            Request::CurrentDemand { .. } | Request::WeldingDetection { .. } => self.with_present(),
            Request::NotOffered(name) => Verdict::Fail(Code::FailedSequenceError, Cause::NotOffered(name)),
        }
    }

    pub(crate) fn authorization(&self, limit: Duration) -> Verdict {
        match self.pushed.authorization {
            Authorization::Granted => Verdict::Say(Processing::Finished),
            Authorization::Refused => Verdict::Fail(Code::Failed, Cause::NotAuthorized),
            Authorization::Pending => self.not_yet(Processing::WaitingForCustomer, limit),
        }
    }

    fn parameters(&self) -> Verdict {
        match (self.pushed.limits, self.due) {
            (None, false) => Verdict::Wait,
            (None, true) => Verdict::Fail(Code::Failed, Cause::NoLimits),
            // The schedule exchange that follows waits for evse.
            (Some(_), _) if self.protocol == Protocol::Iso20 => Verdict::Say(Processing::Finished),
            (Some(_), _) => self.agreement(),
        }
    }

    /// While the current flows evse is not asked: the limits are what they are.
    fn agreement(&self) -> Verdict {
        let granted = if self.stage == Stage::Renegotiating {
            Verdict::Say(Processing::Finished)
        } else {
            self.looped(Code::FailedWrongChargeParameter, self.timing.ongoing)
        };
        match granted {
            Verdict::Say(Processing::Finished) if self.planning.awaited && self.due => {
                Verdict::Say(Processing::Ongoing)
            }
            Verdict::Say(Processing::Finished) if self.planning.awaited => Verdict::Wait,
            Verdict::Say(_) | Verdict::Wait | Verdict::Warn(..) | Verdict::Fail(..) => granted,
        }
    }

    fn pre_charge(&self) -> Verdict {
        match self.pushed.answer(self.counter) {
            PhaseAnswer::Failed => Verdict::Fail(Code::Failed, Cause::Refused(self.request.name())),
            PhaseAnswer::Ongoing | PhaseAnswer::Finished if self.since(self.timing.pre_charge) => {
                Verdict::Fail(Code::Failed, self.overdue(self.timing.pre_charge))
            }
            PhaseAnswer::Ongoing | PhaseAnswer::Finished => self.with_present(),
        }
    }

    fn power_delivery(&self, progress: Progress) -> Verdict {
        if let Err(unfit) = self.planning.plan {
            return refused(unfit);
        }
        match (progress, self.stage) {
            // Back from a renegotiation, or into it: the current flows all the while.
            (Progress::Preparing | Progress::Renegotiate | Progress::Standby, _)
            | (Progress::Start, Stage::Charging) => {
                return Verdict::Say(Processing::Finished);
            }
            (Progress::Start | Progress::Stop, _) => {}
        }
        let code = Code::FailedPowerDeliveryNotApplied;
        let limit = self.timing.power_delivery_in(self.protocol);
        match self.pushed.answer(self.counter) {
            PhaseAnswer::Finished => Verdict::Say(Processing::Finished),
            PhaseAnswer::Failed => Verdict::Fail(code, Cause::Refused(self.request.name())),
            PhaseAnswer::Ongoing if self.due => Verdict::Fail(code, self.overdue(limit)),
            PhaseAnswer::Ongoing => Verdict::Wait,
        }
    }

    fn with_present(&self) -> Verdict {
        match self.present() {
            Some(_) => Verdict::Say(Processing::Finished),
            None if self.due => Verdict::Fail(Code::Failed, Cause::Stale(self.request.name())),
            None => Verdict::Wait,
        }
    }

    /// A phase that the vehicle repeats until evse has an answer.
    fn looped(&self, refusal: Code, limit: Duration) -> Verdict {
        match self.pushed.answer(self.counter) {
            PhaseAnswer::Finished => Verdict::Say(Processing::Finished),
            PhaseAnswer::Failed => Verdict::Fail(refusal, Cause::Refused(self.request.name())),
            PhaseAnswer::Ongoing => self.not_yet(Processing::Ongoing, limit),
        }
    }

    pub(crate) fn not_yet(&self, processing: Processing, limit: Duration) -> Verdict {
        if self.since(limit) {
            Verdict::Fail(Code::Failed, self.overdue(limit))
        } else if self.due {
            Verdict::Say(processing)
        } else {
            Verdict::Wait
        }
    }

    pub(crate) fn since(&self, limit: Duration) -> bool {
        self.now.since(self.entered) >= limit
    }

    pub(crate) const fn overdue(&self, limit: Duration) -> Cause {
        Cause::Overdue { request: self.request.name(), limit }
    }

    fn present(&self) -> Option<&Present> {
        self.pushed.present(self.now, self.since)
    }

    /// The answer's fields. Present values that are missing are told as zero, which only a
    /// failure does.
    #[must_use]
    pub fn body(&self, processing: Processing, failed: bool) -> Body {
        let status = self.status(processing, failed);
        let present = self.present();
        let voltage = present.map_or(Volts::ZERO, |present| present.voltage);
        match self.request {
            Request::SessionSetup { .. } => Body::SessionSetup,
            Request::ServiceDiscovery => Body::ServiceDiscovery,
            Request::AuthorizationSetup => Body::AuthorizationSetup,
            Request::ServiceDetail { service_id, .. } => Body::ServiceDetail { service_id: *service_id },
            Request::ServiceSelection { .. } => Body::ServiceSelection,
            Request::ScheduleExchange { .. } => {
                let limits = self.pushed.offered().unwrap_or_default();
                Body::ScheduleExchange { processing, limits, offer: self.offer(processing, failed) }
            }
            Request::PaymentServiceSelection { .. } => Body::PaymentServiceSelection,
            Request::Authorization => Body::Authorization { processing },
            Request::ChargeParameterDiscovery { .. } => Body::ChargeParameterDiscovery {
                processing,
                status,
                limits: self.pushed.offered().unwrap_or_default(),
                offer: self.offer(processing, failed),
            },
            Request::CableCheck { .. } => Body::CableCheck { processing, status },
            Request::PreCharge { .. } => Body::PreCharge { status, voltage },
            Request::PowerDelivery { .. } => Body::PowerDelivery { status },
            Request::CurrentDemand { .. } => Body::CurrentDemand {
                status,
                voltage,
                current: present.map_or(Amps::ZERO, |present| present.current),
                limited: present.map_or(Limited::default(), |present| present.limited),
                limits: self.pushed.offered(),
                meter: self.pushed.meter(self.now).map(|(energy, age)| Metered {
                    energy,
                    age,
                    receipt: self.receipt == Receipt::Due,
                }),
            },
            Request::WeldingDetection { .. } => Body::WeldingDetection { status, voltage },
            Request::SessionStop { .. } | Request::ServiceRenegotiation => Body::SessionStop,
            Request::Contract(request) => match request {
                contract::Request::Selection { .. } => Body::PaymentServiceSelection,
                contract::Request::Details { .. } => Body::PaymentDetails,
                contract::Request::Authorization { .. } => Body::Authorization { processing },
                contract::Request::Certificate { .. } => {
                    // A refusal of the back end's own says more than ours.
                    let answer = self.certificate().filter(|answer| answer.refused == failed);
                    Body::Certificate(answer.and_then(|answer| answer.message.clone()))
                }
                contract::Request::MeteringReceipt { .. } => Body::MeteringReceipt { status },
            },
            Request::NotOffered(_) => Body::NotOffered,
        }
    }

    /// What the vehicle may choose from, with the answer that finishes.
    fn offer(&self, processing: Processing, failed: bool) -> Option<Offer> {
        let limits = self.pushed.limits.filter(|_| processing == Processing::Finished && !failed)?;
        let entries = usize::from(self.planning.entries_max);
        Some(Offer::told(self.pushed.schedules.as_deref(), self.now, limits.power_max, entries))
    }

    fn status(&self, processing: Processing, failed: bool) -> Status {
        let present = self.present();
        let mut code = present.map_or(EvseStatusCode::NotReady, |present| present.status);
        let mut isolation = present.map_or(Isolation::Invalid, |present| present.isolation);
        // "Finished" is evse's word that the test passed, even where its values lag behind it.
        if let (Request::CableCheck { .. }, Processing::Finished, false) = (self.request, processing, failed)
        {
            if isolation == Isolation::Invalid {
                isolation = Isolation::Valid;
            }
            if matches!(code, EvseStatusCode::NotReady | EvseStatusCode::IsolationMonitoringActive) {
                code = EvseStatusCode::Ready;
            }
        }
        let going_on = matches!(
            code,
            EvseStatusCode::NotReady | EvseStatusCode::Ready | EvseStatusCode::IsolationMonitoringActive
        );
        if failed && going_on {
            code = EvseStatusCode::Malfunction;
        } else if self.pushed.stop.is_some() && going_on {
            code = EvseStatusCode::Shutdown;
        }
        let stop = failed || self.pushed.stop.is_some();
        Status { stop, renegotiate: self.planning.renegotiate && !stop, isolation, code }
    }
}

/// ISO 15118-2 \[V2G2-467\] and its neighbours; the session ends with a refusal.
pub(crate) const fn services(chosen: Chosen) -> Verdict {
    match chosen {
        Chosen::Offered => Verdict::Say(Processing::Finished),
        Chosen::NoCharging => {
            Verdict::Fail(Code::FailedNoChargeServiceSelected, Cause::NotOffered("no charging of ours"))
        }
        Chosen::NotOffered => Verdict::Fail(
            Code::FailedServiceSelectionInvalid,
            Cause::NotOffered("a service that is not offered"),
        ),
    }
}

const fn refused(parameters: Unfit) -> Verdict {
    let code = match parameters {
        Unfit::Mode(_) => Code::FailedWrongEnergyTransferMode,
        Unfit::Parameters | Unfit::Value(_) => Code::FailedWrongChargeParameter,
        Unfit::Schedule => Code::FailedTariffSelectionInvalid,
        Unfit::Profile => Code::FailedChargingProfileInvalid,
    };
    Verdict::Fail(code, Cause::Unfit(parameters))
}

#[cfg(test)]
mod tests;
