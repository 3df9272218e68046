//! What the CSMS asks in 1.6.

use serde_json::{Value, json};

use super::*;
use crate::certificates::Own;
use crate::config::Version;
use crate::dialect::{
    Answer, Handled, OpenWrite, Reply, ResetKind, Then, Writes, hand_on, handed_on, take, times,
};
use crate::messages::{Refusal, is_known};
use crate::model::{self, Access, Holder, Item, Refused, TABLE};
use crate::transactions::{Context, Measurand, meter_value_v16};
use crate::uplink::{Command, Connector, ListChange, Outcome, Record, StopReason, Written};

type Result<T> = std::result::Result<T, Refusal>;

pub(crate) fn handle(core: &mut Core, now: Now, action: &str, payload: &str) -> Result<Handled> {
    match action {
        "GetConfiguration" => take(payload, |asked| get_configuration(core, now, &asked)),
        "ChangeConfiguration" => take(payload, |asked| change_configuration(core, &asked)),
        "RemoteStartTransaction" => take(payload, |asked| remote_start(core, now, &asked)),
        "RemoteStopTransaction" => take(payload, |asked| remote_stop(core, &asked)),
        "ChangeAvailability" => take(payload, |asked| change_availability(core, &asked)),
        "TriggerMessage" => take(payload, |asked| trigger(core, &asked)),
        "ExtendedTriggerMessage" => take(payload, |asked| extended_trigger(core, &asked)),
        "Reset" => take(payload, |asked| reset(&asked)),
        "UnlockConnector" => take(payload, |asked| unlock(core, &asked)),
        "ReserveNow" => take(payload, |asked| reserve(core, &asked, payload)),
        "CancelReservation" => take(payload, |asked: CancelReservationRequest| {
            let command = Command::CancelReservation { id: asked.reservation_id };
            Handled::answer(Answer::Asks(command, Reply::to("CancelReservation")))
        }),
        "ClearCache" => take(payload, |_: ClearCacheRequest| clear_cache(core)),
        "GetLocalListVersion" => take(payload, |_: GetLocalListVersionRequest| {
            let enabled = core.variables.is(name::LIST_ENABLED);
            Handled::now(json!({ "listVersion": if enabled { core.tokens.version } else { -1 } }))
        }),
        "SendLocalList" => {
            let written: Value = serde_json::from_str(payload).unwrap_or_default();
            take(payload, |asked| send_local_list(core, &asked, &written))
        }
        "SetChargingProfile" => take(payload, |asked| smart_charging::set(core, now, &asked)),
        "ClearChargingProfile" => take(payload, |asked| smart_charging::clear(core, &asked)),
        "GetCompositeSchedule" => take(payload, |asked| smart_charging::composite(core, now, &asked)),
        "UpdateFirmware" => take(payload, |asked| files::update_firmware(core, now, &asked, payload)),
        "SignedUpdateFirmware" => {
            take(payload, |asked| files::signed_update_firmware(core, now, &asked, payload))
        }
        "GetDiagnostics" => take(payload, |asked| files::get_diagnostics(core, now, &asked, payload)),
        "GetLog" => take(payload, |asked| files::get_log(core, now, &asked, payload)),
        "DataTransfer" => take(payload, |asked: DataTransferRequest| {
            certificates::data_transfer(&asked).unwrap_or_else(|| {
                let message = asked.message_id.as_deref();
                hand_on(&asked.vendor_id, message, asked.data.clone().unwrap_or_default())
            })
        }),
        "GetInstalledCertificateIds" | "InstallCertificate" | "DeleteCertificate" | "CertificateSigned" => {
            let handled = certificates::handle(action, payload)?;
            Ok(handled.unwrap_or_else(|| Handled::refused(ErrorCode::NotSupported, "not supported")))
        }
        _ if is_known(Version::V16, action) => {
            Ok(Handled::refused(ErrorCode::NotSupported, "not supported by this station"))
        }
        _ => Ok(Handled::refused(ErrorCode::NotImplemented, "OCPP 1.6 has no such request")),
    }
}

