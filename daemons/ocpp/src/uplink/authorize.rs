//! Whether a token may charge: local list, cache, CSMS, or the rule for when it is away.
//!
//! While the station registers (from the daemon's start until the CSMS has answered its boot, or cannot
//! be reached) nothing but a BootNotification may be sent, and yet nobody is away: a driver who shows a
//! card in that second waits for the CSMS, as long as he waits for it at all.

use voltry_bus::TokenStatus;

use super::*;
use crate::transactions::{CENTRAL, KEY_CODE, NO_AUTHORIZATION};

/// Questions about tokens that may wait for the CSMS.
const ASKED_MAX: usize = 16;

/// How long a question waits for the station to be registered, after which the CSMS counts as away.
/// Shorter than the station waits for an answer (by default 10 s, `station.csms_patience_s`).
const REGISTERING_MAX: Duration = Duration::from_secs(7);

/// The kind of a contract's token.
const CONTRACT: &str = "eMAID";

/// Whether what the CSMS says of a token may be kept: not of none at all (C02), of one that it has made for one
/// charge (C03, C05; in 1.6 that may as well be a card), or of a code, which is judged anew each time it is typed.
pub(super) fn may_be_kept(version: Version, token: &Token) -> bool {
    match (token.kind.as_str(), version) {
        (KEY_CODE | NO_AUTHORIZATION, _) | (CENTRAL, Version::V201) => false,
        (_, Version::V16 | Version::V201) => true,
    }
}

/// A question that waits for the CSMS.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    token: Token,
    then: AskedThen,
    /// How long it waits while the station registers.
    until: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
enum AskedThen {
    /// The station waits for the answer: its question's number, and about which EVSE (0: any).
    Answer(u64, u32),
    /// This is done if the token may charge (a remote start that wants an authorization).
    Command(Command),
    /// A vehicle's link waits for the word on a contract that nobody here can vouch for: its question's
    /// number, and at which EVSE.
    Judge(u64, u32, Contract),
}

impl Asked {
    /// The station waits for the answer.
    #[must_use]
    pub fn by_station(now: Now, ticket: u64, evse: u32, token: Token) -> Self {
        Self { token, then: AskedThen::Answer(ticket, evse), until: now.at + REGISTERING_MAX }
    }

    /// This is done if the token may charge.
    #[must_use]
    pub fn before(now: Now, command: Command, token: Token) -> Self {
        Self { token, then: AskedThen::Command(command), until: now.at + REGISTERING_MAX }
    }

    /// A contract is to be judged.
    #[must_use]
    pub fn about(now: Now, ticket: u64, evse: u32, contract: Contract) -> Self {
        let token = Token { id: contract.emaid.clone(), kind: CONTRACT.to_owned() };
        Self { token, then: AskedThen::Judge(ticket, evse, contract), until: now.at + REGISTERING_MAX }
    }

    /// Who.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The contract that is to be judged, if one is: nothing but the CSMS's word counts for it.
    #[must_use]
    pub const fn doubted(&self) -> Option<&Contract> {
        match &self.then {
            AskedThen::Judge(_, _, contract) => Some(contract),
            AskedThen::Answer(..) | AskedThen::Command(_) => None,
        }
    }
}

impl Uplink {
    pub(super) fn authorize(&mut self, now: Now, asked: Asked, actions: &mut Vec<Action>) {
        // C03: what the CSMS has made comes by its own order, and it is not asked for it.
        if asked.token.kind == CENTRAL && matches!(asked.then, AskedThen::Answer(..)) {
            return self.decide(&asked, &TokenInfo::of(TokenStatus::Invalid), "offline", actions);
        }
        if asked.doubted().is_none()
            && asked.token.kind == CONTRACT
            && let Some(info) = self.core.contracts.take_judged(&asked.token.id, now.at)
        {
            return self.decide(&asked, &info, "csms", actions);
        }
        if self.registration != Registration::Accepted && !self.is_registering(now) {
            return self.decide_offline(now, &asked, actions);
        }
        // The CSMS may know better of a token that is not accepted here (C13, C14).
        if asked.doubted().is_none()
            && self.core.variables.is(name::LOCAL_PRE_AUTHORIZE)
            && let Some((info, source)) = self.locally(now, &asked.token)
            && info.is_accepted()
        {
            self.decide(&asked, &info, source, actions);
        } else if self.asked.len() >= ASKED_MAX {
            self.decide(&asked, &TokenInfo::of(TokenStatus::Unknown), "offline", actions);
        } else {
            self.asked.push_back(asked);
        }
    }

    /// Whether the CSMS's word on the station itself is to be expected: the first connection is being made,
    /// or a boot is out or due.
    fn is_registering(&self, now: Now) -> bool {
        match self.registration {
            Registration::Offline => self.first_dial,
            Registration::Booting => self.out.is_some() || now.at >= self.quiet_until,
            Registration::Pending { .. } | Registration::Rejected { .. } | Registration::Accepted => false,
        }
    }

