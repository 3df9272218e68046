//! What the pages load beside their text: built in, and named by what is in it, so that a browser keeps
//! it until it changes.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/kiosk.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// FNV-1a of everything: it has to differ when something does, and to keep nobody out.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let bytes = [env!("CARGO_PKG_VERSION"), STYLE, SCRIPT, ICON].into_iter().flat_map(str::bytes);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
});

/// A page that was made by another version loads itself anew.
pub(crate) fn version() -> &'static str {
    &VERSION
}

pub(crate) fn style() -> String {
    format!("/assets/{}/style.css", version())
}

/// The style in the page itself: a screen need not fetch it before it paints, which is a quarter of the time to its
/// first paint. A policy admits it by [`style_hash`].
pub(crate) fn style_within() -> Markup {
    html! { style { (PreEscaped(STYLE)) } }
}

/// SHA-256 of [`style_within`]'s text, in base64.
pub(crate) fn style_hash() -> String {
    STANDARD.encode(Sha256::digest(STYLE))
}

pub(crate) fn script() -> String {
    format!("/assets/{}/kiosk.js", version())
}

pub(crate) fn icon() -> String {
    format!("/assets/{}/icon.svg", version())
}

/// A file as it is answered; `None`: there is none of this name.
pub(crate) fn answer(name: &str) -> Option<Response> {
    let (kind, content) = match name {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "kiosk.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return None,
    };
    let forever = "public, max-age=31536000, immutable";
    Some(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, forever)], content).into_response())
}