/// What daemons may be set to and 1.6 has no key for, as `Component.Variable`.
fn daemons_keys(core: &Core) -> impl Iterator<Item = (String, &Item)> {
    let settings = core.devices.items().filter(|item| matches!(item.holder, Holder::Daemon(_)));
    let others = settings.filter(|item| model::of_daemon(&item.address).is_none());
    others.filter_map(|item| Some((item.address.key()?, item)))
}

fn get_configuration(core: &Core, now: Now, asked: &GetConfigurationRequest) -> Handled {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let told = |definition: &model::Definition| {
        let mut item = json!({
            "key": definition.key,
            // 1.6 writes what 2.0.1 has connection profiles for.
            "readonly": definition.access == Access::ReadOnly && definition.name != name::SECURITY_PROFILE,
        });
        if definition.access != Access::WriteOnly {
            item["value"] = short(&core.value(definition, now), 500).into();
        }
        item
    };
    let daemons = |(key, item): (String, &Item)| json!({ "key": key, "readonly": false, "value": short(item.value.as_deref().unwrap_or_default(), 500) });
    match &asked.key {
        Some(keys) if !keys.is_empty() => {
            for key in keys {
                let other = || daemons_keys(core).find(|(known, _)| known.eq_ignore_ascii_case(key));
                match model::find_key(key).map(told).or_else(|| other().map(daemons)) {
                    Some(item) => known.push(item),
                    None => unknown.push(key.to_string()),
                }
            }
        }
        Some(_) | None => {
            known.extend(TABLE.iter().filter(|definition| definition.key.is_some()).map(told));
            known.extend(daemons_keys(core).map(daemons));
        }
    }
    // Moved: `json!` would copy them.
    let mut answer = Value::from_iter([("configurationKey", known)]);
    if !unknown.is_empty() {
        answer["unknownKey"] = unknown.into();
    }
    Handled::now(answer)
}

fn change_configuration(core: &mut Core, asked: &ChangeConfigurationRequest) -> Handled {
    let Some(definition) = model::find_key(&asked.key) else {
        let found = daemons_keys(core).find(|(known, _)| known.eq_ignore_ascii_case(&asked.key));
        return match found {
            Some((_, item)) => write_to_daemon(core, item, None, &asked.value),
            None => Handled::status("NotSupported"),
        };
    };
    if definition.of_daemon {
        return match core.devices.find(&definition.address()) {
            Some(item) => write_to_daemon(core, item, Some(definition), &asked.value),
            None => Handled::status("Rejected"),
        };
    }
    if definition.name == name::SECURITY_PROFILE {
        let mut handled = Handled::status("Accepted");
        return match core.raise_security(&asked.value, &mut handled) {
            Ok(()) => handled,
            Err(why) => {
                tracing::warn!(why, "the CSMS wants another security profile");
                Handled::status("Rejected")
            }
        };
    }
    let taken = match core.check(definition, &asked.value, true) {
        Ok(taken) => taken,
        Err(Refused::ReadOnly) => return Handled::status("Rejected"),
        Err(Refused::Invalid(why)) => {
            tracing::warn!(key = definition.key, why, "the CSMS writes a value that is none");
            return Handled::status("Rejected");
        }
    };
    if !taken.left_out.is_empty() {
        tracing::warn!(key = definition.key, left_out = ?taken.left_out, "not measured here, left out");
    }
    let mut handled = Handled::status(if taken.reboot { "RebootRequired" } else { "Accepted" });
    core.write(definition, taken.value, &mut handled);
    handled
}

fn write_to_daemon(
    core: &Core,
    item: &Item,
    definition: Option<&'static model::Definition>,
    value: &str,
) -> Handled {
    let Some(write) = core.write_to_daemon(item, value) else { return Handled::status("Rejected") };
    let open = vec![OpenWrite { place: 0, write, definition }];
    let writes = Writes { results: vec![Value::Null], open };
    Handled::answer(Answer::Writes(writes, Reply::to("ChangeConfiguration")))
}

