//! What OCPP names a certificate by (CertificateHashDataType, after OCSP's CertID in RFC 6960, 4.1.1).

use std::fmt::Write as _;

use sha2::{Digest, Sha256, Sha384, Sha512};

use super::x509::Parsed;

/// How the hashes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256, which this station tells.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// As OCPP writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }

    fn of(self, bytes: &[u8]) -> String {
        match self {
            Self::Sha256 => hex(&Sha256::digest(bytes)),
            Self::Sha384 => hex(&Sha384::digest(bytes)),
            Self::Sha512 => hex(&Sha512::digest(bytes)),
        }
    }
}

/// A certificate's name in OCPP, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashData {
    /// How the hashes are made.
    pub algorithm: HashAlgorithm,
    /// Of the issuer's name.
    pub issuer_name: String,
    /// Of the issuer's public key.
    pub issuer_key: String,
    /// The serial number, hexadecimal without leading zeros.
    pub serial: String,
}

impl HashData {
    /// As a CSMS writes it.
    #[must_use]
    pub fn new(algorithm: HashAlgorithm, issuer_name: &str, issuer_key: &str, serial: &str) -> Self {
        Self {
            algorithm,
            issuer_name: issuer_name.to_ascii_lowercase(),
            issuer_key: issuer_key.to_ascii_lowercase(),
            serial: short(&serial.to_ascii_lowercase()),
        }
    }

    /// Of a certificate and who issued it, which of a root is itself.
    #[must_use]
    pub fn of(algorithm: HashAlgorithm, certificate: &Parsed, issuer: &Parsed) -> Self {
        Self {
            algorithm,
            issuer_name: algorithm.of(certificate.issuer()),
            issuer_key: algorithm.of(issuer.public_key()),
            serial: short(&hex(certificate.serial())),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn short(serial: &str) -> String {
    let digits = serial.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
}
