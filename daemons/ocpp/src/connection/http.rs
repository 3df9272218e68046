//! The two requests of HTTP that open the way: CONNECT to a proxy, and the WebSocket's opening
//! handshake (RFC 6455, 4). Without I/O.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest as _, Sha1};

use crate::config::Version;

/// The longest head of an answer, bytes.
pub(super) const HEAD_MAX: usize = 16 * 1024;

const HEADERS_MAX: usize = 64;

/// What RFC 6455 (1.3) has hashed after the key.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a peer's answer does not open the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No HTTP.
    #[error("the answer is no HTTP")]
    NoHttp,
    /// Another status than the one that opens the way.
    #[error("HTTP status {0}{meaning}", meaning = meaning(*.0))]
    Status(u16),
    /// A WebSocket server would not answer so.
    #[error("the answer is not a WebSocket's: {0}")]
    NoWebSocket(&'static str),
    /// None of the versions that were offered.
    #[error("the CSMS chose {}", .0.as_deref().map_or("no version of OCPP".to_owned(), |name| format!("{name:?}")))]
    Version(Option<String>),
}

const fn meaning(status: u16) -> &'static str {
    match status {
        301 | 302 | 303 | 307 | 308 => ", a redirection: the url is not the CSMS's own",
        401 => ", unauthorized: identity or password are not known",
        403 => ", forbidden",
        404 => ", not found: the url or the identity are not known",
        407 => ", the proxy wants a user and a password",
        _ => "",
    }
}

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) version: Version,
    /// The header of the extensions, as the peer wrote it.
    pub(super) extensions: Option<String>,
}

/// The value of an Authorization header (RFC 7617).
pub(crate) fn basic(user: &str, password: &[u8]) -> String {
    let mut text = Vec::from(user);
    text.push(b':');
    text.extend_from_slice(password);
    format!("Basic {}", BASE64_STANDARD.encode(text))
}

/// A WebSocket's key (RFC 6455, 4.1).
pub(super) fn key(random: [u8; 16]) -> String {
    BASE64_STANDARD.encode(random)
}

/// Asks a proxy for a tunnel (RFC 9110, 9.3.6).
pub(super) fn connect(authority: &str, authorization: Option<&str>) -> String {
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(authorization) = authorization {
        head += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    head + "\r\n"
}

/// Asks for a WebSocket. `target` is path and query.
pub(super) fn upgrade(
    target: &str,
    authority: &str,
    key: &str,
    versions: &[Version],
    authorization: Option<&str>,
) -> String {
    let versions: Vec<&str> = versions.iter().map(|version| version.subprotocol()).collect();
    let mut head = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {}\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n",
        versions.join(", ")
    );
    if let Some(authorization) = authorization {
        head += &format!("Authorization: {authorization}\r\n");
    }
    head + "\r\n"
}

/// How many bytes the head of an answer has, if it is whole.
pub(super) fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|start| start + 4)
}

/// Whether a proxy opened the tunnel.
///
/// # Errors
/// Why not.
pub(super) fn connected(head: &[u8]) -> Result<(), Refused> {
    read(head, |status, _| if (200..300).contains(&status) { Ok(()) } else { Err(Refused::Status(status)) })
}

/// Whether the CSMS opened the WebSocket, and what it agreed to.
///
/// # Errors
/// Why not.
pub(super) fn upgraded(head: &[u8], key: &str, offered: &[Version]) -> Result<Agreed, Refused> {
    read(head, |status, headers| {
        if status != 101 {
            return Err(Refused::Status(status));
        }
        let all = |name: &str| -> Vec<String> {
            headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
                .collect()
        };
        let lists = |name, token: &str| {
            all(name)
                .iter()
                .flat_map(|value| value.split(','))
                .any(|value| value.trim().eq_ignore_ascii_case(token))
        };
        if !lists("Upgrade", "websocket") || !lists("Connection", "upgrade") {
            return Err(Refused::NoWebSocket("it does not upgrade"));
        }
        let accept = BASE64_STANDARD.encode(Sha1::digest(format!("{key}{KEY_SUFFIX}")));
        if all("Sec-WebSocket-Accept") != [accept] {
            return Err(Refused::NoWebSocket("Sec-WebSocket-Accept is of another key"));
        }
        let chosen = all("Sec-WebSocket-Protocol").pop();
        let version = offered.iter().find(|version| Some(version.subprotocol()) == chosen.as_deref());
        let Some(version) = version.copied() else {
            return Err(Refused::Version(chosen.map(|name| name.chars().take(40).collect())));
        };
        let extensions = all("Sec-WebSocket-Extensions").join(", ");
        check_extensions(&extensions)?;
        Ok(Agreed { version, extensions: (!extensions.is_empty()).then_some(extensions) })
    })
}

