//! The files of `[secc.N.tls]`: read, and checked against each other and the calendar.

use std::fs;
use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use super::revoked;
use super::settings::{Settings, StationCertificate};
use super::trusted::{self, Authority};

/// More certificates than any chain of the V2G PKI has: two sub-CAs and the root.
const CHAIN_MAX: usize = 6;
/// A certificate that ends within so many days is worth a word.
const SOON_DAYS: u32 = 21;

/// One certificate of the station, ready to be used.
#[derive(Debug)]
pub(super) struct Identity {
    /// The station's own certificate.
    pub(super) leaf: X509,
    /// Its issuers, without a root.
    pub(super) issuers: Vec<X509>,
    /// The private key.
    pub(super) key: PKey<Private>,
    /// Every name under which a vehicle may trust it.
    pub(super) authorities: Vec<Authority>,
}

/// What is wrong with a file, and whether TLS works all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key of `[secc.N.tls]` that names it, as `certificates`.
    pub key: &'static str,
    /// In words, with the file.
    pub problem: String,
    /// It is to be seen to, but nothing fails yet.
    pub warning: bool,
}

/// All that is wrong with the files that the settings name.
#[must_use]
pub fn check(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for certificate in &settings.certificates {
        let mut found = |problem, warning| findings.push(Finding { key: "certificates", problem, warning });
        match chain(&certificate.chain) {
            Err(problem) => found(problem, false),
            Ok(chain) => {
                // A credential is there only for the unit.
                if certificate.key_path().is_some()
                    && let Err(problem) = key(certificate, &chain)
                {
                    found(problem, false);
                }
                for (problem, warning) in calendar(&certificate.chain, &chain) {
                    found(problem, warning);
                }
            }
        }
    }
    for (key, files) in
        [("contract_roots", &settings.contract_roots), ("vehicle_roots", &settings.vehicle_roots)]
    {
        for file in files {
            match certificates(file) {
                Err(problem) => findings.push(Finding { key, problem, warning: false }),
                Ok(roots) => {
                    for (problem, warning) in calendar(file, &roots) {
                        findings.push(Finding { key, problem, warning });
                    }
                }
            }
        }
    }
    findings.append(&mut revoked::check(&settings.revocation_lists));
    findings
}

/// Reads one certificate of the station.
///
/// # Errors
/// In words and with the file, what is wrong: unreadable, no chain, another certificate's key.
pub(super) fn identity(certificate: &StationCertificate) -> Result<Identity, String> {
    let chain = chain(&certificate.chain)?;
    let key = key(certificate, &chain)?;
    let authorities = trusted::authorities(chain.iter().map(AsRef::as_ref));
    let mut chain = chain.into_iter();
    let leaf = chain.next().ok_or_else(|| format!("{} is empty", certificate.chain.display()))?;
    let issuers = chain.filter(|one| !is_root(one)).collect();
    Ok(Identity { leaf, issuers, key, authorities })
}

/// Whether a leaf's key is on P-256, as ISO 15118-2 has it.
pub(super) fn is_p256(leaf: &X509Ref) -> bool {
    let key = leaf.public_key().and_then(|key| key.ec_key());
    key.is_ok_and(|key| key.group().curve_name() == Some(Nid::X9_62_PRIME256V1))
}

/// The certificates of a PEM file.
///
/// # Errors
/// In words, with the file.
pub(crate) fn certificates(file: &Path) -> Result<Vec<X509>, String> {
    let text = read(file)?;
    match X509::stack_from_pem(&text) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{}: there is no certificate in it", file.display())),
        Err(error) => Err(format!("{}: no PEM certificate: {error}", file.display())),
    }
}

/// A chain, leaf first, each certificate signed by the next.
fn chain(file: &Path) -> Result<Vec<X509>, String> {
    let chain = certificates(file)?;
    if chain.len() > CHAIN_MAX {
        return Err(format!("{}: {} certificates are no chain", file.display(), chain.len()));
    }
    for pair in chain.windows(2) {
        let [below, above] = pair else { continue };
        let issued = above.issued(below) == X509VerifyResult::OK;
        let signed = above.public_key().and_then(|key| below.verify(&key)).unwrap_or(false);
        if !(issued && signed) {
            return Err(format!(
                "{}: {} did not issue {}; the chain goes from the station's certificate upwards",
                file.display(),
                name(above),
                name(below)
            ));
        }
    }
    Ok(chain)
}

fn key(certificate: &StationCertificate, chain: &[X509]) -> Result<PKey<Private>, String> {
    let Some(path) = certificate.key_path() else {
        return Err(format!(
            "key {}: a bare name is a systemd credential, and the unit has none: LoadCredential= is missing",
            certificate.key.display()
        ));
    };
    // What OpenSSL says of a key that it cannot read is not repeated: it may hold parts of it.
    let key = PKey::private_key_from_pem_passphrase(&read(&path)?, b"")
        .map_err(|_| format!("{}: no PEM private key without a passphrase", path.display()))?;
    let fits = chain.first().and_then(|leaf| leaf.public_key().ok()).is_some_and(|of| of.public_eq(&key));
    if fits {
        Ok(key)
    } else {
        Err(format!(
            "{} is not the key of the certificate in {}",
            path.display(),
            certificate.chain.display()
        ))
    }
}

/// Certificates that are not valid today, or soon no more; with whether that is only a warning.
fn calendar(file: &Path, certificates: &[X509]) -> Vec<(String, bool)> {
    let (Ok(now), Ok(soon)) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(SOON_DAYS)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for certificate in certificates {
        let (from, until) = (certificate.not_before(), certificate.not_after());
        let name = name(certificate);
        if now > *until {
            found.push((format!("{}: {name} expired on {until}", file.display()), false));
        } else if now < *from {
            found.push((format!("{}: {name} is valid only from {from}", file.display()), false));
        } else if soon > *until {
            found.push((format!("{}: {name} expires on {until}", file.display()), true));
        }
    }
    found
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    /// More than any of these files has; a revoked certificate takes some 40 bytes of a list.
    const FILE_MAX: u64 = 4 << 20;
    match fs::metadata(file) {
        Ok(metadata) if metadata.len() > FILE_MAX => Err(format!("{} is too long", file.display())),
        Ok(_) => fs::read(file).map_err(|error| format!("{}: {error}", file.display())),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn is_root(certificate: &X509Ref) -> bool {
    certificate.issued(certificate) == X509VerifyResult::OK
}

/// A certificate's common name, or its whole subject.
pub(super) fn name(certificate: &X509Ref) -> String {
    let subject = certificate.subject_name();
    let common = subject.entries_by_nid(Nid::COMMONNAME).next();
    common.and_then(|entry| entry.data().to_string().ok()).unwrap_or_else(|| format!("{subject:?}"))
}