/// What a daemon says to a value.
#[allow(clippy::needless_pass_by_value, reason = "as the other version's")]
pub(crate) fn wrote(_: Writes, outcomes: &[Written]) -> Value {
    let word = match outcomes.first() {
        Some(Written::Holds) => "Accepted",
        Some(Written::Restart) => "RebootRequired",
        Some(Written::Refused(why)) => {
            tracing::warn!(why, "a daemon does not take a value of the CSMS");
            "Rejected"
        }
        Some(Written::Silent) | None => "Rejected",
    };
    json!({ "status": word })
}

fn remote_start(core: &mut Core, now: Now, asked: &RemoteStartTransactionRequest) -> Handled {
    let evse = asked.connector_id.map(u32::try_from);
    let evse = match evse {
        Some(Ok(evse)) if core.connectors.get(evse).is_some() && evse != 0 => Some(evse),
        None => None,
        Some(Ok(_) | Err(_)) => return Handled::status("Rejected"),
    };
    if evse.is_some_and(|evse| core.connectors.get(evse).is_some_and(|it| it.transaction() != 0)) {
        return Handled::status("Rejected");
    }
    if !core.connectors.may_start(evse) {
        return Handled::status("Rejected");
    }
    let token = Token { id: asked.id_tag.as_str().to_owned(), kind: "Central".to_owned() };
    if evse.is_some_and(|evse| core.is_held_for_another(evse, &token, "")) {
        return Handled::status("Rejected");
    }
    let mut store = Vec::new();
    // 1.6 has no number of its own for a request to start: its profile needs one to be found by.
    let id = asked.charging_profile.as_ref().map(|_| now.unix);
    if let Some((profile, id)) = asked.charging_profile.as_ref().zip(id) {
        match smart_charging::prepare(core, evse, id, profile) {
            Ok(record) => store.push(record),
            Err(why) => {
                tracing::warn!(why, "the CSMS asks for a start with a charging profile that cannot be");
                return Handled::status("Rejected");
            }
        }
    }
    let command = Command::RemoteStart { evse, token: token.clone(), group: String::new(), id };
    if core.variables.is(name::AUTHORIZE_REMOTE_START) {
        let reply = json!({ "status": "Accepted" });
        return Handled { store, ..Handled::answer(Answer::Authorizes { token, command, reply }) };
    }
    Handled { store, ..Handled::answer(Answer::Asks(command, Reply::to("RemoteStartTransaction"))) }
}

fn remote_stop(core: &Core, asked: &RemoteStopTransactionRequest) -> Handled {
    let charges = &core.delivery.known().charges;
    let found = charges.iter().find(|(_, charge)| charge.csms == Some(asked.transaction_id));
    let Some((transaction, charge)) = found else { return Handled::status("Rejected") };
    let command =
        Command::Stop { evse: charge.evse, transaction: *transaction, session: 0, why: StopReason::Remote };
    Handled::answer(Answer::Asks(command, Reply::to("RemoteStopTransaction")))
}

fn change_availability(core: &mut Core, asked: &ChangeAvailabilityRequest) -> Handled {
    let Some(evse) = connector(core, asked.connector_id) else { return Handled::status("Rejected") };
    let available = match asked.r#type {
        common::ChangeAvailabilityRequestType::Operative => true,
        common::ChangeAvailabilityRequestType::Inoperative => false,
    };
    core.files.closing.leave(evse);
    let command = Command::SetAvailable { evse, available };
    Handled::answer(Answer::Asks(command, Reply::to("ChangeAvailability")))
}

/// A connector that there is; 0 is the station.
fn connector(core: &Core, number: i64) -> Option<u32> {
    let evse = u32::try_from(number).ok()?;
    core.connectors.get(evse).map(|_| evse)
}

/// What a TriggerMessage is about: one connector, or (`None`) all of them.
fn triggered(core: &Core, number: Option<i64>) -> Option<Vec<u32>> {
    match number {
        None | Some(0) => Some(core.connectors.evses().collect()),
        Some(number) => connector(core, number).map(|evse| vec![evse]),
    }
}

