//! Plug & Charge's certificates and signatures, by the codec crate's profile checks and OpenSSL's
//! arithmetic.

use std::path::PathBuf;
use std::sync::Arc;

use iso15118::Protocol as Generation;
use iso15118::exi::{ExiError, ValueCoding};
use iso15118::iso2::{self, AuthorizationReq, MeteringReceiptReq, PaymentDetailsReq, Signature};
use iso15118::iso20;
use iso15118::message::Message;
use iso15118::pnc::pki::{
    Certificate, ChainError, Policy, Profile, TrustAnchor, TrustAnchors, VerifyWith, validate,
};
use iso15118::pnc::{GenChallenge, Hash, PncError, Signed, Suite, Verify};
use iso15118::session::SessionId;
use iso15118::v2gtp::PayloadType;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::Public;
use openssl::x509::X509;

use super::{MAX_PAYLOAD, Tolerance};
use crate::contract::{Disbelief, Proven};
use crate::message::{Code, Plan, Protocol};
use crate::tls::{self, Revoked};

/// eMAID, ISO 15118-2 annex H: country, provider and instance, and a check digit that may be left out.
const EMAID: usize = 14;
const EMAID_WITH_CHECK_DIGIT: usize = 15;

/// The roots whose contracts are believed.
#[derive(Debug)]
pub struct Contracts {
    /// DER.
    roots: Vec<Vec<u8>>,
    revoked: Revoked,
    /// One that leads to none of the roots is the back end's to judge.
    central: bool,
}

impl Contracts {
    /// Reads root certificates, and the lists of what was withdrawn.
    ///
    /// # Errors
    /// In words and with the file, what is wrong.
    pub fn load(files: &[PathBuf], revocation_lists: &[PathBuf]) -> Result<Self, String> {
        let mut roots = Vec::new();
        for file in files {
            for root in tls::certificates(file)? {
                roots.push(root.to_der().map_err(|error| format!("{}: {error}", file.display()))?);
            }
        }
        Ok(Self { roots, revoked: Revoked::load(revocation_lists)?, central: false })
    }

    /// Whether the back end may judge what leads to none of the roots.
    #[must_use]
    pub fn judged_centrally(self, allowed: bool) -> Self {
        Self { central: allowed, ..self }
    }
}

impl Contracts {
    /// Whether a list names a certificate of a chain that is believed.
    fn withdrawn(&self, chain: &[&[u8]]) -> bool {
        let parsed = |der: &[u8]| X509::from_der(der).ok();
        let chain: Vec<_> = chain.iter().filter_map(|der| parsed(der)).collect();
        let roots: Vec<_> = self.roots.iter().filter_map(|der| parsed(der)).collect();
        let issuers = chain.iter().chain(&roots).map(AsRef::as_ref);
        chain.iter().any(|certificate| self.revoked.names(certificate, &issuers))
    }
}

/// A contract that leads to a root.
#[derive(Debug)]
struct Believed {
    contract: Proven,
    key: Key,
    /// It signed our challenge.
    proved: bool,
}

/// MeterInfo that the vehicle was told to sign.
#[derive(Debug)]
pub(super) enum Issued {
    Iso2(iso2::MeterInfo),
    Iso20(iso20::common::MeterInfo),
}

/// Plug & Charge in one conversation.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// `None`: a contract is not offered, for want of TLS or of roots.
    pub(super) contracts: Option<Arc<Contracts>>,
    /// The vehicle wants to hear of the service of certificates (ISO 15118-2).
    pub(super) listed: bool,
    /// The vehicle chose to pay by contract.
    pub(super) selected: bool,
    /// SAScheduleTupleID that the vehicle chose.
    pub(super) schedule: Option<u8>,
    /// The vehicle chose a bidirectional service (ISO 15118-20).
    pub(super) bidirectional: bool,
    believed: Option<Believed>,
    /// The reading that the vehicle was told to sign, and the session.
    pub(super) issued: Option<(SessionId, Issued)>,
    challenge: [u8; GenChallenge::LEN],
}

impl Exchange {
    /// Keeps which schedule a vehicle of ISO 15118-2 chose, with which the charge loop answers.
    pub(super) fn chosen(&mut self, plan: Plan, progress: iso2::ChargeProgress) -> Plan {
        if progress == iso2::ChargeProgress::Start {
            self.schedule = u8::try_from(plan.schedule).ok();
        }
        plan
    }