/// RFC 7692, 7.1: what was not offered must not be agreed to. A window of the client's that the
/// server bounds unasked would be overrun.
fn check_extensions(extensions: &str) -> Result<(), Refused> {
    for (number, part) in extensions.split([';', ',']).map(str::trim).enumerate() {
        let name = part.split('=').next().unwrap_or_default().trim();
        let known = match number {
            0 => ["permessage-deflate", ""].contains(&name),
            _ => ["server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits"]
                .contains(&name),
        };
        if !known {
            return Err(Refused::NoWebSocket("it agrees to an extension that was not offered"));
        }
    }
    Ok(())
}

fn read<T>(
    head: &[u8],
    judge: impl FnOnce(u16, &[httparse::Header<'_>]) -> Result<T, Refused>,
) -> Result<T, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => judge(response.code.ok_or(Refused::NoHttp)?, response.headers),
        Ok(httparse::Status::Partial) | Err(_) => Err(Refused::NoHttp),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The example of RFC 6455, 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n";
    const BOTH: [Version; 2] = [Version::V201, Version::V16];

    fn answer(text: &str) -> Result<Agreed, Refused> {
        upgraded(text.as_bytes(), KEY, &BOTH)
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        assert_eq!(answer(GOOD), Ok(Agreed { version: Version::V16, extensions: None }));
    }

    #[test]
    fn the_version_must_be_one_that_was_offered() {
        let none = GOOD.replace("Sec-WebSocket-Protocol: ocpp1.6\r\n", "");
        assert_eq!(answer(&none), Err(Refused::Version(None)));
        assert_eq!(
            answer(&GOOD.replace("ocpp1.6", "ocpp2.1")),
            Err(Refused::Version(Some("ocpp2.1".into())))
        );
        assert_eq!(
            upgraded(GOOD.as_bytes(), KEY, &[Version::V201]),
            Err(Refused::Version(Some("ocpp1.6".into())))
        );
    }

    #[test]
    fn what_is_no_websocket_is_refused() {
        for (part, wrong) in
            [("s3pP", "S3pP"), ("WebSocket\r\n", "h2c\r\n"), ("keep-alive, Upgrade", "close")]
        {
            assert!(matches!(answer(&GOOD.replace(part, wrong)), Err(Refused::NoWebSocket(_))), "{wrong}");
        }
        assert_eq!(answer("SSH-2.0-OpenSSH\r\n\r\n"), Err(Refused::NoHttp));
        let refused = answer(&GOOD.replace("101", "401")).unwrap_err();
        assert!(refused.to_string().contains("password"), "{refused}");
    }

    #[test]
    fn deflate_is_agreed_to_with_what_was_offered_and_nothing_else() {
        let with = |extension| {
            answer(&GOOD.replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Extensions: {extension}\r\n\r\n")))
        };
        let good = "permessage-deflate; server_max_window_bits=12; client_no_context_takeover";
        assert_eq!(with(good).unwrap().extensions.as_deref(), Some(good));
        for bad in ["x-deflate", "permessage-deflate; client_max_window_bits=10", "permessage-deflate, bzip2"]
        {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_request_offers_versions_in_order_and_carries_the_password() {
        // RFC 7617, 2.1: user test, password 123£.
        let authorization = basic("test", "123\u{a3}".as_bytes());
        assert_eq!(authorization, "Basic dGVzdDoxMjPCow==");
        let head = upgrade("/ocpp/A", "csms.example:8080", KEY, &BOTH, Some(&authorization));
        assert!(head.starts_with("GET /ocpp/A HTTP/1.1\r\nHost: csms.example:8080\r\n"), "{head}");
        assert!(head.contains("\r\nSec-WebSocket-Protocol: ocpp2.0.1, ocpp1.6\r\n"), "{head}");
        assert!(head.ends_with("\r\nAuthorization: Basic dGVzdDoxMjPCow==\r\n\r\n"), "{head}");
    }

    #[test]
    fn a_proxy_opens_the_tunnel_or_says_why_not() {
        let head = connect("csms.example:443", Some("Basic eA=="));
        assert!(
            head.starts_with("CONNECT csms.example:443 HTTP/1.1\r\n")
                && head.contains("Proxy-Authorization: Basic eA==\r\n")
        );
        assert_eq!(connected(b"HTTP/1.1 200 Connection established\r\n\r\n"), Ok(()));
        let refused = connected(b"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n").unwrap_err();
        assert!(refused.to_string().contains("proxy wants a user"), "{refused}");
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        assert_eq!(head_length(b"HTTP/1.1 101 x\r\n\r\n\x81\x05Hello"), Some(18));
        assert_eq!(head_length(b"HTTP/1.1 101 x\r\n\r"), None);
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..250) {
            let mut text = GOOD.as_bytes().to_vec();
            text.splice(cut.min(text.len()).., bytes);
            let _ = upgraded(&text, KEY, &BOTH);
            let _ = connected(&text);
        }
    }
}
