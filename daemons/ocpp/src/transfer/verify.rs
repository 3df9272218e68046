//! Whether a firmware is its maker's: the signer's certificate leads to a root of the maker, and the
//! signature is the signer's (2.0.1, L01). Everything here may block.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::pkcs8::DecodePublicKey as _;
use sha2::{Sha256, Sha384};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// id-kp-codeSigning (RFC 5280, 4.2.1.12), which a signer's certificate has if it names any use.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
/// The largest file of roots, bytes.
const ROOTS_MAX: u64 = 1 << 20;
const PIECE: usize = 64 * 1024;

/// Where the maker's roots are.
#[derive(Debug, Clone)]
pub(crate) struct MakerRoots {
    /// A PEM file that is configured.
    pub(crate) file: Option<PathBuf>,
    /// The folder of those that the CSMS installed, a PEM file each.
    pub(crate) installed: PathBuf,
}

impl MakerRoots {
    /// All of them; a file that cannot be read has none.
    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let installed = std::fs::read_dir(&self.installed).into_iter().flatten().flatten();
        let files = self.file.clone().into_iter().chain(installed.map(|file| file.path()));
        files.flat_map(|file| read_pem(&file)).collect()
    }
}

fn read_pem(file: &Path) -> Vec<CertificateDer<'static>> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(ROOTS_MAX).read_to_end(&mut bytes));
    if let Err(error) = read {
        tracing::warn!(file = %file.display(), %error, "roots of firmware cannot be read");
        return Vec::new();
    }
    CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect()
}

/// Whether the signer (PEM, its issuers after it) leads to a root of the maker at this time,
/// microseconds of Unix time.
///
/// # Errors
/// Why not, in words.
pub(crate) fn check_signer(pem: &str, roots: &MakerRoots, at: i64) -> Result<(), String> {
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("no PEM certificate: {error}"))?;
    let [signer, issuers @ ..] = chain.as_slice() else { return Err("no certificate".to_owned()) };
    public_key(signer)?;
    let roots = roots.certificates();
    if roots.is_empty() {
        return Err("no root certificate of the maker is installed".to_owned());
    }
    let anchors: Vec<_> = roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let time = UnixTime::since_unix_epoch(Duration::from_micros(u64::try_from(at).unwrap_or(0)));
    EndEntityCert::try_from(signer)
        .and_then(|signer| {
            let usage = KeyUsage::required_if_present(CODE_SIGNING);
            let algorithms = webpki::ALL_VERIFICATION_ALGS;
            signer.verify_for_usage(algorithms, &anchors, issuers, time, usage, None, None).map(|_| ())
        })
        .map_err(|error| format!("the signer's certificate: {error}"))
}

enum Key {
    Rsa(Box<rsa::RsaPublicKey>),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<Key, String> {
    let certificate =
        Certificate::from_der(certificate).map_err(|error| format!("the signer's certificate: {error}"))?;
    let spki =
        certificate.tbs_certificate.subject_public_key_info.to_der().map_err(|error| error.to_string())?;
    if let Ok(key) = rsa::RsaPublicKey::from_public_key_der(&spki) {
        return Ok(Key::Rsa(Box::new(key)));
    }
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(&spki) {
        return Ok(Key::P256(key));
    }
    p384::ecdsa::VerifyingKey::from_public_key_der(&spki)
        .map(Key::P384)
        .map_err(|_| "the signer's key is neither RSA nor on P-256 or P-384".to_owned())
}

/// Whether the signature (base64) of a file is the signer's: RSA-PSS or RSASSA-PKCS1-v1_5 with SHA-256,
/// ECDSA with SHA-256 on P-256, with SHA-384 on P-384.
///
/// # Errors
/// Why not, in words.
pub(crate) fn check_file(file: &Path, pem: &str, signature: &str) -> Result<(), String> {
    let signer = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
    let signature: String = signature.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let signature = BASE64_STANDARD.decode(signature).map_err(|error| format!("the signature: {error}"))?;
    let good = match public_key(&signer)? {
        Key::Rsa(key) => {
            let digest = digest::<Sha256>(file)?;
            let pss = rsa::Pss::new::<Sha256>();
            let pkcs1 = rsa::Pkcs1v15Sign::new::<Sha256>();
            key.verify(pss, &digest, &signature).or_else(|_| key.verify(pkcs1, &digest, &signature)).is_ok()
        }
        Key::P256(key) => p256::ecdsa::Signature::from_der(&signature)
            .and_then(|signature| key.verify_prehash(&digest::<Sha256>(file).unwrap_or_default(), &signature))
            .is_ok(),
        Key::P384(key) => p384::ecdsa::Signature::from_der(&signature)
            .and_then(|signature| key.verify_prehash(&digest::<Sha384>(file).unwrap_or_default(), &signature))
            .is_ok(),
    };
    if good { Ok(()) } else { Err("the signature is not the signer's".to_owned()) }
}

fn digest<D: sha2::Digest>(file: &Path) -> Result<Vec<u8>, String> {
    let mut file = File::open(file).map_err(|error| error.to_string())?;
    let (mut digest, mut piece) = (D::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).map_err(|error| error.to_string())? {
            0 => return Ok(digest.finalize().to_vec()),
            length => digest.update(&piece[..length]),
        }
    }
}
