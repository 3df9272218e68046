//! Certificates that the CSMS installs on this station, and those of the station itself (2.0.1 part 2,
//! A02, A03, M03 to M05; 1.6's security white paper, 5).
//!
//! [`Folder`] keeps them as PEM files, each written whole or not at all:
//!
//! ```text
//!   certificates/csms/NUMBER.pem          roots of CSMSs, the newest with the highest number
//!                manufacturer/NUMBER.pem  roots of firmware
//!                v2g/NUMBER.pem           roots of ISO 15118
//!                mo/NUMBER.pem            roots of contracts
//!                station/NAME.pem         the station's chains; `current` names the one in use
//!                keys/NAME.pem            their keys, which nobody else reads
//! ```

mod folder;
mod hash;
mod keys;
mod x509;

pub use folder::{Configured, Folder};
pub use hash::{HashAlgorithm, HashData};
pub use keys::{KeyFiles, Keys};
pub use x509::{Parsed, parse_chain};

/// What a root certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// To believe a CSMS.
    Csms,
    /// To believe a firmware.
    Manufacturer,
    /// To believe vehicles' and charging stations' certificates of ISO 15118.
    V2g,
    /// To believe contracts.
    Mo,
}

impl Use {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Csms, Self::Manufacturer, Self::V2g, Self::Mo];

    const fn folder(self) -> &'static str {
        match self {
            Self::Csms => "csms",
            Self::Manufacturer => "manufacturer",
            Self::V2g => "v2g",
            Self::Mo => "mo",
        }
    }
}

/// What a certificate of the station itself is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Own {
    /// Towards the CSMS.
    Station,
    /// Towards vehicles (ISO 15118).
    V2g,
}

/// Something to do with certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Tell which there are, of these uses; and whether the station's own of ISO 15118 too.
    List(Vec<Use>, bool),
    /// Install a root certificate, PEM.
    Install(Use, String),
    /// Delete the one with this hash.
    Delete(HashData),
    /// Make a key and a request for a certificate of it.
    Sign {
        /// What for.
        own: Own,
        /// The certificate's common name.
        common_name: String,
        /// Its organization; empty: none.
        organization: String,
    },
    /// A request's certificate: it first, then its issuers, PEM.
    Issued(Own, String),
    /// Tell by what OCSP is asked about the station's own of ISO 15118.
    Status,
    /// What OCSP says of it, DER.
    Stapled(Vec<u8>),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is so.
    Done,
    /// These are there.
    Listed(Vec<Listed>),
    /// A request for a certificate, PEM.
    Request(String),
    /// What an OCSP responder is asked by (2.0.1, OCSPRequestDataType).
    Asks(Vec<serde_json::Value>),
    /// There is none like it.
    NotFound,
    /// It must not be: OCPP's reason code, and in words.
    Rejected(&'static str, String),
    /// The disk, or another daemon, did not do it.
    Failed(String),
}

/// A certificate that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What a root is for; `None`: the station's own of ISO 15118.
    pub usage: Option<Use>,
    /// What OCPP names it by.
    pub hash: HashData,
    /// Of a chain: those above it.
    pub children: Vec<HashData>,
}

/// What the uplink knows of the certificates that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Installed ones.
    pub entries: u64,
    /// There is a root to believe a CSMS by.
    pub csms_root: bool,
    /// There is a certificate to show a CSMS, and it ends at this second of Unix time.
    pub station_until: Option<i64>,
}
