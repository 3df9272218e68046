//! Plug & Charge between vehicles and the CSMS: contract certificates that a vehicle asks for, and the
//! contract that it shows (2.0.1 part 2, C07, M01, M02, M06; in 1.6 the same messages within DataTransfer, as
//! the Open Charge Alliance's white paper on Plug & Charge has it).

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::CertificateDer;
use voltry_units::Timestamp;
use x509_cert::der::EncodePem as _;

use crate::certificates::{HashAlgorithm, HashData, Parsed};
use crate::time::parse;
use crate::uplink::TokenInfo;

/// Whose DataTransfers these are in 1.6.
pub const VENDOR: &str = "org.openchargealliance.iso15118pnc";
/// Contracts that were shown and may be asked about.
const SHOWN_MAX: usize = 16;
/// The longest EXI message as the fields hold it, base64 characters.
const EXI_MAX: usize = 5600;
/// The longest certificate chain in an Authorize.
const CERTIFICATE_MAX: usize = 5500;
/// The most certificates whose status is asked for in one.
const HASHES_MAX: usize = 4;

/// A vehicle asks for a contract certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The number to answer with.
    pub ticket: u64,
    /// In place of one that it has.
    pub update: bool,
    /// The namespace of the message set.
    pub schema: String,
    /// The whole message, EXI.
    pub message: Vec<u8>,
}

impl Wanted {
    /// A Get15118EVCertificate of 2.0.1; `None`: it is longer than one holds.
    #[must_use]
    pub fn request(&self) -> Option<Value> {
        let exi = STANDARD.encode(&self.message);
        (exi.len() <= EXI_MAX).then(|| {
            json!({
                "iso15118SchemaVersion": self.schema,
                "action": if self.update { "Update" } else { "Install" },
                "exiRequest": exi,
            })
        })
    }
}

/// What the vehicle is told of the CSMS's answer: a message in EXI, which may be a refusal; empty: none.
#[must_use]
pub fn granted(answer: &Value) -> Vec<u8> {
    let exi = answer["exiResponse"].as_str().unwrap_or_default();
    STANDARD.decode(exi).unwrap_or_default()
}

/// A contract's certificate, then those of its issuers, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Whose: the eMAID.
    pub emaid: String,
    /// The certificates.
    pub chain: Vec<Vec<u8>>,
}

impl Contract {
    /// What an Authorize of 2.0.1 says of a contract besides its eMAID.
    #[must_use]
    pub fn told(&self) -> Vec<(&'static str, Value)> {
        let hashes = status_requests(&self.chain);
        if hashes.is_empty() { Vec::new() } else { vec![("iso15118CertificateHashData", hashes.into())] }
    }

    /// The certificates themselves, PEM, for a CSMS that is to judge them (C07.FR.06); `None`: they are none, or
    /// longer than the field.
    #[must_use]
    pub fn pem(&self) -> Option<String> {
        let pem: Option<String> = self.chain.iter().map(|der| pem(der)).collect();
        pem.filter(|pem| !pem.is_empty() && pem.len() <= CERTIFICATE_MAX)
    }
}

/// The contracts that vehicles have shown, the newest last.
#[derive(Debug, Default)]
pub struct Contracts {
    shown: VecDeque<Contract>,
    /// Those that the CSMS has just judged, what it said of the token, and until when that counts.
    judged: VecDeque<(String, TokenInfo, Timestamp)>,
}

impl Contracts {
    /// A vehicle has proved that it has a contract.
    pub fn hear(&mut self, contract: Contract) {
        self.shown.retain(|known| known.emaid != contract.emaid);
        if self.shown.len() >= SHOWN_MAX {
            self.shown.pop_front();
        }
        self.shown.push_back(contract);
    }

    /// The contract of this eMAID that was shown last.
    #[must_use]
    pub fn get(&self, emaid: &str) -> Option<&Contract> {
        self.shown.iter().rev().find(|contract| plain(&contract.emaid) == plain(emaid))
    }

    /// The CSMS believes a contract's certificates, and said this of its token.
    pub fn judge(&mut self, emaid: &str, info: TokenInfo, until: Timestamp) {
        if self.judged.len() >= SHOWN_MAX {
            self.judged.pop_front();
        }
        self.judged.push_back((plain(emaid), info, until));
    }

