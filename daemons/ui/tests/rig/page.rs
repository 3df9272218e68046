//! The technician's page of a daemon, and a client that believes its certificate.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{PATIENCE, Rig, free};

/// A station with the technician's page, and what believes its certificate.
pub(crate) struct Page {
    pub(crate) rig: Rig,
    pub(crate) address: SocketAddr,
    tls: TlsConnector,
}

/// An account whose password takes 16 MiB to judge, and is nobody's.
const COSTLY: &str = "[dora]\nrole = \"view\"\npassword = \"$argon2id$v=19$m=16384,t=1,p=1$cryivdH1ipkTqZFud4sivQ$\
                      tNQl5JSSBt6Mb2TRIKwuSQHO8j7lASGf+B1pXMbldy4\"\n";

/// Of a password, at the least cost.
fn hash(password: &str) -> String {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).unwrap().to_string()
}

impl Page {
    pub(crate) async fn start() -> Self {
        Self::start_with("", &[]).await
    }

    /// With more configuration, and this in the daemon's environment.
    pub(crate) async fn start_with(more: &str, environment: &[(&str, &OsStr)]) -> Self {
        let address = free("127.0.0.4");
        let folder = tempfile::tempdir().unwrap().keep();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let accounts: String = [("anna", "view"), ("ben", "operate"), ("cleo", "configure")]
            .map(|(name, role)| {
                let password = hash(&format!("{role} this"));
                format!("[{name}]\nrole = \"{role}\"\npassword = \"{password}\"\n")
            })
            .concat()
            + COSTLY;
        for (name, text) in [
            ("cert.pem", own.cert.pem()),
            ("key.pem", own.signing_key.serialize_pem()),
            ("accounts.toml", accounts),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let config = format!(
            "[ui.technician]\naddress = \"{address}\"\ncertificate = {:?}\nkey = {:?}\naccounts = {:?}\naudit = {:?}\n{more}",
            folder.join("cert.pem"),
            folder.join("key.pem"),
            folder.join("accounts.toml"),
            folder.join("audit.log"),
        );
        let rig = Rig::start_with(&config, environment).await;
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
    pub(crate) async fn ask(&self, head: &str, cookie: &str, body: &str) -> String {
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
    pub(crate) async fn login(&self, name: &str, password: &str) -> Result<String, String> {
        let body = format!("name={name}&password={}", password.replace(' ', "+"));
        let answer = self.ask("POST /login", "", &body).await;
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).map(str::to_owned);
        let Some(cookie) = cookie else { return Err(answer) };
        for flag in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(flag), "{flag} is not in {cookie}");
        }
        Ok(cookie.split(';').next().unwrap().to_owned())
    }

    pub(crate) async fn key(&self, cookie: &str) -> String {
        let page = self.ask("GET /", cookie, "").await;
        page.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }
}
