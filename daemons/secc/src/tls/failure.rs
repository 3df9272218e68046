//! Why a handshake failed, in words that tell a technician where to look.

use std::fmt::Write as _;

use openssl::ssl::{Error, ErrorCode, SslRef};

use super::{Heard, material};

// Reason codes of OpenSSL's `sslerr.h`, which the crate does not name.
const NO_SHARED_CIPHER: i32 = 193;
const CERTIFICATE_VERIFY_FAILED: i32 = 134;
const UNSUPPORTED_PROTOCOL: i32 = 258;
/// A received alert is this plus its number.
const ALERT: i32 = 1000;

/// Describes the failure of a handshake.
pub(super) fn describe(error: &Error, ssl: &SslRef, heard: &Heard) -> String {
    if error.code() != ErrorCode::SSL {
        return format!(
            "the vehicle closed the connection during the TLS handshake, as one does that does not trust {}",
            ours(ssl)
        );
    }
    let Some(first) = error.ssl_error().and_then(|stack| stack.errors().first()) else {
        return "the TLS handshake failed".to_owned();
    };
    match first.reason_code() {
        NO_SHARED_CIPHER => format!("no TLS cipher suite in common; the vehicle offers {}", suites(heard)),
        CERTIFICATE_VERIFY_FAILED => match &heard.refused {
            Some(refused) => format!("the vehicle's certificate is refused: {refused}"),
            None => "the vehicle's certificate is refused".to_owned(),
        },
        UNSUPPORTED_PROTOCOL => "the vehicle speaks no TLS version from 1.2 on".to_owned(),
        reason @ ALERT..=1255 => {
            format!(
                "the vehicle ended the TLS handshake with alert {}, shown {}",
                alert(reason - ALERT),
                ours(ssl)
            )
        }
        _ => format!("the TLS handshake failed: {}", first.reason().unwrap_or("for no stated reason")),
    }
}

/// The certificate that the vehicle was shown.
fn ours(ssl: &SslRef) -> String {
    match ssl.certificate() {
        Some(leaf) => {
            format!("the station's certificate {}, valid until {}", material::name(leaf), leaf.not_after())
        }
        None => "no certificate of the station".to_owned(),
    }
}

fn alert(number: i32) -> String {
    let name = match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        109 => "missing_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        116 => "certificate_required",
        _ => return number.to_string(),
    };
    format!("{name} ({number})")
}

/// The offered suites by number, and the names of those that vehicles are known to offer.
fn suites(heard: &Heard) -> String {
    let mut text = String::new();
    for suite in &heard.suites {
        let name = match suite {
            0xc023 => " ECDHE-ECDSA-AES128-CBC-SHA256",
            0xc025 => " ECDH-ECDSA-AES128-CBC-SHA256 (static ECDH, which no current TLS library has)",
            0xc02b => " ECDHE-ECDSA-AES128-GCM-SHA256",
            0xc02c => " ECDHE-ECDSA-AES256-GCM-SHA384",
            0x1301 => " TLS-AES128-GCM-SHA256",
            0x1302 => " TLS-AES256-GCM-SHA384",
            0x1303 => " TLS-CHACHA20-POLY1305-SHA256",
            _ => "",
        };
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}0x{suite:04X}{name}");
    }
    if text.is_empty() { "none".to_owned() } else { text }
}
