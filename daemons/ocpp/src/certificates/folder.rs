//! The certificates on the disk. Everything here may block.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::hash::{HashAlgorithm, HashData, hex};
use super::keys::{self, KeyFiles, Keys, public_key, write};
use super::x509::{Parsed, parse_chain};
use super::{Listed, Outcome, Request, Summary, Use};
use crate::connection::Client;

/// Root certificates that may be installed, of all uses together.
const ENTRIES_MAX: usize = 40;
/// The largest file that is read as a certificate.
const FILE_MAX: u64 = 64 * 1024;
/// The key of a request that the CSMS has not answered.
const PENDING: &str = "pending";

/// What is configured besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configured {
    /// A new root of a CSMS is signed by the one before (AdditionalRootCertificateCheck): there are
    /// two at the most, the newest and the one before.
    pub additional_check: bool,
    /// There are roots of CSMSs in a file.
    pub roots: bool,
    /// The station's certificate towards the CSMS, until the CSMS signs one.
    pub client: Option<PathBuf>,
}

/// Certificates, and the station's keys.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    keys: Arc<dyn Keys>,
    configured: Configured,
}

impl Folder {
    /// In this folder, which is made when there is something to keep, with keys in files.
    #[must_use]
    pub fn new(path: &Path, configured: Configured) -> Self {
        Self { path: path.to_owned(), keys: Arc::new(KeyFiles(path.join("keys"))), configured }
    }

    /// With keys elsewhere.
    #[must_use]
    pub fn with_keys(self, keys: Arc<dyn Keys>) -> Self {
        Self { keys, ..self }
    }

    /// Does it. `now`: seconds of Unix time, where the clock is known.
    #[must_use]
    pub fn perform(&self, request: &Request, now: Option<i64>) -> Outcome {
        let done = match request {
            Request::List(uses, _) => Ok(Outcome::Listed(self.list(uses))),
            Request::Install(usage, pem) => self.install(*usage, pem, now),
            Request::Delete(hash) => self.delete(hash),
            Request::Sign { own: _, common_name, organization } => self.sign(common_name, organization),
            Request::Issued(_, chain) => self.issued(chain, now),
            // Of those towards vehicles whoever speaks with them knows.
            Request::Status | Request::Stapled(_) => Ok(Outcome::NotFound),
        };
        done.unwrap_or_else(Outcome::Failed)
    }

