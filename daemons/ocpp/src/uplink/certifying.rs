//! Certificates, as the uplink orders them: what the CSMS asks goes to where they are kept, and
//! certificates of this station are asked for (A02, A03).

use super::*;
use crate::certificates::{Outcome as Certified, Own, Request, Summary};

/// Before its end a certificate of the station is asked for anew (A03).
const RENEW_BEFORE: i64 = 30 * 86_400;
/// One that was refused is asked for again.
const RENEW_AGAIN: Duration = Duration::from_hours(24);

/// Who waits for something that is done with certificates.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The CSMS, for the answer to this CALL.
    Csms { id: String, action: String, within: Option<&'static str> },
    /// Nobody: what comes of it is told.
    Request(Own),
    /// Nobody: the CSMS is asked for its status.
    Status,
    /// Nobody any more.
    Nobody,
}

impl Waiting {
    /// What it asked for is done all the same.
    pub(super) fn csms_is_gone(&mut self) {
        match self {
            Self::Csms { .. } => *self = Self::Nobody,
            Self::Request(_) | Self::Status | Self::Nobody => {}
        }
    }
}

/// Requests for certificates that the CSMS has, and has not answered with one.
#[derive(Debug, Default)]
pub(super) struct Signing {
    open: BTreeMap<Own, Open>,
    renewal_from: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// When it is asked again; `None`: the request is on its way.
    again: Option<Timestamp>,
    times: u32,
}

impl Signing {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.open.values().filter_map(|open| open.again).min()
    }
}

impl Uplink {
    pub(super) fn certificates(&mut self, request: Request, waiting: Waiting, actions: &mut Vec<Action>) {
        if self.certifying.len() >= PENDING_MAX {
            if let Waiting::Csms { id, .. } = waiting {
                let answer = Err(Refusal::new(ErrorCode::InternalError, "too many requests wait"));
                actions.push(Action::Reply { id, answer });
            }
            return;
        }
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.certifying.insert(ticket, (request.clone(), waiting));
        actions.push(Action::Certificates { ticket, request });
    }

    /// The CSMS wants a new certificate, or it is time.
    pub(super) fn ask_for_certificate(&mut self, own: Own, actions: &mut Vec<Action>) {
        let variables = &self.core.variables;
        let serial = variables.get(name::SERIAL);
        let common_name = if serial.is_empty() { variables.get(name::IDENTITY) } else { serial };
        let request = Request::Sign {
            own,
            common_name: common_name.to_owned(),
            organization: variables.get(name::ORGANIZATION).to_owned(),
        };
        self.signing.open.entry(own).or_insert(Open { again: None, times: 0 }).again = None;
        self.certificates(request, Waiting::Request(own), actions);
    }

    pub(super) fn certified(
        &mut self,
        now: Now,
        ticket: u64,
        outcome: &Certified,
        summary: Summary,
        actions: &mut Vec<Action>,
    ) {
        self.core.networks.certificates = summary;
        let Some((request, waiting)) = self.certifying.remove(&ticket) else { return };
        if *outcome == Certified::Done {
            self.note_change(now, &request, actions);
        }
        if let (Request::Issued(..), Certified::Rejected(_, why)) = (&request, outcome) {
            self.core.journal.note(now, SecurityEvent::InvalidChargingStationCertificate, why);
        }
        match (waiting, outcome) {
            (Waiting::Csms { id, action, within }, outcome) => {
                let payload = match within {
                    None => dialect::certificates_reply(self.core.version, &action, outcome),
                    Some(message) => dialect::within_reply(message, outcome),
                };
                self.reply(id, &action, &payload, actions);
            }
            (Waiting::Nobody, Certified::Rejected(_, why)) => warn!(why, "what the CSMS gave is not taken"),
            (Waiting::Nobody, _) => {}
            (Waiting::Status, outcome) => self.status_wanted(now, outcome),
            (Waiting::Request(own), Certified::Request(csr)) => {
                self.tell(Notice::SignCertificate(own, csr.clone()));
            }
            (Waiting::Request(own), other) => {
                warn!(?own, ?other, "no request for a certificate could be made");
                self.signing.open.remove(&own);
            }
        }
        // The answer leaves by the connection that it was asked over.
        if let (Request::Issued(Own::Station, _), Certified::Done) = (request, outcome) {
            actions.push(Action::Networks("the station has a new certificate"));
        }
    }

    fn note_change(&mut self, now: Now, request: &Request, actions: &mut Vec<Action>) {
        let what = match request {
            Request::List(..) | Request::Sign { .. } | Request::Status | Request::Stapled(_) => return,
            Request::Install(usage, _) => format!("root certificate for {usage:?} installed"),
            Request::Delete(_) => "certificate deleted".to_owned(),
            Request::Issued(own, _) => {
                self.signing.open.remove(own);
                if *own == Own::V2g {
                    self.stapling = stapling::Stapling::at_once();
                }
                format!("certificate of this station ({own:?}) renewed")
            }
        };
        info!(what, "the CSMS changes certificates");
        self.core.journal.note(now, SecurityEvent::ReconfigurationOfSecurityParameters, &what);
        self.keep_journal(actions);
    }

    /// What the CSMS says to a SignCertificate.
    pub(super) fn sign_answered(&mut self, now: Now, own: Own, payload: Option<&str>) {
        let version = self.core.version;
        let accepted = payload.is_some_and(|payload| dialect::takes_request(version, own, payload));
        let Some(open) = self.signing.open.get_mut(&own) else { return };
        if !accepted {
            warn!(?own, "the CSMS does not take a request for a certificate");
            self.signing.open.remove(&own);
            return;
        }
        // A02.FR.18: each wait is twice the one before.
        let minimum = Duration::from_secs(self.core.variables.number(name::SIGNING_WAIT_MINIMUM).max(1));
        open.again = Some(now.at + minimum.saturating_mul(1 << open.times.min(16)));
    }

    /// Asks again where the CSMS sent no certificate, and before one ends.
    pub(super) fn renew(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.registration != Registration::Accepted {
            return;
        }
        let repeats = self.core.variables.number(name::SIGNING_REPEAT_TIMES);
        let due: Vec<Own> = self
            .signing
            .open
            .iter()
            .filter(|(_, open)| open.again.is_some_and(|again| again <= now.at))
            .map(|(own, _)| *own)
            .collect();
        for own in due {
            let Some(open) = self.signing.open.get_mut(&own) else { continue };
            if u64::from(open.times) >= repeats {
                warn!(?own, "the CSMS sends no certificate");
                self.signing.open.remove(&own);
                continue;
            }
            open.times += 1;
            self.ask_for_certificate(own, actions);
        }
        let until = self.core.networks.certificates.station_until;
        let ends = until
            .zip(self.core.clock.known(now))
            .is_some_and(|(until, time)| time / 1_000_000 > until - RENEW_BEFORE);
        let free = self.signing.renewal_from.is_none_or(|from| from <= now.at);
        if ends
            && free
            && self.core.networks.security_profile() == 3
            && !self.signing.open.contains_key(&Own::Station)
        {
            info!(until, "the station's certificate ends soon: a new one is asked for");
            self.signing.renewal_from = Some(now.at + RENEW_AGAIN);
            self.ask_for_certificate(Own::Station, actions);
        }
    }
}
