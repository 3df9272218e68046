//! `Certificates1`: what the back end installs, on the bus and on the disk: roots of contracts, and a
//! certificate of this station for a key that is made here and never leaves.
//!
//! ```text
//!   FOLDER/v2g-roots.pem, mo-roots.pem
//!          station/NUMBER.pem, NUMBER.key   chains and their keys
//!          station/NUMBER.ocsp              what OCSP says of the chain's first
//!          station/current                  the NUMBER in use
//!          station/pending.key              of a request that is not answered
//!          status/DIGEST.ocsp               what OCSP says of a configured certificate, by its SHA-256
//! ```

mod status;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder, X509Req};
use voltry_bus::Error;
use voltry_service::Refusals;
use zbus::{Connection, interface};

use crate::tls::{Settings, StationCertificate};

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
        let (chain, status) = (file.with_extension("pem"), file.with_extension("ocsp"));
        // One that is outdated is worse than none.
        let ocsp = Some(status).filter(|status| status::holds(&chain, status).is_ok());
        Some(StationCertificate { chain, key: file.with_extension("key"), ocsp })
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
        let made = || -> Result<_, ErrorStack> {
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
        for old in ["key", "pem", "ocsp"] {
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
    /// Beside what is installed.
    configured: Vec<StationCertificate>,
    refusals: Refusals,
}

/// Serves `Certificates1` at `path`.
///
/// # Errors
/// If the path is none.
pub async fn serve(connection: &Connection, path: &str, settings: &Settings) -> zbus::Result<()> {
    let served = Certificates1 {
        installed: Installed::new(&settings.installed),
        configured: settings.certificates.clone(),
        refusals: Refusals::new(),
    };
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

    async fn set_status(&self, response: Vec<u8>) -> Result<(), Error> {
        let configured = self.configured.clone();
        self.apart("SetStatus", move |installed| installed.set_status(&configured, &response)).await
    }

    async fn chains(&self) -> Result<Vec<String>, Error> {
        let configured = self.configured.clone();
        self.apart("Chains", move |installed| Ok(installed.chains(&configured))).await
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

    /// What `openssl` writes, in a folder of its own.
    fn openssl(folder: &Path, words: &str) {
        let mut command = std::process::Command::new("openssl");
        let done = command.current_dir(folder).args(words.split(' ')).output().unwrap();
        assert!(done.status.success(), "{words}: {}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn a_status_is_stapled_if_it_is_for_this_certificate_good_and_of_now() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let installed = Installed::new(&place.join("certificates"));
        assert!(matches!(installed.set_status(&[], b"any"), Err(Error::Stale(_))));
        let request = installed.request("SECC", "").unwrap();
        fs::write(place.join("own.csr"), &request).unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(place, &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=CA -days 9"));
        openssl(
            place,
            "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -set_serial 4660 -days 9 -out own.pem",
        );
        let chain = fs::read_to_string(place.join("own.pem")).unwrap()
            + &fs::read_to_string(place.join("ca.pem")).unwrap();
        installed.install(&chain).unwrap();
        for (name, uses) in [("delegate", "OCSPSigning"), ("server", "serverAuth")] {
            fs::write(place.join("uses"), format!("extendedKeyUsage={uses}\n")).unwrap();
            openssl(place, &format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            let sign = "-CA ca.pem -CAkey ca.key -set_serial 7 -days 9 -extfile uses";
            openssl(place, &format!("x509 -req -in {name}.csr {sign} -out {name}.pem"));
        }
        openssl(place, &format!("req -x509 {key} -keyout no.key -out no.pem -subj /CN=CA -days 9"));
        let answer_of = |signer: &str, status: &str, serial: &str, days: &str| {
            let ends = "300101000000Z";
            let line = match status {
                "V" => format!("V\t{ends}\t\t{serial}\tunknown\t/CN=SECC\n"),
                _ => format!("R\t{ends}\t260101000000Z\t{serial}\tunknown\t/CN=SECC\n"),
            };
            fs::write(place.join("index"), line).unwrap();
            openssl(place, "ocsp -sha256 -issuer ca.pem -cert own.pem -no_nonce -reqout asked.der");
            openssl(
                place,
                &format!(
                    "ocsp -index index -rsigner {signer}.pem -rkey {signer}.key -CA ca.pem -reqin asked.der \
                     -respout answer.der{days}"
                ),
            );
            fs::read(place.join("answer.der")).unwrap()
        };
        let answer = |status: &str, serial: &str, days: &str| answer_of("ca", status, serial, days);
        let invalid = |response: &[u8]| matches!(installed.set_status(&[], response), Err(Error::Invalid(_)));
        assert!(invalid(b"rubbish"));
        assert!(invalid(&answer("R", "1234", " -ndays 1")), "revoked");
        assert!(invalid(&answer("V", "FF", " -ndays 1")), "of another: unknown to the responder");
        assert!(invalid(&answer_of("no", "V", "1234", " -ndays 1")), "of another who calls himself so");
        assert!(invalid(&answer_of("server", "V", "1234", " -ndays 1")), "of one who may not answer");
        assert_eq!(installed.station().unwrap().ocsp, None);
        installed.set_status(&[], &answer_of("delegate", "V", "1234", " -ndays 1")).unwrap();
        let good = answer("V", "1234", " -ndays 1");
        installed.set_status(&[], &good).unwrap();
        let stapled = installed.station().unwrap().ocsp.unwrap();
        assert_eq!(fs::read(&stapled).unwrap(), good);
        // What was written when it held.
        fs::write(&stapled, b"outdated").unwrap();
        assert_eq!(installed.station().unwrap().ocsp, None);

        // The same certificate, configured; and one whose status somebody else fetches.
        let elsewhere = Installed::new(&place.join("elsewhere"));
        fs::write(place.join("chain.pem"), &chain).unwrap();
        let configured =
            |ocsp| StationCertificate { chain: place.join("chain.pem"), key: place.join("own.key"), ocsp };
        let (wanted, other) = (configured(None), configured(Some(place.join("kept.ocsp"))));
        assert_eq!(elsewhere.chains(&[other.clone(), wanted.clone()]), [chain]);
        assert!(matches!(elsewhere.set_status(std::slice::from_ref(&other), &good), Err(Error::Stale(_))));
        let both = [other.clone(), wanted.clone()];
        let revoked = answer("R", "1234", " -ndays 1");
        assert!(matches!(elsewhere.set_status(&both, &revoked), Err(Error::Invalid(_))));
        elsewhere.set_status(&both, &good).unwrap();
        let stapled = elsewhere.with_status(wanted.clone()).ocsp.unwrap();
        assert_eq!(fs::read(&stapled).unwrap(), good);
        assert_eq!(elsewhere.with_status(other.clone()), other);
        fs::write(&stapled, b"outdated").unwrap();
        assert_eq!(elsewhere.with_status(wanted.clone()), wanted);
    }
}
