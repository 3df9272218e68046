//! The station's own keys, and requests for certificates of them (PKCS #10).

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData};
use tokio_rustls::rustls;

use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use x509_cert::der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// Where the station's own keys are made and kept. Whoever has a TPM or a secure element implements
/// this, and no key ever leaves it. Everything here may block.
pub trait Keys: fmt::Debug + Send + Sync {
    /// Makes a key on the curve P-256 under a name that is new.
    ///
    /// # Errors
    /// In words, why not.
    fn create(&self, name: &str) -> Result<(), String>;

    /// The key of a name.
    ///
    /// # Errors
    /// In words, why not.
    fn open(&self, name: &str) -> Result<Arc<dyn SigningKey>, String>;

    /// Calls a key otherwise.
    ///
    /// # Errors
    /// In words, why not.
    fn rename(&self, from: &str, to: &str) -> Result<(), String>;

    /// Forgets a key.
    fn remove(&self, name: &str);
}

/// Keys in files that only this daemon reads.
#[derive(Debug, Clone)]
pub struct KeyFiles(pub PathBuf);

impl KeyFiles {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name).with_extension("pem")
    }
}

impl Keys for KeyFiles {
    fn create(&self, name: &str) -> Result<(), String> {
        let key = KeyPair::generate().map_err(|error| format!("making a key: {error}"))?;
        let path = self.path(name);
        write(&path, key.serialize_pem().as_bytes(), 0o600)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn SigningKey>, String> {
        let path = self.path(name);
        // What is said of a key that cannot be read is not repeated: it may hold parts of it.
        let key = PrivateKeyDer::from_pem_file(&path)
            .map_err(|_| format!("{}: no PEM private key", path.display()))?;
        rustls::crypto::ring::default_provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| format!("{}: a kind of key that TLS does not use here", path.display()))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), String> {
        let renamed =
            fs::rename(self.path(from), self.path(to)).and_then(|()| fs::File::open(&self.0)?.sync_all());
        renamed.map_err(|error| format!("{}: {error}", self.path(to).display()))
    }

    fn remove(&self, name: &str) {
        // One that is left over is a key that nothing names.
        let _ = fs::remove_file(self.path(name));
    }
}

/// Writes a file whole or not at all, and durably.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let new = path.with_extension("new");
    // One that was left by a power cut has perhaps another mode.
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(folder)?.sync_all()
}

/// The public key's bits of a key.
pub(super) fn public_key(key: &dyn SigningKey) -> Result<Vec<u8>, String> {
    let info = key.public_key().ok_or("a key that does not tell its public part")?;
    let info = SubjectPublicKeyInfoOwned::from_der(&info).map_err(|error| error.to_string())?;
    Ok(info.subject_public_key.raw_bytes().to_vec())
}

/// A key wherever it lives, as the maker of requests wants it.
struct Signing {
    key: Arc<dyn SigningKey>,
    point: Vec<u8>,
}

impl PublicKeyData for Signing {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let signed = signer.and_then(|signer| signer.sign(message).ok());
        signed.ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// A request for a certificate, PEM.
///
/// # Errors
/// In words, why not.
pub(super) fn request(
    key: Arc<dyn SigningKey>,
    common_name: &str,
    organization: &str,
) -> Result<String, String> {
    let point = public_key(&*key)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if !organization.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    let request = params.serialize_request(&Signing { key, point });
    let request = request.map_err(|error| format!("the request for a certificate: {error}"))?;
    request.pem().map_err(|error| format!("the request for a certificate: {error}"))
}
