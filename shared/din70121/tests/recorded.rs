//! Recorded messages of real vehicles and stations, with the content that another codec, of
//! which no part is in this one, read from them.
//!
//! Bytes: EVerest/logfiles, Apache License 2.0. A few stand here, beside some
//! of kinds that were never recorded. All recorded ones are compared where
//! the team's data is present: in the folder that `VOLTRY_DATA` names, else in `shared/data`
//! beside the project.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use voltry_din70121::{ExiDocument as _, ExiError, V2gMessage};

const RECORDED: [(&str, &str); 11] = [
    (
        "809a004011d01bb197332d328000",
        r#"{"Header": {"SessionID": "00"}, "Body": {"SessionSetupReq": {"EVCCID": "EC65CCCB4CA0"}}}"#,
    ),
    (
        "809a0200f37ffd9f7677acd1e0203d1114a9413960a914c4c8ccd0d4a8c480",
        r#"{"Header": {"SessionID": "03CDFFF67DD9DEB3"}, "Body": {"SessionSetupRes":
            {"ResponseCode": "OK_NewSessionEstablished", "EVSEID": "44452A504E582A4531323334352A31"}}}"#,
    ),
    (
        "809a0200f37ffd9f7677acd1a00120024100c4",
        r#"{"Header": {"SessionID": "03CDFFF67DD9DEB3"}, "Body": {"ServiceDiscoveryRes":
            {"ResponseCode": "OK", "PaymentOptions": {"PaymentOption": ["ExternalPayment"]},
            "ChargeService": {"ServiceTag": {"ServiceID": 1, "ServiceCategory": "EVCharging"},
            "FreeService": false, "EnergyTransferType": "DC_extended"}}}}"#,
    ),
    (
        "809a0200f37ffd9f7677acd1b2001280",
        r#"{"Header": {"SessionID": "03CDFFF67DD9DEB3"}, "Body": {"ServicePaymentSelectionReq":
            {"SelectedPaymentOption": "ExternalPayment", "SelectedServiceList": {"SelectedService": [{"ServiceID": 1}]}}}}"#,
    ),
    (
        "809a0200f37ffd9f7677acd0719000000ac04061104e04070a8c30102050961f13205000",
        r#"{"Header": {"SessionID": "03CDFFF67DD9DEB3"}, "Body": {"ChargeParameterDiscoveryReq":
            {"EVRequestedEnergyTransferType": "DC_extended", "DC_EVChargeParameter": {
            "DC_EVStatus": {"EVReady": false, "EVCabinConditioning": false, "EVRESSConditioning": false,
            "EVErrorCode": "NO_ERROR", "EVRESSSOC": 86},
            "EVMaximumCurrentLimit": {"Multiplier": -1, "Unit": "A", "Value": 5000},
            "EVMaximumPowerLimit": {"Multiplier": 1, "Unit": "W", "Value": 25000},
            "EVMaximumVoltageLimit": {"Multiplier": -1, "Unit": "V", "Value": 3990},
            "FullSOC": 100, "BulkSOC": 80}}}}"#,
    ),
    (
        "809a0200f37ffd9f7677acd080000004002000040518282b08055000800000818620980c1c2b080081424138080c0000814220380406014040600003090904e000",
        r#"{"Header": {"SessionID": "03CDFFF67DD9DEB3"}, "Body": {"ChargeParameterDiscoveryRes":
            {"ResponseCode": "OK", "EVSEProcessing": "Finished", "SAScheduleList": {"SAScheduleTuple":
            [{"SAScheduleTupleID": 1, "PMaxSchedule": {"PMaxScheduleID": 1, "PMaxScheduleEntry":
            [{"RelativeTimeInterval": {"start": 0, "duration": 86400}, "PMax": 4140}]}}]},
            "DC_EVSEChargeParameter": {"DC_EVSEStatus": {"EVSEIsolationStatus": "Invalid",
            "EVSEStatusCode": "EVSE_Ready", "NotificationMaxDelay": 0, "EVSENotification": "None"},
            "EVSEMaximumCurrentLimit": {"Multiplier": -2, "Unit": "A", "Value": 2500},
            "EVSEMaximumPowerLimit": {"Multiplier": 0, "Unit": "W", "Value": 4140},
            "EVSEMaximumVoltageLimit": {"Multiplier": -1, "Unit": "V", "Value": 10000},
            "EVSEMinimumCurrentLimit": {"Multiplier": -1, "Unit": "A", "Value": 0},
            "EVSEMinimumVoltageLimit": {"Multiplier": -1, "Unit": "V", "Value": 1800},
            "EVSECurrentRegulationTolerance": {"Multiplier": -1, "Unit": "A", "Value": 10},
            "EVSEPeakCurrentRipple": {"Multiplier": -1, "Unit": "A", "Value": 0},
            "EVSEEnergyToBeDelivered": {"Multiplier": 0, "Unit": "Wh", "Value": 10000}}}}}"#,
    ),
    (
        "809a021b927fd3fef7fa1f513200040002b080414014400000",
        r#"{"Header": {"SessionID": "6E49FF4FFBDFE87D"}, "Body": {"PowerDeliveryReq":
            {"ReadyToChargeState": true, "ChargingProfile": {"SAScheduleTupleID": 1, "ProfileEntry":
            [{"ChargingProfileEntryStart": 0, "ChargingProfileEntryMaxPower": 4140}]},
            "DC_EVPowerDeliveryParameter": {"DC_EVStatus": {"EVReady": true, "EVErrorCode": "NO_ERROR", "EVRESSSOC": 81},
            "BulkChargingComplete": false, "ChargingComplete": false}}}}"#,
    ),
    (
        "809a0200f37ffd9f7677acd0d100000ac040603c010284b0f804061104e04070a8c30104008080000404000040a16a3c00",
        r#"{"Header": {"SessionID": "03CDFFF67DD9DEB3"}, "Body": {"CurrentDemandReq":
            {"DC_EVStatus": {"EVReady": true, "EVCabinConditioning": false, "EVRESSConditioning": false,
            "EVErrorCode": "NO_ERROR", "EVRESSSOC": 86},
            "EVTargetCurrent": {"Multiplier": -1, "Unit": "A", "Value": 30},
            "EVMaximumVoltageLimit": {"Multiplier": -1, "Unit": "V", "Value": 3990},
            "EVMaximumCurrentLimit": {"Multiplier": -1, "Unit": "A", "Value": 5000},
            "EVMaximumPowerLimit": {"Multiplier": 1, "Unit": "W", "Value": 25000},
            "BulkChargingComplete": true, "ChargingComplete": false,
            "RemainingTimeToFullSoC": {"Multiplier": -1, "Unit": "s", "Value": 0},
            "RemainingTimeToBulkSoC": {"Multiplier": -1, "Unit": "s", "Value": 0},
            "EVTargetVoltage": {"Multiplier": -1, "Unit": "V", "Value": 3893}}}}"#,
    ),
    (
        "809a0200f37ffd9f7677acd0e00040800001028760e01018000000040a1209c01030d208018385610000",
        r#"{"Header": {"SessionID": "03CDFFF67DD9DEB3"}, "Body": {"CurrentDemandRes": {"ResponseCode": "OK",
            "DC_EVSEStatus": {"EVSEIsolationStatus": "Valid", "EVSEStatusCode": "EVSE_Ready",
            "NotificationMaxDelay": 0, "EVSENotification": "None"},
            "EVSEPresentVoltage": {"Multiplier": -1, "Unit": "V", "Value": 3692},
            "EVSEPresentCurrent": {"Multiplier": -1, "Unit": "A", "Value": 0},
            "EVSECurrentLimitAchieved": false, "EVSEVoltageLimitAchieved": false, "EVSEPowerLimitAchieved": false,
            "EVSEMaximumVoltageLimit": {"Multiplier": -1, "Unit": "V", "Value": 10000},
            "EVSEMaximumCurrentLimit": {"Multiplier": -2, "Unit": "A", "Value": 1106},
            "EVSEMaximumPowerLimit": {"Multiplier": 0, "Unit": "W", "Value": 4140}}}}"#,
    ),
    (
        "809a0200f37ffd9f7677acd1f0",
        r#"{"Header": {"SessionID": "03CDFFF67DD9DEB3"}, "Body": {"SessionStopReq": {}}}"#,
    ),
    (
        "809a0224d99d042aecd6b14001929b2b9b9b4b7b729ba37b82932b893903737ba1030b1b1b2b83a32b21034b71039ba30ba329021b0b13632a1b432b1b58a00a00",
        r#"{"Header": {"SessionID": "93667410ABB35AC5", "Notification": {"FaultCode": "ParsingError",
            "FaultMsg": "SessionStopReq' not accepted in state CableCheck"}},
            "Body": {"SessionStopRes": {"ResponseCode": "FAILED_SequenceError"}}}"#,
    ),
];

