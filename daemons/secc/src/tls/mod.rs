//! TLS towards the vehicle. The only module that names OpenSSL, apart from Plug & Charge's
//! signatures.
//!
//! ISO 15118-2 wants TLS 1.2, the station's certificate only, on P-256; ISO 15118-20 wants TLS 1.3
//! and a certificate of the vehicle. One listener takes both: the version decides which of the
//! station's certificates is shown, unless the vehicle names the roots that it trusts, and whether
//! the vehicle is asked for one. Resumption and renegotiation are off: a session of hours gains
//! nothing from them.

mod failure;
mod material;
mod revoked;
mod settings;
mod trusted;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    ClientHelloResponse, ExtensionContext, SniError, Ssl, SslAlert, SslCipherRef, SslContext,
    SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef, SslSessionCacheMode, SslVerifyMode,
    SslVersion,
};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509StoreContextRef};

pub(crate) use material::certificates;
pub use material::{Finding, check};
pub(crate) use revoked::Revoked;
pub use settings::{Mode, Settings, StationCertificate};

use material::Identity;
use trusted::Authority;

/// The suites of ISO 15118-2: 0xC023 first, which is what vehicles pick, and its GCM sister. The
/// static ECDH of [V2G2-602] is in no OpenSSL since 1.1.
const SUITES_1_2: &str = "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256";
/// The suites of ISO 15118-20, and the one that TLS 1.3 obliges everybody to have.
const SUITES_1_3: &str = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
/// P-256 of -2, P-521 and X448 of -20, and the two that others offer beside these.
const GROUPS: &str = "P-256:P-521:X448:P-384:X25519";
/// More offered suites than are worth telling.
const SUITES_TOLD: usize = 24;

/// How a connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// TLS 1.3 rather than 1.2.
    pub tls13: bool,
    /// The suite, as `TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256`.
    pub suite: &'static str,
    /// The common name of the vehicle's certificate, if it showed one that our roots vouch for.
    pub vehicle: Option<String>,
}

/// What one handshake heard that explains how it went.
#[derive(Debug, Default)]
struct Heard {
    suites: Vec<u16>,
    trusted: Vec<Authority>,
    refused: Option<String>,
}

/// Shared with the callbacks of one connection.
#[derive(Debug, Clone, Default)]
struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an [`Ssl`] keeps its [`Ear`].
static EAR: LazyLock<Option<Index<Ssl, Ear>>> = LazyLock::new(|| Ssl::new_ex_index().ok());

/// Takes TLS connections with the station's certificates.
#[derive(Debug, Clone)]
pub struct Acceptor {
    /// Without a certificate: its callback chooses one of the others.
    front: SslContext,
}

/// A certificate to choose, and by what.
#[derive(Debug)]
struct Choice {
    context: SslContext,
    p256: bool,
    authorities: Vec<Authority>,
}

impl Acceptor {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// In words and with the file, why there can be no TLS.
    pub fn load(settings: &Settings) -> Result<Self, String> {
        let mut roots = Vec::new();
        for file in &settings.vehicle_roots {
            roots.append(&mut material::certificates(file)?);
        }
        // What OpenSSL would say of a file that is none names no file.
        Revoked::load(&settings.revocation_lists)?;
        let lists = &settings.revocation_lists;
        let words = |error: ErrorStack| format!("OpenSSL: {error}");
        let mut choices = Vec::new();
        for certificate in &settings.certificates {
            let identity = material::identity(certificate)?;
            let mut builder = context(&roots, lists).map_err(words)?;
            show(&mut builder, &identity, certificate.ocsp.clone()).map_err(words)?;
            choices.push(Choice {
                context: builder.build(),
                p256: material::is_p256(&identity.leaf),
                authorities: identity.authorities,
            });
        }
        if choices.is_empty() {
            return Err("no certificate is configured".to_owned());
        }
        let ask = !roots.is_empty();
        let mut front = context(&roots, lists).map_err(words)?;
        front.set_client_hello_callback(note_suites);
        // Called once all extensions are read, whether or not the vehicle names a server.
        front.set_servername_callback(move |ssl, _| {
            let tls13 = ssl.version2() == Some(SslVersion::TLS1_3);
            let trusted = ear(ssl).map(|ear| ear.lock().trusted.clone()).unwrap_or_default();
            let chosen = choose(&choices, tls13, &trusted).ok_or(SniError::ALERT_FATAL)?;
            ssl.set_ssl_context(&chosen.context).map_err(|_| SniError::ALERT_FATAL)?;
            if tls13 && ask {
                // Who shows none may still speak ISO 15118-2; a wrong one is refused.
                ssl.set_verify(SslVerifyMode::PEER);
            }
            Ok(())
        });
        Ok(Self { front: front.build() })
    }

    /// A connection's own state, before the first byte.
    pub(crate) fn connection(&self) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.front)?;
        let ear = Ear::default();
        let callback = ear.clone();
        ssl.set_verify_callback(SslVerifyMode::NONE, move |good, store| {
            let good = good || revoked::is_tolerable(store);
            if !good {
                callback.lock().refused.get_or_insert_with(|| refusal(store));
            }
            good
        });
        if let Some(index) = *EAR {
            ssl.set_ex_data(index, ear);
        }
        Ok(ssl)
    }
}

