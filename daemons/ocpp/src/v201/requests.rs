//! What the CSMS asks in 2.0.1.

use voltry_bus::EvseStatus;

use super::*;
use crate::certificates::Own;
use crate::config::Version;
use crate::data_transfer::text;
use crate::dialect::{Answer, Handled, Reply, ResetKind, Then, hand_on, handed_on, take, times};
use crate::messages::{Refusal, is_known};
use crate::transactions::{CENTRAL, Context, Measurand, NO_AUTHORIZATION, Occasion, meter_value_v201};
use crate::uplink::{Command, Connector, Outcome, Record, StopReason};

type Result<T> = std::result::Result<T, Refusal>;

pub(crate) fn handle(core: &mut Core, now: Now, action: &str, payload: &str) -> Result<Handled> {
    match action {
        "GetVariables" => take(payload, |asked| device_model::get_variables(core, now, &asked)),
        "SetVariables" => take(payload, |asked| device_model::set_variables(core, now, &asked)),
        "GetBaseReport" => take(payload, |asked| device_model::get_base_report(core, now, &asked)),
        "GetReport" => take(payload, |asked| device_model::get_report(core, now, &asked)),
        "SetVariableMonitoring" => take(payload, |asked| monitoring::set(core, now, &asked)),
        "ClearVariableMonitoring" => take(payload, |asked| monitoring::clear(core, &asked)),
        "SetMonitoringBase" => take(payload, |asked| monitoring::set_base(core, &asked)),
        "SetMonitoringLevel" => take(payload, |asked| monitoring::set_level(core, &asked)),
        "GetMonitoringReport" => take(payload, |asked| monitoring::get_report(core, &asked)),
        "RequestStartTransaction" => take(payload, |asked| start(core, &asked)),
        "RequestStopTransaction" => take(payload, |asked| stop(core, &asked)),
        "GetTransactionStatus" => take(payload, |asked| transaction_status(core, &asked)),
        "ChangeAvailability" => take(payload, |asked| change_availability(core, &asked)),
        "TriggerMessage" => take(payload, |asked| trigger(core, now, &asked)),
        "Reset" => take(payload, |asked| reset(core, &asked)),
        "UnlockConnector" => take(payload, |asked| unlock(core, &asked)),
        "ReserveNow" => take(payload, |asked| reserve(core, &asked, payload)),
        "CancelReservation" => take(payload, |asked: CancelReservationRequest| {
            let command = Command::CancelReservation { id: asked.reservation_id };
            Handled::answer(Answer::Asks(command, Reply::to("CancelReservation")))
        }),
        "ClearCache" => take(payload, |_: ClearCacheRequest| clear_cache(core)),
        "GetLocalListVersion" => take(payload, |_: GetLocalListVersionRequest| {
            // D02.FR.03.
            let enabled = core.variables.is(name::LIST_ENABLED);
            Handled::now(json!({ "versionNumber": if enabled { core.tokens.version } else { 0 } }))
        }),
        "SendLocalList" => {
            let written: Value = serde_json::from_str(payload).unwrap_or_default();
            take(payload, |asked| local_list::send(core, &asked, &written))
        }
        "SetChargingProfile" => take(payload, |asked| smart_charging::set(core, now, &asked)),
        "ClearChargingProfile" => take(payload, |asked| smart_charging::clear(core, &asked)),
        "GetChargingProfiles" => take(payload, |asked| smart_charging::get(core, &asked)),
        "GetCompositeSchedule" => take(payload, |asked| smart_charging::composite(core, now, &asked)),
        "UpdateFirmware" => take(payload, |asked| files::update_firmware(core, now, &asked, payload)),
        "GetLog" => take(payload, |asked| files::get_log(core, now, &asked, payload)),
        "CustomerInformation" => take(payload, |asked| customer::information(core, now, &asked)),
        "SetDisplayMessage" => take(payload, |asked| display::set(core, now, &asked, payload)),
        "GetDisplayMessages" => take(payload, |asked| display::get(core, &asked)),
        "ClearDisplayMessage" => take(payload, |asked| display::clear(core, &asked)),
        "CostUpdated" => take(payload, |asked| display::cost_updated(core, &asked)),
        "DataTransfer" => take(payload, |asked: DataTransferRequest| {
            let message = asked.message_id.as_deref();
            hand_on(&asked.vendor_id, message, text(asked.data.as_ref()))
        }),
        "GetInstalledCertificateIds" | "InstallCertificate" | "DeleteCertificate" | "CertificateSigned" => {
            let handled = certificates::handle(action, payload)?;
            Ok(handled.unwrap_or_else(|| Handled::refused(ErrorCode::NotSupported, "not supported")))
        }
        "SetNetworkProfile" => take(payload, |asked| certificates::set_network_profile(core, &asked)),
        _ if is_known(Version::V201, action) => {
            Ok(Handled::refused(ErrorCode::NotSupported, "not supported by this station"))
        }
        _ => Ok(Handled::refused(ErrorCode::NotImplemented, "OCPP 2.0.1 has no such request")),
    }
}

