//! The way in: passwords, one at a time, each counted before it is judged.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use voltry_bus::SecurityNote;
use voltry_service::clock::now;

use super::accounts::{Accounts, Role};
use super::audit::Audit;
use super::sessions::Attempts;

/// What a password came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right(Role),
    Wrong,
    /// Not judged, and not before so long has passed.
    Wait(Duration),
}

pub(super) struct Door {
    accounts: Accounts,
    audit: Arc<Audit>,
    attempts: Mutex<Attempts>,
    /// One password is judged at a time: it takes memory and the processor.
    judging: Arc<Semaphore>,
    /// Who else hears of it.
    notes: mpsc::Sender<(SecurityNote, String)>,
}

impl Door {
    pub(super) fn new(
        accounts: Accounts,
        audit: Arc<Audit>,
        notes: mpsc::Sender<(SecurityNote, String)>,
    ) -> Self {
        Self { accounts, audit, attempts: Mutex::default(), judging: Arc::new(Semaphore::new(1)), notes }
    }

    /// Judges a password when it is its turn. Whoever goes away before that was not heard; whoever goes away
    /// later is judged, counted and noted all the same, and it is nobody else's turn until that is done.
    pub(super) async fn judge(self: &Arc<Self>, from: IpAddr, name: String, password: String) -> Verdict {
        let turn = self.judging.clone().acquire_owned().await.expect("nobody closes it");
        // Asked when it is one's turn: many at once are no way around the lock.
        if let Some(wait) = self.attempts().wait(now(), from, &name) {
            return Verdict::Wait(wait);
        }
        let locks = self.attempts().wrong(now(), from, &name);
        let door = self.clone();
        let judged = tokio::task::spawn_blocking(move || {
            // It goes with the work, not with whoever waits for it.
            let _turn = turn;
            let role = door.accounts.judge(&name, &password);
            let what = match (role, locks) {
                (Some(_), _) => "logs in",
                (None, true) => "wrong password; locked",
                (None, false) => "wrong password",
            };
            if role.is_some() {
                door.attempts().right(from, &name);
            }
            door.audit.note(&name, from, what);
            // As OCPP's appendix 1 writes it. A wrong name may be a password in the wrong field: nobody is told it.
            let note = match role {
                Some(_) => (SecurityNote::LoginAccepted, format!("{{'user': '{name}', 'origin': '{from}'}}")),
                None => (SecurityNote::LoginFailed, format!("{{'origin': '{from}'}}")),
            };
            // One too many is in the audit trail.
            let _ = door.notes.try_send(note);
            role.map_or(Verdict::Wrong, Verdict::Right)
        });
        judged.await.unwrap_or(Verdict::Wrong)
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().expect("nobody panics with it")
    }
}

#[cfg(test)]
mod tests {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    use futures_util::FutureExt as _;

    use super::*;

    fn door(folder: &tempfile::TempDir) -> Arc<Door> {
        let params = Params::new(Params::MIN_M_COST, 20, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = argon2.hash_password(b"right").unwrap().to_string();
        let file = folder.path().join("accounts.toml");
        std::fs::write(&file, format!("[anna]\nrole = \"view\"\npassword = \"{hash}\"\n")).unwrap();
        let audit = Arc::new(Audit::new(folder.path().join("audit.log")));
        Arc::new(Door::new(Accounts::read(&file).unwrap(), audit, mpsc::channel(1).0))
    }

    #[tokio::test]
    async fn who_goes_away_keeps_the_turn_until_the_password_was_judged_counted_and_noted() {
        let folder = tempfile::tempdir().unwrap();
        let door = door(&folder);
        let judge = |password: &str| {
            let (door, password) = (door.clone(), password.to_owned());
            async move { door.judge([192, 0, 2, 1].into(), "anna".to_owned(), password).await }
        };
        for number in 1..=5 {
            // Asks, and is gone.
            let _ = judge("guess").now_or_never();
            drop(door.judging.acquire().await.unwrap());
            assert_eq!(door.audit.newest().len(), number, "done when it is the next one's turn");
        }
        assert!(matches!(judge("right").await, Verdict::Wait(_)), "five were wrong");
    }

    #[tokio::test]
    async fn a_right_password_was_no_wrong_one() {
        let folder = tempfile::tempdir().unwrap();
        let door = door(&folder);
        for _ in 0..12 {
            let verdict = door.judge([192, 0, 2, 1].into(), "anna".to_owned(), "right".to_owned()).await;
            assert_eq!(verdict, Verdict::Right(Role::View));
        }
    }
}
