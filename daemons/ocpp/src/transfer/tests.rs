//! Files to and from a server that the test plays.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::files::{Log, Tries};

/// Answers each connection with the next of these, once it has a whole request; keeps the requests.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:pass%3Aword@{}/in/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (mut serving, kept) = (JoinSet::new(), Arc::clone(&requests));
        serving.spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                kept.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, requests, _serving: serving }
    }

    fn requests(&self) -> Vec<(String, Vec<u8>)> {
        let requests = self.requests.lock().unwrap();
        let split = |request: &Vec<u8>| {
            let end = request.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
            (String::from_utf8(request[..end].to_vec()).unwrap(), request[end..].to_vec())
        };
        requests.iter().map(split).collect()
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    loop {
        stream.read_buf(&mut request).await.unwrap();
        let Some(end) = request.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if request.len() >= end + 4 + length.map_or(0, |length| length.parse().unwrap()) {
            return request;
        }
    }
}

fn place() -> (TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let maker = MakerRoots { file: None, installed: folder.path().join("none") };
    let place = Place { folder: folder.path().to_owned(), roots: "/nowhere".into(), maker, proxy: None };
    (folder, place)
}

async fn send(server: &Server, log: Log) -> Result<(), Failure> {
    let (folder, place) = place();
    let wanted = Upload {
        request: Some(1),
        log,
        url: server.url.clone(),
        file: "a.log.gz".to_owned(),
        oldest: Some(10),
        latest: Some(20),
        tries: Tries::asked(None, None),
    };
    let security = vec!["first".to_owned(), "last".to_owned()];
    let snapshot = Snapshot {
        identity: "VOLTRY-1".to_owned(),
        configuration: "ocpp.identity = \"VOLTRY-1\"\n".to_owned(),
        variables: vec![("HeartbeatInterval".to_owned(), "300".to_owned())],
        said: vec!["-> [2,\"1\",\"Heartbeat\",{}]".to_owned()],
        security,
        ..Snapshot::default()
    };
    let sent = upload(place, wanted, snapshot, None).await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays behind");
    sent
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn a_log_is_put_into_the_folder_that_the_url_names() {
    let server = Server::start(&["HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"]).await;
    assert_eq!(send(&server, Log::Diagnostics).await, Ok(()));
    let [(head, body)] = &server.requests()[..] else { panic!() };
    assert!(head.starts_with("PUT /in/a.log.gz HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n"), "{head}");
    let text = unpacked(body);
    for part in
        ["identity VOLTRY-1", "HeartbeatInterval = 300", "Heartbeat\",{}]", "ocpp.identity", "== journal"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_security_log_has_a_line_an_event() {
    let server = Server::start(&["HTTP/1.1 204 No Content\r\n\r\n"]).await;
    assert_eq!(send(&server, Log::Security).await, Ok(()));
    let text = unpacked(&server.requests()[0].1);
    assert_eq!(text, "first\nlast\n");
}

#[tokio::test]
async fn a_server_without_put_is_posted_to_as_from_a_form() {
    let server = Server::start(&[
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ])
    .await;
    assert_eq!(send(&server, Log::Security).await, Ok(()));
    let (head, body) = server.requests().pop().unwrap();
    assert!(head.starts_with("POST /in/ HTTP/1.1\r\n"), "{head}");
    let boundary = head.split("boundary=").nth(1).unwrap().lines().next().unwrap().to_owned();
    let file = body.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    let end = body.len() - format!("\r\n--{boundary}--\r\n").len();
    assert!(String::from_utf8_lossy(&body[..file]).contains("filename=\"a.log.gz\""));
    assert!(unpacked(&body[file..end]).contains("first"));
}

#[tokio::test]
async fn what_the_server_says_becomes_a_word_of_ocpp() {
    for (answers, failure) in [
        (&["HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"][..], Failure::PermissionDenied),
        (&["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"], Failure::BadMessage),
        (&["HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"], Failure::UploadFailure),
        (&["no HTTP at all\r\n\r\n"], Failure::UploadFailure),
        (&[""], Failure::UploadFailure),
        (
            &[
                "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n",
                "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
            ],
            Failure::NotSupportedOperation,
        ),
    ] {
        let server = Server::start(answers).await;
        assert_eq!(send(&server, Log::Security).await, Err(failure), "{answers:?}");
    }
}

#[tokio::test]
async fn a_download_follows_redirections_and_has_a_bound() {
    let server = Server::start(&[
        "HTTP/1.1 302 Found\r\nLocation: ../image?x=1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
    ])
    .await;
    let (folder, place) = place();
    let (url, file) = (Url::parse(&server.url).unwrap(), folder.path().join("image"));
    http::download(&url, &place, &file, 5).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "abcde");
    assert!(server.requests()[1].0.starts_with("GET /image?x=1 HTTP/1.1\r\n"));
    let large = http::download(&url, &place, &file, 5).await;
    assert!(matches!(large, Err(HttpError::TooLarge(5))), "{large:?}");
    let short = http::download(&url, &place, &file, 5).await;
    assert!(matches!(short, Err(HttpError::Http(_))), "{short:?}");
}

/// A root of a maker, and somebody whom it made a signer of firmware, with a key of this kind.
fn maker(
    kind: &'static rcgen::SignatureAlgorithm,
    change: impl FnOnce(&mut rcgen::CertificateParams),
) -> (String, String, rcgen::KeyPair) {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, root_key);
    let key = rcgen::KeyPair::generate_for(kind).unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    change(&mut params);
    let signer = params.signed_by(&key, &issuer).unwrap().pem();
    (root, signer, key)
}

/// 2026-05-28.
const TODAY: i64 = 1_780_000_000_000_000;

#[test]
fn a_signature_is_the_signers_or_none() {
    use base64::Engine as _;
    use rcgen::SigningKey as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image");
    let image = vec![7; 300_000];
    std::fs::write(&file, &image).unwrap();
    for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let (_, signer, key) = maker(kind, |_| {});
        let (_, other, _) = maker(kind, |_| {});
        let signature = base64::prelude::BASE64_STANDARD.encode(key.sign(&image).unwrap());
        assert_eq!(verify::check_file(&file, &signer, &signature), Ok(()));
        let (first, rest) = signature.split_at(40);
        assert_eq!(verify::check_file(&file, &signer, &format!("{first}\r\n{rest}\n")), Ok(()));
        assert!(verify::check_file(&file, &other, &signature).is_err());
        std::fs::write(&file, &image[1..]).unwrap();
        assert!(verify::check_file(&file, &signer, &signature).is_err());
        std::fs::write(&file, &image).unwrap();
        assert!(verify::check_file(&file, &signer, "no base64").is_err());
        assert!(verify::check_file(&folder.path().join("none"), &signer, &signature).is_err());
    }
}