/// With a reason, for a person (StatusInfoType: a code of at most 20 characters).
pub(super) fn rejected(reason: &str, info: &str) -> Handled {
    let info = short(info, 512);
    Handled::now(json!({
        "status": "Rejected",
        "statusInfo": { "reasonCode": reason, "additionalInfo": info },
    }))
}

/// An EVSE that there is.
fn evse(core: &Core, number: i64) -> Option<u32> {
    let evse = u32::try_from(number).ok()?;
    core.connectors.evses().find(|known| *known == evse)
}

/// An EVSE and connector that there are: each EVSE has the one connector 1.
fn addressed(core: &Core, asked: &common::EVSE) -> Option<u32> {
    let connector = asked.connector_id.is_none_or(|connector| connector == 1);
    evse(core, asked.id).filter(|_| connector)
}

fn start(core: &mut Core, asked: &RequestStartTransactionRequest) -> Handled {
    let place = match asked.evse_id {
        None => None,
        Some(number) => match evse(core, number) {
            Some(evse) => Some(evse),
            None => return rejected("UnknownEvse", "there is no such EVSE"),
        },
    };
    if place.is_some_and(|evse| core.connectors.get(evse).is_some_and(|it| it.transaction() != 0)) {
        return rejected("TxInProgress", "a transaction is running there");
    }
    if !core.connectors.may_start(place) {
        return rejected("Unavailable", "it is out of service or broken");
    }
    let token = token(&asked.id_token);
    let group = asked.group_id_token.as_ref().map_or_else(String::new, |group| group.id_token.to_string());
    if place.is_some_and(|evse| core.is_held_for_another(evse, &token, &group)) {
        return rejected("InvalidIdToken", "it is reserved for somebody else");
    }
    if core.is_master_pass(&group) {
        return rejected("InvalidIdToken", "a master pass begins nothing");
    }
    let mut store = Vec::new();
    if let Some(profile) = &asked.charging_profile {
        match smart_charging::prepare(core, place, asked.remote_start_id, profile) {
            Ok(record) => store.push(record),
            Err((reason, words)) => return rejected(reason, &words),
        }
    }
    let id = Some(asked.remote_start_id);
    let command = Command::RemoteStart { evse: place, token: token.clone(), group, id };
    let transaction = begun(core, place);
    // C03, C05: what the CSMS has made for this start it is not asked for.
    let asks = ![CENTRAL, NO_AUTHORIZATION].contains(&token.kind.as_str());
    if core.variables.is(name::AUTHORIZE_REMOTE_START) && asks {
        let mut reply = json!({ "status": "Accepted" });
        if let Some(transaction) = transaction {
            reply["transactionId"] = transaction.into();
        }
        return Handled { store, ..Handled::answer(Answer::Authorizes { token, command, reply }) };
    }
    let reply = Reply::to("RequestStartTransaction").about(transaction);
    Handled { store, ..Handled::answer(Answer::Asks(command, reply)) }
}

/// F01.FR.13: the transaction that the cable has begun where somebody is let in now.
fn begun(core: &Core, place: Option<u32>) -> Option<String> {
    let mut evses = core.connectors.evses();
    let only = evses.next().filter(|_| evses.next().is_none());
    let plugged = core.delivery.by_book(&core.told()).plugged;
    let plug = plugged.get(&place.or(only)?).filter(|plug| !plug.is_in_use())?;
    Some(plug.running.as_ref()?.id.clone())
}