    /// The CSMS counts as away for the questions that have waited for the registration long enough, or
    /// wait for it in vain.
    pub(super) fn wait_no_longer(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.registration == Registration::Accepted {
            return;
        }
        let in_vain = !self.is_registering(now);
        let (over, waiting): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.asked).into_iter().partition(|asked| in_vain || asked.until <= now.at);
        self.asked = waiting;
        for asked in over {
            self.decide_offline(now, &asked, actions);
        }
    }

    /// When [`Self::wait_no_longer`] has something to do.
    pub(super) fn waiting_until(&self) -> Option<Timestamp> {
        let registering = self.registration != Registration::Accepted;
        self.asked.iter().map(|asked| asked.until).min().filter(|_| registering)
    }

    /// The questions of the station that wait, for an uplink that takes over from this one.
    pub fn hand_over(&mut self) -> impl Iterator<Item = Input> {
        std::mem::take(&mut self.asked).into_iter().filter_map(|asked| match asked.then {
            AskedThen::Answer(ticket, evse) => Some(Input::Authorize { ticket, evse, token: asked.token }),
            AskedThen::Judge(ticket, evse, contract) => {
                Some(Input::ContractDoubted { ticket, evse, contract })
            }
            AskedThen::Command(_) => None,
        })
    }

    fn locally(&self, now: Now, token: &Token) -> Option<(TokenInfo, &'static str)> {
        // Lists know no kinds: digits that somebody types are not the card that has them for a number.
        if token.kind == KEY_CODE {
            return None;
        }
        let time = self.core.clock.now(now);
        let variables = &self.core.variables;
        let listed =
            variables.is(name::LIST_ENABLED).then(|| self.core.tokens.in_list(token, time)).flatten();
        if let Some(info) = listed {
            return Some((info, "local-list"));
        }
        let life = variables.number(name::CACHE_LIFE);
        let cached =
            variables.is(name::CACHE_ENABLED).then(|| self.core.tokens.in_cache(token, time, life)).flatten();
        cached.map(|info| (info, "cache"))
    }

    /// The CSMS is away: list and cache count, and for whom neither knows the rule.
    pub(super) fn decide_offline(&mut self, now: Now, asked: &Asked, actions: &mut Vec<Action>) {
        if asked.doubted().is_some() {
            return self.decide(asked, &TokenInfo::of(TokenStatus::Unknown), "offline", actions);
        }
        // C07.FR.12: whether a contract counts while nobody can be asked.
        let counts = asked.token.kind != CONTRACT || self.core.variables.is(name::CONTRACT_OFFLINE);
        if counts
            && self.core.variables.is(name::LOCAL_AUTHORIZE_OFFLINE)
            && let Some((info, source)) = self.locally(now, &asked.token)
        {
            return self.decide(asked, &info, source, actions);
        }
        let counts = counts && asked.token.kind != KEY_CODE;
        let allowed = counts && self.core.variables.is(name::OFFLINE_UNKNOWN);
        let status = if allowed { TokenStatus::Accepted } else { TokenStatus::Unknown };
        self.decide(asked, &TokenInfo::of(status), "offline", actions);
    }

    pub(super) fn authorize_answered(
        &mut self,
        now: Now,
        asked: &Asked,
        payload: Option<&str>,
        actions: &mut Vec<Action>,
    ) {
        let version = self.core.version;
        if payload.is_some_and(|payload| dialect::knows_no_plug_and_charge(version, payload)) {
            info!("the CSMS knows no Plug & Charge: contracts are tokens like any other");
            self.core.plug_and_charge_unknown = true;
            if asked.doubted().is_none() {
                self.asked.push_front(asked.clone());
                return;
            }
        }
        if let AskedThen::Judge(ticket, evse, contract) = &asked.then {
            return self.contract_judged(now, (*ticket, *evse), contract, payload, actions);
        }
        match payload.and_then(|payload| dialect::authorize_answer(version, payload)) {
            Some(info) => {
                let text = payload.and_then(|payload| dialect::personal_message(version, payload));
                self.remember(now, &asked.token, info.clone(), actions);
                self.decide(asked, &info, "csms", actions);
                if let (Some(text), AskedThen::Answer(_, evse)) = (text, &asked.then) {
                    self.core.display.say_ahead(*evse, text);
                }
            }
            None => self.decide_offline(now, asked, actions),
        }
    }

    fn decide(&mut self, asked: &Asked, info: &TokenInfo, source: &str, actions: &mut Vec<Action>) {
        // C16: it ends what runs, and begins nothing.
        let master_pass = info.is_accepted() && self.core.is_master_pass(&info.group);
        let info = &TokenInfo {
            status: if master_pass { TokenStatus::MasterPass } else { info.status },
            ..info.clone()
        };
        if let (AskedThen::Command(command), true) = (&asked.then, info.is_accepted()) {
            let mut command = command.clone();
            if let Command::RemoteStart { group, .. } = &mut command
                && group.is_empty()
            {
                group.clone_from(&info.group);
            }
            self.order(command, actions);
            return;
        }
        let token = asked.token.masked();
        info!(token, status = %info.status, source, "token judged");
        match asked.then {
            AskedThen::Answer(ticket, evse) => {
                // I04: where nobody says otherwise.
                let fallback = self.core.variables.get(name::TARIFF_FALLBACK);
                if info.is_accepted() && !fallback.is_empty() {
                    self.core.display.say_ahead(evse, fallback.to_owned());
                }
                let answer = TokenAnswer {
                    status: info.status,
                    group: info.group.clone(),
                    source: source.to_owned(),
                    expires: info.expires,
                    detail: String::new(),
                };
                actions.push(Action::Authorized { ticket, answer });
            }
            AskedThen::Command(_) => warn!(token, "a remote start was not authorized"),
            AskedThen::Judge(ticket, ..) => actions.push(Action::ContractJudged { ticket, believed: false }),
        }
    }
}
