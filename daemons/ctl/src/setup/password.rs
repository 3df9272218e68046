//! `voltryctl password`: another password for an account of the technician's page, or another account.

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use toml::{Table, Value};

use super::secrets::{ACCOUNTS, hashed, hexadecimal};
use crate::cli;
use crate::outcome::{Failure, Outcome};

/// Letters of a password that somebody chooses: what can be guessed is no door.
const LETTERS_MIN: usize = 12;
/// Bytes that `voltry-ui` tries.
const BYTES_MAX: usize = 128;
const ROLES: [&str; 3] = ["view", "operate", "configure"];

pub(crate) fn change(command: &cli::Password) -> Result<Outcome, Failure> {
    let chosen = if command.stdin {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::Other(format!("the password: {error}")))?;
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        None
    };
    let made = chosen.is_none();
    let password = written(&command.credentials, &command.name, command.role.as_deref(), chosen)?;
    if made {
        println!("{password}");
    }
    eprintln!("it holds from the next start of the page on: systemctl restart voltry-ui");
    Ok(Outcome::Done)
}

/// The password that the account has now; one is made where none was chosen.
fn written(folder: &Path, name: &str, role: Option<&str>, chosen: Option<String>) -> Result<String, Failure> {
    let file = folder.join(ACCOUNTS);
    let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", file.display()));
    let mut accounts: Table = match fs::read_to_string(&file) {
        // What stands there is secret: only where it is wrong is told.
        Ok(text) => toml::from_str(&text)
            .map_err(|error| Failure::Other(format!("{}: {}", file.display(), error.message())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Table::new(),
        Err(error) => return Err(failed(error)),
    };
    let account = account(&accounts, name, role)?;
    let password = match chosen {
        Some(chosen) => judged(chosen)?,
        None => hexadecimal(8)?,
    };
    let changed = [("role", account), ("password", hashed(&password)?)];
    let changed = changed.map(|(key, value)| (key.to_owned(), Value::String(value)));
    accounts.insert(name.to_owned(), Value::Table(changed.into_iter().collect()));
    let text = toml::to_string(&accounts).map_err(|error| Failure::Other(error.to_string()))?;
    fs::create_dir_all(folder).map_err(failed)?;
    // Whole or not at all.
    let new = folder.join(format!("{ACCOUNTS}.new"));
    let options = || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    options()
        .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()))
        .and_then(|()| fs::rename(&new, &file))
        .and_then(|()| fs::File::open(folder)?.sync_all())
        .map_err(failed)?;
    Ok(password)
}

/// The role of an account: the one that it is given, or has.
fn account(accounts: &Table, name: &str, role: Option<&str>) -> Result<String, Failure> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Failure::Refused("a name has letters, digits, -, _ and ., at most 64".to_owned()));
    }
    let has = accounts.get(name).and_then(|account| account.get("role")).and_then(Value::as_str);
    match role.or(has) {
        Some(role) if ROLES.contains(&role) => Ok(role.to_owned()),
        Some(role) => Err(Failure::Refused(format!("{role} is no role: {}", ROLES.join(", ")))),
        None => Err(Failure::Refused(format!("there is no account {name}; with --role it is made"))),
    }
}

fn judged(password: String) -> Result<String, Failure> {
    if password.chars().count() < LETTERS_MIN || password.len() > BYTES_MAX {
        return Err(Failure::Refused(format!(
            "a password has at least {LETTERS_MIN} letters and at most {BYTES_MAX} bytes"
        )));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_account_gets_another_password_and_the_others_keep_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = |password: &str| Some(password.to_owned());
        let change = |name: &str, role, password| written(folder.path(), name, role, password);
        let file = folder.path().join(ACCOUNTS);
        for (name, role, password) in [
            ("anna", None, None),
            ("anna", Some("root"), None),
            ("", Some("view"), None),
            ("a\"b", Some("view"), None),
            ("anna", Some("view"), chosen("too short")),
        ] {
            let refused = change(name, role, password).unwrap_err();
            assert!(matches!(refused, Failure::Refused(_)), "{name}: {refused:?}");
            assert!(!file.exists());
        }
        let made = change("anna", Some("operate"), None).unwrap();
        change("ben", Some("view"), chosen("a sentence of his")).unwrap();
        let read = || fs::read_to_string(&file).unwrap().parse::<Table>().unwrap();
        let before = read();
        assert_eq!(change("anna", None, chosen("a sentence of hers")).unwrap(), "a sentence of hers");
        let after = read();
        assert_eq!(after["anna"]["role"].as_str(), Some("operate"));
        assert_ne!(after["anna"]["password"], before["anna"]["password"]);
        assert_eq!(after["ben"], before["ben"]);
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&made) && !text.contains("sentence") && text.contains("$argon2id$"), "{text}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
