//! `[ocpp.profile.SLOT]`: one way to a CSMS, as it is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::connection::redial::Slot;
use crate::connection::{Encoding, Files, InvalidUrl, Password, Profile, Proxy, Target, Tls};
use crate::rpc::Dialect;

/// One way to a CSMS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkProfile {
    /// `ws://` or `wss://`, without the identity.
    pub url: String,
    /// The version of OCPP that is spoken there; a list is offered in its order, and the CSMS chooses.
    #[serde(deserialize_with = "one_or_several")]
    pub version: Vec<Version>,
    /// 0: nothing, 1: a password, 2: TLS and a password, 3: TLS and a certificate of the station.
    pub security_profile: u8,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file with the password: a path, or the bare name of a systemd credential of the unit.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// How the password is written: hexadecimal if OCPP 1.6 alone is spoken, else text.
    #[serde(default)]
    pub password_encoding: Option<Encoding>,
    /// The root certificates of the CSMS, a PEM file.
    #[serde(default)]
    pub root_certificates: Option<PathBuf>,
    /// Whom the CSMS's certificate must name, if not the URL's host.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Whether a certificate that names the CSMS by its common name alone will do.
    #[serde(default)]
    pub accept_common_name: bool,
    /// The station's certificate and its issuers', a PEM file.
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// The station's key, PEM: a path, or the bare name of a systemd credential of the unit.
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// The proxy on the way, `http://user:password@host:port`.
    #[serde(default)]
    pub proxy: Option<Secret>,
}

/// A text that shows itself nowhere.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A version of OCPP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Version {
    /// OCPP 1.6J.
    #[serde(rename = "1.6")]
    V16,
    /// OCPP 2.0.1.
    #[serde(rename = "2.0.1")]
    V201,
}

impl Version {
    /// Its name as a subprotocol of WebSocket.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::V16 => "ocpp1.6",
            Self::V201 => "ocpp2.0.1",
        }
    }

    /// How it writes its errors.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::V16 => Dialect::V16,
            Self::V201 => Dialect::V2,
        }
    }
}

