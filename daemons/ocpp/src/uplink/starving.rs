//! Transactions whose token the CSMS does not accept: they end, or go on without power, as
//! `StopTransactionOnInvalidId` says (1.6, 5.11; 2.0.1, E05).
//!
//! A transaction without power is a limit of its own at the station, which names it: so it is known
//! after a restart of either, and is taken away when that transaction is over.

use super::*;

impl Uplink {
    /// The CSMS judged the token of a transaction.
    pub(super) fn token_of_a_transaction_judged(
        &mut self,
        transaction: u64,
        info: &TokenInfo,
        actions: &mut Vec<Action>,
    ) {
        // By the book: the station's word of its EVSEs may come later than the answer of the CSMS.
        let open = self.core.edges.iter().find(|(_, (open, _))| *open == transaction);
        let Some(evse) = open.map(|(evse, _)| *evse) else { return };
        let starved = self.starved.contains(&(evse, transaction));
        match (info.is_accepted(), self.core.variables.is(name::STOP_ON_INVALID)) {
            (true, _) if starved => self.starve(evse, transaction, false, actions),
            (false, true) => {
                warn!(evse, transaction, "the CSMS does not accept the token: the transaction ends");
                let command = Command::Stop { evse, transaction, session: 0, why: StopReason::Deauthorized };
                self.order(command, actions);
            }
            (false, false) if !starved => {
                warn!(evse, transaction, "the CSMS does not accept the token: no more power");
                self.starve(evse, transaction, true, actions);
            }
            (true | false, _) => {}
        }
    }

    /// The CSMS judged the token of a transaction of 2.0.1 that began before the book's, with the cable or the token.
    pub(super) fn token_of_a_session_judged(
        &mut self,
        evse: u32,
        info: &TokenInfo,
        actions: &mut Vec<Action>,
    ) {
        let Some(session) = self.core.delivery.known().plugged.get(&evse).map(|plug| plug.session) else {
            return;
        };
        let by_book = self.core.delivery.by_book(&self.core.told());
        let Some(plug) = by_book.plugged.get(&evse).filter(|plug| plug.session == session) else { return };
        if plug.transaction != 0 {
            self.token_of_a_transaction_judged(plug.transaction, info, actions);
        } else if !info.is_accepted() && self.core.variables.is(name::STOP_ON_INVALID) {
            warn!(evse, session, "the CSMS does not accept the token: the session ends");
            let why = StopReason::Deauthorized;
            self.order(Command::Stop { evse, transaction: 0, session, why }, actions);
        } else if !info.is_accepted() {
            self.refused_sessions.insert(evse, session);
        }
    }

    /// The book opens a transaction; whose token was refused before that has no power from the beginning.
    pub(super) fn starve_who_was_refused(&mut self, event: &Event, actions: &mut Vec<Action>) {
        if event.kind == Kind::Started && self.refused_sessions.remove(&event.evse) == Some(event.session) {
            self.starve(event.evse, event.transaction, true, actions);
        }
    }

    fn starve(&mut self, evse: u32, transaction: u64, starved: bool, actions: &mut Vec<Action>) {
        if starved {
            self.starved.insert((evse, transaction));
        } else {
            self.starved.remove(&(evse, transaction));
        }
        self.order(Command::Starve { evse, transaction, starved }, actions);
    }

    /// Whoever comes next may have power again.
    pub(super) fn feed_again(&mut self, actions: &mut Vec<Action>) {
        let core = &self.core;
        let over = |(evse, transaction): &(u32, u64)| {
            let by_book = core.edges.get(evse).map(|(open, _)| *open) != Some(*transaction);
            let connector = core.connectors.get(*evse).filter(|connector| connector.heard().is_some());
            by_book && connector.is_some_and(|connector| connector.transaction() != *transaction)
        };
        let over: Vec<_> = self.starved.iter().copied().filter(over).collect();
        for (evse, transaction) in over {
            self.starve(evse, transaction, false, actions);
        }
    }
}