fn trigger(core: &Core, asked: &TriggerMessageRequest) -> Handled {
    use common::TriggerMessageRequestRequestedMessage as Requested;
    let evses = triggered(core, asked.connector_id);
    trigger_what(match asked.requested_message {
        Requested::BootNotification => Some(vec![Then::Boot]),
        Requested::Heartbeat => Some(vec![Then::Tell(Notice::Heartbeat)]),
        Requested::FirmwareStatusNotification => Some(vec![Then::Tell(Notice::FirmwareStatus)]),
        Requested::DiagnosticsStatusNotification => Some(vec![Then::Tell(Notice::DiagnosticsStatus)]),
        Requested::StatusNotification => each(evses, asked.connector_id, Notice::Status),
        Requested::MeterValues => each(evses, Some(1), Notice::MeterValues),
    })
}

fn extended_trigger(core: &Core, asked: &ExtendedTriggerMessageRequest) -> Handled {
    use common::ExtendedTriggerMessageRequestRequestedMessage as Requested;
    let evses = triggered(core, asked.connector_id);
    trigger_what(match asked.requested_message {
        Requested::BootNotification => Some(vec![Then::Boot]),
        Requested::Heartbeat => Some(vec![Then::Tell(Notice::Heartbeat)]),
        Requested::FirmwareStatusNotification => Some(vec![Then::Tell(Notice::SignedFirmwareStatus)]),
        Requested::LogStatusNotification => Some(vec![Then::Tell(Notice::LogStatus)]),
        Requested::StatusNotification => each(evses, asked.connector_id, Notice::Status),
        Requested::MeterValues => each(evses, Some(1), Notice::MeterValues),
        // Over a connection that anybody reads and writes there is no certificate to be had.
        Requested::SignChargePointCertificate if core.networks.security_profile() < 2 => None,
        Requested::SignChargePointCertificate => Some(vec![Then::Sign(Own::Station)]),
    })
}

fn each(evses: Option<Vec<u32>>, station: Option<i64>, notice: fn(u32) -> Notice) -> Option<Vec<Then>> {
    let mut evses = evses?;
    // The station is connector 0, where nobody in particular is asked for.
    if matches!(station, None | Some(0)) {
        evses.insert(0, 0);
    }
    Some(evses.into_iter().map(|evse| Then::Tell(notice(evse))).collect())
}

fn trigger_what(then: Option<Vec<Then>>) -> Handled {
    match then {
        Some(then) => Handled { then, ..Handled::status("Accepted") },
        None => Handled::status("Rejected"),
    }
}

fn reset(asked: &ResetRequest) -> Handled {
    // Both end the transactions first; what a hard one would cut short here is nothing.
    let kind = match asked.r#type {
        common::ResetRequestType::Hard => ResetKind::Hard,
        common::ResetRequestType::Soft => ResetKind::Soft,
    };
    Handled { then: vec![Then::Reset(kind)], ..Handled::status("Accepted") }
}

fn unlock(core: &Core, asked: &UnlockConnectorRequest) -> Handled {
    match connector(core, asked.connector_id) {
        Some(evse) if evse != 0 => {
            // 1.6, 5.18: a transaction is ended first.
            let runs = core.connectors.get(evse).map_or(0, Connector::transaction);
            let ends = (runs != 0).then_some(runs);
            Handled::answer(Answer::Asks(Command::Unlock { evse, ends }, Reply::to("UnlockConnector")))
        }
        Some(_) | None => Handled::status("NotSupported"),
    }
}

fn reserve(core: &mut Core, asked: &ReserveNowRequest, payload: &str) -> Handled {
    let until = times(payload)("/expiryDate");
    let (Some(evse), Some(until)) = (connector(core, asked.connector_id), until) else {
        return Handled::status("Rejected");
    };
    let token = Token { id: asked.id_tag.as_str().to_owned(), kind: "Central".to_owned() };
    let group = asked.parent_id_tag.as_ref().map_or_else(String::new, ToString::to_string);
    let store = vec![core.hold(asked.reservation_id, token.clone(), group.clone())];
    let command = Command::Reserve { id: asked.reservation_id, evse, token, group, until };
    Handled { store, ..Handled::answer(Answer::Asks(command, Reply::to("ReserveNow"))) }
}

