//! What is known of a customer: a part of it the station's book has (2.0.1, N09 and N10).

use super::{Action, Command, Outcome, Uplink};
use crate::time::Now;
use crate::transactions::Token;

/// Customers that may be looked for at once.
pub const INQUIRIES_MAX: usize = 4;
/// Transactions that are named to the CSMS, the newest.
pub const NAMED_MAX: usize = 50;

/// The CSMS wants to know what is known of a customer, or that it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// The CSMS's number of its request.
    pub request: i64,
    /// The customer's token.
    pub token: Token,
    /// It wants to know.
    pub report: bool,
    /// It wants it forgotten.
    pub clear: bool,
    /// What there is to tell so far.
    pub lines: Vec<String>,
}

impl Uplink {
    /// Has the station look into its book.
    pub(super) fn inquire(&mut self, inquiry: Inquiry, actions: &mut Vec<Action>) {
        // One more than are named: whether there are others.
        let limit = NAMED_MAX + 1;
        let command = Command::TransactionsOf { token: inquiry.token.clone(), limit };
        let ticket = self.order(command, actions);
        self.core.inquiries.insert(ticket, inquiry);
    }

    /// What the station found; whether it was asked for that.
    pub(super) fn customer_looked_for(&mut self, now: Now, ticket: u64, outcome: &Outcome) -> bool {
        let Some(inquiry) = self.core.inquiries.remove(&ticket) else { return false };
        for notice in crate::v201::customer_report(&self.core, now, inquiry, outcome) {
            self.tell(notice);
        }
        true
    }
}
