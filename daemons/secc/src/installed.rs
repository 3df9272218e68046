//! `Certificates1`: what the back end installs, on the bus and on the disk: roots of contracts, and a
//! certificate of this station for a key that is made here and never leaves.
//!
//! ```text
//!   FOLDER/v2g-roots.pem, mo-roots.pem
//!          station/NUMBER.pem, NUMBER.key   chains and their keys
//!          station/current                  the NUMBER in use
//!          station/pending.key              of a request that is not answered
//! ```

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder, X509Req};
use voltry_bus::Error;
use voltry_service::Refusals;
use zbus::{Connection, interface};

use crate::tls::StationCertificate;

/// A PEM text that a back end may send, bytes.
const PEM_MAX: usize = 256 * 1024;

/// What is installed in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed(PathBuf);

impl Installed {
    /// What is in this folder; it may be missing.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The file of roots of this kind, if any are installed.
    #[must_use]
    pub fn roots(&self, kind: &str) -> Option<PathBuf> {
        Some(self.roots_file(kind)).filter(|file| file.exists())
    }

    fn roots_file(&self, kind: &str) -> PathBuf {
        self.0.join(format!("{kind}-roots.pem"))
    }

    /// The station's certificate, if there is one.
    #[must_use]
    pub fn station(&self) -> Option<StationCertificate> {
        let number: u64 = fs::read_to_string(self.0.join("station/current")).ok()?.trim().parse().ok()?;
        let file = self.0.join("station").join(number.to_string());
        Some(StationCertificate {
            chain: file.with_extension("pem"),
            key: file.with_extension("key"),
            ocsp: None,
        })
    }

    fn set_roots(&self, kind: &str, pem: &str) -> Result<(), Error> {
        if !["v2g", "mo"].contains(&kind) {
            return Err(Error::Invalid(format!("no kind of roots: {kind:?}")));
        }
        let file = self.roots_file(kind);
        if pem.trim().is_empty() {
            return match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&file, &error)),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        certificates(pem)?;
        write(&file, pem.as_bytes(), 0o644)
    }

    fn request(&self, common_name: &str, organization: &str) -> Result<String, Error> {
        let made = || -> Result<_, openssl::error::ErrorStack> {
            // ISO 15118-2 knows the one curve.
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
            let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
            let mut name = X509NameBuilder::new()?;
            name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
            if !organization.is_empty() {
                name.append_entry_by_nid(Nid::ORGANIZATIONNAME, organization)?;
            }
            let mut request = X509Req::builder()?;
            request.set_subject_name(&name.build())?;
            request.set_pubkey(&key)?;
            request.sign(&key, MessageDigest::sha256())?;
            Ok((request.build().to_pem()?, key.private_key_to_pem_pkcs8()?))
        };
        let (request, key) = made().map_err(|error| Error::Invalid(format!("the request: {error}")))?;
        write(&self.0.join("station/pending.key"), &key, 0o600)?;
        String::from_utf8(request).map_err(|error| Error::Invalid(error.to_string()))
    }

    fn install(&self, pem: &str) -> Result<(), Error> {
        let chain = certificates(pem)?;
        let pending = self.0.join("station/pending.key");
        let key = fs::read(&pending).map_err(|_| Error::Stale("no certificate was asked for".to_owned()))?;
        let key = PKey::private_key_from_pem_passphrase(&key, b"")
            .map_err(|_| Error::Stale("the key that was asked for is gone".to_owned()))?;
        let fits = chain[0].public_key().is_ok_and(|of| of.public_eq(&key));
        if !fits {
            return Err(Error::Invalid("it is for another key than the one that was asked for".to_owned()));
        }
        for pair in chain.windows(2) {
            let signed = pair[1].public_key().and_then(|above| pair[0].verify(&above)).unwrap_or(false);
            if !signed {
                return Err(Error::Invalid(
                    "one certificate of the chain is not signed by the next".to_owned(),
                ));
            }
        }
        let before = fs::read_to_string(self.0.join("station/current")).ok();
        let before: u64 = before.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        let file = self.0.join("station").join((before + 1).to_string());
        let moved = fs::rename(&pending, file.with_extension("key"));
        moved.map_err(|error| failed(&pending, &error))?;
        write(&file.with_extension("pem"), pem.as_bytes(), 0o644)?;
        write(&self.0.join("station/current"), (before + 1).to_string().as_bytes(), 0o644)?;
        for old in ["key", "pem"] {
            // One that stays behind is named by nothing.
            let _ = fs::remove_file(self.0.join("station").join(before.to_string()).with_extension(old));
        }
        Ok(())
    }

    fn chain(&self) -> String {
        let chain = self.station().and_then(|station| fs::read_to_string(station.chain).ok());
        chain.unwrap_or_default()
    }
}

