//! What the matching tells.

use std::time::Duration;

use voltry_bus::PilotOutput;

use super::wire::{Mac, RunId};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The modem took a key.
    ModemReady(Mac),
    /// The modem does not answer. Told once, until it does.
    ModemSilent,
    /// The modem answers, but never on its link.
    LinkNotTold,
    /// A vehicle's sounds were measured and reported.
    Measured {
        /// Which.
        vehicle: Mac,
        /// Its run.
        run: RunId,
        /// Tenths of a dB.
        attenuation: u16,
        /// Over how many sounds.
        sounds: u8,
    },
    /// A vehicle sounded, and the modem measured nothing.
    NotMeasured(Mac),
    /// A vehicle asked for the key that is not the nearest.
    Farther {
        /// Which.
        vehicle: Mac,
        /// Tenths of a dB.
        attenuation: u16,
        /// The nearer one, and its tenths of a dB.
        nearer: (Mac, u16),
    },
    /// A vehicle asked for the key while another one has it.
    Busy(Mac),
    /// A vehicle got the key.
    Matched {
        /// Which.
        vehicle: Mac,
        /// Tenths of a dB.
        attenuation: u16,
    },
    /// The link to the matched vehicle is there, so long after the pilot offered it.
    LinkUp(Mac, Duration),
    /// The link to a vehicle is gone, or goes to a nearer one.
    LinkLost(Mac),
    /// No match, or no link. The vehicle is started anew by its pilot for the given time, or,
    /// with `None`, no more.
    Unmatched(Cause, Option<u32>),
    /// The pilot is to be driven so.
    Pilot(PilotOutput),
}

/// Why there is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Nobody sent CM_SLAC_PARM.REQ.
    #[error("no vehicle was heard on the powerline")]
    Unheard,
    /// Vehicles were heard, none asked for the key.
    #[error("a vehicle was heard and did not choose this station")]
    NotChosen,
    /// The vehicle has the key, and is not in the network.
    #[error("the vehicle was given the key and did not join the network")]
    NotJoined,
    /// The link was there.
    #[error("the powerline link was lost")]
    LinkLost,
    /// The link is there.
    #[error("the vehicle joined the network and begins no conversation")]
    Mute,
}