    /// Judges the certificate that the vehicle shows.
    pub(super) fn details(&mut self, req: &PaymentDetailsReq, unix_seconds: u64) -> Result<(), Disbelief> {
        self.believed = None;
        let chain = &req.contract_signature_cert_chain;
        let above = chain.sub_certificates.iter().flat_map(|sub| &sub.certificate);
        let chain: Vec<&[u8]> = std::iter::once(&chain.certificate).chain(above).map(Vec::as_slice).collect();
        let believed = self.shown(&chain, unix_seconds)?;
        if !same_contract(&believed.contract.emaid, &req.e_maid) {
            return Err(no(Code::FailedCertChainError, "the contract certificate is for another eMAID"));
        }
        self.draw_challenge().map_err(|_| no(Code::Failed, "no random numbers for a challenge"))?;
        self.believed = Some(believed);
        Ok(())
    }

    /// Judges a contract's certificate and those above it.
    fn shown(&self, chain: &[&[u8]], unix_seconds: u64) -> Result<Believed, Disbelief> {
        let contracts = self.contracts.as_ref();
        let roots = contracts.map_or(&[][..], |contracts| &contracts.roots);
        let now = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
        let central = contracts.is_some_and(|contracts| contracts.central);
        let (leaf, rooted) = believe(chain, roots, central, now)?;
        let emaid = plain(leaf.subject.common_name.unwrap_or_default());
        if !rooted && without_check_digit(&emaid).is_none() {
            return Err(no(Code::FailedCertChainError, "the contract certificate names no eMAID"));
        }
        if contracts.is_some_and(|contracts| contracts.withdrawn(chain)) {
            let why = "the contract, or a certificate above it, was withdrawn by its issuer";
            return Err(no(Code::FailedCertificateRevoked, why));
        }
        let key = Key::new(leaf.public_key)
            .map_err(|_| no(Code::FailedCertChainError, "the contract's key is none"))?;
        let chain = chain.iter().map(|der| der.to_vec()).collect();
        let contract = Proven { emaid: emaid.into(), chain, rooted };
        Ok(Believed { contract, key, proved: false })
    }

    /// A challenge for the contract that was shown, or in ISO 15118-20 will be.
    pub(super) fn draw_challenge(&mut self) -> Result<(), openssl::error::ErrorStack> {
        openssl::rand::rand_bytes(&mut self.challenge)
    }

    /// The challenge that was drawn last.
    pub(super) const fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    /// Judges the signature of an AuthorizationReq.
    pub(super) fn authorization(
        &mut self,
        req: &AuthorizationReq,
        signature: Option<&Signature>,
    ) -> Result<Proven, Disbelief> {
        if let Some(Believed { contract, proved: true, .. }) = &self.believed
            && signature.is_none()
            && req.gen_challenge.is_none()
        {
            Tolerance::UnsignedRepeat.note("AuthorizationReq");
            return Ok(contract.clone());
        }
        let contract = self.proof(req, signature)?;
        if let Some(believed) = &mut self.believed {
            believed.proved = true;
        }
        Ok(contract)
    }

    fn proof(&self, req: &AuthorizationReq, signature: Option<&Signature>) -> Result<Proven, Disbelief> {
        let (believed, signature) = self.both(signature)?;
        let challenge = GenChallenge::new(self.challenge);
        let key = believed.key.in_either_grammar(|coding| signature.signed_info.to_fragment_with(coding));
        iso15118::pnc::iso2::verify_authorization(req, signature, &challenge, &Sha, &key)
            .map_err(unproved)?;
        Ok(believed.contract.clone())
    }