    /// What there is.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let installed = |usage| self.installed(usage).len();
        let until = self.station().and_then(|name| self.chain(&name).ok());
        let until = until.or_else(|| read(self.configured.client.as_deref()?).ok());
        Summary {
            entries: Use::ALL.into_iter().map(installed).sum::<usize>() as u64,
            csms_root: installed(Use::Csms) > 0 || self.configured.roots,
            station_until: until.and_then(|chain| chain.first().map(Parsed::until)),
        }
    }

    /// The root certificates of a use.
    #[must_use]
    pub fn roots(&self, usage: Use) -> Vec<CertificateDer<'static>> {
        self.installed(usage).into_iter().map(|(_, root)| root.der().clone()).collect()
    }

    /// The root certificates of a use, PEM.
    #[must_use]
    pub fn roots_pem(&self, usage: Use) -> String {
        let files = self.installed(usage).into_iter();
        files.filter_map(|(path, _)| Some(fs::read_to_string(path).ok()? + "\n")).collect()
    }

    /// The name of the station's certificate towards the CSMS, if there is one.
    #[must_use]
    pub fn station(&self) -> Option<String> {
        let name = fs::read_to_string(self.path.join("station/current")).ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// The station's certificate of this name, with its key.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn client(&self, name: &str) -> Result<Client, String> {
        let chain = self.chain(name)?.into_iter().map(|certificate| certificate.der().clone()).collect();
        Ok(Client { chain, key: self.keys.open(name)? })
    }

    /// The oldest first.
    fn installed(&self, usage: Use) -> Vec<(PathBuf, Parsed)> {
        let Ok(files) = fs::read_dir(self.path.join(usage.folder())) else { return Vec::new() };
        let mut found: Vec<_> = files
            .filter_map(|file| {
                let path = file.ok()?.path();
                let whole = path.extension().is_some_and(|extension| extension == "pem");
                let parsed = whole.then(|| read(&path).ok()).flatten()?.into_iter().next()?;
                Some((path, parsed))
            })
            .collect();
        // Their names are numbers that grow.
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found
    }

    fn list(&self, uses: &[Use]) -> Vec<Listed> {
        let of = |usage: &Use| {
            let usage = *usage;
            self.installed(usage).into_iter().map(move |(_, root)| Listed {
                usage: Some(usage),
                hash: HashData::of(HashAlgorithm::Sha256, &root, &root),
                children: Vec::new(),
            })
        };
        uses.iter().flat_map(of).collect()
    }

    fn install(&self, usage: Use, pem: &str, now: Option<i64>) -> Result<Outcome, String> {
        let wrong = |text: String| Ok(Outcome::Rejected("InvalidCertificate", text));
        let chain = match parse_chain(pem) {
            Ok(chain) => chain,
            Err(text) => return wrong(text),
        };
        let [root] = chain.as_slice() else { return wrong("more than one certificate".to_owned()) };
        if !root.may_sign() {
            return wrong("it is not of an authority".to_owned());
        }
        if root.is_self_issued() && !root.is_signed_by(root) {
            return wrong("it is not signed by itself".to_owned());
        }
        if now.is_some_and(|now| now > root.until()) {
            return wrong("it has expired".to_owned());
        }
        if RootCertStore::empty().add(root.der().clone()).is_err() {
            return wrong("it is none that could be believed by".to_owned());
        }
        let mut before = self.installed(usage);
        if before.iter().any(|(_, known)| known.der() == root.der()) {
            return Ok(Outcome::Done);
        }
        let newest = before.last().and_then(|(path, _)| path.file_stem()?.to_str()?.parse::<u64>().ok());
        let path = self.path.join(usage.folder()).join(format!("{:08}.pem", newest.unwrap_or(0) + 1));
        if Use::ALL.into_iter().map(|usage| self.installed(usage).len()).sum::<usize>() >= ENTRIES_MAX {
            let text = format!("there are {ENTRIES_MAX} certificates already");
            return Ok(Outcome::Rejected("TooManyElements", text));
        }
        if usage == Use::Csms && self.configured.additional_check {
            if let Some((_, newest)) = before.last()
                && !root.is_signed_by(newest)
            {
                let text = "it is not signed by the root of the CSMS before it".to_owned();
                return Ok(Outcome::Rejected("InvalidCertificate", text));
            }
            // The one before stays to fall back to; what was before that goes.
            before.pop();
            write_file(&path, pem)?;
            for (older, _) in before {
                remove(&older)?;
            }
            return Ok(Outcome::Done);
        }
        write_file(&path, pem)?;
        Ok(Outcome::Done)
    }

    fn delete(&self, hash: &HashData) -> Result<Outcome, String> {
        for usage in Use::ALL {
            let installed = self.installed(usage);
            let found = installed.iter().find(|(_, root)| HashData::of(hash.algorithm, root, root) == *hash);
            let Some((path, _)) = found else { continue };
            if usage == Use::Csms && installed.len() == 1 && !self.configured.roots {
                return Err("it is the only root that a CSMS is believed by".to_owned());
            }
            remove(path)?;
            return Ok(Outcome::Done);
        }
        let own = self.station().and_then(|name| self.chain(&name).ok()).unwrap_or_default();
        let issuers = own.iter().skip(1).chain(own.last());
        if own.iter().zip(issuers).any(|(one, issuer)| HashData::of(hash.algorithm, one, issuer) == *hash) {
            // M04.FR.06.
            return Err("the station's own certificate is not deleted".to_owned());
        }
        Ok(Outcome::NotFound)
    }

    fn sign(&self, common_name: &str, organization: &str) -> Result<Outcome, String> {
        self.keys.remove(PENDING);
        self.keys.create(PENDING)?;
        keys::request(self.keys.open(PENDING)?, common_name, organization).map(Outcome::Request)
    }

    fn issued(&self, pem: &str, now: Option<i64>) -> Result<Outcome, String> {
        let wrong = |text: &str| Ok(Outcome::Rejected("InvalidCertificate", text.to_owned()));
        let Ok(key) = self.keys.open(PENDING) else {
            return Ok(Outcome::Rejected("NoRequest", "none was asked for".to_owned()));
        };
        let chain = match parse_chain(pem) {
            Ok(chain) => chain,
            Err(text) => return wrong(&text),
        };
        let certificate = &chain[0];
        if certificate.public_key() != public_key(&*key)? {
            return wrong("it is for another key than the one that was asked for");
        }
        if chain.iter().zip(chain.iter().skip(1)).any(|(one, issuer)| !one.is_signed_by(issuer)) {
            return wrong("one certificate of the chain is not signed by the next");
        }
        if now.is_some_and(|now| chain.iter().any(|certificate| now > certificate.until())) {
            return wrong("it has expired");
        }
        let name = hex(&<sha2::Sha256 as sha2::Digest>::digest(certificate.der()));
        self.keys.rename(PENDING, &name)?;
        write_file(&self.path.join("station").join(&name).with_extension("pem"), pem)?;
        let before = self.station();
        write_file(&self.path.join("station/current"), &name)?;
        self.forget_all_but(&[Some(name), before]);
        Ok(Outcome::Done)
    }

    /// The certificate in use and the one before stay: the CSMS may not take the new one.
    fn forget_all_but(&self, kept: &[Option<String>]) {
        let Ok(files) = fs::read_dir(self.path.join("station")) else { return };
        for path in files.filter_map(|file| Some(file.ok()?.path())) {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let is_chain = path.extension().is_some_and(|extension| extension == "pem");
            if is_chain && !kept.contains(&Some(name.clone())) {
                self.keys.remove(&name);
                let _ = fs::remove_file(path);
            }
        }
    }

    fn chain(&self, name: &str) -> Result<Vec<Parsed>, String> {
        read(&self.path.join("station").join(name).with_extension("pem"))
    }
}

fn read(path: &Path) -> Result<Vec<Parsed>, String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    if fs::metadata(path).map_err(named)?.len() > FILE_MAX {
        return Err(format!("{}: more than {FILE_MAX} bytes", path.display()));
    }
    parse_chain(&fs::read_to_string(path).map_err(named)?)
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    write(path, text.as_bytes(), 0o644).map_err(|error| format!("{}: {error}", path.display()))
}

fn remove(path: &Path) -> Result<(), String> {
    fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
