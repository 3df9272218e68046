//! What real vehicles were recorded to say, from the team's shared data: in the folder that
//! `VOLTRY_DATA` names, else in `shared/data` beside the project; it holds `cars/MAKE/CAPTURE.jsonl`.
#![allow(dead_code, clippy::unwrap_used, reason = "a test's data, of which each uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use voltry_secc::message::Protocol;

/// One recorded connection: the vehicle's payloads in order.
pub(crate) struct Recorded {
    pub(crate) name: String,
    /// What the recorded station agreed to.
    pub(crate) protocol: Protocol,
    pub(crate) payloads: Vec<Vec<u8>>,
}

/// All recorded connections that begin with a handshake; none, said on the standard output, where
/// there are no recordings.
pub(crate) fn recordings() -> Vec<Recorded> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let cars = std::env::var_os("VOLTRY_DATA").map_or(beside, PathBuf::from).join("cars");
    if !cars.is_dir() {
        println!("skipped: there is no {}", cars.display());
        return Vec::new();
    }
    let mut found = Vec::new();
    for make in sorted(&cars) {
        for file in sorted(&make) {
            let text = std::fs::read_to_string(&file).unwrap();
            let mut streams = BTreeMap::<u64, Recorded>::new();
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                if line["layer"] != "v2g" || line["sender"] != "vehicle" {
                    continue;
                }
                let protocol = match line["proto"].as_str() {
                    Some("sap") => None,
                    Some("din") => Some(Protocol::Din),
                    Some("iso2") => Some(Protocol::Iso2),
                    _ => continue,
                };
                let stream = line["stream"].as_u64().unwrap();
                let name = format!(
                    "{}/{} #{stream}",
                    make.file_name().unwrap().display(),
                    file.file_stem().unwrap().display()
                );
                let recorded = streams.entry(stream).or_insert(Recorded {
                    name,
                    protocol: Protocol::Iso2,
                    payloads: Vec::new(),
                });
                recorded.protocol = protocol.unwrap_or(recorded.protocol);
                recorded.payloads.push(bytes(line["hex"].as_str().unwrap()));
            }
            // A capture that starts in the midst of a session has no handshake; one that ends
            // with it has nothing else.
            found.extend(
                streams.into_values().filter(|one| one.payloads.len() > 1 && is_handshake(&one.payloads[0])),
            );
        }
    }
    found
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn is_handshake(payload: &[u8]) -> bool {
    payload.starts_with(&[0x80, 0x00]) || payload.starts_with(&[0x80, 0x40])
}

/// The payload with another session id, of eight bytes like the recorded one. It stands in the
/// header behind the two bytes of the document's start, from its 26th bit on.
pub(crate) fn under_id(payload: &[u8], id: [u8; 8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    for (byte, value) in id.into_iter().enumerate() {
        for bit in 0..8 {
            let at = 26 + byte * 8 + bit;
            let mask = 0x80 >> (at % 8);
            if value & (0x80 >> bit) == 0 {
                payload[at / 8] &= !mask;
            } else {
                payload[at / 8] |= mask;
            }
        }
    }
    payload
}