    /// Judges an AuthorizationReq of ISO 15118-20, which shows the contract and signs the challenge
    /// at once. The vehicle repeats it as it is while authorization is ongoing.
    pub(super) fn authorization_in_iso20(
        &mut self,
        mode: &iso20::messages::PnCAReqAuthorizationMode,
        signature: Option<&iso20::common::Signature>,
        unix_seconds: u64,
    ) -> Result<Proven, Disbelief> {
        let chain = &mode.contract_certificate_chain;
        let above = &chain.sub_certificates.certificate;
        let chain: Vec<&[u8]> = std::iter::once(&chain.certificate).chain(above).map(Vec::as_slice).collect();
        let mut believed = self.shown(&chain, unix_seconds)?;
        let signature = signature.ok_or_else(|| no(Code::FailedSignatureError, UNSIGNED))?;
        let challenge = GenChallenge::new(self.challenge);
        let key = believed.key.in_either_grammar(|coding| signature.signed_info.to_fragment_with(coding));
        let suites = iso15118::pnc::iso20::SUITES;
        iso15118::pnc::iso20::verify_authorization(mode, signature, &challenge, suites, &Sha, &key)
            .map_err(unproved)?;
        believed.proved = true;
        let contract = believed.contract.clone();
        self.believed = Some(believed);
        Ok(contract)
    }

    /// Judges a receipt: it must be of the reading that the vehicle was told to sign, signed by the
    /// contract.
    pub(super) fn receipt(
        &mut self,
        req: &MeteringReceiptReq,
        signature: Option<&Signature>,
    ) -> Result<(), Disbelief> {
        let Some((session, Issued::Iso2(issued))) = self.issued.take() else {
            return Err(bad_receipt(&"it was not asked for"));
        };
        let (believed, signature) = self.both(signature).map_err(|_| bad_receipt(&UNSIGNED))?;
        let key = believed.key.in_either_grammar(|coding| signature.signed_info.to_fragment_with(coding));
        iso15118::pnc::iso2::verify_metering_receipt(req, signature, &issued, session, &Sha, &key)
            .map_err(|error| bad_receipt(&error))
    }

    /// The same in ISO 15118-20.
    pub(super) fn confirmation(
        &mut self,
        req: &iso20::messages::MeteringConfirmationReq,
    ) -> Result<(), Disbelief> {
        let data = &req.signed_metering_data;
        let Some((session, Issued::Iso20(issued))) = self.issued.take() else {
            return Err(bad_receipt(&"it was not asked for"));
        };
        if data.meter_info != issued {
            return Err(bad_receipt(&"it is of another reading"));
        }
        let signed = self.believed.as_ref().zip(req.header.signature.as_ref());
        let (believed, signature) = signed.ok_or_else(|| bad_receipt(&UNSIGNED))?;
        let key = believed.key.in_either_grammar(|coding| signature.signed_info.to_fragment_with(coding));
        let suites = iso15118::pnc::iso20::SUITES;
        iso15118::pnc::iso20::verify_metering_data(data, signature, session, suites, &Sha, &key)
            .map_err(|error| bad_receipt(&error))
    }

    fn both<'a>(
        &'a self,
        signature: Option<&'a Signature>,
    ) -> Result<(&'a Believed, &'a Signature), Disbelief> {
        let none = || no(Code::FailedSignatureError, UNSIGNED);
        self.believed.as_ref().zip(signature).ok_or_else(none)
    }
}

fn bad_receipt(why: &dyn std::fmt::Display) -> Disbelief {
    no(Code::FailedMeteringSignatureNotValid, &format!("the receipt: {why}"))
}

const UNSIGNED: &str = "no signature by a contract that was shown";

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn unproved(error: PncError) -> Disbelief {
    let challenge = matches!(error, PncError::ChallengeMismatch | PncError::MissingChallenge);
    let code = if challenge { Code::FailedChallengeInvalid } else { Code::FailedSignatureError };
    no(code, &format!("the AuthorizationReq's signature: {error}"))
}

