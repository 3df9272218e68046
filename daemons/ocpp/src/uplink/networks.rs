//! What the CSMS may make of the ways to it (A01, A05, B09, B10).

use std::collections::BTreeMap;

use super::{Core, Record};
use crate::certificates::Summary;
use crate::config::Version;
use crate::connection::redial::Slot;
use crate::connection::{Encoding, Password, Target};
use crate::dialect::{Handled, Then};
use crate::model::{Definition, Refused, SLOTS, Taken, name};
use crate::networks::Network;

/// A password's shortest and longest: passwordString of 2.0.1; 1.6's key has 16 to 20 bytes.
const PASSWORD: std::ops::RangeInclusive<usize> = 16..=40;
const KEY: std::ops::RangeInclusive<usize> = 16..=20;

/// The ways to the CSMS, as far as they are its own matter.
#[derive(Debug, Clone, Default)]
pub struct Networks {
    /// Connection profiles by slot.
    pub known: BTreeMap<Slot, Network>,
    /// The one that is connected, or was last.
    pub active: Slot,
    /// What it is.
    pub connected: Option<Network>,
    /// There is a password.
    pub password: bool,
    /// The password's characters are 1.6's hexadecimal digits.
    pub hexadecimal: bool,
    /// Certificates.
    pub certificates: Summary,
}

impl Networks {
    /// How the connection is secured.
    #[must_use]
    pub fn security_profile(&self) -> u8 {
        let first = || self.known.values().next();
        self.connected.as_ref().or_else(first).map_or(0, |network| network.security_profile)
    }

    /// Seconds that the CSMS has for an answer over this connection, if its profile says so.
    pub(super) fn message_timeout_s(&self) -> Option<u64> {
        self.connected.as_ref()?.message_timeout_s.map(u64::from)
    }

    /// What a security profile needs, and is not there (A05.FR.03).
    fn lacks(&self, security_profile: u8) -> Option<&'static str> {
        match security_profile {
            1 | 2 if !self.password => Some("there is no password"),
            2 | 3 if !self.certificates.csms_root => Some("there is no root certificate of a CSMS"),
            3 if self.certificates.station_until.is_none() => Some("this station has no certificate"),
            _ => None,
        }
    }

    fn check_priority(&self, value: &str) -> Result<(), String> {
        let slots: Option<Vec<Slot>> = value.split(',').map(|slot| slot.trim().parse().ok()).collect();
        let slots = slots.filter(|slots| !slots.is_empty()).ok_or("slots, with commas, are wanted")?;
        for slot in slots {
            let network = self.known.get(&slot).ok_or_else(|| format!("slot {slot} is empty"))?;
            if network.security_profile < self.security_profile() {
                return Err(format!("slot {slot} is of a lower security profile than the connection"));
            }
            if let Some(lacks) = self.lacks(network.security_profile) {
                return Err(format!("slot {slot}: {lacks}"));
            }
        }
        Ok(())
    }
}

/// A password's length and characters by the version that writes it.
fn check_password(version: Version, hexadecimal: bool, value: &str) -> Result<(), String> {
    match version {
        Version::V16 if hexadecimal => {
            let key = Password::new(value, Encoding::Hex).map_err(|error| error.to_string())?;
            let long = KEY.contains(&key.as_bytes().len());
            long.then_some(()).ok_or_else(|| "a key has 16 to 20 bytes, in hexadecimal".to_owned())
        }
        Version::V16 | Version::V201 => {
            let printable = value.chars().all(|letter| letter.is_ascii_graphic() || letter == ' ');
            let long = PASSWORD.contains(&value.chars().count());
            (printable && long).then_some(()).ok_or_else(|| "a password has 16 to 40 characters".to_owned())
        }
    }
}

