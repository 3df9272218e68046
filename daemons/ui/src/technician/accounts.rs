//! Who may log in: names, roles and hashes of passwords, from a file that only this daemon reads.

use std::collections::BTreeMap;
use std::path::Path;

use argon2::password_hash::phc::Output;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use serde::Deserialize;

/// The most memory that a hash may want, KiB: it is taken at each login.
const MEMORY_MAX: u32 = 32 * 1024;
/// Blocks of one KiB that are asked for at each login, whatever the hash wants: more than 32 MiB glibc always
/// maps apart and gives back at the end; less of it, from the second time on, it keeps. Only those that the hash
/// wants are touched.
const BLOCKS: usize = MEMORY_MAX as usize + 1024;
/// Bytes of a password that is tried.
const PASSWORD_MAX: usize = 128;
const ACCOUNTS_MAX: usize = 64;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    /// See everything but the settings.
    View,
    /// Also stop, clear faults, take out of service.
    Operate,
    /// Also see and write settings, and read who did what.
    Configure,
}

impl Role {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Configure => "configure",
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    role: Role,
    /// As `$argon2id$v=19$…`.
    password: String,
}

/// All accounts.
#[derive(Debug, Clone)]
pub(crate) struct Accounts(BTreeMap<String, Account>);

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadAccounts {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is no file of accounts.
    #[error("is no list of accounts: {0}")]
    Invalid(String),
}

impl Accounts {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, names nobody, or has something that is no hash of argon2id.
    pub(crate) fn read(file: &Path) -> Result<Self, BadAccounts> {
        Self::parse(&std::fs::read_to_string(file)?)
    }

    fn parse(text: &str) -> Result<Self, BadAccounts> {
        // What stands there is secret: only what is wrong is told.
        let wrong = |error: toml::de::Error| BadAccounts::Invalid(error.message().to_owned());
        let accounts: BTreeMap<String, Account> = toml::from_str(text).map_err(wrong)?;
        if accounts.is_empty() || accounts.len() > ACCOUNTS_MAX {
            return Err(BadAccounts::Invalid(format!("1 to {ACCOUNTS_MAX} accounts are wanted")));
        }
        for (name, account) in &accounts {
            let memory = PasswordHash::new(&account.password).ok().and_then(|hash| {
                let strong = hash.algorithm.as_str() == "argon2id";
                Params::try_from(&hash).ok().filter(|_| strong).map(|params| params.m_cost())
            });
            if memory.is_none_or(|memory| memory > MEMORY_MAX) {
                let text =
                    format!("the password of {name} is no hash of argon2id with at most {MEMORY_MAX} KiB");
                return Err(BadAccounts::Invalid(text));
            }
        }
        Ok(Self(accounts))
    }

    /// The role of whoever has this password. It takes as long for a name that nobody has.
    #[must_use]
    pub(super) fn judge(&self, name: &str, password: &str) -> Option<Role> {
        let account = self.0.get(name);
        let hash = account.or_else(|| self.0.values().next()).map(|account| account.password.as_str())?;
        let right = password.len() <= PASSWORD_MAX && fits(password, hash).unwrap_or(false);
        account.filter(|_| right).map(|account| account.role)
    }
}

/// Whether the password is that of the hash, whose own parameters count; `None`: it is no such hash.
fn fits(password: &str, hash: &str) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let (salt, expected) = (hash.salt?, hash.hash?);
    let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let mut blocks = Vec::with_capacity(BLOCKS);
    blocks.resize_with(params.block_count(), Block::new);
    let mut computed = vec![0; expected.len()];
    let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
    argon2.hash_password_into_with_memory(password.as_bytes(), &salt, &mut computed, &mut blocks).ok()?;
    // This comparison takes as long whatever differs.
    Some(Output::new(&computed).ok()? == expected)
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher as _;

    use super::*;

    /// Of a password, at the least cost: tests are many.
    fn hash(password: &str) -> String {
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(password.as_bytes())
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_password_opens_its_own_account_and_no_other() {
        let text = format!(
            "[anna]\nrole = \"operate\"\npassword = \"{}\"\n[ben]\nrole = \"view\"\npassword = \"{}\"",
            hash("correct horse"),
            hash("battery staple")
        );
        let accounts = Accounts::parse(&text).unwrap();
        assert_eq!(accounts.judge("anna", "correct horse"), Some(Role::Operate));
        assert_eq!(accounts.judge("ben", "correct horse"), None);
        assert_eq!(
            accounts.judge("carl", "correct horse"),
            None,
            "the first account's password opens nothing else"
        );
        assert_eq!(accounts.judge("anna", ""), None);
        assert_eq!(accounts.judge("anna", &"x".repeat(5000)), None);
    }

    #[test]
    fn what_is_no_strong_hash_is_refused_and_never_printed() {
        for password in
            ["geheim", "$argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "$5$salt$geheim"]
        {
            let error =
                Accounts::parse(&format!("[anna]\nrole = \"view\"\npassword = \"{password}\"")).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("anna") && !text.contains("geheim") && !text.contains("c2Fs"), "{text}");
        }
        assert!(Accounts::parse("").is_err(), "nobody could log in");
        assert!(Accounts::parse("[anna]\nrole = \"root\"\npassword = \"x\"").is_err());
    }
}
