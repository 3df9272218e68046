//! The ways to a CSMS: as they are configured, and as the CSMS would have them (2.0.1 part 2, A01, A05,
//! B09, B10; 1.6's security white paper, 4.1).
//!
//! What the CSMS changes may lead nowhere: a wrong address, a password it does not know itself, a
//! certificate that is not believed. So the way that last led to a CSMS is kept whole, with the
//! password and the certificate that it used, and is tried after all others.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::certificates::{Folder, Use};
use crate::config::{Settings, Version};
use crate::connection::redial::Slot;
use crate::connection::{Client, Credentials, Profile};
use crate::model::name;
use crate::store::{Store, StoreError};

/// The slot of the way that last led to a CSMS, where its own slot is something else by now. No
/// profile has it.
pub(crate) const LAST_GOOD: Slot = 0;
/// What the store keeps it by.
const GOOD: &str = "good_network";
/// The security profile that the CSMS has raised the station to.
const FLOOR: &str = "security_floor";

/// A connection profile, without what is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Where the CSMS is, without the identity.
    pub url: String,
    /// What is offered to it, in this order.
    pub versions: Vec<Version>,
    /// How it is secured, 0 to 3.
    pub security_profile: u8,
    /// Seconds that the CSMS has for an answer, if it has said so.
    #[serde(default)]
    pub message_timeout_s: Option<u16>,
}

/// A way to a CSMS, with everything that the CSMS may change of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) slot: Slot,
    pub(crate) network: Network,
    /// As the CSMS wrote it; `None`: as it is configured.
    password: Option<Written>,
    /// The name of the station's certificate that a CSMS signed; `None`: the configured one.
    certificate: Option<String>,
}

/// A password. It shows itself nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Written(pub(crate) String);

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Written")
    }
}

/// The connection profiles that there are: what is configured, and over it what the CSMS set.
pub(crate) fn known(settings: &Settings, store: &Store) -> Result<BTreeMap<Slot, Network>, StoreError> {
    let mut networks = settings.networks();
    networks.extend(store.networks()?);
    Ok(networks)
}

/// The ways to try, the dearest first, and the one that led to a CSMS last.
pub(crate) struct Ways {
    pub(crate) all: Vec<Way>,
    pub(crate) good: Option<Way>,
}

impl Ways {
    /// As the configuration and the store have them.
    pub(crate) fn new(settings: &Settings, store: &Store, folder: &Folder) -> Result<Self, StoreError> {
        let networks = known(settings, store)?;
        let variables = store.variables()?;
        let variable = |wanted: &str| {
            let found = variables.iter().find(|(variable, _)| variable == wanted);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        let written = variable(name::NETWORK_PRIORITY);
        let order: Vec<Slot> = match &written {
            Some(order) => order.split(',').filter_map(|slot| slot.trim().parse().ok()).collect(),
            None => settings.networks().into_keys().collect(),
        };
        let password = variable(name::PASSWORD).map(Written);
        let certificate = folder.station();
        let way = |slot: &Slot| {
            let network = networks.get(slot)?.clone();
            let (password, certificate) = (password.clone(), certificate.clone());
            Some(Way { slot: *slot, network, password, certificate })
        };
        let mut all: Vec<Way> = order.iter().filter_map(way).collect();
        if all.is_empty() {
            all = settings.networks().keys().filter_map(way).collect();
        }
        // A05.FR.05: below what the CSMS raised it to there is no way any more, as long as there is one.
        let floor: u8 = store.kept(FLOOR)?.and_then(|text| text.parse().ok()).unwrap_or(0);
        if all.iter().any(|way| way.network.security_profile >= floor) {
            all.retain(|way| way.network.security_profile >= floor);
        }
        let good: Option<Way> = store.kept(GOOD)?.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Self { all, good })
    }