/// Our view of an IdTokenType.
pub(super) fn token(token: &common::IdToken) -> Token {
    let kind = serde_json::to_value(&token.r#type).ok();
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or("Central").to_owned();
    Token { id: token.id_token.to_string(), kind }
}

/// The EVSE, and the book's session and transaction, that the CSMS knows by this id.
pub(super) fn running(core: &Core, id: &str) -> Option<(u32, u64, u64)> {
    let (evse, plug) = core.delivery.known().running(id)?;
    Some((evse, plug.session, plug.transaction))
}

fn stop(core: &Core, asked: &RequestStopTransactionRequest) -> Handled {
    let Some((evse, session, transaction)) = running(core, &asked.transaction_id) else {
        return rejected("TxNotFound", "no such transaction is running");
    };
    let command = Command::Stop { evse, transaction, session, why: StopReason::Remote };
    Handled::answer(Answer::Asks(command, Reply::to("RequestStopTransaction")))
}

fn transaction_status(core: &Core, asked: &GetTransactionStatusRequest) -> Handled {
    let Some(id) = &asked.transaction_id else {
        return Handled::now(json!({ "messagesInQueue": core.delivery.has_untold() }));
    };
    let status = core.delivery.status_of(id, &core.told());
    // Of a long outage not all is read yet: then the station knows best who is there.
    let ongoing = status.running.is_some_and(|(evse, transaction)| {
        let there = core.connectors.get(evse).and_then(Connector::heard);
        let same = |heard: &EvseStatus| match transaction {
            0 => core.connectors.taken().contains(&evse),
            booked => heard.transaction == booked,
        };
        !status.unread || there.is_none_or(same)
    });
    Handled::now(json!({ "ongoingIndicator": ongoing, "messagesInQueue": status.untold }))
}

fn change_availability(core: &mut Core, asked: &ChangeAvailabilityRequest) -> Handled {
    let evse = match &asked.evse {
        None => 0,
        Some(asked) => match addressed(core, asked) {
            Some(evse) => evse,
            None => return rejected("UnknownEvse", "there is no such EVSE or connector"),
        },
    };
    let available = match asked.operational_status {
        common::OperationalStatusEnum::Operative => true,
        common::OperationalStatusEnum::Inoperative => false,
    };
    core.files.closing.leave(evse);
    let command = Command::SetAvailable { evse, available };
    Handled::answer(Answer::Asks(command, Reply::to("ChangeAvailability")))
}

fn trigger(core: &mut Core, now: Now, asked: &TriggerMessageRequest) -> Handled {
    use common::MessageTriggerEnum as Requested;
    let evses: Option<Vec<u32>> = match &asked.evse {
        None => Some(core.connectors.evses().collect()),
        Some(asked) => addressed(core, asked).map(|evse| vec![evse]),
    };
    let each = |notice: fn(u32) -> Notice| {
        evses.clone().map(|evses| evses.into_iter().map(|evse| Then::Tell(notice(evse))).collect())
    };
    let then: Option<Vec<Then>> = match asked.requested_message {
        // F06.FR.17.
        Requested::BootNotification if core.accepted => {
            return rejected("Unspecified", "the station is accepted");
        }
        Requested::BootNotification => Some(vec![Then::Boot]),
        Requested::Heartbeat => Some(vec![Then::Tell(Notice::Heartbeat)]),
        Requested::FirmwareStatusNotification => Some(vec![Then::Tell(Notice::FirmwareStatus)]),
        Requested::LogStatusNotification => Some(vec![Then::Tell(Notice::LogStatus)]),
        // F06.FR.12.
        Requested::StatusNotification if asked.evse.as_ref().is_none_or(|it| it.connector_id.is_none()) => {
            return rejected("MissingParam", "a status is of one connector");
        }
        Requested::StatusNotification => each(Notice::Status),
        Requested::MeterValues => each(Notice::MeterValues),
        Requested::SignChargingStationCertificate if core.networks.security_profile() < 2 => {
            return rejected("InvalidProfile", "not over a connection without TLS");
        }
        Requested::SignChargingStationCertificate => Some(vec![Then::Sign(Own::Station)]),
        Requested::SignV2GCertificate => Some(vec![Then::Sign(Own::V2g)]),
        Requested::TransactionEvent => {
            let (told, mut any) = (core.told(), false);
            for evse in evses.into_iter().flatten() {
                any |= core
                    .sample_now(now, evse)
                    .is_some_and(|sample| core.delivery.trigger(&told, evse, sample, Occasion::Trigger));
            }
            return if any {
                Handled::status("Accepted")
            } else {
                rejected("TxNotFound", "none is running there")
            };
        }
        Requested::SignCombinedCertificate | Requested::PublishFirmwareStatusNotification => {
            return Handled::status("NotImplemented");
        }
    };
    match then {
        Some(then) => Handled { then, ..Handled::status("Accepted") },
        None => rejected("UnknownEvse", "there is no such EVSE or connector"),
    }
}

fn reset(core: &Core, asked: &ResetRequest) -> Handled {
    if asked.evse_id.is_some() {
        // B11.FR.09: a station that cannot reset one EVSE alone says so.
        return rejected("UnsupportedRequest", "one EVSE alone cannot be reset");
    }
    let (kind, word) = match asked.r#type {
        common::ResetEnum::Immediate => (ResetKind::Hard, "Accepted"),
        common::ResetEnum::OnIdle if core.has_transaction() => (ResetKind::OnIdle, "Scheduled"),
        common::ResetEnum::OnIdle => (ResetKind::OnIdle, "Accepted"),
    };
    Handled { then: vec![Then::Reset(kind)], ..Handled::status(word) }
}