/// The contract's certificate of a chain that leads to one of the roots; or, where the back end judges, to
/// none that we know: `false`. That no certificate outlives its issuer (ISO 15118-20, amendment 1) is left to
/// whoever issues: all are valid today.
fn believe<'a>(
    chain: &[&'a [u8]],
    roots: &'a [Vec<u8>],
    central: bool,
    now: i64,
) -> Result<(Certificate<'a>, bool), Disbelief> {
    // Some send the root along, which the path does not count.
    let is_root = |der: &&[u8]| Certificate::parse(der).is_ok_and(|one| one.is_self_issued());
    let chain = match chain {
        [below @ .., last] if is_root(last) => below,
        whole => whole,
    };
    let anchors: Vec<_> = roots.iter().map(|der| TrustAnchor::new(der, "contract_roots")).collect();
    let policy = Policy::iso2(Profile::ContractCertificate);
    let found = match validate(chain, &TrustAnchors::new(&anchors), policy, now, &Points) {
        Err(ChainError::NoTrustAnchor) if central => {
            as_far_as_it_goes(chain, policy, now).map(|leaf| (leaf, false))
        }
        validated => validated.map(|validated| (validated.leaf, true)),
    };
    found.map_err(|error| {
        let (code, index) = if let ChainError::Expired { index } = error {
            (Code::FailedCertificateExpired, Some(index))
        } else {
            (Code::FailedCertChainError, None)
        };
        let dates = index.and_then(|index| validity(chain.get(index)?));
        no(code, &format!("the contract's certificates: {error}{}", dates.unwrap_or_default()))
    })
}

/// The first certificate of a chain that is in order up to the last, whose issuer we do not know.
fn as_far_as_it_goes<'a>(
    chain: &[&'a [u8]],
    policy: Policy,
    now: i64,
) -> Result<Certificate<'a>, ChainError> {
    match *chain {
        [] => Err(ChainError::Empty),
        [alone] => Certificate::parse(alone).map_err(|error| ChainError::Certificate { index: 0, error }),
        [ref below @ .., last] => {
            let shown = [TrustAnchor::new(last, "shown")];
            Ok(validate(below, &TrustAnchors::new(&shown), policy, now, &Points)?.leaf)
        }
    }
}

fn validity(der: &[u8]) -> Option<String> {
    let certificate = Certificate::parse(der).ok()?;
    let date = |unix| openssl::asn1::Asn1Time::from_unix(unix).map(|time| time.to_string()).ok();
    Some(format!(" ({} to {})", date(certificate.not_before)?, date(certificate.not_after)?))
}

/// An eMAID without its separators, which compare as if they were not there.
fn plain(emaid: &str) -> String {
    emaid.chars().filter(|letter| *letter != '-').map(|letter| letter.to_ascii_uppercase()).collect()
}

/// Whether these eMAIDs are one, either of them with its check digit or without.
fn same_contract(named: &str, told: &str) -> bool {
    let (named, told) = (plain(named), plain(told));
    if named.len() == told.len() {
        return named == told && without_check_digit(&named).is_some();
    }
    without_check_digit(&named).is_some_and(|named| without_check_digit(&told) == Some(named))
}

/// `None`: it is none.
fn without_check_digit(emaid: &str) -> Option<&str> {
    match emaid.len() {
        EMAID | EMAID_WITH_CHECK_DIGIT => emaid.get(..EMAID),
        _ => None,
    }
}

fn no(code: Code, why: &str) -> Disbelief {
    Disbelief { code, why: why.to_owned() }
}

/// A mobility operator's signature of tariffs: of each its Id and its fragment.
pub(super) fn tariff_signature(tariffs: &[(String, Vec<u8>)], value: &[u8]) -> Option<Signature> {
    let elements: Vec<_> = tariffs.iter().map(|(id, fragment)| Signed::new(id, fragment)).collect();
    let signed_info = iso15118::pnc::iso2::build_signed_info(&elements, &Sha).ok()?;
    let signature_value = iso2::SignatureValue { id: None, value: value.to_vec() };
    (!elements.is_empty()).then_some(Signature { id: None, signed_info, signature_value })
}

struct Sha;

impl Hash for Sha {
    fn digest(&self, suite: Suite, data: &[u8]) -> Vec<u8> {
        digest(suite, data)
    }
}

fn digest(suite: Suite, data: &[u8]) -> Vec<u8> {
    // The crate may name more suites one day; its profile lets none but these pass.
    if suite == Suite::EcdsaSha512 {
        openssl::sha::sha512(data).to_vec()
    } else {
        openssl::sha::sha256(data).to_vec()
    }
}

/// A contract's public key.
#[derive(Debug)]
struct Key(EcKey<Public>);

impl Key {
    /// From an uncompressed point; P-256 has 65 bytes, P-521 has 133.
    fn new(point: &[u8]) -> Result<Self, openssl::error::ErrorStack> {
        let curve = if point.len() > 65 { Nid::SECP521R1 } else { Nid::X9_62_PRIME256V1 };
        let group = EcGroup::from_curve_name(curve)?;
        let mut context = BigNumContext::new()?;
        let point = EcPoint::from_bytes(&group, point, &mut context)?;
        let key = EcKey::from_public_key(&group, &point)?;
        key.check_key()?;
        Ok(Self(key))
    }