impl Core {
    /// Checks a value that the CSMS writes, also against what only the uplink knows.
    ///
    /// # Errors
    /// [`Refused`]; nothing changes.
    pub fn check(&self, definition: &Definition, value: &str, lenient: bool) -> Result<Taken, Refused> {
        let taken = self.variables.check(definition, value, lenient)?;
        match definition.name {
            name::NETWORK_PRIORITY => self.networks.check_priority(&taken.value),
            name::PASSWORD => check_password(self.version, self.networks.hexadecimal, &taken.value),
            _ => Ok(()),
        }
        .map_err(Refused::Invalid)?;
        Ok(taken)
    }

    /// B09: another connection profile; used from the next start on, if NetworkConfigurationPriority
    /// names it.
    ///
    /// # Errors
    /// OCPP's reason code, and in words.
    pub fn set_network(&mut self, slot: i64, network: Network) -> Result<Record, (&'static str, String)> {
        let slot = Slot::try_from(slot).ok().filter(|slot| SLOTS.contains(&slot.to_string().as_str()));
        let slot = slot.ok_or_else(|| ("InvalidConfSlot", format!("slots are 1 to {}", SLOTS.len())))?;
        if network.security_profile < self.networks.security_profile() {
            return Err((
                "NoSecurityDowngrade",
                "of a lower security profile than the connection".to_owned(),
            ));
        }
        let identity = self.variables.get(name::IDENTITY);
        let target = Target::new(&network.url, if identity.is_empty() { "A" } else { identity });
        let target = target.map_err(|error| ("InvalidURL", error.to_string()))?;
        if target.secure != (network.security_profile >= 2) {
            return Err(("InvalidURL", "ws:// for security profiles 0 and 1, wss:// for 2 and 3".to_owned()));
        }
        self.networks.known.insert(slot, network.clone());
        Ok(Record::Network(slot, network))
    }

    /// 1.6's key SecurityProfile: higher alone, by a configured profile or by the connected one with
    /// `wss` in the place of `ws`; at once, and back where that leads nowhere.
    ///
    /// # Errors
    /// In words, why not.
    pub fn raise_security(&mut self, value: &str, handled: &mut Handled) -> Result<(), String> {
        let now = self.networks.security_profile();
        let wanted: u8 = value.trim().parse().ok().filter(|wanted| *wanted <= 3).ok_or("is 0, 1, 2 or 3")?;
        if wanted == now {
            return Ok(());
        }
        if wanted < now {
            return Err("lower than the connection's: only whoever configures the station can".to_owned());
        }
        if let Some(lacks) = self.networks.lacks(wanted) {
            return Err(lacks.to_owned());
        }
        let fits = |network: &Network| {
            network.security_profile == wanted && network.versions.contains(&Version::V16)
        };
        let found = self.networks.known.iter().find(|(_, network)| fits(network)).map(|(slot, _)| *slot);
        let slot = match found {
            Some(slot) => slot,
            None => {
                let slot = if self.networks.active == 0 { 1 } else { self.networks.active };
                let connected =
                    self.networks.connected.clone().or_else(|| self.networks.known.get(&slot).cloned());
                let Network { url, versions, message_timeout_s, .. } =
                    connected.ok_or("no connection is known")?;
                let url = match url.strip_prefix("ws://") {
                    Some(rest) if wanted >= 2 => format!("wss://{rest}"),
                    Some(_) | None => url,
                };
                let network = Network { url, versions, security_profile: wanted, message_timeout_s };
                handled.store.push(Record::Network(slot, network.clone()));
                self.networks.known.insert(slot, network);
                slot
            }
        };
        let others = self.variables.get(name::NETWORK_PRIORITY).split(',').map(|slot| slot.trim().to_owned());
        let first = slot.to_string();
        let order: Vec<String> =
            std::iter::once(first.clone()).chain(others.filter(|other| *other != first)).collect();
        if let Some(priority) = crate::model::find(name::NETWORK_PRIORITY) {
            self.write(priority, order.join(","), handled);
        }
        handled.then.push(Then::Networks);
        Ok(())
    }
}