    /// The connection's profiles, and which of them, or besides them, is the good one.
    pub(crate) fn profiles(&self, settings: &Settings, folder: &Folder) -> (Vec<Profile>, Option<Profile>) {
        let profile = |way: &Way| match settings.profile_of(way, folder) {
            Ok(profile) => Some(profile),
            Err(why) => {
                tracing::error!(profile = way.slot, why, "a way to the CSMS that cannot be gone");
                None
            }
        };
        let profiles: Vec<Profile> = self.all.iter().filter_map(profile).collect();
        let good = self.good.as_ref().and_then(|good| {
            let same = self.all.iter().position(|way| way == good);
            match same {
                Some(_) => profiles.iter().find(|profile| profile.slot == good.slot).cloned(),
                None => profile(good).map(|profile| Profile { slot: LAST_GOOD, ..profile }),
            }
        });
        (profiles, good)
    }

    /// The way that a connection was opened by.
    pub(crate) fn of(&self, slot: Slot) -> Option<&Way> {
        if slot == LAST_GOOD {
            return self.good.as_ref();
        }
        self.all.iter().chain(&self.good).find(|way| way.slot == slot)
    }

    /// The CSMS has accepted the station over this way.
    pub(crate) fn prove(&mut self, slot: Slot, store: &Store) -> Result<(), StoreError> {
        let Some(way) = self.of(slot).cloned() else { return Ok(()) };
        let security = way.network.security_profile;
        let before = self.good.as_ref().map(|good| good.network.security_profile);
        if before.is_some_and(|before| before < security) {
            store.keep(FLOOR, &security.to_string())?;
        }
        if self.good.as_ref() != Some(&way) {
            store.keep(GOOD, &serde_json::to_string(&way).expect("our own types are JSON"))?;
            self.good = Some(way);
        }
        Ok(())
    }
}

impl Way {
    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(|password| password.0.as_str())
    }

    /// Whom the station believes on this way, and what it shows: what is configured, and what the
    /// CSMS has installed.
    pub(crate) fn credentials(
        &self,
        configured: Option<Arc<dyn Credentials>>,
        folder: &Folder,
    ) -> Arc<dyn Credentials> {
        let shown = self.certificate.clone().filter(|_| self.network.security_profile == 3);
        Arc::new(Installed {
            configured,
            folder: folder.clone(),
            shown,
            shows: self.network.security_profile == 3,
        })
    }
}

/// Configured credentials with those that the CSMS has installed.
#[derive(Debug)]
struct Installed {
    configured: Option<Arc<dyn Credentials>>,
    folder: Folder,
    shown: Option<String>,
    shows: bool,
}

