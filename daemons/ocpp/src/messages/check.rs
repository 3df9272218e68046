//! Is what we built what the schema wants? Asked of everything that leaves.

use serde_json::Value;

use super::{Refusal, decode, v16, v201};
use crate::config::Version;
use crate::rpc::ErrorCode;

macro_rules! check {
    ($action:expr, $text:expr, $version:ident [$($name:literal $type:ident)*]) => {
        match $action {
            $($name => decode::<$version::$type>($text).map(|_| ()),)*
            other => Err(Refusal::new(ErrorCode::NotImplemented, format!("{other} is never sent"))),
        }
    };
}

/// A CALL of ours.
///
/// # Errors
/// What it departs in; also for an action that a station never calls.
#[allow(clippy::too_many_lines, reason = "a table")]
pub fn request(version: Version, action: &str, payload: &Value) -> Result<(), Refusal> {
    let text = payload.to_string();
    match version {
        Version::V16 => check!(action, &text, v16 [
            "Authorize" AuthorizeRequest
            "BootNotification" BootNotificationRequest
            "DataTransfer" DataTransferRequest
            "DiagnosticsStatusNotification" DiagnosticsStatusNotificationRequest
            "FirmwareStatusNotification" FirmwareStatusNotificationRequest
            "Heartbeat" HeartbeatRequest
            "LogStatusNotification" LogStatusNotificationRequest
            "MeterValues" MeterValuesRequest
            "SecurityEventNotification" SecurityEventNotificationRequest
            "SignCertificate" SignCertificateRequest
            "SignedFirmwareStatusNotification" SignedFirmwareStatusNotificationRequest
            "StartTransaction" StartTransactionRequest
            "StatusNotification" StatusNotificationRequest
            "StopTransaction" StopTransactionRequest
        ]),
        Version::V201 => check!(action, &text, v201 [
            "Authorize" AuthorizeRequest
            "BootNotification" BootNotificationRequest
            "ClearedChargingLimit" ClearedChargingLimitRequest
            "DataTransfer" DataTransferRequest
            "FirmwareStatusNotification" FirmwareStatusNotificationRequest
            "Get15118EVCertificate" Get15118EVCertificateRequest
            "GetCertificateStatus" GetCertificateStatusRequest
            "Heartbeat" HeartbeatRequest
            "LogStatusNotification" LogStatusNotificationRequest
            "MeterValues" MeterValuesRequest
            "NotifyChargingLimit" NotifyChargingLimitRequest
            "NotifyCustomerInformation" NotifyCustomerInformationRequest
            "NotifyDisplayMessages" NotifyDisplayMessagesRequest
            "NotifyEVChargingNeeds" NotifyEVChargingNeedsRequest
            "NotifyEVChargingSchedule" NotifyEVChargingScheduleRequest
            "NotifyEvent" NotifyEventRequest
            "NotifyMonitoringReport" NotifyMonitoringReportRequest
            "NotifyReport" NotifyReportRequest
            "PublishFirmwareStatusNotification" PublishFirmwareStatusNotificationRequest
            "ReportChargingProfiles" ReportChargingProfilesRequest
            "ReservationStatusUpdate" ReservationStatusUpdateRequest
            "SecurityEventNotification" SecurityEventNotificationRequest
            "SignCertificate" SignCertificateRequest
            "StatusNotification" StatusNotificationRequest
            "TransactionEvent" TransactionEventRequest
        ]),
    }
}