#[test]
fn a_signer_leads_to_a_root_of_the_maker_now_and_for_this_use() {
    let folder = tempfile::tempdir().unwrap();
    let installed = folder.path().join("manufacturer");
    std::fs::create_dir(&installed).unwrap();
    let roots = MakerRoots { file: None, installed: installed.clone() };
    let (root, signer, _) = maker(&rcgen::PKCS_ECDSA_P256_SHA256, |_| {});
    let error = verify::check_signer(&signer, &roots, TODAY).unwrap_err();
    assert!(error.contains("no root certificate"), "{error}");
    std::fs::write(installed.join("1.pem"), &root).unwrap();
    assert_eq!(verify::check_signer(&signer, &roots, TODAY), Ok(()));
    let in_file = MakerRoots { file: Some(installed.join("1.pem")), installed: folder.path().join("none") };
    assert_eq!(verify::check_signer(&signer, &in_file, TODAY), Ok(()));
    for (what, other) in [
        ("another maker's", maker(&rcgen::PKCS_ECDSA_P256_SHA256, |_| {}).1),
        ("no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_owned()),
        ("nothing", String::new()),
    ] {
        assert!(verify::check_signer(&other, &roots, TODAY).is_err(), "{what}");
    }
    for (what, change) in [
        (
            "expired",
            (|params| params.not_after = rcgen::date_time_ymd(2026, 1, 1))
                as fn(&mut rcgen::CertificateParams),
        ),
        ("for a server", |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        }),
    ] {
        let (root, signer, _) = maker(&rcgen::PKCS_ECDSA_P256_SHA256, change);
        std::fs::write(installed.join("2.pem"), &root).unwrap();
        assert!(verify::check_signer(&signer, &roots, TODAY).is_err(), "{what}");
    }
}
