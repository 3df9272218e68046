//! What is known of a station at one moment.

use voltry_bus::{Connector, CsmsState, EvseStatus, Module, PowerShare};

/// What a part of the station says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Heard<T> {
    /// It was not asked yet.
    #[default]
    NotYet,
    /// It is not on the bus, or does not answer.
    Away,
    /// This.
    Says(T),
}

impl<T> Heard<T> {
    pub(super) const fn says(&self) -> Option<&T> {
        match self {
            Self::Says(said) => Some(said),
            Self::NotYet | Self::Away => None,
        }
    }
}

/// The station as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Picture {
    /// Local time of day.
    pub(super) clock: String,
    pub(super) station: Heard<Station>,
    pub(super) uplink: Heard<Uplink>,
    pub(super) modules: Heard<Vec<Module>>,
    pub(super) devices: Heard<Devices>,
}

/// What `Station1` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Station {
    pub(super) name: String,
    pub(super) evses: Vec<EvseStatus>,
    pub(super) connectors: Vec<Connector>,
    pub(super) shares: Vec<PowerShare>,
}

/// What `Csms1` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Uplink {
    pub(super) state: CsmsState,
    pub(super) url: String,
    pub(super) protocol: String,
    pub(super) waiting: u32,
    pub(super) last_error: String,
}

/// What all devices say together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Devices {
    /// Where, which code, since when and why.
    pub(super) faults: Vec<DeviceFault>,
    /// Devices that do not answer their daemon.
    pub(super) offline: Vec<String>,
    /// Daemons that do not answer.
    pub(super) silent: Vec<String>,
}

/// A fault of a device or an EVSE.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DeviceFault {
    pub(super) object: String,
    pub(super) code: String,
    pub(super) since: String,
    pub(super) cause: String,
}
