//! Contract certificates that vehicles ask for (M01, M02), and contracts that nobody here can vouch for (C07).

use super::*;

/// Vehicles that may wait: each EVSE has one.
const WANTED_MAX: usize = 8;
/// How long what the CSMS said of a contract's token, when it judged the contract, answers the station's own
/// question for it, which follows at once.
const JUDGED_FOR: Duration = Duration::from_secs(30);
/// The longest id token of OCPP 2.0.1, characters.
const ID_TOKEN_MAX: usize = 36;

impl Uplink {
    pub(super) fn contract_wanted(&mut self, wanted: Wanted, actions: &mut Vec<Action>) {
        let online = self.registration == Registration::Accepted && !self.core.plug_and_charge_unknown;
        if online && self.wanted.len() < WANTED_MAX && wanted.request().is_some() {
            self.wanted.push_back(wanted);
        } else {
            info!(online, "a vehicle asks for a contract certificate, and cannot be helped");
            no_contract(wanted.ticket, actions);
        }
    }

    pub(super) fn send_contract_wanted(&mut self, actions: &mut Vec<Action>) -> bool {
        let Some(wanted) = self.wanted.pop_front() else { return false };
        // Checked when it came.
        let Some(request) = wanted.request() else { return false };
        let (action, payload) = dialect::contract_wanted(self.core.version, request);
        self.call(action, &payload, Out::Contract(wanted.ticket), actions);
        true
    }

    /// A vehicle's contract leads to no root that is installed here. No list, cache or rule counts for it:
    /// anybody can write an eMAID into a certificate of his own. C07.FR.06: the CSMS judges the chain where it
    /// wants to, and can be asked.
    pub(super) fn contract_doubted(
        &mut self,
        now: Now,
        (ticket, evse): (u64, u32),
        contract: Contract,
        actions: &mut Vec<Action>,
    ) {
        let allowed = self.core.variables.is(name::CENTRAL_VALIDATION) && self.core.knows_plug_and_charge();
        if allowed && contract.emaid.len() <= ID_TOKEN_MAX && contract.pem().is_some() {
            self.authorize(now, Asked::about(now, ticket, evse, contract), actions);
        } else {
            info!(allowed, "a contract without a root here cannot be judged by the CSMS");
            actions.push(Action::ContractJudged { ticket, believed: false });
        }
    }

    /// The CSMS's word on it.
    pub(super) fn contract_judged(
        &mut self,
        now: Now,
        (ticket, evse): (u64, u32),
        contract: &Contract,
        payload: Option<&str>,
        actions: &mut Vec<Action>,
    ) {
        let version = self.core.version;
        let good = payload.filter(|payload| dialect::believes_contract(version, payload));
        let info = good.and_then(|payload| dialect::authorize_answer(version, payload));
        let believed = info.is_some();
        info!(believed, "the CSMS has judged a contract without a root here");
        if let Some(info) = info {
            let token = Token { id: contract.emaid.clone(), kind: "eMAID".to_owned() };
            self.remember(now, &token, info.clone(), actions);
            self.core.contracts.judge(&contract.emaid, info, now.at + JUDGED_FOR);
            if let Some(text) = good.and_then(|payload| dialect::personal_message(version, payload)) {
                self.core.display.say_ahead(evse, text);
            }
        }
        actions.push(Action::ContractJudged { ticket, believed });
    }

    /// Tells who speaks with vehicles whether the CSMS judges contracts without a root.
    pub(super) fn tell_central_validation(&mut self, actions: &mut Vec<Action>) {
        let allowed = self.core.variables.is(name::CENTRAL_VALIDATION);
        if self.central_validation.replace(allowed) != Some(allowed) {
            actions.push(Action::CentralValidation(allowed));
        }
    }

    pub(super) fn contract_answered(&self, ticket: u64, payload: Option<&str>, actions: &mut Vec<Action>) {
        let message = payload.and_then(|payload| dialect::contract_answer(self.core.version, payload));
        if message.is_none() {
            warn!("the CSMS has no contract certificate for a vehicle");
        }
        actions.push(Action::ContractAnswer { ticket, message: message.unwrap_or_default() });
    }
}

/// The vehicle hears that there is none.
pub(super) fn no_contract(ticket: u64, actions: &mut Vec<Action>) {
    actions.push(Action::ContractAnswer { ticket, message: Vec::new() });
}
