//! Certificates that were withdrawn: revocation lists (RFC 5280), as files that somebody keeps new.
//!
//! A list counts for the certificates of whoever signed it. What no list names is believed, also if its
//! issuer's list is missing or out of date: a station that cannot reach anybody charges on. A file that is
//! no list is an error, so that damage does not let anybody in.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::ssl::SslFiletype;
use openssl::x509::store::{X509Lookup, X509StoreBuilderRef};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{CrlStatus, X509Crl, X509Ref, X509StoreContextRef, X509VerifyResult};

use super::material::{Finding, read};

/// `X509_V_ERR_UNABLE_TO_GET_CRL` and `X509_V_ERR_CRL_HAS_EXPIRED`, which the crate does not name.
const UNABLE_TO_GET_CRL: i32 = 3;
const CRL_HAS_EXPIRED: i32 = 12;
const BEGIN: &str = "-----BEGIN X509 CRL-----";

/// Revocation lists of any issuers.
#[derive(Default)]
pub(crate) struct Revoked {
    lists: Vec<X509Crl>,
}

impl std::fmt::Debug for Revoked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Revoked({} lists)", self.lists.len())
    }
}

impl Revoked {
    /// Reads lists.
    ///
    /// # Errors
    /// In words and with the file, what is wrong.
    pub(crate) fn load(files: &[PathBuf]) -> Result<Self, String> {
        let mut lists = Vec::new();
        for file in files {
            lists.append(&mut self::lists(file)?);
        }
        Ok(Self { lists })
    }

    /// Whether one of the certificates that may have issued this one has withdrawn it.
    pub(crate) fn names<'a>(
        &self,
        certificate: &X509Ref,
        issuers: &(impl Iterator<Item = &'a X509Ref> + Clone),
    ) -> bool {
        let same = |list: &X509Crl| {
            list.issuer_name().try_cmp(certificate.issuer_name()).is_ok_and(Ordering::is_eq)
                && matches!(list.get_by_serial(certificate.serial_number()), CrlStatus::Revoked(_))
        };
        let signed = |list: &X509Crl| {
            issuers.clone().any(|issuer| {
                issuer.subject_name().try_cmp(list.issuer_name()).is_ok_and(Ordering::is_eq)
                    && issuer.public_key().and_then(|key| list.verify(&key)).unwrap_or(false)
            })
        };
        self.lists.iter().any(|list| same(list) && signed(list))
    }
}

/// Has a store's certificates checked against lists, as OpenSSL does it.
pub(super) fn check_against(store: &mut X509StoreBuilderRef, files: &[PathBuf]) -> Result<(), ErrorStack> {
    if files.is_empty() {
        return Ok(());
    }
    store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
    let lookup = store.add_lookup(X509Lookup::file())?;
    for file in files.iter().filter(|file| file.exists()) {
        let pem = std::fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(BEGIN));
        lookup.load_crl_file(file, if pem { SslFiletype::PEM } else { SslFiletype::ASN1 })?;
    }
    Ok(())
}

/// Whether what OpenSSL minds is only that there is no list, or an old one; then it is as if it minded
/// nothing.
pub(super) fn is_tolerable(store: &mut X509StoreContextRef) -> bool {
    let tolerable = [UNABLE_TO_GET_CRL, CRL_HAS_EXPIRED].contains(&store.error().as_raw());
    if tolerable {
        store.set_error(X509VerifyResult::OK);
    }
    tolerable
}

/// The lists of a file: one in DER, or any number in PEM; none of a file that is not there yet.
fn lists(file: &Path) -> Result<Vec<X509Crl>, String> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let bytes = read(file)?;
    let bad = |error| format!("{}: no certificate revocation list: {error}", file.display());
    let text = String::from_utf8_lossy(&bytes);
    let starts: Vec<_> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    if starts.is_empty() {
        return Ok(vec![X509Crl::from_der(&bytes).map_err(bad)?]);
    }
    starts.into_iter().map(|at| X509Crl::from_pem(&text.as_bytes()[at..]).map_err(bad)).collect()
}

/// What is wrong with lists: unreadable; or missing or out of date, which are warnings.
pub(super) fn check(files: &[PathBuf]) -> Vec<Finding> {
    let key = "revocation_lists";
    let mut findings = Vec::new();
    let Ok(now) = Asn1Time::days_from_now(0) else { return findings };
    for file in files {
        match lists(file) {
            Err(problem) => findings.push(Finding { key, problem, warning: false }),
            Ok(lists) => {
                if lists.is_empty() {
                    let problem = format!("{}: there is no list yet", file.display());
                    findings.push(Finding { key, problem, warning: true });
                }
                for until in lists.iter().filter_map(|list| list.next_update()).filter(|until| now > **until)
                {
                    let problem = format!("{}: the list was to be renewed by {until}", file.display());
                    findings.push(Finding { key, problem, warning: true });
                }
            }
        }
    }
    findings
}
