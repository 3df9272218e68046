//! What is made for one station alone, and shown once.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use serde::Serialize;

use super::configuration::PASSWORD;
use super::site::Site;
use crate::outcome::Failure;

/// The accounts of the technician's page, as the unit of `voltry-ui` takes them.
pub(super) const ACCOUNTS: &str = "ui.accounts";
/// Whom the first account is for.
const TECHNICIAN: &str = "technician";
/// What a hash costs: KiB, passes, lanes. Of OWASP's choices for argon2id, each as strong as the others, the one
/// that takes the least memory: `voltry-ui` has it at each login.
const COST: (u32, u32, u32) = (7 * 1024, 5, 1);

/// Something made.
#[derive(Debug, Serialize)]
pub(super) struct Secret {
    pub(super) of: String,
    pub(super) file: PathBuf,
    pub(super) secret: String,
}

/// Makes those that the site wants; what was made before stays, for somebody else knows it by now. Each that
/// was made is told even if the next fails.
pub(super) fn make(site: &Site, folder: &Path, made: &mut Vec<Secret>) -> Result<(), Failure> {
    if let Some(csms) = &site.csms {
        // What OCPP 1.6 wants, and no more than 2.0.1 takes.
        let secret = hexadecimal(20)?;
        if let Some(file) = written(folder, PASSWORD, &secret)? {
            made.push(Secret { of: format!("{} at {}", csms.identity, csms.url), file, secret });
        }
    }
    let secret = hexadecimal(8)?;
    let accounts = format!("[{TECHNICIAN}]\nrole = \"configure\"\npassword = \"{}\"\n", hashed(&secret)?);
    if let Some(file) = written(folder, ACCOUNTS, &accounts)? {
        made.push(Secret { of: format!("{TECHNICIAN} at the technician's page"), file, secret });
    }
    Ok(())
}

/// The file, for root alone; `None` if it was there.
fn written(folder: &Path, name: &str, text: &str) -> Result<Option<PathBuf>, Failure> {
    let file = folder.join(name);
    let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", file.display()));
    if file.exists() {
        return Ok(None);
    }
    fs::create_dir_all(folder).map_err(failed)?;
    let mut written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(failed)?;
    written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).map_err(failed)?;
    Ok(Some(file))
}

pub(super) fn hexadecimal(bytes: usize) -> Result<String, Failure> {
    let mut random = vec![0_u8; bytes];
    getrandom::fill(&mut random).map_err(|error| Failure::Other(format!("no randomness: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn hashed(password: &str) -> Result<String, Failure> {
    let failed = |error: String| Failure::Other(format!("hashing: {error}"));
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|error| failed(error.to_string()))?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password.as_bytes());
    Ok(hash.map_err(|error| failed(error.to_string()))?.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::site::tests::site;
    use super::*;

    fn made(folder: &Path) -> Vec<Secret> {
        let mut made = Vec::new();
        make(&site(), folder, &mut made).unwrap();
        made
    }

    #[test]
    fn a_password_is_told_though_the_next_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere/else", folder.path().join(ACCOUNTS)).unwrap();
        let mut made = Vec::new();
        assert!(make(&site(), folder.path(), &mut made).is_err());
        assert_eq!(made.len(), 1, "{made:?}");
    }

    #[test]
    fn passwords_are_made_once_for_root_alone_and_the_technicians_is_stored_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let made_first = made(folder.path());
        let [csms, technician] = &made_first[..] else { panic!("{made_first:?}") };
        assert_eq!(fs::read_to_string(&csms.file).unwrap(), csms.secret);
        assert_eq!(csms.secret.len(), 40);
        let accounts = fs::read_to_string(&technician.file).unwrap();
        assert!(accounts.contains("$argon2id$") && !accounts.contains(&technician.secret), "{accounts}");
        for secret in &made_first {
            assert_eq!(fs::metadata(&secret.file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(made(folder.path()).is_empty(), "what somebody knows stays");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(made(other.path())[0].secret, csms.secret);
    }
}
