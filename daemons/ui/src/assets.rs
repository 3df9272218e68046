//! What the pages load beside their text: built in, and named by what is in it, so that a browser keeps
//! it until it changes.

use std::sync::LazyLock;

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

pub(crate) fn script() -> String {
    format!("/assets/{}/kiosk.js", version())
}

pub(crate) fn icon() -> String {
    format!("/assets/{}/icon.svg", version())
}

/// A file's type and content.
pub(crate) fn find(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "style.css" => Some(("text/css; charset=utf-8", STYLE)),
        "kiosk.js" => Some(("text/javascript; charset=utf-8", SCRIPT)),
        "icon.svg" => Some(("image/svg+xml", ICON)),
        _ => None,
    }
}
