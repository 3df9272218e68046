//! How a conversation ends: with a failure and a farewell, without an answer, or as agreed.

use std::time::Duration;

use voltry_bus::LinkOutcome;
use voltry_units::Timestamp;

use super::{Event, Session};
use crate::decide::Cause;
use crate::message::{Answer, Code, Processing, Progress, Request};
use crate::order::Stage;
use crate::pushed::Pushed;
use crate::v2g::WireError;

/// After a failure: how long the vehicle has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

impl Session {
    /// The connection ended, by the vehicle or because evse detached it.
    pub fn disconnected(&mut self, now: Timestamp, why: &'static str) {
        if self.stage != Stage::Closed {
            self.end(now, Stage::Closed, LinkOutcome::Lost, Some(Cause::Disconnected(why)));
        }
    }

    /// There is no TLS handshake to speak after.
    pub fn refused(&mut self, now: Timestamp, why: String) {
        if self.stage != Stage::Closed {
            self.end(now, Stage::Closed, LinkOutcome::Failed, Some(Cause::Tls(why)));
        }
    }

    /// Answers with a failure, and ends.
    pub(super) fn refuse(
        &mut self,
        now: Timestamp,
        request: &Request,
        code: Code,
        cause: Cause,
        pushed: &Pushed,
    ) {
        self.held = None;
        let body = self.question(now, request, true, pushed).body(Processing::Finished, true);
        if self.send(now, &Answer { code, body }) {
            let outcome = if matches!(cause, Cause::Overdue { .. }) {
                LinkOutcome::Overdue
            } else {
                LinkOutcome::Failed
            };
            self.end(now, Stage::Failed, outcome, Some(cause));
        }
    }

    /// After a failure the vehicle may stop the delivery, look for welded contacts and stop the
    /// session; each is answered, and only the last with OK.
    pub(super) fn farewell(&mut self, now: Timestamp, request: &Request, pushed: &Pushed) {
        let last = matches!(request, Request::SessionStop { .. });
        let proper = matches!(
            request,
            Request::WeldingDetection { .. } | Request::PowerDelivery { progress: Progress::Stop, .. }
        );
        let code = match (last, proper) {
            (true, _) => Code::Ok,
            (false, true) => Code::Failed,
            (false, false) => Code::FailedSequenceError,
        };
        let body = self.question(now, request, true, pushed).body(Processing::Finished, true);
        if self.send(now, &Answer { code, body }) && last {
            self.stage = Stage::Closed;
        }
    }

    /// Ends without an answer: the bytes are no conversation.
    pub(super) fn cut(&mut self, now: Timestamp, error: WireError) {
        self.end(now, Stage::Closed, LinkOutcome::Failed, Some(Cause::Wire(error)));
    }

    pub(super) fn end(&mut self, now: Timestamp, stage: Stage, outcome: LinkOutcome, cause: Option<Cause>) {
        let told = matches!(self.stage, Stage::Failed | Stage::Closed);
        self.stage = stage;
        self.held = None;
        self.quiet_limit = GOODBYE;
        self.quiet_until = now + GOODBYE;
        if !told {
            self.events.push_back(Event::Ended(outcome, cause));
        }
    }
}