    /// What the CSMS said of this token when it judged its contract, once: it need not be asked again.
    pub fn take_judged(&mut self, emaid: &str, now: Timestamp) -> Option<TokenInfo> {
        self.judged.retain(|(_, _, until)| *until > now);
        let at = self.judged.iter().position(|(judged, ..)| *judged == plain(emaid))?;
        self.judged.remove(at).map(|(_, info, _)| info)
    }

    /// Whose contract has this certificate; not known of one that was shown without its issuer's.
    #[must_use]
    pub fn owner(&self, certificate: &HashData) -> Option<&str> {
        let parsed = |der: &Vec<u8>| Parsed::new(CertificateDer::from(der.clone())).ok();
        let is_it = |contract: &&Contract| {
            let [Some(own), Some(issuer)] = [0, 1].map(|place| contract.chain.get(place).and_then(parsed))
            else {
                return false;
            };
            HashData::of(certificate.algorithm, &own, &issuer) == *certificate
        };
        self.shown.iter().rev().find(is_it).map(|contract| contract.emaid.as_str())
    }

    /// Whether a vehicle has shown the contract of this eMAID.
    #[must_use]
    pub fn knows(&self, emaid: &str) -> bool {
        self.get(emaid).is_some()
    }

    /// Forgets it.
    pub fn forget(&mut self, emaid: &str) {
        self.shown.retain(|contract| plain(&contract.emaid) != plain(emaid));
        self.judged.retain(|(judged, ..)| *judged != plain(emaid));
    }
}

/// An eMAID may be written with or without its separators.
fn plain(emaid: &str) -> String {
    emaid.replace('-', "").to_ascii_uppercase()
}

fn pem(der: &[u8]) -> Option<String> {
    use x509_cert::der::Decode as _;
    x509_cert::Certificate::from_der(der).ok()?.to_pem(x509_cert::der::pem::LineEnding::LF).ok()
}

/// OCSPRequestDataType of each certificate whose issuer is there and that says whom to ask.
#[must_use]
pub fn status_requests(chain: &[Vec<u8>]) -> Vec<Value> {
    let parsed: Option<Vec<Parsed>> =
        chain.iter().map(|der| Parsed::new(CertificateDer::from(der.clone())).ok()).collect();
    let parsed = parsed.unwrap_or_default();
    let issuers = parsed.iter().skip(1).chain(parsed.last().filter(|last| last.is_self_issued()));
    parsed.iter().zip(issuers).filter_map(|(one, issuer)| asks(one, issuer)).take(HASHES_MAX).collect()
}

/// The same of the first of a chain alone (M06).
#[must_use]
pub fn status_request(chain: &[Parsed]) -> Option<Value> {
    asks(chain.first()?, chain.get(1)?)
}

fn asks(one: &Parsed, issuer: &Parsed) -> Option<Value> {
    let hash = HashData::of(HashAlgorithm::Sha256, one, issuer);
    let url = one.responder().filter(|url| url.len() <= 512)?;
    Some(json!({
        "hashAlgorithm": hash.algorithm.name(),
        "issuerNameHash": hash.issuer_name,
        "issuerKeyHash": hash.issuer_key,
        "serialNumber": hash.serial,
        "responderURL": url,
    }))
}

/// What the CSMS says of a certificate's status: an OCSP response, DER.
#[must_use]
pub fn ocsp_response(answer: &Value) -> Option<Vec<u8>> {
    let result = answer["ocspResult"].as_str().filter(|_| answer["status"] == "Accepted")?;
    STANDARD.decode(result.split_ascii_whitespace().collect::<String>()).ok()
}

/// Until when an OCSP response of one certificate holds (RFC 6960, 4.2.1, nextUpdate), seconds of Unix time;
/// `None`: it does not say, or is none. Not a judgement: whoever staples it looks at it whole.
#[must_use]
pub fn holds_until(response: &[u8]) -> Option<i64> {
    // OCSPResponse, [0] responseBytes, ResponseBytes, response, BasicOCSPResponse, ResponseData, responses,
    // SingleResponse, [0] nextUpdate, GeneralizedTime.
    let path = [0x30, 0xa0, 0x30, 0x04, 0x30, 0x30, 0x30, 0x30, 0xa0, 0x18];
    let time = path.into_iter().try_fold(response, |bytes, tag| first_of(bytes, tag))?;
    let digits = std::str::from_utf8(time).ok()?.strip_suffix('Z').filter(|text| text.len() == 14)?;
    let part = |from: usize, to: usize| digits.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    Some(parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))?.div_euclid(1_000_000))
}