/// Our answer to a CALL of the CSMS.
///
/// # Errors
/// What it departs in; also for an action that a CSMS never calls.
#[allow(clippy::too_many_lines, reason = "a table")]
pub fn response(version: Version, action: &str, payload: &Value) -> Result<(), Refusal> {
    let text = payload.to_string();
    match version {
        Version::V16 => check!(action, &text, v16 [
            "CancelReservation" CancelReservationResponse
            "CertificateSigned" CertificateSignedResponse
            "ChangeAvailability" ChangeAvailabilityResponse
            "ChangeConfiguration" ChangeConfigurationResponse
            "ClearCache" ClearCacheResponse
            "ClearChargingProfile" ClearChargingProfileResponse
            "DataTransfer" DataTransferResponse
            "DeleteCertificate" DeleteCertificateResponse
            "ExtendedTriggerMessage" ExtendedTriggerMessageResponse
            "GetCompositeSchedule" GetCompositeScheduleResponse
            "GetConfiguration" GetConfigurationResponse
            "GetDiagnostics" GetDiagnosticsResponse
            "GetInstalledCertificateIds" GetInstalledCertificateIdsResponse
            "GetLocalListVersion" GetLocalListVersionResponse
            "GetLog" GetLogResponse
            "InstallCertificate" InstallCertificateResponse
            "RemoteStartTransaction" RemoteStartTransactionResponse
            "RemoteStopTransaction" RemoteStopTransactionResponse
            "ReserveNow" ReserveNowResponse
            "Reset" ResetResponse
            "SendLocalList" SendLocalListResponse
            "SetChargingProfile" SetChargingProfileResponse
            "SignedUpdateFirmware" SignedUpdateFirmwareResponse
            "TriggerMessage" TriggerMessageResponse
            "UnlockConnector" UnlockConnectorResponse
            "UpdateFirmware" UpdateFirmwareResponse
        ]),
        Version::V201 => check!(action, &text, v201 [
            "CancelReservation" CancelReservationResponse
            "CertificateSigned" CertificateSignedResponse
            "ChangeAvailability" ChangeAvailabilityResponse
            "ClearCache" ClearCacheResponse
            "ClearChargingProfile" ClearChargingProfileResponse
            "ClearDisplayMessage" ClearDisplayMessageResponse
            "ClearVariableMonitoring" ClearVariableMonitoringResponse
            "CostUpdated" CostUpdatedResponse
            "CustomerInformation" CustomerInformationResponse
            "DataTransfer" DataTransferResponse
            "DeleteCertificate" DeleteCertificateResponse
            "GetBaseReport" GetBaseReportResponse
            "GetChargingProfiles" GetChargingProfilesResponse
            "GetCompositeSchedule" GetCompositeScheduleResponse
            "GetDisplayMessages" GetDisplayMessagesResponse
            "GetInstalledCertificateIds" GetInstalledCertificateIdsResponse
            "GetLocalListVersion" GetLocalListVersionResponse
            "GetLog" GetLogResponse
            "GetMonitoringReport" GetMonitoringReportResponse
            "GetReport" GetReportResponse
            "GetTransactionStatus" GetTransactionStatusResponse
            "GetVariables" GetVariablesResponse
            "InstallCertificate" InstallCertificateResponse
            "PublishFirmware" PublishFirmwareResponse
            "RequestStartTransaction" RequestStartTransactionResponse
            "RequestStopTransaction" RequestStopTransactionResponse
            "ReserveNow" ReserveNowResponse
            "Reset" ResetResponse
            "SendLocalList" SendLocalListResponse
            "SetChargingProfile" SetChargingProfileResponse
            "SetDisplayMessage" SetDisplayMessageResponse
            "SetMonitoringBase" SetMonitoringBaseResponse
            "SetMonitoringLevel" SetMonitoringLevelResponse
            "SetNetworkProfile" SetNetworkProfileResponse
            "SetVariableMonitoring" SetVariableMonitoringResponse
            "SetVariables" SetVariablesResponse
            "TriggerMessage" TriggerMessageResponse
            "UnlockConnector" UnlockConnectorResponse
            "UnpublishFirmware" UnpublishFirmwareResponse
            "UpdateFirmware" UpdateFirmwareResponse
        ]),
    }
}

/// Whether the version knows a CALL of the CSMS by this name at all.
#[must_use]
pub fn is_known(version: Version, action: &str) -> bool {
    !response(version, action, &Value::Null).is_err_and(|error| error.code == ErrorCode::NotImplemented)
}
