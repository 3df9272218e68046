//! TLS: whom the station believes, and what it shows of itself.

use std::sync::Mutex;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::server::TlsStream;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{Signer, SigningKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};

use super::super::*;
use super::rig::{self, Csms, Rig, listen, times};

pub(super) type Issuer = CertifiedIssuer<'static, KeyPair>;

pub(super) fn root(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate by `root`, and its key.
pub(super) fn leaf(root: &Issuer, common_name: &str, names: &[&str]) -> (CertificateDer<'static>, KeyPair) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, root).unwrap().der().clone(), key)
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}

#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) client: Option<Client>,
}

impl Credentials for Made {
    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        Ok(self.roots.clone())
    }
    fn client(&self) -> Result<Option<Client>, String> {
        Ok(self.client.clone())
    }
}

pub(super) fn believing(root: &Issuer) -> Made {
    Made { roots: vec![root.der().clone()], client: None }
}

pub(super) fn profile(listener: &TcpListener, url_host: &str, credentials: Made) -> Profile {
    let port = listener.local_addr().unwrap().port();
    let target = Target::new(&format!("wss://{url_host}:{port}/ocpp"), "CP-1").unwrap();
    let tls = Tls { credentials: Arc::new(credentials), server_name: None, accept_common_name: false };
    Profile { slot: 1, target, versions: vec![Version::V16], password: None, tls: Some(tls), proxy: None }
}