fn certificates(pem: &str) -> Result<Vec<X509>, Error> {
    if pem.len() > PEM_MAX {
        return Err(Error::Invalid(format!("more than {PEM_MAX} bytes")));
    }
    let found = X509::stack_from_pem(pem.as_bytes())
        .map_err(|error| Error::Invalid(format!("no PEM certificate: {error}")))?;
    if found.is_empty() {
        return Err(Error::Invalid("there is no PEM certificate in it".to_owned()));
    }
    Ok(found)
}

fn failed(file: &Path, error: &std::io::Error) -> Error {
    Error::Unavailable(format!("{}: {error}", file.display()))
}

/// Writes a file whole or not at all, and durably.
fn write(file: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let new = file.with_extension("new");
    let written = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let _ = fs::remove_file(&new);
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&new, file)?;
        fs::File::open(folder)?.sync_all()
    };
    written().map_err(|error| failed(file, &error))
}

/// The served object. The disk is waited for on a thread apart: vehicles are answered meanwhile.
struct Certificates1 {
    installed: Installed,
    refusals: Refusals,
}

/// Serves `Certificates1` at `path`.
///
/// # Errors
/// If the path is none.
pub async fn serve(connection: &Connection, path: &str, folder: &Path) -> zbus::Result<()> {
    let served = Certificates1 { installed: Installed::new(folder), refusals: Refusals::new() };
    connection.object_server().at(path, served).await?;
    Ok(())
}

impl Certificates1 {
    async fn apart<T: Send + 'static>(
        &self,
        member: &'static str,
        work: impl FnOnce(&Installed) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let installed = self.installed.clone();
        let done = tokio::task::spawn_blocking(move || work(&installed)).await;
        let done = done.map_err(|error| Error::Unavailable(error.to_string()))?;
        self.refusals.note(member, done)
    }
}

#[interface(name = "org.voltry.Certificates1")]
impl Certificates1 {
    async fn set_roots(&self, kind: String, roots: String) -> Result<(), Error> {
        self.apart("SetRoots", move |installed| installed.set_roots(&kind, &roots)).await
    }

    async fn request(&self, common_name: String, organization: String) -> Result<String, Error> {
        self.apart("Request", move |installed| installed.request(&common_name, &organization)).await
    }

    async fn install(&self, chain: String) -> Result<(), Error> {
        self.apart("Install", move |installed| installed.install(&chain)).await
    }

    async fn chain(&self) -> Result<String, Error> {
        self.apart("Chain", |installed| Ok(installed.chain())).await
    }
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::x509::X509Builder;

    use super::*;

    /// A certificate of the request's key, signed by a key that is nobody's.
    fn sign(request: &str) -> String {
        let request = X509Req::from_pem(request.as_bytes()).unwrap();
        let mut builder = X509Builder::new().unwrap();
        builder.set_pubkey(&request.public_key().unwrap()).unwrap();
        builder.set_subject_name(request.subject_name()).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        String::from_utf8(builder.build().to_pem().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_is_installed_for_the_key_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let installed = Installed::new(&folder.path().join("certificates"));
        assert_eq!((installed.station(), installed.chain()), (None, String::new()));
        let first = sign(&installed.request("SECC", "Operator").unwrap());
        let second = sign(&installed.request("SECC", "").unwrap());
        assert!(matches!(installed.install(&first), Err(Error::Invalid(_))), "of the key before");
        let doubled = second.clone() + &first;
        assert!(matches!(installed.install(&doubled), Err(Error::Invalid(_))), "no chain");
        installed.install(&second).unwrap();
        assert_eq!(installed.chain(), second);
        assert!(matches!(installed.install(&second), Err(Error::Stale(_))), "once");
        let station = installed.station().unwrap();
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&station.key).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        installed.install(&sign(&installed.request("SECC", "").unwrap())).unwrap();
        assert!(!station.key.exists(), "the one before is gone");
    }

    #[test]
    fn roots_are_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let installed = Installed::new(folder.path());
        assert!(matches!(installed.set_roots("any", ""), Err(Error::Invalid(_))));
        assert!(matches!(installed.set_roots("mo", "rubbish"), Err(Error::Invalid(_))));
        installed.set_roots("mo", "").unwrap();
        assert_eq!(installed.roots("mo"), None);
        let root = sign(&installed.request("root", "").unwrap());
        installed.set_roots("mo", &root).unwrap();
        assert_eq!(installed.roots("v2g"), None);
        assert_eq!(fs::read_to_string(installed.roots("mo").unwrap()).unwrap(), root);
        installed.set_roots("mo", "").unwrap();
        assert_eq!(installed.roots("mo"), None);
    }
}