fn one_or_several<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Version>, D::Error> {
    struct Versions;
    impl<'de> serde::de::Visitor<'de> for Versions {
        type Value = Vec<Version>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a version of OCPP, or a list of them")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<Version>, E> {
            Version::deserialize(serde::de::value::StrDeserializer::new(text)).map(|version| vec![version])
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Vec<Version>, A::Error> {
            Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(Versions)
}

/// Problems by the key of the profile that they stand at.
type Problems = Vec<(&'static str, String)>;

impl NetworkProfile {
    /// The profile, if all in it fits together.
    ///
    /// # Errors
    /// All that does not.
    pub(crate) fn check(&self, slot: Slot, identity: &str) -> Result<Profile, Problems> {
        let mut problems = Problems::new();
        let mut note = |key, text: String| problems.push((key, text));
        let target = Target::new(&self.url, identity).map_err(|error| note("url", error.to_string())).ok();
        let proxy = self.proxy().map_err(|error| note("proxy", error.to_string())).ok().flatten();
        let password = self.password().map_err(|(key, text)| note(key, text)).ok().flatten();
        if self.version.is_empty() {
            note("version", "at least one version is offered".to_owned());
        }
        if let Some(target) = &target {
            self.check_security(target.secure, password.is_some(), &mut note);
        }
        match target {
            Some(target) if problems.is_empty() => {
                let tls = self.tls();
                Ok(Profile { slot, target, versions: self.version.clone(), password, tls, proxy })
            }
            Some(_) | None => Err(problems),
        }
    }

    /// OCPP 2.0.1 part 2, A00: what each security profile consists of.
    fn check_security(&self, secure: bool, password: bool, note: &mut impl FnMut(&'static str, String)) {
        let (wants_tls, wants_password, wants_certificate) = match self.security_profile {
            0 => (false, false, false),
            1 => (false, true, false),
            2 => (true, true, false),
            3 => (true, false, true),
            _ => return note("security_profile", "is 0, 1, 2 or 3".to_owned()),
        };
        let number = self.security_profile;
        if secure != wants_tls {
            let scheme = if wants_tls { "wss://" } else { "ws://" };
            note("url", format!("must begin with {scheme} for security profile {number}"));
        }
        let mut must = |key, there: bool, wanted: bool| match (there, wanted) {
            (false, true) => note("security_profile", format!("security profile {number} needs {key}")),
            (true, false) => note(key, format!("is of no use in security profile {number}")),
            (true, true) | (false, false) => {}
        };
        let given = self.password.is_some() || self.password_file.is_some();
        must("password", given || password, wants_password);
        must("root_certificates", self.root_certificates.is_some(), wants_tls);
        must("client_certificate", self.client_certificate.is_some(), wants_certificate);
        must("client_key", self.client_key.is_some(), wants_certificate);
        if !wants_tls {
            must("server_name", self.server_name.is_some(), false);
            must("accept_common_name", self.accept_common_name, false);
        }
    }

    /// How a password is written where these versions are spoken.
    pub(crate) fn encoding(&self, versions: &[Version]) -> Encoding {
        let default = if versions == [Version::V16] { Encoding::Hex } else { Encoding::Text };
        self.password_encoding.unwrap_or(default)
    }

    pub(crate) fn proxy(&self) -> Result<Option<Proxy>, InvalidUrl> {
        self.proxy.as_ref().map(|proxy| Proxy::new(&proxy.0)).transpose()
    }

    pub(crate) fn password(&self) -> Result<Option<Password>, (&'static str, String)> {
        let encoding = self.encoding(&self.version);
        let parse = |key, written: &str| {
            Password::new(written, encoding).map(Some).map_err(|error| (key, error.to_string()))
        };
        match (&self.password, &self.password_file) {
            (Some(_), Some(_)) => Err(("password_file", "there is a password already".to_owned())),
            (Some(password), None) => parse("password", &password.0),
            (None, Some(file)) => {
                // A credential is there only for the unit.
                let Some(path) = path_of(file) else { return Ok(None) };
                let written = std::fs::read_to_string(&path)
                    .map_err(|error| ("password_file", format!("{}: {error}", path.display())))?;
                parse("password_file", written.trim_end_matches(['\r', '\n']))
            }
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn tls(&self) -> Option<Tls> {
        let roots = self.root_certificates.clone()?;
        let client = self.client_certificate.clone().zip(self.client_key.as_ref().map(|key| {
            // Without credentials it cannot be read, and the dial says so.
            path_of(key).unwrap_or_else(|| key.clone())
        }));
        Some(Tls {
            credentials: Arc::new(Files { roots, client }),
            server_name: self.server_name.clone(),
            accept_common_name: self.accept_common_name,
        })
    }

    /// Whether the key can be read here: a credential is there only for the unit.
    pub(crate) fn key_is_readable(&self) -> bool {
        self.client_key.as_deref().is_some_and(|key| path_of(key).is_some())
    }
}

/// Where a file is: a bare name is a credential. `None`: there are no credentials here, as when a
/// person checks the configuration.
fn path_of(file: &Path) -> Option<PathBuf> {
    if file.components().count() == 1 && !file.has_root() {
        std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(file))
    } else {
        Some(file.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Profile, String> {
        let written: NetworkProfile = toml::from_str(text).map_err(|error| error.to_string())?;
        written.check(1, "A").map_err(|problems| format!("{problems:?}"))
    }

    const TLS: &str = "url = 'wss://a'\nversion = '2.0.1'\nroot_certificates = '/roots'\n";
    const PLAIN: &str = "url = 'ws://a'\nversion = '1.6'\n";

    #[test]
    fn each_security_profile_has_what_it_needs_and_nothing_else() {
        let client = "client_certificate = '/c'\nclient_key = '/k'\n";
        for good in [
            format!("{PLAIN}security_profile = 0"),
            format!("{PLAIN}security_profile = 1\npassword = '00ff'"),
            format!("{TLS}security_profile = 2\npassword = 'sixteen letters!'\nserver_name = 'b'"),
            format!("{TLS}{client}security_profile = 3\naccept_common_name = true"),
        ] {
            assert!(check(&good).is_ok(), "{good}: {:?}", check(&good));
        }
        for (bad, words) in [
            (format!("{PLAIN}security_profile = 0\npassword = '00'"), "no use"),
            (format!("{PLAIN}security_profile = 0\naccept_common_name = true"), "no use"),
            (format!("{PLAIN}security_profile = 1"), "needs password"),
            (format!("{TLS}security_profile = 1\npassword = 'x'"), "ws://"),
            (format!("{PLAIN}security_profile = 2\npassword = '00'"), "needs root_certificates"),
            (format!("{TLS}security_profile = 3\nclient_certificate = '/c'"), "needs client_key"),
            (format!("{TLS}security_profile = 4"), "0, 1, 2 or 3"),
        ] {
            let error = check(&bad).unwrap_err();
            assert!(error.contains(words), "{bad}: {error}");
        }
    }

    #[test]
    fn a_password_of_1_6_is_hexadecimal_unless_it_says_otherwise() {
        let with = |version: &str, more: &str| {
            check(&format!("url = 'ws://a'\nversion = {version}\nsecurity_profile = 1\n{more}"))
                .map(|profile| profile.password.unwrap().as_bytes().to_vec())
        };
        assert_eq!(with("'1.6'", "password = '3031'").unwrap(), b"01");
        assert_eq!(with("'2.0.1'", "password = '3031'").unwrap(), b"3031");
        assert_eq!(with("['2.0.1', '1.6']", "password = '3031'").unwrap(), b"3031");
        assert_eq!(with("'1.6'", "password = 'words'\npassword_encoding = 'text'").unwrap(), b"words");
        let error = with("'1.6'", "password = 'words'").unwrap_err();
        assert!(error.contains("hexadecimal") && !error.contains("words"), "{error}");
    }

    #[test]
    fn a_password_may_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "3031\n").unwrap();
        let text = format!("{PLAIN}security_profile = 1\npassword_file = {file:?}");
        assert_eq!(check(&text).unwrap().password.unwrap().as_bytes(), b"01");
        assert!(check(&format!("{text}\npassword = '00'")).unwrap_err().contains("already"));
        assert!(check(&format!("{PLAIN}security_profile = 1\npassword_file = '/nowhere/x'")).is_err());
    }

    #[test]
    fn versions_are_offered_in_their_order() {
        let text = PLAIN.replace("'1.6'", "['2.0.1', '1.6']") + "security_profile = 0";
        assert_eq!(check(&text).unwrap().versions, [Version::V201, Version::V16]);
        assert!(check(&text.replace("['2.0.1', '1.6']", "[]")).unwrap_err().contains("at least one"));
        assert!(check(&text.replace("2.0.1", "3")).is_err());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let text = format!("{PLAIN}security_profile = 1\npassword = '5ec2e7'\nproxy = 'http://u:5ec2e7@p'");
        let written: NetworkProfile = toml::from_str(&text).unwrap();
        let shown = format!("{written:?} {:?}", written.check(1, "A").unwrap());
        assert!(!shown.contains("5ec2e7") && !shown.contains("dTo1ZWMyZTc"), "{shown}");
    }
}
