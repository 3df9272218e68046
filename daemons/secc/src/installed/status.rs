//! What OCSP says of the station's certificates, the installed and the configured ones.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ocsp::{
    OcspBasicResponseRef, OcspCertId, OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus,
};
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use voltry_bus::Error;

use super::{Installed, PEM_MAX, write};
use crate::tls::StationCertificate;

/// An OCSP response, bytes: a TLS handshake carries it.
const STATUS_MAX: usize = 16 * 1024;
/// By how much the clocks of the responder and of this machine may differ, seconds.
const CLOCK_SLACK_S: u32 = 300;

impl Installed {
    /// The certificates whose status is wanted, PEM: the installed one, and those that are configured without
    /// a file that somebody else keeps new.
    pub(super) fn chains(&self, configured: &[StationCertificate]) -> Vec<String> {
        self.wanted(configured).into_iter().map(|(chain, _)| chain).collect()
    }

    /// Keeps a response for the certificate that it is about.
    pub(super) fn set_status(&self, configured: &[StationCertificate], response: &[u8]) -> Result<(), Error> {
        let mut refusal = Error::Stale("there is no certificate whose status is wanted".to_owned());
        for (chain, file) in self.wanted(configured) {
            match says_good(chain.as_bytes(), response) {
                Ok(()) => return write(&file, response, 0o644),
                Err(Unfit::Other) if matches!(refusal, Error::Invalid(_)) => {}
                Err(why) => refusal = Error::Invalid(why.to_string()),
            }
        }
        Err(refusal)
    }

    /// A configured certificate, with what is kept of its status if that holds: one that is outdated is
    /// worse than none.
    pub(crate) fn with_status(&self, certificate: StationCertificate) -> StationCertificate {
        let kept = || {
            let file = self.kept(&read_chain(&certificate.chain)?)?;
            holds(&certificate.chain, &file).is_ok().then_some(file)
        };
        let ocsp = certificate.ocsp.clone().or_else(kept);
        StationCertificate { ocsp, ..certificate }
    }

    /// Each chain, and where its status goes.
    fn wanted(&self, configured: &[StationCertificate]) -> Vec<(String, PathBuf)> {
        let installed = self
            .station()
            .and_then(|station| Some((read_chain(&station.chain)?, station.chain.with_extension("ocsp"))));
        let configured = configured.iter().filter(|certificate| certificate.ocsp.is_none());
        let configured = configured.filter_map(|certificate| {
            let chain = read_chain(&certificate.chain)?;
            let file = self.kept(&chain)?;
            Some((chain, file))
        });
        installed.into_iter().chain(configured).collect()
    }

    /// Where the status of a configured certificate is kept. All links of a station share the folder, and may
    /// have different certificates; what is kept of one that is used no more is a few kilobytes.
    fn kept(&self, chain: &str) -> Option<PathBuf> {
        let leaf = X509::from_pem(chain.as_bytes()).ok()?;
        let digest = leaf.digest(MessageDigest::sha256()).ok()?;
        let name = digest.iter().fold(String::new(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        });
        Some(self.0.join("status").join(name).with_extension("ocsp"))
    }
}

fn read_chain(file: &Path) -> Option<String> {
    let short = fs::metadata(file).ok()?.len() <= PEM_MAX as u64;
    fs::read_to_string(file).ok().filter(|_| short)
}

/// Why a response is not for a certificate.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it is for another certificate")]
    Other,
    #[error("{0}")]
    Bad(String),
}

impl From<&str> for Unfit {
    fn from(why: &str) -> Self {
        Self::Bad(why.to_owned())
    }
}

impl From<ErrorStack> for Unfit {
    fn from(error: ErrorStack) -> Self {
        Self::Bad(error.to_string())
    }
}

/// Whether the response in a file says now that the chain's first certificate is good.
pub(super) fn holds(chain: &Path, status: &Path) -> Result<(), String> {
    let read = |file: &Path| fs::read(file).map_err(|error| format!("{}: {error}", file.display()));
    says_good(&read(chain)?, &read(status)?).map_err(|why| why.to_string())
}

/// Whether an OCSP response (DER) says of the first of these certificates (PEM) that it is good, does so
/// still, and is its issuer's word.
fn says_good(chain: &[u8], response: &[u8]) -> Result<(), Unfit> {
    if response.len() > STATUS_MAX {
        return Err(Unfit::Bad(format!("an OCSP response of more than {STATUS_MAX} bytes")));
    }
    let chain = X509::stack_from_pem(chain)?;
    let [leaf, issuer, ..] = &chain[..] else {
        return Err("the chain has no issuer, of whom OCSP would speak".into());
    };
    let response =
        OcspResponse::from_der(response).map_err(|error| Unfit::Bad(format!("no OCSP response: {error}")))?;
    if response.status() != OcspResponseStatus::SUCCESSFUL {
        return Err("the responder did not answer".into());
    }
    let response = response.basic()?;
    for digest in [MessageDigest::sha256(), MessageDigest::sha1()] {
        let id = OcspCertId::from_cert(digest, leaf, issuer)?;
        let Some(found) = response.find_status(&id) else { continue };
        is_signed(&response, issuer)
            .map_err(|error| Unfit::Bad(format!("not signed for its issuer: {error}")))?;
        if found.status != OcspCertStatus::GOOD {
            return Err("it does not say that the certificate is good".into());
        }
        return found.check_validity(CLOCK_SLACK_S, None).map_err(|_| "it does not hold now".into());
    }
    Err(Unfit::Other)
}

/// Whether the certificate's issuer has signed the response, or whom it has certified to answer for it
/// (RFC 6960, 4.2.2.2). What stands above the issuer is for vehicles to judge.
fn is_signed(response: &OcspBasicResponseRef, issuer: &X509) -> Result<(), ErrorStack> {
    let mut trusted = X509StoreBuilder::new()?;
    trusted.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    trusted.add_cert(issuer.clone())?;
    let mut known = Stack::new()?;
    known.push(issuer.clone())?;
    response.verify(&known, &trusted.build(), OcspFlag::empty())
}
