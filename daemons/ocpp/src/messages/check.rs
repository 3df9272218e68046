//! Is a message what the schema wants? Asked of everything that leaves.

use serde_json::Value;

use super::{Refusal, decode, read, v16, v201};
use crate::config::Version;
use crate::rpc::ErrorCode;

macro_rules! check {
    ($action:expr, $payload:expr, $version:ident [$($name:literal $type:ident)*]) => {
        match $action {
            $($name => read::<$version::$type>($payload).map(|_| ()),)*
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
    match version {
        Version::V16 => check!(action, payload, v16 [
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
        Version::V201 => check!(action, payload, v201 [
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
    of_csms(version, action, Half::Response(payload))
}

/// A CALL of the CSMS, whether this station serves it or not.
///
/// # Errors
/// The CALLERROR that it is answered with; also for an action that a CSMS never calls.
pub fn call(version: Version, action: &str, payload: &str) -> Result<(), Refusal> {
    of_csms(version, action, Half::Request(payload))
}

/// Whether the version knows a CALL of the CSMS by this name at all.
#[must_use]
pub fn is_known(version: Version, action: &str) -> bool {
    !call(version, action, "").is_err_and(|error| error.code == ErrorCode::NotImplemented)
}

#[derive(Clone, Copy)]
enum Half<'a> {
    Request(&'a str),
    Response(&'a Value),
}

macro_rules! both_halves {
    ($action:expr, $half:expr, $version:ident [$($name:literal $request:ident $response:ident)*]) => {
        match $action {
            $($name => match $half {
                Half::Request(text) => decode::<$version::$request>(text).map(|_| ()),
                Half::Response(payload) => read::<$version::$response>(payload).map(|_| ()),
            },)*
            other => Err(Refusal::new(ErrorCode::NotImplemented, format!("no CSMS asks for {other}"))),
        }
    };
}

#[allow(clippy::too_many_lines)] // a table
fn of_csms(version: Version, action: &str, half: Half<'_>) -> Result<(), Refusal> {
    match version {
        Version::V16 => both_halves!(action, half, v16 [
            "CancelReservation" CancelReservationRequest CancelReservationResponse
            "CertificateSigned" CertificateSignedRequest CertificateSignedResponse
            "ChangeAvailability" ChangeAvailabilityRequest ChangeAvailabilityResponse
            "ChangeConfiguration" ChangeConfigurationRequest ChangeConfigurationResponse
            "ClearCache" ClearCacheRequest ClearCacheResponse
            "ClearChargingProfile" ClearChargingProfileRequest ClearChargingProfileResponse
            "DataTransfer" DataTransferRequest DataTransferResponse
            "DeleteCertificate" DeleteCertificateRequest DeleteCertificateResponse
            "ExtendedTriggerMessage" ExtendedTriggerMessageRequest ExtendedTriggerMessageResponse
            "GetCompositeSchedule" GetCompositeScheduleRequest GetCompositeScheduleResponse
            "GetConfiguration" GetConfigurationRequest GetConfigurationResponse
            "GetDiagnostics" GetDiagnosticsRequest GetDiagnosticsResponse
            "GetInstalledCertificateIds" GetInstalledCertificateIdsRequest GetInstalledCertificateIdsResponse
            "GetLocalListVersion" GetLocalListVersionRequest GetLocalListVersionResponse
            "GetLog" GetLogRequest GetLogResponse
            "InstallCertificate" InstallCertificateRequest InstallCertificateResponse
            "RemoteStartTransaction" RemoteStartTransactionRequest RemoteStartTransactionResponse
            "RemoteStopTransaction" RemoteStopTransactionRequest RemoteStopTransactionResponse
            "ReserveNow" ReserveNowRequest ReserveNowResponse
            "Reset" ResetRequest ResetResponse
            "SendLocalList" SendLocalListRequest SendLocalListResponse
            "SetChargingProfile" SetChargingProfileRequest SetChargingProfileResponse
            "SignedUpdateFirmware" SignedUpdateFirmwareRequest SignedUpdateFirmwareResponse
            "TriggerMessage" TriggerMessageRequest TriggerMessageResponse
            "UnlockConnector" UnlockConnectorRequest UnlockConnectorResponse
            "UpdateFirmware" UpdateFirmwareRequest UpdateFirmwareResponse
        ]),
        Version::V201 => both_halves!(action, half, v201 [
            "CancelReservation" CancelReservationRequest CancelReservationResponse
            "CertificateSigned" CertificateSignedRequest CertificateSignedResponse
            "ChangeAvailability" ChangeAvailabilityRequest ChangeAvailabilityResponse
            "ClearCache" ClearCacheRequest ClearCacheResponse
            "ClearChargingProfile" ClearChargingProfileRequest ClearChargingProfileResponse
            "ClearDisplayMessage" ClearDisplayMessageRequest ClearDisplayMessageResponse
            "ClearVariableMonitoring" ClearVariableMonitoringRequest ClearVariableMonitoringResponse
            "CostUpdated" CostUpdatedRequest CostUpdatedResponse
            "CustomerInformation" CustomerInformationRequest CustomerInformationResponse
            "DataTransfer" DataTransferRequest DataTransferResponse
            "DeleteCertificate" DeleteCertificateRequest DeleteCertificateResponse
            "GetBaseReport" GetBaseReportRequest GetBaseReportResponse
            "GetChargingProfiles" GetChargingProfilesRequest GetChargingProfilesResponse
            "GetCompositeSchedule" GetCompositeScheduleRequest GetCompositeScheduleResponse
            "GetDisplayMessages" GetDisplayMessagesRequest GetDisplayMessagesResponse
            "GetInstalledCertificateIds" GetInstalledCertificateIdsRequest GetInstalledCertificateIdsResponse
            "GetLocalListVersion" GetLocalListVersionRequest GetLocalListVersionResponse
            "GetLog" GetLogRequest GetLogResponse
            "GetMonitoringReport" GetMonitoringReportRequest GetMonitoringReportResponse
            "GetReport" GetReportRequest GetReportResponse
            "GetTransactionStatus" GetTransactionStatusRequest GetTransactionStatusResponse
            "GetVariables" GetVariablesRequest GetVariablesResponse
            "InstallCertificate" InstallCertificateRequest InstallCertificateResponse
            "PublishFirmware" PublishFirmwareRequest PublishFirmwareResponse
            "RequestStartTransaction" RequestStartTransactionRequest RequestStartTransactionResponse
            "RequestStopTransaction" RequestStopTransactionRequest RequestStopTransactionResponse
            "ReserveNow" ReserveNowRequest ReserveNowResponse
            "Reset" ResetRequest ResetResponse
            "SendLocalList" SendLocalListRequest SendLocalListResponse
            "SetChargingProfile" SetChargingProfileRequest SetChargingProfileResponse
            "SetDisplayMessage" SetDisplayMessageRequest SetDisplayMessageResponse
            "SetMonitoringBase" SetMonitoringBaseRequest SetMonitoringBaseResponse
            "SetMonitoringLevel" SetMonitoringLevelRequest SetMonitoringLevelResponse
            "SetNetworkProfile" SetNetworkProfileRequest SetNetworkProfileResponse
            "SetVariableMonitoring" SetVariableMonitoringRequest SetVariableMonitoringResponse
            "SetVariables" SetVariablesRequest SetVariablesResponse
            "TriggerMessage" TriggerMessageRequest TriggerMessageResponse
            "UnlockConnector" UnlockConnectorRequest UnlockConnectorResponse
            "UnpublishFirmware" UnpublishFirmwareRequest UnpublishFirmwareResponse
            "UpdateFirmware" UpdateFirmwareRequest UpdateFirmwareResponse
        ]),
    }
}
