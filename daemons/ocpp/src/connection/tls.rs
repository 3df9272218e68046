//! TLS towards the CSMS: whom is believed, and what is shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tracing::warn;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};

use crate::security::SecurityEvent;

/// Object identifier of a common name (X.520).
const COMMON_NAME: &str = "2.5.4.3";

/// The largest file of certificates, bytes: those of a whole distribution.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Whom a station believes, and what it shows of itself. Whoever keeps keys in a TPM implements
/// this: everything here, and the key's own operations, may block; they run on a thread apart.
pub trait Credentials: fmt::Debug + Send + Sync {
    /// The roots of the CSMSs that are believed.
    ///
    /// # Errors
    /// In words, what is wrong with them.
    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, String>;

    /// This station's certificate and key; `None` where the CSMS knows it by its password.
    ///
    /// # Errors
    /// In words, what is wrong with them.
    fn client(&self) -> Result<Option<Client>, String>;
}

/// A certificate of this station and its key.
#[derive(Debug, Clone)]
pub struct Client {
    /// The station's certificate first, then each issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key, wherever it lives.
    pub key: Arc<dyn SigningKey>,
}

/// Credentials in PEM files, read for each dial: a renewed file needs no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Roots of CSMSs.
    pub roots: PathBuf,
    /// The station's chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Credentials for Files {
    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        certificates(&self.roots)
    }

    fn client(&self) -> Result<Option<Client>, String> {
        let Some((chain, key)) = &self.client else { return Ok(None) };
        let chain = certificates(chain)?;
        // What is said of a key that cannot be read is not repeated: it may hold parts of it.
        let parsed = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|_| format!("{}: no PEM private key without a passphrase", key.display()))?;
        let key = provider()
            .key_provider
            .load_private_key(parsed)
            .map_err(|_| format!("{}: a kind of key that TLS does not use here", key.display()))?;
        Ok(Some(Client { chain, key }))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{}: there is no certificate in it", file.display())),
        Err(error) => Err(format!("{}: no PEM certificate: {error}", file.display())),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let named = |error: std::io::Error| format!("{}: {error}", file.display());
    if std::fs::metadata(file).map_err(named)?.len() > FILE_MAX {
        return Err(format!("{}: more than {FILE_MAX} bytes", file.display()));
    }
    std::fs::read(file).map_err(named)
}

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// What TLS needs to know for a dial.
///
/// # Errors
/// In words, which certificate or key will not do.
pub(super) fn client_config(
    credentials: &dyn Credentials,
    accept_common_name: bool,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(provider());
    let mut roots = RootCertStore::empty();
    for root in credentials.roots()? {
        roots.add(root).map_err(|error| format!("a root certificate: {error}"))?;
    }
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| format!("the root certificates: {error}"))?;
    let verifier = Arc::new(Verifier { webpki, accept_common_name });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(Client { chain, key }) = credentials.client()? else {
        return Ok(builder.with_no_client_auth());
    };
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(error) => return Err(format!("the station's certificate and its key: {error}")),
    }
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
}

/// What an error of TLS is of the security log's events.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls's enums grow")]
pub(super) fn security_event(error: &rustls::Error) -> Option<SecurityEvent> {
    use rustls::{AlertDescription as Alert, CertificateError as Wrong, PeerIncompatible as Lacks};
    match error {
        rustls::Error::InvalidCertificate(Wrong::NotValidForName | Wrong::NotValidForNameContext { .. }) => {
            Some(SecurityEvent::CsmsFailedToAuthenticate)
        }
        // General: our own words about a common name.
        rustls::Error::InvalidCertificate(_) | rustls::Error::General(_) => {
            Some(SecurityEvent::InvalidCsmsCertificate)
        }
        rustls::Error::AlertReceived(alert) => match alert {
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::CertificateRequired
            | Alert::AccessDenied => Some(SecurityEvent::InvalidChargingStationCertificate),
            Alert::ProtocolVersion => Some(SecurityEvent::InvalidTlsVersion),
            Alert::HandshakeFailure | Alert::InsufficientSecurity => {
                Some(SecurityEvent::InvalidTlsCipherSuite)
            }
            _ => None,
        },
        rustls::Error::PeerIncompatible(
            Lacks::ServerDoesNotSupportTls12Or13 | Lacks::ServerTlsVersionIsDisabledByOurConfig,
        ) => Some(SecurityEvent::InvalidTlsVersion),
        rustls::Error::PeerIncompatible(_) => Some(SecurityEvent::InvalidTlsCipherSuite),
        _ => None,
    }
}

/// Webpki's rules, and for a certificate that names nobody but in its common name one more.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    accept_common_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Webpki looks at names last: only the name is wrong where it says so.
        match self.webpki.verify_server_cert(certificate, issuers, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            })) if presented.is_empty() && common_name_is(certificate, name) => {
                let name = name.to_str();
                if self.accept_common_name {
                    warn!(%name, "the CSMS's certificate names it by its common name alone; accepted as configured");
                    Ok(ServerCertVerified::assertion())
                } else {
                    Err(rustls::Error::General(format!(
                        "the CSMS's certificate names {name} by its common name alone, which is no longer \
                         believed (RFC 9525); accept_common_name would take it"
                    )))
                }
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether one of a certificate's common names is this, in any case of letters.
fn common_name_is(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    let parts = certificate.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
    parts.filter(|part| part.oid.to_string() == COMMON_NAME).any(|part| {
        let value = &part.value;
        let text = value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned());
        let text = text
            .or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned()));
        let text =
            text.or_else(|_| value.decode_as::<TeletexStringRef<'_>>().map(|text| text.as_str().to_owned()));
        text.is_ok_and(|text| text.eq_ignore_ascii_case(&name.to_str()))
    })
}