fn clear_cache(core: &mut Core) -> Handled {
    if !core.variables.is(name::CACHE_ENABLED) {
        return Handled::status("Rejected");
    }
    core.tokens.clear_cache();
    Handled { store: vec![Record::ClearCache], ..Handled::status("Accepted") }
}

fn send_local_list(core: &mut Core, asked: &SendLocalListRequest, written: &Value) -> Handled {
    if !core.variables.is(name::LIST_ENABLED) {
        return Handled::status("NotSupported");
    }
    let entries = asked.local_authorization_list.as_deref().unwrap_or_default();
    let full = match asked.update_type {
        common::UpdateType::Full => true,
        common::UpdateType::Differential => false,
    };
    let too_many = entries.len() as u64 > core.variables.number(name::SEND_LIST_MAX);
    // 1.6, 6.38: a full list whose entries say nothing of a token is none.
    let incomplete = full && entries.iter().any(|entry| entry.id_tag_info.is_none());
    if asked.list_version <= 0 || too_many || incomplete {
        return Handled::status("Failed");
    }
    if !full && asked.list_version <= core.tokens.version {
        return Handled::status("VersionMismatch");
    }
    let entry = |(place, entry): (usize, &common::LocalAuthorizationListItem)| {
        let written = &written["localAuthorizationList"][place]["idTagInfo"];
        let info = entry.id_tag_info.as_ref().map(|info| token_info(info, written));
        (entry.id_tag.as_str().to_owned(), info)
    };
    let change = ListChange {
        full,
        version: asked.list_version,
        entries: entries.iter().enumerate().map(entry).collect(),
    };
    if core.tokens.after(&change) as u64 > core.variables.number(name::LIST_MAX) {
        return Handled::status("Failed");
    }
    let change = core.tokens.change(change);
    Handled { store: vec![Record::List(change)], ..Handled::status("Accepted") }
}

/// What the meter says now, of a connector; of the station itself there is nothing to say.
pub(super) fn meter_values(core: &Core, now: Now, evse: u32) -> Option<Value> {
    let sample = core.sample_now(now, evse)?;
    let measurands = Measurand::parse_list(core.variables.get(name::SAMPLED_MEASURANDS));
    let value = meter_value_v16(&sample, &measurands, Context::Trigger)
        .or_else(|| meter_value_v16(&sample, &Measurand::ALL, Context::Trigger))?;
    let mut payload = json!({ "connectorId": evse, "meterValue": [value] });
    let transaction = core.connectors.get(evse)?.transaction();
    if let Some(number) = core.delivery.known().charges.get(&transaction).and_then(|charge| charge.csms) {
        payload["transactionId"] = number.into();
    }
    Some(payload)
}

pub(crate) fn reply(core: &mut Core, now: Now, action: &str, outcome: &Outcome) -> Value {
    if action == "DataTransfer" {
        return handed_on(Version::V16, outcome);
    }
    if matches!(action, "UpdateFirmware" | "SignedUpdateFirmware") {
        return files::update_answer(core, now, action, outcome);
    }
    let word = match (action, outcome) {
        ("UnlockConnector", Outcome::Done) => "Unlocked",
        // The cable is the station's: it refuses because it has no lock that could open.
        ("UnlockConnector", Outcome::NotSupported | Outcome::Unknown) => "NotSupported",
        ("UnlockConnector", _) => "UnlockFailed",
        ("ReserveNow", Outcome::Occupied) => "Occupied",
        ("ReserveNow", Outcome::Faulted) => "Faulted",
        ("ReserveNow", Outcome::Unavailable) => "Unavailable",
        ("ChangeAvailability", Outcome::Scheduled) => "Scheduled",
        (_, outcome) if outcome.is_taken() => "Accepted",
        (_, _) => "Rejected",
    };
    json!({ "status": word })
}