/// Of what nobody was recorded saying: arbitrary messages, for which EXIficient writes these bytes
/// and reads this.
const BY_EXIFICIENT: [(&str, &str); 11] = [
    ("809a0078d090", r#"{"Body": {"ChargingStatusReq": {}}, "Header": {"SessionID": "E3"}}"#),
    (
        "809a015712e0d32f90a1800ebd38686ebc40500117f037f1608200",
        r#"{"Body": {"ChargingStatusRes": {"AC_EVSEStatus": {"EVSENotification": "ReNegotiation",
            "NotificationMaxDelay": 1097842879, "PowerSwitchClosed": false, "RCD": true},
            "EVSEID": "AF4E1A", "ReceiptRequired": false,
            "ResponseCode": "FAILED_NoCertificateAvailable", "SAScheduleTupleID": -30907}},
            "Header": {"SessionID": "5C4B834CBE"}}"#,
    ),
    (
        "809a012acb69aa90f4026a40a7173626e746e786b263af4048",
        r#"{"Body": {"MeteringReceiptReq": {"MeterInfo": {"MeterID": "qsbntnxk",
            "MeterStatus": -24207}, "SessionID": "35"}}, "Header": {"SessionID": "AB2DA6AA"}}"#,
    ),
    (
        "809a006651000111cd7fdfaa042000",
        r#"{"Body": {"MeteringReceiptRes": {"AC_EVSEStatus": {"EVSENotification": "ReNegotiation",
            "NotificationMaxDelay": 716955622, "PowerSwitchClosed": true, "RCD": true},
            "ResponseCode": "OK"}}, "Header": {"SessionID": "99"}}"#,
    ),
    (
        "809a0093fb1120600dcc62e6f0a4b820b3b201c0",
        r#"{"Body": {"PaymentDetailsRes": {"DateTimeNow": -545278697067810188, "GenChallenge": "s",
            "ResponseCode": "OK_CertificateExpiresSoon"}}, "Header": {"SessionID": "4FEC"}}"#,
    ),
    (
        "809a0059117367500400",
        r#"{"Body": {"ServiceDetailReq": {"ServiceID": 27225}}, "Header": {"SessionID": "64"}}"#,
    ),
    (
        "809a00802dd181a2b698080c0ee808067566737332da002b9b5b78c213ea080400b79706279777969766d2a0962646b6c62756c140",
        r#"{"Body": {"ServiceDetailRes": {"ResponseCode": "FAILED_CertChainError", "ServiceID": 37677,
            "ServiceParameterList": {"ParameterSet": [{"Parameter": [{"Name": "ufss",
            "ValueType": "int", "byteValue": 90}, {"Name": "sko", "ValueType": "byte",
            "physicalValue": {"Multiplier": 1, "Value": 16762}}, {"Name": "ypbywyivm",
            "ValueType": "short", "stringValue": "bdklbul"}], "ParameterSetID": -28290}]}}},
            "Header": {"SessionID": "00B7"}}"#,
    ),
    (
        "809a00ee71d251a001000843f8019248700b43f20910",
        r#"{"Body": {"ServiceDiscoveryRes": {"ChargeService": {"EnergyTransferType": "AC_single_DC_core",
            "FreeService": true, "ServiceTag": {"ServiceCategory": "Internet", "ServiceID": 63495}},
            "PaymentOptions": {"PaymentOption": ["ExternalPayment", "Contract", "Contract"]},
            "ResponseCode": "OK", "ServiceList": {"Service": [{"FreeService": true,
            "ServiceTag": {"ServiceCategory": "EVCharging", "ServiceID": 8116}}]}}},
            "Header": {"SessionID": "B9C749"}}"#,
    ),
    (
        "809a005691400000b9f6aec0030000",
        r#"{"Body": {"PowerDeliveryRes": {"AC_EVSEStatus": {"EVSENotification": "None",
            "NotificationMaxDelay": 940292921, "PowerSwitchClosed": false, "RCD": false},
            "ResponseCode": "OK"}}, "Header": {"SessionID": "5A"}}"#,
    ),
    (
        "809a0076107003c2fb2bb0243128d2c189d5c402045a2830105278c68080",
        r#"{"Body": {"ChargeParameterDiscoveryReq": {"AC_EVChargeParameter": {"DepartureTime": 2643631984,
            "EAmount": {"Multiplier": 3, "Value": 9635}, "EVMaxCurrent": {"Multiplier": -1,
            "Value": -16803}, "EVMaxVoltage": {"Multiplier": 3, "Value": 29034},
            "EVMinCurrent": {"Multiplier": 2, "Value": 18161}},
            "EVRequestedEnergyTransferType": "AC_single_phase_core"}}, "Header": {"SessionID": "D8"}}"#,
    ),
    (
        "809a00956dd081a00768d81688004df6e6d80591542401b18bf37010460880a8023eaabce7c200005f2e90105071ce3e022da4c00800",
        r#"{"Body": {"ChargeParameterDiscoveryRes": {"AC_EVSEChargeParameter": {"AC_EVSEStatus": {"EVSENotification": "None",
            "NotificationMaxDelay": 2214385018, "PowerSwitchClosed": false, "RCD": true},
            "EVSEMaxCurrent": {"Multiplier": 2, "Unit": "W", "Value": -8015},
            "EVSEMaxVoltage": {"Multiplier": -3, "Value": -29939}, "EVSEMinCurrent": {"Multiplier": -1,
            "Value": -19509}}, "EVSEProcessing": "Finished", "ResponseCode": "FAILED_CertChainError",
            "SAScheduleList": {"SAScheduleTuple": [{"PMaxSchedule": {"PMaxScheduleEntry": [{"PMax": 2346,
            "RelativeTimeInterval": {"start": 3054728859}}, {"PMax": 2113,
            "RelativeTimeInterval": {"start": 2266915544}}], "PMaxScheduleID": 8244},
            "SAScheduleTupleID": -7003}]}}}, "Header": {"SessionID": "55B7"}}"#,
    ),
];

