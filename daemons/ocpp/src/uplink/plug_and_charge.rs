//! Contract certificates that vehicles ask for (M01, M02).

use super::*;

/// Vehicles that may wait: each EVSE has one.
const WANTED_MAX: usize = 8;

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
