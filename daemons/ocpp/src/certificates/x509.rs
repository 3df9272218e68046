//! What of X.509 is looked at: names, keys, times, and who signed what.

use tokio_rustls::rustls;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, BasicConstraints};

/// Certificates of one chain that are looked at.
const CHAIN_MAX: usize = 8;
/// `id-ce-basicConstraints` (RFC 5280, 4.2.1.9).
const BASIC_CONSTRAINTS: &str = "2.5.29.19";

/// `id-pe-authorityInfoAccess` and `id-ad-ocsp` (4.2.2.1).
const INFORMATION_ACCESS: &str = "1.3.6.1.5.5.7.1.1";
const OCSP: &str = "1.3.6.1.5.5.7.48.1";

/// A certificate.
#[derive(Debug, Clone)]
pub struct Parsed {
    der: CertificateDer<'static>,
    certificate: Certificate,
    issuer: Vec<u8>,
    subject: Vec<u8>,
}

/// Certificates of a PEM text, in its order.
///
/// # Errors
/// In words, what is wrong with it.
pub fn parse_chain(pem: &str) -> Result<Vec<Parsed>, String> {
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der: CertificateDer<'static> = der.map_err(|error| format!("no PEM certificate: {error}"))?;
        if chain.len() >= CHAIN_MAX {
            return Err(format!("more than {CHAIN_MAX} certificates"));
        }
        chain.push(Parsed::new(der)?);
    }
    if chain.is_empty() { Err("there is no PEM certificate in it".to_owned()) } else { Ok(chain) }
}

impl Parsed {
    /// From DER.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn new(der: CertificateDer<'static>) -> Result<Self, String> {
        let certificate = Certificate::from_der(&der).map_err(|error| format!("no certificate: {error}"))?;
        let name = |name: &x509_cert::name::Name| {
            name.to_der().map_err(|error| format!("a name that cannot be written: {error}"))
        };
        let issuer = name(&certificate.tbs_certificate.issuer)?;
        let subject = name(&certificate.tbs_certificate.subject)?;
        Ok(Self { der, certificate, issuer, subject })
    }

    /// Its bytes.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its issuer's name, DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// Its public key: the bits, without algorithm, tag and length.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes()
    }

    /// Its serial number, big-endian.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.certificate.tbs_certificate.serial_number.as_bytes()
    }

    /// The second of Unix time at which it ends.
    #[must_use]
    pub fn until(&self) -> i64 {
        let end = self.certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
        i64::try_from(end).unwrap_or(i64::MAX)
    }

    /// The second at which it begins.
    #[must_use]
    pub fn from(&self) -> i64 {
        let begin = self.certificate.tbs_certificate.validity.not_before.to_unix_duration().as_secs();
        i64::try_from(begin).unwrap_or(i64::MAX)
    }

    /// Who tells its status by OCSP (RFC 5280, 4.2.2.1).
    #[must_use]
    pub fn responder(&self) -> Option<String> {
        let extensions = self.certificate.tbs_certificate.extensions.as_deref()?;
        let access =
            extensions.iter().find(|extension| extension.extn_id.to_string() == INFORMATION_ACCESS)?;
        let access = AuthorityInfoAccessSyntax::from_der(access.extn_value.as_bytes()).ok()?;
        access.0.iter().filter(|access| access.access_method.to_string() == OCSP).find_map(|access| {
            if let GeneralName::UniformResourceIdentifier(url) = &access.access_location {
                Some(url.as_str().to_owned())
            } else {
                None
            }
        })
    }

    /// Whether it issued itself, as its name says.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Whether it may sign certificates. A certificate of version 1 does not say.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        let extensions = self.certificate.tbs_certificate.extensions.as_deref().unwrap_or_default();
        let constraints =
            extensions.iter().find(|extension| extension.extn_id.to_string() == BASIC_CONSTRAINTS);
        constraints.is_some_and(|extension| {
            BasicConstraints::from_der(extension.extn_value.as_bytes()).is_ok_and(|basic| basic.ca)
        })
    }

    /// Whether the other signed it.
    #[must_use]
    pub fn is_signed_by(&self, other: &Self) -> bool {
        let signed = || {
            let contents = |algorithm: Vec<u8>| algorithm.get(2..).map(<[u8]>::to_vec);
            let signature = contents(self.certificate.signature_algorithm.to_der().ok()?)?;
            let key = &other.certificate.tbs_certificate.subject_public_key_info.algorithm;
            let key = contents(key.to_der().ok()?)?;
            let message = self.certificate.tbs_certificate.to_der().ok()?;
            let bits = self.certificate.signature.as_bytes()?;
            let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
            let mut fitting = known.all.iter().filter(|algorithm| {
                algorithm.signature_alg_id().as_ref() == signature.as_slice()
                    && algorithm.public_key_alg_id().as_ref() == key.as_slice()
            });
            fitting
                .any(|algorithm| algorithm.verify_signature(other.public_key(), &message, bits).is_ok())
                .then_some(())
        };
        self.issuer == other.subject && signed().is_some()
    }
}