/// The content of the first of these elements (DER) that has this tag.
fn first_of(mut bytes: &[u8], tag: u8) -> Option<&[u8]> {
    loop {
        let (&[found, length], after) = bytes.split_first_chunk::<2>()?;
        let (length, after) = if length < 0x80 {
            (usize::from(length), after)
        } else {
            let (digits, after) = after.split_at_checked(usize::from(length & 0x7f))?;
            let short = digits.len() <= 3;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (Some(length).filter(|_| short)?, after)
        };
        let (content, rest) = after.split_at_checked(length)?;
        if found == tag {
            return Some(content);
        }
        bytes = rest;
    }
}

/// A message of 2.0.1 as 1.6 carries it.
#[must_use]
pub fn wrapped(message: &str, payload: &Value) -> Value {
    json!({ "vendorId": VENDOR, "messageId": message, "data": payload.to_string() })
}

/// What is in the answer to such a message; `Err`: the CSMS does not know it.
///
/// # Errors
/// The status that it answered.
pub fn unwrapped(answer: &Value) -> Result<Value, String> {
    match answer["status"].as_str() {
        Some("Accepted") => {
            let data = answer["data"].as_str().unwrap_or("{}");
            serde_json::from_str(data).map_err(|error| error.to_string())
        }
        status => Err(status.unwrap_or("no status").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_too_long_is_none() {
        let wanted =
            |bytes| Wanted { ticket: 1, update: true, schema: "urn".to_owned(), message: vec![7; bytes] };
        assert_eq!(wanted(3).request().unwrap()["exiRequest"], "BwcH");
        assert!(wanted(4200).request().is_some());
        assert_eq!(wanted(4201).request(), None);
    }

    #[test]
    fn the_end_of_a_status_is_found_and_rubbish_has_none() {
        let wrapped = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            [&[tag, length][..], content].concat()
        };
        let single = [
            wrapped(0x30, b"certID"),
            vec![0x80, 0],
            wrapped(0x18, b"20261126000000Z"),
            wrapped(0xa0, &wrapped(0x18, b"20261203000000Z")),
        ];
        let responses = wrapped(0x30, &wrapped(0x30, &single.concat()));
        let data = [wrapped(0xa2, b"key"), wrapped(0x18, b"20261126000000Z"), responses].concat();
        let basic = wrapped(0x30, &wrapped(0x30, &data));
        let bytes = wrapped(0x30, &[wrapped(0x06, b"oid"), wrapped(0x04, &basic)].concat());
        let response = wrapped(0x30, &[vec![0x0a, 1, 0], wrapped(0xa0, &bytes)].concat());
        assert_eq!(holds_until(&response), Some(1_796_256_000));
        for end in 0..response.len() {
            assert_eq!(holds_until(&response[..end]), None, "cut at {end}");
        }
        assert_eq!(holds_until(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn contracts_are_bounded_and_found_however_they_are_written() {
        let mut contracts = Contracts::default();
        for number in 0..40 {
            contracts.hear(Contract { emaid: format!("DE-ABC-C000000{number:02}"), chain: Vec::new() });
        }
        assert_eq!(contracts.shown.len(), SHOWN_MAX);
        assert!(contracts.get("DEABCC00000039").is_some());
        assert!(contracts.get("DEABCC00000001").is_none());
    }

    #[test]
    fn a_judgement_counts_once_and_not_for_long() {
        let mut contracts = Contracts::default();
        let at = |seconds| Timestamp::BOOT + std::time::Duration::from_secs(seconds);
        let accepted = || TokenInfo::of(voltry_bus::TokenStatus::Accepted);
        for _ in 0..40 {
            contracts.judge("DE-ABC-C00000001", accepted(), at(30));
        }
        assert_eq!(contracts.judged.len(), SHOWN_MAX);
        assert_eq!(contracts.take_judged("DEABCC00000002", at(1)), None);
        assert_eq!(contracts.take_judged("DEABCC00000001", at(1)), Some(accepted()));
        assert_eq!(contracts.judged.len(), SHOWN_MAX - 1);
        assert_eq!(contracts.take_judged("DEABCC00000001", at(30)), None);
        assert!(contracts.judged.is_empty());
    }
}