#[test]
fn messages_are_read_as_another_codec_reads_them_and_written_to_the_same_bytes() {
    for (hex, content) in RECORDED.into_iter().chain(BY_EXIFICIENT) {
        let content: Value = serde_json::from_str(content).unwrap();
        compare(hex, &json!({ "V2G_Message": content })).unwrap();
    }
}

/// Recorded from a Tesla Model Y.
#[test]
fn a_byte_behind_the_message_is_an_error_that_says_so() {
    let payload = bytes("809a02264c2a8c360bc16ed0b800");
    assert_eq!(V2gMessage::from_bytes(&payload), Err(ExiError::TrailingData));
    assert!(V2gMessage::from_bytes(&payload[..payload.len() - 1]).is_ok());
}

#[test]
fn all_recorded_messages_are_read_as_another_codec_reads_them_and_written_to_the_same_bytes() {
    let file = data().join("v2g-messages/din.jsonl");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: there is no {}", file.display());
        return;
    };
    let mut compared = BTreeMap::<String, usize>::new();
    let mut failed = Vec::new();
    let mut trailing = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let hex = line["hex"].as_str().unwrap();
        let content = &line["decoded"];
        let name = content["V2G_Message"]["Body"].as_object().unwrap().keys().next().unwrap();
        let result = match compare(hex, content) {
            Err(error) if error.starts_with("TrailingData") && hex.ends_with("00") => {
                trailing += 1;
                compare(&hex[..hex.len() - 2], content)
            }
            result => result,
        };
        *compared.entry(name.clone()).or_default() += 1;
        failed.extend(result.err().map(|error| format!("{}: {name} {hex}: {error}", line["car"])));
    }
    let total: usize = compared.values().sum();
    println!("{total} messages, {trailing} with one byte 0x00 too many: {compared:?}");
    assert!(total > 2000 && compared.len() == 22, "the data is not whole");
    assert_eq!(failed, [""; 0]);
}

fn data() -> PathBuf {
    std::env::var_os("VOLTRY_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from)
}

fn compare(hex: &str, content: &Value) -> Result<(), String> {
    let payload = bytes(hex);
    let message = V2gMessage::from_bytes(&payload).map_err(|error| format!("{error:?}"))?;
    let read = json!({ "V2G_Message": message });
    if read != *content {
        return Err(format!("read as {read}"));
    }
    let written = message.to_vec().map_err(|error| format!("{error:?}"))?;
    if written == payload { Ok(()) } else { Err(format!("written as {written:02x?}")) }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}