pub(super) struct Server {
    pub(super) listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server {
    pub(super) async fn new(
        (certificate, key): &(CertificateDer<'static>, KeyPair),
        versions: &[&'static rustls::SupportedProtocolVersion],
        clients: Option<&Issuer>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(root) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(root.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = builder.with_single_cert(vec![certificate.clone()], private(key)).unwrap();
        Self { listener: listen().await, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(super) async fn accept(&self) -> std::io::Result<Csms<TlsStream<TcpStream>>> {
        let (tcp, _) = self.listener.accept().await?;
        let mut stream = self.acceptor.accept(tcp).await?;
        let request = rig::read_head(&mut stream).await;
        Ok(Csms::open(stream, request, "ocpp1.6", None).await)
    }
}

pub(super) const BOTH: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn a_csms_under_a_root_of_ours_is_believed_in_both_versions_of_tls() {
    let root = root("ours");
    let identity = leaf(&root, "x", &["localhost", "127.0.0.1"]);
    for version in BOTH {
        for host in ["localhost", "127.0.0.1"] {
            let server = Server::new(&identity, &[version], None).await;
            let mut rig = Rig::start(vec![profile(&server.listener, host, believing(&root))], times());
            let mut csms = server.accept().await.unwrap();
            let opened = rig.opened().await;
            rig.send(&opened, "hello").await;
            assert_eq!(csms.text().await, "hello");
        }
    }
}

#[tokio::test]
async fn a_csms_under_another_root_or_of_another_name_is_not_believed() {
    let (ours, other) = (root("ours"), root("other"));
    for (root, name, words) in
        [(&other, "127.0.0.1", "UnknownIssuer"), (&ours, "csms.example", "not valid for name")]
    {
        let server = Server::new(&leaf(root, "x", &[name]), &BOTH, None).await;
        let mut rig = Rig::start(vec![profile(&server.listener, "127.0.0.1", believing(&ours))], times());
        assert!(server.accept().await.is_err());
        let (_, why) = rig.failed().await;
        assert!(why.starts_with("TLS: ") && why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn the_name_in_the_certificate_may_be_another_than_the_urls() {
    let root = root("ours");
    let server = Server::new(&leaf(&root, "x", &["csms.example"]), &BOTH, None).await;
    let mut profile = profile(&server.listener, "127.0.0.1", believing(&root));
    profile.tls.as_mut().unwrap().server_name = Some("csms.example".to_owned());
    let mut rig = Rig::start(vec![profile], times());
    let _csms = server.accept().await.unwrap();
    let _ = rig.opened().await;
}

#[tokio::test]
async fn a_certificate_with_a_common_name_alone_is_taken_only_where_that_is_asked_for() {
    let root = root("ours");
    let server = Server::new(&leaf(&root, "CSMS.example", &[]), &BOTH, None).await;
    let with = |server_name: &str, accept| {
        let mut profile = profile(&server.listener, "127.0.0.1", believing(&root));
        let tls = profile.tls.as_mut().unwrap();
        (tls.server_name, tls.accept_common_name) = (Some(server_name.to_owned()), accept);
        Rig::start(vec![profile], times())
    };
    let mut strict = with("csms.example", false);
    assert!(server.accept().await.is_err());
    assert!(strict.failed().await.1.contains("accept_common_name"));
    drop(strict);
    let mut lenient = with("csms.example", true);
    let _csms = server.accept().await.unwrap();
    let _ = lenient.opened().await;
    let mut other = with("other.example", true);
    assert!(server.accept().await.is_err());
    assert!(other.failed().await.1.contains("not valid for"));
}

#[tokio::test]
async fn a_common_name_does_not_help_beside_other_names_or_under_another_root() {
    let (ours, other) = (root("ours"), root("other"));
    for identity in [leaf(&ours, "csms.example", &["else.example"]), leaf(&other, "csms.example", &[])] {
        let server = Server::new(&identity, &BOTH, None).await;
        let mut profile = profile(&server.listener, "127.0.0.1", believing(&ours));
        let tls = profile.tls.as_mut().unwrap();
        (tls.server_name, tls.accept_common_name) = (Some("csms.example".to_owned()), true);
        let mut rig = Rig::start(vec![profile], times());
        assert!(server.accept().await.is_err());
        let _ = rig.failed().await;
    }
}

/// A key as in a TPM: each signature blocks its thread, here until the daemon has gone on without it.
#[derive(Debug)]
struct Blocking {
    key: Arc<dyn SigningKey>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate {
    asked: Notify,
    opened: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl SigningKey for Blocking {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.key.choose_scheme(offered)?;
        Some(Box::new(BlockingSigner { signer, gate: Arc::clone(&self.gate) }))
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[derive(Debug)]
struct BlockingSigner {
    signer: Box<dyn Signer>,
    gate: Arc<Gate>,
}

impl Signer for BlockingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.gate.asked.notify_one();
        let opened = self.gate.opened.lock().unwrap().recv_timeout(Duration::from_secs(5));
        opened.map_err(|_| rustls::Error::General("everything waited for the key".to_owned()))?;
        self.signer.sign(message)
    }
    fn scheme(&self) -> SignatureScheme {
        self.signer.scheme()
    }
}

fn with_client(root: &Issuer, issuer: &Issuer, gate: Option<&Arc<Gate>>) -> Made {
    let (certificate, key) = leaf(issuer, "CP-1", &[]);
    let key = rustls::crypto::ring::sign::any_supported_type(&private(&key)).unwrap();
    let key = match gate {
        Some(gate) => Arc::new(Blocking { key, gate: Arc::clone(gate) }),
        None => key,
    };
    Made { client: Some(Client { chain: vec![certificate], key }), ..believing(root) }
}

#[tokio::test]
async fn a_csms_that_wants_a_certificate_gets_the_stations_in_both_versions_of_tls() {
    let (root, stations) = (root("ours"), root("stations"));
    let identity = leaf(&root, "x", &["127.0.0.1"]);
    for version in BOTH {
        let server = Server::new(&identity, &[version], Some(&stations)).await;
        let credentials = with_client(&root, &stations, None);
        let mut rig = Rig::start(vec![profile(&server.listener, "127.0.0.1", credentials)], times());
        let _csms = server.accept().await.unwrap();
        let _ = rig.opened().await;
        // A station without one, or with one of another issuer, is told why by the CSMS.
        for credentials in [believing(&root), with_client(&root, &root, None)] {
            let mut rig = Rig::start(vec![profile(&server.listener, "127.0.0.1", credentials)], times());
            assert!(server.accept().await.is_err());
            let (_, why) = rig.failed().await;
            assert!(why.contains("alert") || why.contains("broke off"), "{why}");
        }
    }
}

#[tokio::test]
async fn a_key_that_blocks_does_not_hold_up_the_daemon() {
    let (root, stations) = (root("ours"), root("stations"));
    let server = Server::new(&leaf(&root, "x", &["127.0.0.1"]), &BOTH, Some(&stations)).await;
    let (open, opened) = std::sync::mpsc::channel();
    let gate = Arc::new(Gate { asked: Notify::new(), opened: Mutex::new(opened) });
    let credentials = with_client(&root, &stations, Some(&gate));
    let mut rig = Rig::start(vec![profile(&server.listener, "127.0.0.1", credentials)], times());
    tokio::spawn(async move {
        gate.asked.notified().await;
        open.send(()).unwrap();
    });
    let _csms = server.accept().await.unwrap();
    let _ = rig.opened().await;
}

#[tokio::test]
async fn a_server_that_stops_within_the_handshake_costs_the_time_of_a_dial_and_its_thread() {
    let root = root("ours");
    let listener = listen().await;
    let short = Times { dial: Duration::from_millis(100), ..times() };
    let mut rig = Rig::start(vec![profile(&listener, "127.0.0.1", believing(&root))], short);
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(listener.accept().await.unwrap());
        assert!(rig.failed().await.1.contains("no answer within"));
    }
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 40, "{threads} threads wait for servers that are long given up");
}

#[tokio::test]
async fn files_are_read_for_each_dial_and_what_is_wrong_with_them_is_told() {
    let root = root("ours");
    let server = Server::new(&leaf(&root, "x", &["127.0.0.1"]), &BOTH, None).await;
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    let mut profile = profile(&server.listener, "127.0.0.1", believing(&root));
    let files = Files { roots: roots.clone(), client: None };
    profile.tls.as_mut().unwrap().credentials = Arc::new(files);
    let mut rig = Rig::start(vec![profile], times());
    assert!(rig.failed().await.1.contains("roots.pem"));
    std::fs::write(&roots, "no certificate").unwrap();
    while !rig.failed().await.1.contains("there is no certificate in it") {}
    std::fs::write(&roots, root.pem()).unwrap();
    // Dials that came to nothing are still in the server's queue.
    let accepted = async {
        loop {
            if let Ok(csms) = server.accept().await {
                return csms;
            }
        }
    };
    tokio::pin!(accepted);
    let _csms = loop {
        tokio::select! {
            csms = &mut accepted => break csms,
            _ = rig.events.recv() => {}
        }
    };
}