/// What a finished handshake agreed on.
pub(crate) fn secured(ssl: &SslRef) -> Secured {
    Secured {
        tls13: ssl.version2() == Some(SslVersion::TLS1_3),
        suite: ssl.current_cipher().and_then(SslCipherRef::standard_name).unwrap_or("unknown"),
        vehicle: ssl.peer_certificate().map(|certificate| material::name(&certificate)),
    }
}

/// Why a handshake failed.
pub(crate) fn failure(error: &openssl::ssl::Error, ssl: &SslRef) -> String {
    let default = Ear::default();
    failure::describe(error, ssl, &ear(ssl).unwrap_or(&default).lock())
}

fn ear(ssl: &SslRef) -> Option<&Ear> {
    ssl.ex_data((*EAR)?)
}

/// What is the same for every certificate. OpenSSL looks for the extension's callbacks in the
/// context of the certificate too, so each must have them.
fn context(roots: &[X509], lists: &[PathBuf]) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_cipher_list(SUITES_1_2)?;
    builder.set_ciphersuites(SUITES_1_3)?;
    builder.set_groups_list(GROUPS)?;
    builder.set_options(
        SslOptions::CIPHER_SERVER_PREFERENCE
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_TICKET
            | SslOptions::NO_COMPRESSION,
    );
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(0)?;
    // Between two messages a connection keeps no record buffers.
    builder.set_mode(SslMode::RELEASE_BUFFERS | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::NO_AUTO_CHAIN);
    let mut store = X509StoreBuilder::new()?;
    for root in roots {
        store.add_cert(root.clone())?;
        builder.add_client_ca(root)?;
    }
    revoked::check_against(&mut store, lists)?;
    builder.set_cert_store(store.build());
    builder.add_custom_ext(
        trusted::EXTENSION,
        ExtensionContext::CLIENT_HELLO | ExtensionContext::TLS1_2_SERVER_HELLO,
        // RFC 6066: a server that makes use of the list says so by an empty one.
        |_: &mut SslRef, _, _| Ok(Some([0_u8; 0])),
        |ssl: &mut SslRef, _, data: &[u8], _| {
            let authorities = trusted::read(data).ok_or(SslAlert::DECODE_ERROR)?;
            if let Some(ear) = ear(ssl) {
                ear.lock().trusted = authorities;
            }
            Ok(())
        },
    )?;
    Ok(builder)
}

fn show(
    builder: &mut SslContextBuilder,
    identity: &Identity,
    ocsp: Option<PathBuf>,
) -> Result<(), ErrorStack> {
    builder.set_certificate(&identity.leaf)?;
    builder.set_private_key(&identity.key)?;
    for issuer in &identity.issuers {
        builder.add_extra_chain_cert(issuer.clone())?;
    }
    if let Some(file) = ocsp {
        builder.set_status_callback(move |ssl| match std::fs::read(&file) {
            Ok(response) => ssl.set_ocsp_status(&response).map(|()| true),
            Err(_) => Ok(false),
        })?;
    }
    Ok(())
}

fn note_suites(ssl: &mut SslRef, _: &mut SslAlert) -> Result<ClientHelloResponse, ErrorStack> {
    let suites = ssl.client_hello_ciphers().unwrap_or_default().chunks_exact(2);
    let suites = suites.map(|suite| u16::from_be_bytes([suite[0], suite[1]])).take(SUITES_TOLD).collect();
    if let Some(ear) = ear(ssl) {
        ear.lock().suites = suites;
    }
    Ok(ClientHelloResponse::SUCCESS)
}

/// The first certificate that leads to a root which the vehicle names; else the first that fits
/// the version: ISO 15118-2 vehicles know P-256 only, ISO 15118-20 wants a stronger curve.
fn choose<'a>(choices: &'a [Choice], tls13: bool, trusted: &[Authority]) -> Option<&'a Choice> {
    let fits = |choice: &&Choice| tls13 != choice.p256;
    let knows = |choice: &&Choice| choice.authorities.iter().any(|one| trusted.contains(one));
    let usable = |choice: &&Choice| tls13 || choice.p256;
    let first = |suits: &dyn Fn(&&Choice) -> bool| choices.iter().find(|choice| suits(choice));
    first(&|choice| fits(choice) && knows(choice))
        .or_else(|| first(&|choice| usable(choice) && knows(choice)))
        .or_else(|| first(&fits))
        .or_else(|| first(&usable))
        .or(choices.first())
}

/// Why OpenSSL does not believe a vehicle's certificate.
fn refusal(store: &X509StoreContextRef) -> String {
    let reason = store.error().error_string();
    match store.current_cert() {
        Some(one) => format!(
            "{}: {reason} (valid from {} to {})",
            material::name(one),
            one.not_before(),
            one.not_after()
        ),
        None => reason.to_owned(),
    }
}
