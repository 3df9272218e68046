//! What the CSMS wants a person to read (O01 to O06), and what a transaction costs (I02, I03).

use super::requests::rejected;
use super::*;
use crate::dialect::{Handled, Then, times};
use crate::uplink::{Message, Priority, Record};

/// Messages in one NotifyDisplayMessages.
const MESSAGES_A_PART: usize = 8;

pub(super) fn set(core: &mut Core, now: Now, asked: &SetDisplayMessageRequest, payload: &str) -> Handled {
    let info = &asked.message;
    let format = match info.message.format {
        common::MessageFormatEnum::ASCII => "ASCII",
        common::MessageFormatEnum::UTF8 => "UTF8",
        common::MessageFormatEnum::HTML | common::MessageFormatEnum::URI => {
            return Handled::status("NotSupportedMessageFormat");
        }
    };
    let transaction = info.transaction_id.as_ref().map(ToString::to_string);
    if transaction.as_ref().is_some_and(|id| requests::running(core, id).is_none()) {
        return Handled::status("UnknownTransaction");
    }
    let time = times(payload);
    let message = Message {
        priority: priority(&info.priority),
        state: info.state.as_ref().map(|state| state_word(state).to_owned()),
        start: time("/message/startDateTime"),
        end: time("/message/endDateTime"),
        transaction,
        format: format.to_owned(),
        language: info.message.language.as_ref().map(ToString::to_string),
        content: info.message.content.as_str().to_owned(),
    };
    match core.display.set(info.id, message, core.clock.now(now)) {
        Ok(()) => Handled {
            store: vec![Record::Display(core.display.kept().clone())],
            ..Handled::status("Accepted")
        },
        Err((reason, why)) => rejected(reason, why),
    }
}

pub(super) fn clear(core: &mut Core, asked: &ClearDisplayMessageRequest) -> Handled {
    if !core.display.clear(asked.id) {
        return Handled::status("Unknown");
    }
    Handled { store: vec![Record::Display(core.display.kept().clone())], ..Handled::status("Accepted") }
}

pub(super) fn get(core: &Core, asked: &GetDisplayMessagesRequest) -> Handled {
    let wanted = |id: i64, message: &Message| {
        asked.id.as_ref().is_none_or(|ids| ids.contains(&id))
            && asked.priority.as_ref().is_none_or(|asked| priority(asked) == message.priority)
            && asked.state.as_ref().is_none_or(|state| Some(state_word(state)) == message.state.as_deref())
    };
    let found: Vec<Value> = core
        .display
        .kept()
        .iter()
        .filter(|(id, message)| wanted(**id, message))
        .map(|(id, message)| written(*id, message))
        .collect();
    if found.is_empty() {
        return Handled::status("Unknown");
    }
    let parts: Vec<&[Value]> = found.chunks(MESSAGES_A_PART).collect();
    let part = |(number, messages): (usize, &&[Value])| {
        let tbc = number + 1 < parts.len();
        let payload = json!({ "requestId": asked.request_id, "messageInfo": messages, "tbc": tbc });
        Then::Tell(Notice::Ready("NotifyDisplayMessages", payload))
    };
    let then = parts.iter().enumerate().map(part).collect();
    Handled { then, ..Handled::status("Accepted") }
}

/// It has no status: a transaction that does not run is passed over.
pub(super) fn cost_updated(core: &mut Core, asked: &CostUpdatedRequest) -> Handled {
    match requests::running(core, &asked.transaction_id) {
        Some((evse, _, _)) => core.display.cost(evse, asked.total_cost),
        None => tracing::info!("the CSMS tells the cost of a transaction that does not run"),
    }
    Handled::now(json!({}))
}

fn written(id: i64, message: &Message) -> Value {
    let mut content = json!({ "format": message.format, "content": message.content });
    if let Some(language) = &message.language {
        content["language"] = language.as_str().into();
    }
    let mut info = json!({ "id": id, "priority": message.priority.word(), "message": content });
    if let Some(state) = &message.state {
        info["state"] = state.as_str().into();
    }
    if let Some(transaction) = &message.transaction {
        info["transactionId"] = transaction.as_str().into();
    }
    for (field, time) in [("startDateTime", message.start), ("endDateTime", message.end)] {
        if let Some(time) = time {
            info[field] = rfc3339(time).into();
        }
    }
    info
}

const fn priority(priority: &common::MessagePriorityEnum) -> Priority {
    match priority {
        common::MessagePriorityEnum::AlwaysFront => Priority::AlwaysFront,
        common::MessagePriorityEnum::InFront => Priority::InFront,
        common::MessagePriorityEnum::NormalCycle => Priority::NormalCycle,
    }
}

const fn state_word(state: &common::MessageStateEnum) -> &'static str {
    match state {
        common::MessageStateEnum::Charging => "Charging",
        common::MessageStateEnum::Faulted => "Faulted",
        common::MessageStateEnum::Idle => "Idle",
        common::MessageStateEnum::Unavailable => "Unavailable",
    }
}
