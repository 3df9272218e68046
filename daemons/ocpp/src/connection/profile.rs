//! One way to a CSMS, checked.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

use super::http;
use super::password::Password;
use super::redial::Slot;
use super::tls::Credentials;
use crate::config::Version;

/// All but what RFC 3986 (2.3) calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One way to a CSMS.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The configuration slot, which names it.
    pub slot: Slot,
    /// Where the CSMS is.
    pub target: Target,
    /// What is offered to it, the dearest first.
    pub versions: Vec<Version>,
    /// For HTTP Basic, with the identity as the user.
    pub password: Option<Password>,
    /// For `wss`.
    pub tls: Option<Tls>,
    /// The proxy on the way.
    pub proxy: Option<Proxy>,
}

/// How TLS is spoken with a CSMS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Whom is believed, and what is shown of this station. Asked anew for each dial.
    pub credentials: Arc<dyn Credentials>,
    /// Whom the CSMS's certificate must name, and SNI: the URL's host unless given.
    pub server_name: Option<String>,
    /// A certificate that names its host by the common name alone will do.
    pub accept_common_name: bool,
}

/// Where a WebSocket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether by TLS.
    pub secure: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The host with its port, as HTTP's Host header has it.
    pub authority: String,
    /// Path and query, with the identity.
    pub path: String,
}

/// A proxy of HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The value of Proxy-Authorization.
    pub authorization: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy {}:{}", self.host, self.port)
    }
}

/// No address that a WebSocket can be at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// No URL at all.
    #[error("{0}")]
    Url(#[from] url::ParseError),
    /// Another scheme than these.
    #[error("must begin with {0}")]
    Scheme(&'static str),
    /// A user or a password in it.
    #[error("must not hold a user or a password")]
    User,
}

impl Target {
    /// The URL of a CSMS with the identity at the end of its path, percent-encoded (OCPP 2.0.1
    /// part 4, 3.1.1).
    ///
    /// # Errors
    /// What is no `ws://` or `wss://` URL.
    pub fn new(url: &str, identity: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url)?;
        let secure = match url.scheme() {
            "ws" => false,
            "wss" => true,
            _ => return Err(InvalidUrl::Scheme("ws:// or wss://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::User);
        }
        let host = host(&url)?;
        let authority = url.authority().to_owned();
        let port = url.port_or_known_default().ok_or(url::ParseError::InvalidPort)?;
        let base = url.path().trim_end_matches('/');
        let mut path = format!("{base}/{}", utf8_percent_encode(identity, RESERVED));
        if let Some(query) = url.query() {
            path += &format!("?{query}");
        }
        Ok(Self { secure, host, port, authority, path })
    }
}

impl Proxy {
    /// From `http://user:password@host:port`; user and password may be absent.
    ///
    /// # Errors
    /// What is no `http://` URL.
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url)?;
        if url.scheme() != "http" {
            return Err(InvalidUrl::Scheme("http://"));
        }
        let user = percent_decode_str(url.username()).decode_utf8_lossy().into_owned();
        let password: Vec<u8> = percent_decode_str(url.password().unwrap_or_default()).collect();
        let authorization = (!user.is_empty()).then(|| http::basic(&user, &password));
        Ok(Self { host: host(&url)?, port: url.port_or_known_default().unwrap_or(80), authorization })
    }
}

fn host(url: &Url) -> Result<String, InvalidUrl> {
    match url.host() {
        Some(Host::Domain(name)) => Ok(name.to_owned()),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
        None => Err(url::ParseError::EmptyHost.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_the_last_part_of_the_path() {
        let target = Target::new("wss://csms.example/ocpp/", "DE*A|1").unwrap();
        let authority = "csms.example".to_owned();
        let path = "/ocpp/DE%2AA%7C1".to_owned();
        assert_eq!(target, Target { secure: true, host: authority.clone(), port: 443, authority, path });
        assert_eq!(Target::new("ws://a?x=1", "B").unwrap().path, "/B?x=1");
    }

    #[test]
    fn addresses_of_either_family_are_taken() {
        let target = Target::new("ws://[2001:db8::1]:8080/x", "A").unwrap();
        assert_eq!(
            (&*target.host, target.port, &*target.authority),
            ("2001:db8::1", 8080, "[2001:db8::1]:8080")
        );
        let target = Target::new("ws://192.0.2.1", "A").unwrap();
        assert_eq!((&*target.host, target.port, target.secure), ("192.0.2.1", 80, false));
    }

    #[test]
    fn what_is_no_address_is_told() {
        assert_eq!(Target::new("https://a", "A"), Err(InvalidUrl::Scheme("ws:// or wss://")));
        assert_eq!(Target::new("ws://user:secret@a", "A"), Err(InvalidUrl::User));
        assert!(Target::new("ws://", "A").is_err());
        assert!(Proxy::new("socks5://a").is_err());
    }

    #[test]
    fn a_proxy_may_want_a_user() {
        let proxy = Proxy::new("http://us%3Aer:p%20w@[::1]:3128").unwrap();
        assert_eq!((&*proxy.host, proxy.port), ("::1", 3128));
        assert_eq!(proxy.authorization, Some(http::basic("us:er", b"p w")));
        assert_eq!(Proxy::new("http://proxy").unwrap().port, 80);
        assert!(!format!("{proxy:?}").contains("Basic"));
    }
}
