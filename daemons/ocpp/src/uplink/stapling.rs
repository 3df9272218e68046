//! What OCSP says of the station's certificates towards vehicles, fetched through the CSMS before the last
//! answers end (M06). Pure.

use super::*;
use crate::certificates::{Outcome as Certified, Request};
use crate::plug_and_charge::{holds_until, ocsp_response};

/// It is asked for anew at least this often, however long it holds.
const FRESH: Duration = Duration::from_hours(24);
/// And not more often than this, however short.
const SHORTEST: Duration = Duration::from_mins(10);
/// Where there was no answer, or nobody who speaks with vehicles.
const AGAIN: Duration = Duration::from_hours(1);

/// When it is looked at.
#[derive(Debug, Default)]
pub(super) struct Stapling {
    due: Option<Timestamp>,
    /// Answers that are awaited.
    open: usize,
    /// The shortest time that one of those that came is good for.
    next: Option<Duration>,
}

impl Stapling {
    /// At the start, and for a certificate that has just come.
    pub(super) const fn at_once() -> Self {
        Self { due: Some(Timestamp::BOOT), open: 0, next: None }
    }

    /// One of the answers came, and counts for so long.
    fn note(&mut self, now: Timestamp, wait: Duration) {
        let next = self.next.map_or(wait, |next| next.min(wait));
        self.next = Some(next);
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.due = Some(now + next);
        }
    }

    pub(super) const fn deadline(&self) -> Option<Timestamp> {
        self.due
    }
}

impl Uplink {
    /// Looks at the certificates if it is time to, and somebody listens.
    pub(super) fn look_at_status(&mut self, now: Now, actions: &mut Vec<Action>) {
        let due = self.stapling.due.is_some_and(|due| due <= now.at);
        if due && self.registration == Registration::Accepted {
            // Should an answer never come, this is the next time.
            self.stapling.due = Some(now.at + FRESH);
            self.certificates(Request::Status, Waiting::Status, actions);
        }
    }

    /// Whether there are certificates with a responder.
    pub(super) fn status_wanted(&mut self, now: Now, outcome: &Certified) {
        match outcome {
            Certified::Asks(requests) => {
                self.stapling.open = requests.len();
                self.stapling.next = None;
                for request in requests {
                    self.tell(Notice::CertificateStatus(request.clone()));
                }
            }
            Certified::Done
            | Certified::Listed(_)
            | Certified::Request(_)
            | Certified::NotFound
            | Certified::Rejected(..)
            | Certified::Failed(_) => self.stapling.due = Some(now.at + AGAIN),
        }
    }

    /// What the CSMS says; `None`: nothing.
    pub(super) fn status_answered(&mut self, now: Now, payload: Option<&str>, actions: &mut Vec<Action>) {
        let version = self.core.version;
        let answer = payload.and_then(|payload| dialect::certificate_status(version, payload));
        let Some(response) = answer.as_ref().and_then(ocsp_response) else {
            warn!("the CSMS has no status of a certificate towards vehicles");
            self.stapling.note(now.at, AGAIN);
            return;
        };
        let left = holds_until(&response).zip(self.core.clock.known(now));
        let left = left.map(|(until, time)| until.saturating_sub(time.div_euclid(1_000_000)));
        // At half its time, so that one refusal costs nothing.
        let half = left.map(|left| Duration::from_secs(u64::try_from(left / 2).unwrap_or(0)));
        let wait = half.unwrap_or(FRESH).clamp(SHORTEST, FRESH);
        self.stapling.note(now.at, wait);
        self.certificates(Request::Stapled(response), Waiting::Nobody, actions);
    }
}
