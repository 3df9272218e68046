//! Plug & Charge: what a vehicle asks under a contract, and what it is answered, without a
//! protocol's encoding. Whether a certificate or a signature is good is found where the bytes
//! are, in [`crate::v2g`].

use std::sync::Arc;

use voltry_bus::Authorization;

use crate::decide::{Cause, Question, Verdict, services};
use crate::message::{Chosen, Code, Processing, Protocol};

/// Why a certificate or a signature is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disbelief {
    /// What the vehicle is told.
    pub code: Code,
    /// For a technician. Names no contract.
    pub why: String,
}

/// A contract that a vehicle has proved to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Whose.
    pub emaid: Arc<str>,
    /// Its certificate, then those above it, DER.
    pub chain: Arc<[Vec<u8>]>,
    /// Its certificates lead to a root of ours. Otherwise nobody has vouched for them yet, and the back end
    /// is to judge them (OCPP 2.0.1 part 2, C07.FR.06).
    pub rooted: bool,
}

impl Proven {
    /// No contract.
    #[must_use]
    pub fn none() -> Self {
        Self { emaid: Arc::from(""), chain: Arc::new([]), rooted: false }
    }
}

/// What a vehicle asks under a contract.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Chooses to pay by contract.
    Selection {
        /// Whether this station has the services.
        chosen: Chosen,
    },
    /// Shows its contract certificate.
    Details {
        /// Whether that leads to a root of ours.
        believed: Result<(), Disbelief>,
    },
    /// Asks whether it may charge, and signs that.
    Authorization {
        /// The contract, if the signature is the contract's and answers our challenge.
        proof: Result<Proven, Disbelief>,
    },
    /// Asks for a contract certificate: the back end's to answer.
    Certificate {
        /// For a new one in place of one that it has.
        update: bool,
        /// The whole message as it came.
        message: Arc<[u8]>,
    },
    /// Signs a meter's reading: MeteringReceiptReq; in ISO 15118-20 MeteringConfirmationReq.
    MeteringReceipt {
        /// Whether it is the reading that the vehicle was told last to sign, and the contract signed it.
        signed: Result<(), Disbelief>,
    },
}

impl Request {
    /// The message's name in the standard.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Selection { .. } => "PaymentServiceSelectionReq",
            Self::Details { .. } => "PaymentDetailsReq",
            Self::Authorization { .. } => "AuthorizationReq",
            Self::Certificate { update: false, .. } => "CertificateInstallationReq",
            Self::Certificate { update: true, .. } => "CertificateUpdateReq",
            Self::MeteringReceipt { .. } => "MeteringReceiptReq",
        }
    }
}

/// What a back end answered a vehicle's request for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateAnswer {
    /// The request that it answers.
    pub id: u64,
    /// The whole message; `None`: there is no certificate, in so many words.
    pub message: Option<Arc<[u8]>>,
    /// It refuses.
    pub refused: bool,
}

impl Question<'_> {
    pub(crate) fn contract(&self, request: &Request) -> Verdict {
        let as_believed = |believed: &Result<(), Disbelief>| match believed {
            Ok(()) => Verdict::Say(Processing::Finished),
            Err(disbelief) => disbelieved(disbelief),
        };
        match request {
            Request::Selection { chosen } => services(*chosen),
            Request::Details { believed } => as_believed(believed),
            Request::MeteringReceipt { signed } => as_believed(signed),
            Request::Authorization { proof: Ok(proven) } => self.proved(proven),
            Request::Authorization { proof: Err(disbelief) } => self.unproved(disbelief),
            Request::Certificate { .. } => {
                // In ISO 15118-20 it may pay otherwise.
                let no = |cause| match self.protocol {
                    Protocol::Iso20 => Verdict::Warn(Code::FailedNoCertificateAvailable, cause),
                    Protocol::Iso2 | Protocol::Din => {
                        Verdict::Fail(Code::FailedNoCertificateAvailable, cause)
                    }
                };
                match self.certificate() {
                    Some(CertificateAnswer { refused: false, .. }) => Verdict::Say(Processing::Finished),
                    Some(CertificateAnswer { refused: true, .. }) => no(Cause::Refused(request.name())),
                    None if self.due => no(self.overdue(self.timing.certificate)),
                    None => Verdict::Wait,
                }
            }
        }
    }

    /// A contract without a root of ours waits for the back end's word, and counts for nothing before. A card
    /// lets its driver charge meanwhile.
    fn proved(&self, proven: &Proven) -> Verdict {
        let limit = self.timing.contract_authorization;
        let decided = self.pushed.authorization != Authorization::Pending;
        if proven.rooted || decided || self.judged == Some(true) {
            self.authorization(limit)
        } else if self.judged == Some(false) {
            let why =
                "the contract's certificates lead to no root here, and the back end does not believe them";
            self.unproved(&Disbelief { code: Code::FailedCertChainError, why: why.to_owned() })
        } else {
            self.not_yet(Processing::Ongoing, limit)
        }
    }

    /// In ISO 15118-20 a vehicle whose contract is no good is warned, and may show another or pay
    /// otherwise; not for ever.
    fn unproved(&self, disbelief: &Disbelief) -> Verdict {
        if self.protocol != Protocol::Iso20 || disbelief.code == Code::FailedSignatureError {
            return disbelieved(disbelief);
        }
        let cause = Cause::Disbelieved(disbelief.why.clone());
        if self.since(self.timing.contract_authorization) {
            Verdict::Fail(Code::Failed, cause)
        } else {
            Verdict::Warn(disbelief.code, cause)
        }
    }

    /// What the back end answered to the open request.
    pub(crate) fn certificate(&self) -> Option<&CertificateAnswer> {
        self.pushed.certificate.as_ref().filter(|answer| answer.id == self.asked.as_micros())
    }
}

fn disbelieved(disbelief: &Disbelief) -> Verdict {
    Verdict::Fail(disbelief.code, Cause::Disbelieved(disbelief.why.clone()))
}
