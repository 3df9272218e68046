//! The local authorization list in 2.0.1 (D01).

use super::requests::{rejected, token};
use super::*;
use crate::dialect::Handled;
use crate::uplink::{ListChange, Record};

pub(super) fn send(core: &mut Core, asked: &SendLocalListRequest, written: &Value) -> Handled {
    if !core.variables.is(name::LIST_ENABLED) {
        return rejected("NotEnabled", "the local list is not enabled").failed();
    }
    let entries = asked.local_authorization_list.as_deref().unwrap_or_default();
    let full = match asked.update_type {
        common::UpdateEnum::Full => true,
        common::UpdateEnum::Differential => false,
    };
    if asked.version_number <= 0 {
        return rejected("InvalidValue", "a list's version is above 0").failed();
    }
    if entries.len() as u64 > core.variables.number(name::SEND_LIST_MAX) {
        return rejected("TooManyElements", "more entries than ItemsPerMessage").failed();
    }
    if full && entries.iter().any(|entry| entry.id_token_info.is_none()) {
        return rejected("MissingParam", "an entry says nothing of its token").failed();
    }
    if !full && asked.version_number <= core.tokens.version {
        return Handled::status("VersionMismatch");
    }
    let entry = |(place, entry): (usize, &common::AuthorizationData)| {
        let written = &written["localAuthorizationList"][place]["idTokenInfo"];
        let info = entry.id_token_info.as_ref().map(|info| token_info(info, written));
        (token(&entry.id_token).id, info)
    };
    let change = ListChange {
        full,
        version: asked.version_number,
        entries: entries.iter().enumerate().map(entry).collect(),
    };
    // D01.FR.12: the same token twice.
    let mut ids: Vec<String> = change.entries.iter().map(|(id, _)| id.to_ascii_uppercase()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return rejected("InvalidValue", "a token stands twice in the list").failed();
    }
    if core.tokens.after(&change) as u64 > core.variables.number(name::LIST_MAX) {
        return rejected("OutOfStorage", "more entries than the station keeps").failed();
    }
    let change = core.tokens.change(change);
    Handled { store: vec![Record::List(change)], ..Handled::status("Accepted") }
}

impl Handled {
    /// This request says Failed where others say Rejected.
    fn failed(mut self) -> Self {
        if let crate::dialect::Answer::Now(payload) = &mut self.answer {
            payload["status"] = "Failed".into();
        }
        self
    }
}