fn unlock(core: &Core, asked: &UnlockConnectorRequest) -> Handled {
    match evse(core, asked.evse_id).filter(|_| asked.connector_id == 1) {
        None => Handled::status("UnknownConnector"),
        Some(evse) if core.connectors.get(evse).is_some_and(|it| it.transaction() != 0) => {
            Handled::status("OngoingAuthorizedTransaction")
        }
        Some(evse) => {
            let command = Command::Unlock { evse, ends: None };
            Handled::answer(Answer::Asks(command, Reply::to("UnlockConnector")))
        }
    }
}

/// H01. A connector's type is no more than a wish here: each EVSE has the one connector.
fn reserve(core: &mut Core, asked: &ReserveNowRequest, payload: &str) -> Handled {
    let Some(until) = times(payload)("/expiryDateTime") else {
        return rejected("InvalidValue", "the time of its end");
    };
    let place = match asked.evse_id {
        None => 0,
        Some(number) => match evse(core, number) {
            Some(evse) => evse,
            None => return rejected("UnknownEvse", "there is no such EVSE"),
        },
    };
    let wanted = asked.connector_type.as_ref().and_then(|wanted| serde_json::to_value(wanted).ok());
    if wanted.is_some_and(|wanted| wanted != core.variables.get(name::CONNECTOR_TYPE)) {
        return rejected("InvalidValue", "it has another connector");
    }
    let token = token(&asked.id_token);
    let group = asked.group_id_token.as_ref().map_or_else(String::new, |group| group.id_token.to_string());
    let store = vec![core.hold(asked.id, token.clone(), group.clone())];
    let command = Command::Reserve { id: asked.id, evse: place, token, group, until };
    Handled { store, ..Handled::answer(Answer::Asks(command, Reply::to("ReserveNow"))) }
}

fn clear_cache(core: &mut Core) -> Handled {
    if !core.variables.is(name::CACHE_ENABLED) {
        return rejected("NotEnabled", "the cache is not enabled");
    }
    core.tokens.clear_cache();
    Handled { store: vec![Record::ClearCache], ..Handled::status("Accepted") }
}

/// What the meter says now, of an EVSE.
pub(super) fn meter_values(core: &Core, now: Now, evse: u32) -> Option<Value> {
    let sample = core.sample_now(now, evse)?;
    let measurands = Measurand::parse_list(core.variables.get(name::ALIGNED_MEASURANDS));
    let value = meter_value_v201(&sample, &measurands, Context::Trigger)
        .or_else(|| meter_value_v201(&sample, &Measurand::ALL, Context::Trigger))?;
    Some(json!({ "evseId": evse, "meterValue": [value] }))
}

pub(crate) fn reply(core: &mut Core, now: Now, action: &str, outcome: &Outcome) -> Value {
    if action == "DataTransfer" {
        return handed_on(Version::V201, outcome);
    }
    if action == "UpdateFirmware" {
        return files::update_answer(core, now, outcome);
    }
    let word = match (action, outcome) {
        ("UnlockConnector", Outcome::Done) => "Unlocked",
        ("UnlockConnector", Outcome::Unknown) => "UnknownConnector",
        ("UnlockConnector", _) => "UnlockFailed",
        ("ReserveNow", Outcome::Occupied) => "Occupied",
        ("ReserveNow", Outcome::Faulted) => "Faulted",
        ("ReserveNow", Outcome::Unavailable) => "Unavailable",
        ("ChangeAvailability" | "Reset", Outcome::Scheduled) => "Scheduled",
        (_, outcome) if outcome.is_taken() => "Accepted",
        (_, _) => "Rejected",
    };
    match outcome {
        Outcome::Refused(why) => json!({
            "status": word,
            "statusInfo": { "reasonCode": "Refused", "additionalInfo": short(why, 512) },
        }),
        Outcome::Silent => json!({
            "status": word,
            "statusInfo": { "reasonCode": "InternalError", "additionalInfo": "a part does not answer" },
        }),
        Outcome::Done
        | Outcome::Scheduled
        | Outcome::Wrote(_)
        | Outcome::Metered(_)
        | Outcome::Charged(_)
        | Outcome::Occupied
        | Outcome::Faulted
        | Outcome::Unavailable
        | Outcome::Unknown
        | Outcome::Transferred(..)
        | Outcome::NotSupported => json!({ "status": word }),
    }
}
