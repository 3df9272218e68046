//! Receipts: a vehicle under a contract signs what was metered, where that is configured.
//!
//! In ISO 15118-2 CurrentDemandRes says so, and the vehicle's next request is the receipt, or a stop. In
//! ISO 15118-20 DC_ChargeLoopRes says so until the confirmation came, beside which the charge loop
//! goes on, for as long as [`RECEIPT_WITHIN`].

use voltry_units::Timestamp;

use super::Session;
use crate::contract;
use crate::decide::{RECEIPT_WITHIN, Receipt};
use crate::message::{Answer, Body, Metered, Protocol, Request};
use crate::order::Stage;

/// How far a conversation's receipts are.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// When the vehicle was told to sign; `None`: it owes nothing.
    asked: Option<Timestamp>,
    /// When it signed last.
    given: Option<Timestamp>,
}

impl Session {
    /// Whether the vehicle has to sign what was metered. The time from one receipt to the next counts
    /// from the beginning of the charge loop.
    pub(super) fn receipt(&self, now: Timestamp) -> Receipt {
        let Some(every) = self.wire.receipt_every() else { return Receipt::NotDue };
        if self.contract.is_none() || self.stage != Stage::Charging {
            return Receipt::NotDue;
        }
        match self.receipts.asked {
            Some(asked) if now.since(asked) >= RECEIPT_WITHIN => Receipt::Overdue,
            Some(_) => Receipt::Due,
            None if now.since(self.receipts.given.unwrap_or(self.entered)) >= every => Receipt::Due,
            None => Receipt::NotDue,
        }
    }

    /// What an answer says of a receipt, which was written now.
    pub(super) fn note_receipt(&mut self, now: Timestamp, request: &Request, answer: &Answer) {
        if let Request::Contract(contract::Request::MeteringReceipt { .. }) = request {
            tracing::info!("the vehicle signed what was metered");
            self.receipts = Receipts { asked: None, given: Some(now) };
        } else if let Body::CurrentDemand { meter: Some(Metered { receipt: true, .. }), .. } = answer.body {
            self.receipts.asked.get_or_insert(now);
            if self.protocol == Protocol::Iso2 {
                self.stage = Stage::ReceiptDue;
            }
        }
    }
}