impl Credentials for Installed {
    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let installed = self.folder.roots(Use::Csms);
        match self.configured.as_ref().map(|configured| configured.roots()) {
            Some(Ok(mut roots)) => {
                roots.extend(installed);
                Ok(roots)
            }
            Some(Err(_)) | None if !installed.is_empty() => Ok(installed),
            Some(Err(why)) => Err(why),
            None => Err("there is no root certificate to believe a CSMS by".to_owned()),
        }
    }

    fn client(&self) -> Result<Option<Client>, String> {
        match (&self.shown, &self.configured) {
            _ if !self.shows => Ok(None),
            (Some(name), _) => self.folder.client(name).map(Some),
            (None, Some(configured)) => configured.client(),
            (None, None) => Err("this station has no certificate to show".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::Record;

    /// A slot and its host.
    type Named = (Slot, String);

    struct Bench {
        settings: Settings,
        store: Store,
        folder: Folder,
        _place: tempfile::TempDir,
    }

    fn bench(more: &str) -> Bench {
        let place = tempfile::tempdir().unwrap();
        let roots = place.path().join("roots.pem");
        std::fs::write(&roots, "").unwrap();
        let text = format!(
            "identity = 'A'\ndatabase = {:?}\n\
             [profile.1]\nurl = 'ws://one'\nversion = '1.6'\nsecurity_profile = 1\npassword = '00ff'\n\
             [profile.2]\nurl = 'wss://two'\nversion = '2.0.1'\nsecurity_profile = 2\npassword = 'text'\n\
             root_certificates = {roots:?}\nserver_name = 'name'\n{more}",
            place.path().join("ocpp.db"),
        );
        let settings: Settings = toml::from_str(&text).unwrap();
        let store = Store::open(&settings.database).unwrap();
        Bench { folder: settings.certificates(), settings, store, _place: place }
    }

    impl Bench {
        fn ways(&self) -> Ways {
            Ways::new(&self.settings, &self.store, &self.folder).unwrap()
        }

        fn write(&mut self, variable: &'static str, value: &str) {
            self.store.write(&Record::Variable(variable, value.to_owned())).unwrap();
        }

        fn set(&mut self, slot: Slot, url: &str, security_profile: u8) {
            let versions = vec![Version::V16];
            let network =
                Network { url: url.to_owned(), versions, security_profile, message_timeout_s: None };
            self.store.write(&Record::Network(slot, network)).unwrap();
        }

        /// Slots with their hosts, and the good one.
        fn tried(&self) -> (Vec<Named>, Option<Named>) {
            let (profiles, good) = self.ways().profiles(&self.settings, &self.folder);
            let named = |profile: &Profile| (profile.slot, profile.target.host.clone());
            (profiles.iter().map(named).collect(), good.as_ref().map(named))
        }
    }

    fn named(slot: Slot, host: &str) -> Named {
        (slot, host.to_owned())
    }

    #[test]
    fn the_csms_orders_and_overwrites_what_is_configured() {
        let mut bench = bench("");
        assert_eq!(bench.tried(), (vec![named(1, "one"), named(2, "two")], None));
        bench.set(3, "ws://three", 1);
        assert_eq!(bench.tried().0.len(), 2, "nothing names it yet");
        bench.write(name::NETWORK_PRIORITY, "3,1");
        bench.set(1, "ws://other", 1);
        assert_eq!(bench.tried(), (vec![named(3, "three"), named(1, "other")], None));
        bench.write(name::NETWORK_PRIORITY, "77");
        assert_eq!(bench.tried().0.len(), 2, "an order of nothing is none");
    }

    #[test]
    fn what_last_led_to_a_csms_is_kept_whole() {
        let mut bench = bench("");
        bench.ways().prove(1, &bench.store).unwrap();
        assert_eq!(bench.tried().1, Some(named(1, "one")));
        let password = |bench: &Bench, good: bool| {
            let (profiles, found) = bench.ways().profiles(&bench.settings, &bench.folder);
            let profile = if good { found.unwrap() } else { profiles[0].clone() };
            (profile.slot, profile.password.unwrap().as_bytes().to_vec())
        };
        bench.write(name::PASSWORD, "0102");
        assert_eq!(password(&bench, false), (1, vec![1, 2]));
        assert_eq!(password(&bench, true), (LAST_GOOD, vec![0, 0xFF]), "the password before");
        bench.set(1, "ws://wrong", 1);
        assert_eq!(bench.tried(), (vec![named(1, "wrong"), named(2, "two")], Some(named(LAST_GOOD, "one"))));
        let mut ways = bench.ways();
        ways.prove(LAST_GOOD, &bench.store).unwrap();
        assert_eq!(bench.tried().1, Some(named(LAST_GOOD, "one")), "and stays good");
        ways.prove(1, &bench.store).unwrap();
        assert_eq!(bench.tried().1, Some(named(1, "wrong")));
    }

    #[test]
    fn below_the_security_that_was_proven_there_is_no_way() {
        let mut bench = bench("");
        bench.ways().prove(1, &bench.store).unwrap();
        bench.ways().prove(2, &bench.store).unwrap();
        assert_eq!(bench.tried(), (vec![named(2, "two")], Some(named(2, "two"))));
        bench.set(2, "ws://two", 0);
        bench.write(name::NETWORK_PRIORITY, "1");
        assert_eq!(bench.tried().0, [named(1, "one")], "rather that one than none");
    }

    #[test]
    fn names_of_a_host_are_not_those_of_another() {
        let mut bench = bench("");
        let server_name = |bench: &Bench| {
            let (profiles, _) = bench.ways().profiles(&bench.settings, &bench.folder);
            profiles[1].tls.clone().unwrap().server_name
        };
        assert_eq!(server_name(&bench).as_deref(), Some("name"));
        bench.set(2, "wss://elsewhere", 2);
        assert_eq!(server_name(&bench), None);
    }

    #[test]
    fn a_password_shows_itself_nowhere() {
        let mut bench = bench("");
        bench.write(name::PASSWORD, "5ec2e7");
        assert!(!format!("{:?}", bench.ways().all).contains("5ec2e7"));
    }
}