    fn verify(&self, suite: Suite, data: &[u8], signature: &[u8]) -> Result<(), PncError> {
        let (r, s) = signature.split_at(signature.len() / 2);
        let good = || -> Result<bool, openssl::error::ErrorStack> {
            let signature =
                EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
            signature.verify(&digest(suite, data), &self.0)
        };
        if good().unwrap_or(false) { Ok(()) } else { Err(PncError::BadSignature) }
    }

    /// Verifies over `SignedInfo` as the xmldsig schema alone encodes it, which is what the
    /// standard asks for, or as the message set's whole schema does: `whole`, one byte longer in -2.
    fn in_either_grammar(
        &self,
        whole: impl Fn(ValueCoding) -> Result<Vec<u8>, ExiError>,
    ) -> EitherGrammar<'_> {
        let codings = [ValueCoding::Literal, ValueCoding::Referenced];
        EitherGrammar { key: self, whole: codings.into_iter().filter_map(|one| whole(one).ok()).collect() }
    }
}

struct EitherGrammar<'a> {
    key: &'a Key,
    whole: Vec<Vec<u8>>,
}

impl Verify for EitherGrammar<'_> {
    fn verify(&self, suite: Suite, data: &[u8], signature: &[u8]) -> Result<(), PncError> {
        let standalone = self.key.verify(suite, data, signature);
        let whole = || self.whole.iter().find_map(|data| self.key.verify(suite, data, signature).ok());
        standalone.or_else(|error| whole().ok_or(error))
    }
}

/// Keys as they come in certificates.
struct Points;

impl VerifyWith for Points {
    fn verify_with(&self, suite: Suite, point: &[u8], data: &[u8], signature: &[u8]) -> Result<(), PncError> {
        Key::new(point).map_err(|_| PncError::BadSignature)?.verify(suite, data, signature)
    }
}

/// What a back end answered to a request for a certificate, as a message; with whether it refuses.
/// `update` is the kind of the request.
///
/// # Errors
/// In words, why it is no answer to that.
pub(super) fn certificate_answer(
    protocol: Protocol,
    update: bool,
    payload: &[u8],
) -> Result<(Message, bool), String> {
    if payload.len() > MAX_PAYLOAD {
        return Err(format!("{} bytes, more than {MAX_PAYLOAD}", payload.len()));
    }
    let (generation, payload_type) = match protocol {
        Protocol::Iso20 => (Generation::Iso20, PayloadType::Part20Main),
        Protocol::Iso2 | Protocol::Din => (Generation::Iso2, PayloadType::ExiEncodedV2gMessage),
    };
    let message = Message::decode(Some(generation), payload_type, payload)
        .map_err(|error| format!("no message of {}: {error}", protocol.title()))?;
    let granted = match (certificate_granted(&message), update) {
        (Some((granted, of_update)), _) if of_update == update => granted,
        _ => return Err(format!("{} answers another request", message.name())),
    };
    Ok((message, !granted))
}

/// Whether an answer brings a certificate, and whether in place of another; `None`: it is none.
#[expect(clippy::wildcard_enum_match_arm, reason = "the codec's enum: all else is no certificate")]
fn certificate_granted(message: &Message) -> Option<(bool, bool)> {
    let granted =
        |code| matches!(code, iso2::ResponseCode::OK | iso2::ResponseCode::OKCertificateExpiresSoon);
    if let Message::Iso20(document) = message {
        let iso20::messages::Document::CertificateInstallationRes(res) = &**document else { return None };
        return Some((res.response_code.is_ok(), false));
    }
    let Message::Iso2(document) = message else { return None };
    let iso2::Document::V2GMessage(whole) = &**document else { return None };
    match whole.body.choice.as_ref()? {
        iso2::BodyChoice::CertificateInstallationRes(res) => Some((granted(res.response_code), false)),
        iso2::BodyChoice::CertificateUpdateRes(res) => Some((granted(res.response_code), true)),
        _ => None,
    }
}
