//! Judges requests of a CSMS as voltry-ocpp does, for `tests/interop/test_ocpp_schemas.py`.
//!
//! In: a line each, `version TAB action TAB payload`. Out: a line each, `valid`, or the CALLERROR's
//! code, a tab, and its description.

use std::io::{BufWriter, Write as _, stdin, stdout};

use voltry_ocpp::Version;
use voltry_ocpp::messages::check_call;
use voltry_ocpp::rpc::Dialect;

fn main() -> std::io::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    for line in stdin().lines() {
        let line = line?;
        let mut parts = line.splitn(3, '\t');
        let (version, dialect) = match parts.next() {
            Some("1.6") => (Version::V16, Dialect::V16),
            Some("2.0.1") => (Version::V201, Dialect::V2),
            other => panic!("no version of OCPP: {other:?}"),
        };
        let (Some(action), Some(payload)) = (parts.next(), parts.next()) else {
            panic!("three parts, with tabs between them: {line}");
        };
        match check_call(version, action, payload) {
            Ok(()) => writeln!(out, "valid")?,
            Err(refusal) => {
                writeln!(out, "{}\t{}", refusal.code.as_str(dialect), refusal.text.escape_default())?;
            }
        }
    }
    out.flush()
}
