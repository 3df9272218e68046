//! The technician's page over TLS: who gets in, who is kept out, and who may do what.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use rig::{PATIENCE, Rig, status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A station with the technician's page, and what believes its certificate.
struct Page {
    rig: Rig,
    address: SocketAddr,
    tls: TlsConnector,
}

/// Of a password, at the least cost.
fn hash(password: &str) -> String {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).unwrap().to_string()
}

impl Page {
    async fn start() -> Self {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap().keep();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let accounts: String = [("anna", "view"), ("ben", "operate"), ("cleo", "configure")]
            .map(|(name, role)| {
                let password = hash(&format!("{role} this"));
                format!("[{name}]\nrole = \"{role}\"\npassword = \"{password}\"\n")
            })
            .concat();
        for (name, text) in [
            ("cert.pem", own.cert.pem()),
            ("key.pem", own.signing_key.serialize_pem()),
            ("accounts.toml", accounts),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let rig = Rig::start(&format!(
            "[ui.technician]\naddress = \"{address}\"\ncertificate = {:?}\nkey = {:?}\naccounts = {:?}\naudit = {:?}\n",
            folder.join("cert.pem"),
            folder.join("key.pem"),
            folder.join("accounts.toml"),
            folder.join("audit.log"),
        ))
        .await;
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { rig, address, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// What the server answers, all of it.
    async fn ask(&self, head: &str, cookie: &str, body: &str) -> String {
        let ask = async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = self.tls.connect(name, stream).await.unwrap();
            let (address, length) = (self.address, body.len());
            let request = format!(
                "{head} HTTP/1.1\r\nHost: {address}\r\nOrigin: https://{address}\r\nCookie: {cookie}\r\nConnection: close\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            // One that is refused early closes before it has read everything.
            let _ = stream.write_all(request.as_bytes()).await;
            let mut answer = Vec::new();
            // A server that does not say goodbye before it closes has answered all the same.
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(PATIENCE, ask).await.expect("no answer")
    }

    /// Logs in; the cookie.
    async fn login(&self, name: &str, password: &str) -> Result<String, String> {
        let body = format!("name={name}&password={}", password.replace(' ', "+"));
        let answer = self.ask("POST /login", "", &body).await;
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).map(str::to_owned);
        let Some(cookie) = cookie else { return Err(answer) };
        for flag in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(flag), "{flag} is not in {cookie}");
        }
        Ok(cookie.split(';').next().unwrap().to_owned())
    }

    async fn key(&self, cookie: &str) -> String {
        let page = self.ask("GET /", cookie, "").await;
        page.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn without_a_login_nothing_is_said_and_nothing_is_done() {
    let mut page = Page::start().await;
    page.rig.station_comes(status("charging")).await;
    for path in ["/", "/devices", "/sessions", "/sessions/1", "/settings", "/audit", "/xx"] {
        let answer = page.ask(&format!("GET {path}"), "__Host-session=0123", "").await;
        assert!(
            answer.starts_with("HTTP/1.1 303") && answer.contains("location: /login"),
            "{path}: {answer}"
        );
        assert!(!answer.contains("Harbour"), "{answer}");
    }
    assert!(page.ask("GET /events?page=", "", "").await.starts_with("HTTP/1.1 401"));
    for command in ["/evse/1/stop", "/settings/reading_interval", "/logout"] {
        let answer = page.ask(&format!("POST {command}"), "", "key=&value=1").await;
        assert!(answer.starts_with("HTTP/1.1 303"), "{command}: {answer}");
    }
    assert!(!page.ask("GET /login", "", "").await.contains("Harbour"));
    assert!(page.rig.stops.try_recv().is_err());
}

#[tokio::test]
async fn whoever_guesses_passwords_is_locked_out_and_it_is_noted() {
    let page = Page::start().await;
    for name in ["anna", "anna", "nobody", "anna", "anna"] {
        let answer = page.login(name, "guess").await.unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let answer = page.login("anna", "view this").await.unwrap_err();
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("15 min"), "right, but too late: {answer}");
}

#[tokio::test]
async fn each_role_may_what_it_says_and_forms_need_their_key() {
    let mut page = Page::start().await;
    page.rig.station_comes(status("charging")).await;
    page.rig.listen("/events?language=en").await.until("state-charging").await;
    let viewer = page.login("anna", "view this").await.unwrap();
    let shown = page.ask("GET /", &viewer, "").await;
    assert!(
        shown.contains("&lt;Harbour") && shown.contains("charging") && shown.contains("50.0 kW"),
        "{shown}"
    );
    assert!(!shown.contains("/evse/1/stop"), "it may not");
    let key = page.key(&viewer).await;
    let refused = page.ask("POST /evse/1/stop", &viewer, &format!("key={key}")).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert!(page.ask("GET /audit", &viewer, "").await.starts_with("HTTP/1.1 403"));

    let operator = page.login("ben", "operate this").await.unwrap();
    let key = page.key(&operator).await;
    for wrong in ["", "key=", "key=0123"] {
        let refused = page.ask("POST /evse/1/stop", &operator, wrong).await;
        assert!(refused.starts_with("HTTP/1.1 4"), "{wrong}: {refused}");
    }
    assert!(page.rig.stops.try_recv().is_err(), "nothing of that reached the station");
    let done = page.ask("POST /evse/1/stop", &operator, &format!("key={key}")).await;
    assert!(done.starts_with("HTTP/1.1 303"), "{done}");
    assert_eq!(page.rig.stops.recv().await.unwrap(), (0, "stop 1".to_owned()));
    assert!(page.ask("GET /settings", &operator, "").await.starts_with("HTTP/1.1 403"));

    let boss = page.login("cleo", "configure this").await.unwrap();
    let trail = page.ask("GET /audit", &boss, "").await;
    for line in ["ben", "stop EVSE 1: done", "logs in", "127.0.0.1"] {
        assert!(trail.contains(line), "{line} is not in {trail}");
    }
    assert!(!trail.contains("operate this") && !trail.contains(&key));
    let key = page.key(&boss).await;
    let left = page.ask("POST /logout", &boss, &format!("key={key}")).await;
    assert!(left.contains("Max-Age=0"), "{left}");
    assert!(
        page.ask("GET /", &boss, "").await.starts_with("HTTP/1.1 303"),
        "the cookie is worth nothing now"
    );
}

#[tokio::test]
async fn whoever_speaks_no_tls_or_not_at_all_hurts_nobody() {
    let page = Page::start().await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut plain = TcpStream::connect(page.address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        idle.push(plain);
        idle.push(TcpStream::connect(page.address).await.unwrap());
    }
    assert!(page.login("anna", "view this").await.is_ok());
    let long = page.ask("POST /login", "", &format!("name=x&password={}", "x".repeat(20_000))).await;
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 413"), "{long}");
}
