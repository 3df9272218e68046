//! Who is let in where: tokens that are shown, vehicles that say who they are, and the back end.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};
use voltry_bus::{
    Csms1Proxy, EndReason, Error, EventKind, StartOutcome, TokenAnswer, TokenKind, TokenStatus,
};
use voltry_service::clock::now;
use voltry_units::Timestamp;

use super::{Answer, Control, News};
use crate::authorization::{Payer, Token, may_be_code};
use crate::evse::Evse;
use crate::reservations::Place;
use crate::session::{Ending, Input};

/// Tokens that the back end is asked for at once; more are refused.
const JUDGED: usize = 16;
/// How the back end marks what it says without having been able to ask anybody.
const OFFLINE: &str = "offline";
/// Why a token lets nobody in, as `Station1.TokenRefused` says it.
const NOT_ACCEPTED: &str = "not-accepted";
const NOT_JUDGED: &str = "not-judged";
const NO_PLACE: &str = "no-place";
const WRONG_CODE: &str = "wrong-code";
const TOO_MANY_CODES: &str = "too-many-codes";

/// Whoever judges tokens that are in no list of the station.
#[derive(Debug, Clone)]
pub(crate) struct BackEnd {
    pub(crate) csms: Csms1Proxy<'static>,
    /// How long it may take.
    pub(crate) patience: Duration,
    /// Whether a token is let in that nobody could judge.
    pub(crate) allow_unjudged: bool,
}

/// A token that was shown.
#[derive(Debug)]
pub(crate) struct Presented {
    pub(crate) token: Token,
    pub(crate) kind: TokenKind,
    /// 0: any.
    pub(crate) evse: u32,
    pub(crate) by: By,
}

/// Who showed it.
#[derive(Debug)]
pub(crate) enum By {
    /// A person, who is told what came of it.
    Driver(oneshot::Sender<Result<StartOutcome, Error>>),
    /// The vehicle of this session.
    Vehicle(u64),
}

fn outcome(evse: u32, outcome: &str, detail: &str) -> StartOutcome {
    StartOutcome { evse, outcome: outcome.to_owned(), detail: detail.to_owned() }
}

