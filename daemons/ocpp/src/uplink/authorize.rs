//! Whether a token may charge: local list, cache, CSMS, or the rule for when it is away.

use voltry_bus::TokenStatus;

use super::*;

/// Questions about tokens that may wait for the CSMS.
const ASKED_MAX: usize = 16;

/// The kind of a contract's token.
const CONTRACT: &str = "eMAID";

/// A question that waits for the CSMS.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    token: Token,
    then: AskedThen,
}

#[derive(Debug, Clone, PartialEq)]
enum AskedThen {
    /// The station waits for the answer: its question's number, and about which EVSE (0: any).
    Answer(u64, u32),
    /// This is done if the token may charge (a remote start that wants an authorization).
    Command(Command),
}

impl Asked {
    /// The station waits for the answer.
    #[must_use]
    pub const fn by_station(ticket: u64, evse: u32, token: Token) -> Self {
        Self { token, then: AskedThen::Answer(ticket, evse) }
    }

    /// This is done if the token may charge.
    #[must_use]
    pub const fn before(command: Command, token: Token) -> Self {
        Self { token, then: AskedThen::Command(command) }
    }

    /// Who.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }
}

impl Uplink {
    pub(super) fn authorize(&mut self, now: Now, asked: Asked, actions: &mut Vec<Action>) {
        let online = self.registration == Registration::Accepted;
        let local = if online { name::LOCAL_PRE_AUTHORIZE } else { name::LOCAL_AUTHORIZE_OFFLINE };
        // C07.FR.12: whether a contract counts while nobody can be asked.
        let counts = online || asked.token.kind != CONTRACT || self.core.variables.is(name::CONTRACT_OFFLINE);
        if self.core.variables.is(local)
            && counts
            && let Some((info, source)) = self.locally(now, &asked.token)
        {
            // Online the CSMS may know better of a token that is not accepted here (C13, C14).
            if info.is_accepted() || !online {
                self.decide(&asked, &info, source, actions);
                return;
            }
        }
        if !online {
            self.decide_offline(&asked, actions);
        } else if self.asked.len() >= ASKED_MAX {
            self.decide(&asked, &TokenInfo::of(TokenStatus::Unknown), "offline", actions);
        } else {
            self.asked.push_back(asked);
        }
    }

    fn locally(&self, now: Now, token: &Token) -> Option<(TokenInfo, &'static str)> {
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

    /// The CSMS is away, and neither list nor cache knows the token.
    pub(super) fn decide_offline(&mut self, asked: &Asked, actions: &mut Vec<Action>) {
        let contract = asked.token.kind == CONTRACT;
        let allowed = self.core.variables.is(name::OFFLINE_UNKNOWN)
            && (!contract || self.core.variables.is(name::CONTRACT_OFFLINE));
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
            self.asked.push_front(asked.clone());
            return;
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
            None => self.decide_offline(asked, actions),
        }
    }

    fn decide(&mut self, asked: &Asked, info: &TokenInfo, source: &str, actions: &mut Vec<Action>) {
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
        }
    }
}