impl Control {
    /// A token was shown.
    pub(super) fn present(&mut self, presented: Presented) {
        let Presented { token, evse: wanted, .. } = &presented;
        if *wanted != 0 && !self.evses.contains_key(wanted) {
            let unknown = Error::UnknownEvse(format!("there is no EVSE {wanted}"));
            return tell(presented.by, Err(unknown));
        }
        let typed = presented.kind == TokenKind::KeyCode;
        if typed && !may_be_code(token.reveal()) {
            return tell(presented.by, Err(Error::Invalid("a code has 4 to 12 digits".to_owned())));
        }
        if typed && !self.guesses.may_try(now()) {
            if let Some(count) = self.due() {
                warn!(evse = wanted, count, "too many wrong codes: none is judged for some minutes");
            }
            return self.refuse(presented, TOO_MANY_CODES, "too many wrong codes; try again in ten minutes");
        }
        // Digits that are typed are not the card that has them for a number.
        let pays = |payer: &Payer| {
            payer.token.as_ref() == Some(token) && typed == (payer.kind == TokenKind::KeyCode)
        };
        if let Some(evse) = self.paid_by(*wanted, pays) {
            self.stop(evse, Ending::new(EndReason::Local, "stopped by token"), None);
            return tell(presented.by, Ok(outcome(evse, "stopped", "")));
        }
        if !typed && self.authorizer.allows(token) {
            let payer = Payer::holder(token.clone(), presented.kind);
            return self.accept(presented, payer);
        }
        let Some(back_end) = self.back_end.clone() else {
            if let Some(count) = self.due() {
                info!(?token, count, "token refused");
            }
            return self.refuse(presented, NOT_ACCEPTED, "the token is not in the list");
        };
        let asked = (presented.token.clone(), presented.evse);
        // Laid there once more by somebody who waits: a second answer would end what the first begins.
        if matches!(presented.by, By::Driver(_)) && self.judging.contains(&asked) {
            return tell(presented.by, Err(Error::Busy("the token is being asked for".to_owned())));
        }
        if self.judging.len() >= JUDGED {
            return tell(presented.by, Err(Error::Busy("too many tokens are being asked for".to_owned())));
        }
        self.judging.push(asked);
        if typed {
            self.guesses.tried(now());
        }
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let asked = back_end.csms.authorize(presented.token.reveal(), presented.kind, presented.evse);
            let answer = timeout(back_end.patience, asked)
                .await
                .unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".to_owned())));
            let _ = answers.send(Answer::Judged(presented, answer)).await;
        });
    }

    /// The back end's word on a token.
    pub(super) fn judged(&mut self, presented: Presented, answer: Result<TokenAnswer, Error>) {
        let asked = |(token, evse): &(Token, u32)| *token == presented.token && *evse == presented.evse;
        if let Some(place) = self.judging.iter().position(asked) {
            self.judging.swap_remove(place);
        }
        let payer = Payer::holder(presented.token.clone(), presented.kind);
        let typed = presented.kind == TokenKind::KeyCode;
        let was_judged = answer.as_ref().is_ok_and(|answer| answer.source != OFFLINE);
        let wrong = answer
            .as_ref()
            .is_ok_and(|answer| !matches!(answer.status, TokenStatus::Accepted | TokenStatus::MasterPass));
        if typed && !(wrong && was_judged) {
            self.guesses.forgive();
        }
        match answer {
            Ok(TokenAnswer { status: TokenStatus::Accepted, group, .. }) => {
                let payer = Payer { group: Token::parse(&group).ok(), ..payer };
                // At a reader for several EVSEs, whoever waits at one has shown it to begin.
                let waits = presented.evse == 0 && self.evses.values().any(Evse::welcomes);
                if matches!(presented.by, By::Driver(_))
                    && !waits
                    && let Some(group) = payer.group.clone()
                    && let Some(evse) =
                        self.paid_by(presented.evse, |payer| payer.group.as_ref() == Some(&group))
                {
                    let words = "stopped by a token of its group";
                    let why = Ending { by: Some(payer), ..Ending::new(EndReason::Local, words) };
                    self.stop(evse, why, None);
                    return tell(presented.by, Ok(outcome(evse, "stopped", "")));
                }
                self.accept(presented, payer);
            }
            Ok(TokenAnswer { status: TokenStatus::MasterPass, group, .. }) => {
                let payer = Payer { group: Token::parse(&group).ok(), ..payer };
                self.master_pass(presented, &payer);
            }
            Ok(TokenAnswer { status, detail, .. }) => {
                if let Some(count) = self.due() {
                    info!(token = ?presented.token, %status, count, "token refused by the back end");
                }
                let detail = if detail.is_empty() { format!("the back end says: {status}") } else { detail };
                let why = match (typed, was_judged) {
                    (false, _) => NOT_ACCEPTED,
                    (true, true) => WRONG_CODE,
                    (true, false) => NOT_JUDGED,
                };
                self.refuse(presented, why, &detail);
            }
            Err(error)
                if !typed && self.back_end.as_ref().is_some_and(|back_end| back_end.allow_unjudged) =>
            {
                if let Some(count) = self.due() {
                    warn!(token = ?presented.token, %error, count, "nobody could judge the token; it is let in");
                }
                self.accept(presented, payer);
            }
            Err(error) => {
                if let Some(count) = self.due() {
                    warn!(token = ?presented.token, %error, count, "nobody could judge the token; it is refused");
                }
                self.refuse(presented, NOT_JUDGED, "the token is not in the list, and the back end is away");
            }
        }
    }

    /// Ends what runs where it was shown, or on all (C16). It begins nothing.
    fn master_pass(&mut self, presented: Presented, payer: &Payer) {
        let By::Driver(_) = &presented.by else {
            return self.refuse(presented, NOT_ACCEPTED, "a master pass begins nothing");
        };
        let running = self.paid(presented.evse);
        let Some(first) = running.first().copied() else {
            return self.refuse(presented, NOT_ACCEPTED, "a master pass begins nothing, and nothing runs");
        };
        if self.master_pass_asks && running.len() > 1 {
            self.master_pass.ask(payer.clone(), now());
            return tell(presented.by, Ok(outcome(0, "asked", "the screen asks which charge is meant")));
        }
        self.end_all_by(&running, payer);
        tell(presented.by, Ok(outcome(first, "stopped", "")));
    }

    /// The answer to what a master pass was asked; 0: all.
    pub(super) fn end_by_master_pass(&mut self, wanted: u32) -> Result<(), Error> {
        if wanted != 0 && !self.evses.contains_key(&wanted) {
            return Err(Error::UnknownEvse(format!("there is no EVSE {wanted}")));
        }
        let Some(payer) = self.master_pass.answered(now()) else {
            return Err(Error::Refused("no master pass waits for an answer".to_owned()));
        };
        self.end_all_by(&self.paid(wanted), &payer);
        Ok(())
    }

    fn end_all_by(&mut self, running: &[u32], pass: &Payer) {
        for evse in running {
            let why = Ending {
                by: Some(pass.clone()),
                ..Ending::new(EndReason::MasterPass, "stopped by a master pass")
            };
            self.stop(*evse, why, None);
        }
    }

    /// Where somebody is let in: on this EVSE, or with 0 on all.
    fn paid(&self, wanted: u32) -> Vec<u32> {
        let here = |evse: &&Evse| wanted == 0 || evse.number == wanted;
        let paid = self.evses.values().filter(here).filter(|evse| evse.control.payer().is_some());
        paid.map(|evse| evse.number).collect()
    }

    /// Somebody has pressed the start button: nobody in particular.
    pub(super) fn press_start(&mut self, wanted: u32) -> Result<StartOutcome, Error> {
        if !self.start_button {
            return Err(Error::Refused("the station has no start button".to_owned()));
        }
        self.admit(wanted, Payer::anyone())
    }

    fn paid_by(&self, wanted: u32, is: impl Fn(&Payer) -> bool) -> Option<u32> {
        let candidates = self.evses.values().filter(|evse| wanted == 0 || evse.number == wanted);
        candidates.filter(|evse| evse.control.payer().is_some_and(&is)).map(|evse| evse.number).next()
    }

    fn accept(&mut self, presented: Presented, payer: Payer) {
        match presented.by {
            By::Driver(answer) => {
                let admitted = self.admit(presented.evse, payer);
                if let Ok(StartOutcome { evse, outcome, .. }) = &admitted
                    && outcome == "refused"
                {
                    self.tell(News::TokenRefused { evse: *evse, why: NO_PLACE });
                }
                // The asker may have gone.
                let _ = answer.send(admitted);
            }
            By::Vehicle(session) => {
                let evse = presented.evse;
                if self.evses.get(&evse).is_some_and(|evse| evse.welcomes() && evse.session.id == session) {
                    let _ = self.let_in_if_held(evse, payer, false);
                }
            }
        }
    }

    fn refuse(&mut self, presented: Presented, why: &'static str, detail: &str) {
        match presented.by {
            By::Driver(answer) => {
                self.tell(News::TokenRefused { evse: presented.evse, why });
                let _ = answer.send(Ok(outcome(presented.evse, "refused", detail)));
            }
            // The driver is not turned away: as long as the vehicle waits, a token may still be shown.
            By::Vehicle(_) => {
                if let Some(count) = self.due() {
                    info!(evse = presented.evse, token = ?presented.token, kind = %presented.kind, count, "refused: {detail}");
                }
            }
        }
    }

    /// Lets somebody in who may charge: now, or when a vehicle is plugged in.
    pub(super) fn admit(&mut self, wanted: u32, payer: Payer) -> Result<StartOutcome, Error> {
        // With one EVSE alone there is nothing to choose.
        let wanted = match self.evses.keys().copied().collect::<Vec<_>>().as_slice() {
            [only] if wanted == 0 => *only,
            _ => wanted,
        };
        if wanted != 0 && !self.evses.contains_key(&wanted) {
            return Err(Error::UnknownEvse(format!("there is no EVSE {wanted}")));
        }
        let candidates = || self.evses.values().filter(|evse| wanted == 0 || evse.number == wanted);
        let waiting: Vec<u32> = candidates().filter(|evse| evse.welcomes()).map(|evse| evse.number).collect();
        match waiting.as_slice() {
            [evse] => {
                let evse = *evse;
                Ok(match self.let_in_if_held(evse, payer, false) {
                    Ok(()) => outcome(evse, "granted", ""),
                    Err(reason) => outcome(evse, "refused", &reason),
                })
            }
            [] => Ok(self.expect(wanted, payer)),
            several => Err(Error::Invalid(format!("EVSEs {several:?} wait: name one"))),
        }
    }

    /// Nobody waits: keeps the token for the next vehicle.
    fn expect(&mut self, wanted: u32, payer: Payer) -> StartOutcome {
        let Some(evse) = self.evses.get(&wanted) else {
            let free = || self.evses.values().filter(|evse| evse.place() == Place::Free);
            let others = free().count().saturating_sub(1);
            let admits = |evse: &Evse| self.reservations.admits(evse.number, &payer, others).is_ok();
            if free().next().is_none() {
                return outcome(0, "refused", "no EVSE is free");
            }
            if !free().any(admits) {
                return outcome(0, "refused", "every EVSE that is free is reserved for somebody else");
            }
            self.authorizer.expect(0, payer, now());
            return outcome(0, "remembered", "");
        };
        let expected = self.authorizer.expected_at(wanted);
        if let Some(expected) = expected {
            return if expected.token == payer.token {
                outcome(wanted, "remembered", "")
            } else {
                outcome(wanted, "refused", "somebody else is waited for")
            };
        }
        let refused = match evse.place() {
            Place::Taken => "the EVSE is taken",
            Place::Unavailable => "the EVSE is out of service",
            Place::Faulted => "the EVSE is faulted",
            Place::Free => {
                return match self.hold(wanted, payer) {
                    Ok(payer) => {
                        self.note_unplugged(wanted, EventKind::Authorized, Some(payer.clone()), nothing());
                        self.authorizer.expect(wanted, payer, now());
                        outcome(wanted, "remembered", "")
                    }
                    Err(reason) => outcome(wanted, "refused", &reason),
                };
            }
        };
        outcome(wanted, "refused", refused)
    }

    /// Lets in whoever may, as a vehicle waits now.
    pub(super) fn let_in(&mut self, number: u32) {
        if !self.evses.get(&number).is_some_and(Evse::welcomes) {
            return;
        }
        if let Some(payer) = self.authorizer.take(number, now()) {
            // The book has known since the token was shown.
            self.step(number, Input::LetIn { payer, noted: true });
        } else if self.authorizer.is_free() {
            let _ = self.let_in_if_held(number, Payer::anyone(), false);
        } else if let Some(payer) = self.vehicles_token(number) {
            let _ = self.let_in_if_held(number, payer, false);
        } else if let Some(payer) = self.expected_somewhere(number) {
            let _ = self.let_in_if_held(number, payer, false);
        }
        if self.evses.get(&number).is_some_and(Evse::welcomes) {
            self.ask_for_vehicle(number);
        }
    }

    /// Who showed a token for any EVSE, waits longest, and may charge at this one.
    fn expected_somewhere(&mut self, number: u32) -> Option<Payer> {
        let free = self.free_beside(number);
        let reservations = &self.reservations;
        self.authorizer.take_admitted(now(), |payer| reservations.admits(number, payer, free).is_ok())
    }

    fn free_beside(&self, number: u32) -> usize {
        let others = self.evses.values().filter(|evse| evse.number != number);
        others.filter(|evse| evse.place() == Place::Free).count()
    }

    /// Lets somebody in, unless the EVSE is held for others.
    fn let_in_if_held(&mut self, number: u32, payer: Payer, noted: bool) -> Result<(), String> {
        let payer = self.hold(number, payer)?;
        self.step(number, Input::LetIn { payer, noted });
        Ok(())
    }

    /// Uses the reservation that is somebody's, if there is one.
    fn hold(&mut self, number: u32, payer: Payer) -> Result<Payer, String> {
        let free = self.free_beside(number);
        let admitted = self.reservations.admits(number, &payer, free);
        let Some(held) = admitted.map_err(|held| held.to_string())?.cloned() else { return Ok(payer) };
        self.end_reservation(&held.id, "used");
        Ok(Payer { reservation: held.id, ..payer })
    }

    /// What the vehicle brings by itself that is allowed; what is proved goes before what is claimed.
    fn vehicles_token(&self, number: u32) -> Option<Payer> {
        let allowed = |(token, kind): (Token, TokenKind)| {
            self.authorizer.allows(&token).then(|| Payer::holder(token, kind))
        };
        self.evses[&number].brought().into_iter().find_map(allowed)
    }

    /// Asks the back end, once, about what a vehicle brings by itself.
    fn ask_for_vehicle(&mut self, number: u32) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        let session = evse.session.id;
        evse.asked.retain(|(asked_in, _)| *asked_in == session);
        let Some((token, kind)) = evse.brought().into_iter().find(|(token, _)| !evse.has_asked(token)) else {
            return;
        };
        evse.asked.push((session, token.clone()));
        self.present(Presented { token, kind, evse: number, by: By::Vehicle(session) });
    }

    /// Stops waiting for those that did not come.
    pub(super) fn expire_expected(&mut self, now: Timestamp) {
        for evse in self.authorizer.expire(now) {
            let why = Ending::new(EndReason::Timeout, "nobody plugged in");
            if let Some(count) = self.due() {
                info!(evse, count, "nobody plugged in; the token holds no longer");
            }
            self.note_unplugged(evse, EventKind::ConnectTimedOut, None, why);
        }
    }

    /// Stops waiting at an EVSE; whether somebody was waited for.
    pub(super) fn stop_expecting(&mut self, evse: u32, why: Ending) -> bool {
        if self.authorizer.take(evse, Timestamp::BOOT).is_none() {
            return false;
        }
        self.note_unplugged(evse, EventKind::ConnectTimedOut, None, why);
        true
    }
}

fn nothing() -> Ending {
    Ending::new(EndReason::None, "")
}

fn tell(by: By, what: Result<StartOutcome, Error>) {
    if let By::Driver(answer) = by {
        // The asker may have gone.
        let _ = answer.send(what);
    }
}
