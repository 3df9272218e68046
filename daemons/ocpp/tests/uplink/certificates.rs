//! Certificates and connection profiles, as a CSMS changes them.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair,
};
use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::networks::Network;
use voltry_ocpp::security::SecurityEvent;
use voltry_ocpp::uplink::Input;

use crate::desk::{Desk, START, network};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "root");
    let key = KeyPair::generate().unwrap();
    Authority { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
}

/// Connected with this security profile.
fn secured(version: Version, security_profile: u8) -> Desk {
    let mut desk = Desk::accepted(version);
    let url = if security_profile < 2 { "ws://csms.example/ocpp" } else { "wss://csms.example/ocpp" };
    desk.input(Input::Network(1, Network { url: url.to_owned(), security_profile, ..network() }));
    desk
}

fn root_name(version: Version) -> &'static str {
    match version {
        Version::V16 => "CentralSystemRootCertificate",
        Version::V201 => "CSMSRootCertificate",
    }
}

fn install(desk: &mut Desk, pem: &str) -> Value {
    let kind = root_name(desk.version);
    desk.ask("InstallCertificate", &json!({ "certificateType": kind, "certificate": pem })).unwrap()
}

fn installed(desk: &mut Desk) -> Value {
    match desk.version {
        Version::V16 => {
            let asked = json!({ "certificateType": "CentralSystemRootCertificate" });
            desk.ask("GetInstalledCertificateIds", &asked).unwrap()["certificateHashData"].take()
        }
        Version::V201 => {
            let mut all = desk.ask("GetInstalledCertificateIds", &json!({})).unwrap();
            let chains = all["certificateHashDataChain"].as_array_mut().cloned().unwrap_or_default();
            chains.into_iter().map(|chain| chain["certificateHashData"].clone()).collect()
        }
    }
}

fn status(answer: &Value) -> &str {
    answer["status"].as_str().unwrap()
}

#[test]
fn root_certificates_are_installed_listed_and_deleted() {
    for version in BOTH {
        let mut desk = secured(version, 2);
        assert_eq!(status(&install(&mut desk, "rubbish")), "Rejected");
        for _ in 0..2 {
            assert_eq!(status(&install(&mut desk, &authority().pem)), "Accepted");
        }
        let hashes = installed(&mut desk);
        assert_eq!(hashes.as_array().unwrap().len(), 2, "{version:?}: {hashes}");
        let asked = json!({ "certificateHashData": hashes[0] });
        assert_eq!(status(&desk.ask("DeleteCertificate", &asked).unwrap()), "Accepted");
        assert_eq!(status(&desk.ask("DeleteCertificate", &asked).unwrap()), "NotFound");
        let asked = json!({ "certificateHashData": hashes[1] });
        assert_eq!(status(&desk.ask("DeleteCertificate", &asked).unwrap()), "Failed", "the only one");
        let log = desk.store.security_log(0..=i64::MAX).unwrap();
        assert_eq!(log[0].event, SecurityEvent::ReconfigurationOfSecurityParameters);
    }
}

fn trigger(desk: &mut Desk) -> Value {
    match desk.version {
        Version::V16 => {
            let asked = json!({ "requestedMessage": "SignChargePointCertificate" });
            desk.ask("ExtendedTriggerMessage", &asked)
        }
        Version::V201 => {
            let asked = json!({ "requestedMessage": "SignChargingStationCertificate" });
            desk.ask("TriggerMessage", &asked)
        }
    }
    .unwrap()
}

#[test]
fn a_station_certificate_is_asked_for_signed_and_used() {
    for version in BOTH {
        let root = authority();
        assert_eq!(status(&trigger(&mut secured(version, 1))), "Rejected", "not where anybody reads");
        let mut desk = secured(version, 2);
        assert_eq!(status(&trigger(&mut desk)), "Accepted");
        let call = desk.open().unwrap().clone();
        assert_eq!(call.action, "SignCertificate");
        desk.answer(json!({ "status": "Accepted" }));
        let csr = call.payload["csr"].as_str().unwrap();
        let request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        let chain = request.signed_by(&root.issuer).unwrap().pem() + &root.pem;
        let asked = json!({ "certificateChain": root.pem });
        assert_eq!(status(&desk.ask("CertificateSigned", &asked).unwrap()), "Rejected", "for another key");
        assert_eq!(desk.networks, 0);
        let asked = json!({ "certificateChain": chain });
        assert_eq!(status(&desk.ask("CertificateSigned", &asked).unwrap()), "Accepted");
        assert_eq!(desk.networks, 1, "the connection is made anew");
        assert!(desk.certificates.station().is_some());
        let log = desk.store.security_log(0..=i64::MAX).unwrap();
        let events: Vec<_> = log.iter().map(|entry| entry.event).collect();
        assert_eq!(
            events,
            [
                SecurityEvent::InvalidChargingStationCertificate,
                SecurityEvent::ReconfigurationOfSecurityParameters
            ]
        );
    }
}

#[test]
fn a_request_that_no_certificate_follows_is_sent_again_later_each_time_and_not_for_ever() {
    let mut desk = secured(Version::V201, 2);
    trigger(&mut desk);
    let mut sent = Vec::new();
    for _ in 0..400 {
        if let Some(call) = desk.open().cloned() {
            if call.action == "SignCertificate" {
                sent.push(desk.seconds);
                desk.answer(json!({ "status": "Accepted" }));
            } else {
                desk.answer_all();
            }
        }
        desk.pass(1);
    }
    assert_eq!(sent.len(), 3, "CertSigningRepeatTimes is 2: {sent:?}");
    assert_eq!((sent[1] - sent[0], sent[2] - sent[1]), (30, 60), "{sent:?}");
}

#[test]
fn a_certificate_that_ends_soon_is_renewed_by_the_station() {
    let root = authority();
    for (days, wanted) in [(40, 0), (29, 1)] {
        let mut desk = secured(Version::V201, 2);
        trigger(&mut desk);
        let csr = desk.open().unwrap().payload["csr"].as_str().unwrap().to_owned();
        desk.answer(json!({ "status": "Accepted" }));
        let mut request = CertificateSigningRequestParams::from_pem(&csr).unwrap();
        let now = START / 1_000_000;
        let date = voltry_ocpp::time::rfc3339((now + days * 86_400) * 1_000_000);
        let part = |from: usize, to: usize| date[from..to].parse::<u8>().unwrap();
        request.params.not_after = rcgen::date_time_ymd(date[..4].parse().unwrap(), part(5, 7), part(8, 10));
        let chain = request.signed_by(&root.issuer).unwrap().pem();
        let asked = json!({ "certificateChain": chain });
        assert_eq!(status(&desk.ask("CertificateSigned", &asked).unwrap()), "Accepted");
        let before = desk.calls.len();
        let versions = network().versions;
        let url = "wss://csms.example/ocpp".to_owned();
        desk.input(Input::Network(
            1,
            Network { url, versions, security_profile: 3, message_timeout_s: None },
        ));
        desk.pass(10);
        desk.answer_all();
        desk.pass(600);
        let asked = desk.calls[before..].iter().filter(|call| call.action == "SignCertificate").count();
        assert_eq!(asked, wanted, "{days} days before its end");
    }
}

fn profile(slot: i64, url: &str, security: i64) -> Value {
    json!({ "configurationSlot": slot, "connectionData": {
        "ocppVersion": "OCPP20", "ocppTransport": "JSON", "ocppCsmsUrl": url, "messageTimeout": 30,
        "securityProfile": security, "ocppInterface": "Wired0" } })
}

fn write(desk: &mut Desk, component: &str, variable: &str, value: &str) -> String {
    let answer = desk.set(component, variable, value).unwrap();
    answer["setVariableResult"][0]["attributeStatus"].as_str().unwrap().to_owned()
}

#[test]
fn a_connection_profile_lasts_and_is_used_when_the_order_names_it() {
    let mut desk = secured(Version::V201, 1);
    for (wrong, url, security) in [
        (2, "ws://other.example", 0),
        (2, "wss://other.example", 1),
        (2, "http://other.example", 1),
        (2, "ws://other.example", 4),
        (0, "ws://other.example", 1),
        (1000, "ws://other.example", 1),
    ] {
        let asked = profile(wrong, url, security);
        assert_eq!(status(&desk.ask("SetNetworkProfile", &asked).unwrap()), "Rejected", "{asked}");
    }
    let priority =
        |desk: &mut Desk, value| write(desk, "OCPPCommCtrlr", "NetworkConfigurationPriority", value);
    assert_eq!(priority(&mut desk, "2,1"), "Rejected", "slot 2 is empty");
    let asked = profile(2, "ws://other.example", 1);
    assert_eq!(status(&desk.ask("SetNetworkProfile", &asked).unwrap()), "Accepted");
    assert_eq!(priority(&mut desk, "2,1"), "Rejected", "there is no password");
    assert_eq!(write(&mut desk, "SecurityCtrlr", "BasicAuthPassword", "short"), "Rejected");
    assert_eq!(write(&mut desk, "SecurityCtrlr", "BasicAuthPassword", "sixteen letters!"), "Accepted");
    assert_eq!(desk.networks, 1, "a new password, a new connection");
    assert_eq!(priority(&mut desk, "2,1"), "RebootRequired");
    let asked = profile(3, "wss://other.example", 2);
    assert_eq!(status(&desk.ask("SetNetworkProfile", &asked).unwrap()), "Accepted");
    assert_eq!(priority(&mut desk, "3"), "Rejected", "there is no root to believe it by");
    install(&mut desk, &authority().pem);
    assert_eq!(priority(&mut desk, "3,2"), "RebootRequired");
    desk.restart();
    assert_eq!(desk.store.networks().unwrap().len(), 2);
    let kept = desk.store.variables().unwrap();
    assert!(kept.contains(&("NetworkConfigurationPriority".to_owned(), "3,2".to_owned())));
    let mut desk = secured(Version::V201, 2);
    let asked = profile(2, "ws://other.example", 1);
    let answer = desk.ask("SetNetworkProfile", &asked).unwrap();
    assert_eq!(status(&answer), "Rejected", "never a lower security profile");
}

#[test]
fn of_a_connection_profile_nothing_is_taken_that_cannot_be_done() {
    let mut desk = secured(Version::V201, 1);
    let apn = json!({ "apn": "internet", "apnAuthentication": "AUTO" });
    let vpn = json!({ "server": "vpn.example", "user": "u", "password": "p", "key": "k", "type": "IKEv2" });
    for (field, value) in [
        ("apn", apn),
        ("vpn", vpn),
        ("ocppTransport", json!("SOAP")),
        ("ocppVersion", json!("OCPP15")),
        ("messageTimeout", json!(0)),
    ] {
        let mut asked = profile(2, "ws://other.example", 1);
        asked["connectionData"][field] = value;
        let answer = desk.ask("SetNetworkProfile", &asked).unwrap();
        assert_eq!(status(&answer), "Rejected", "{field}");
        assert_eq!(answer["statusInfo"]["reasonCode"], "InvalidNetworkConf", "{field}");
    }
    let answer = desk.ask("SetNetworkProfile", &profile(100, "ws://other.example", 1)).unwrap();
    assert_eq!(answer["statusInfo"]["reasonCode"], "InvalidConfSlot");
    assert!(desk.store.networks().unwrap().is_empty());
}

#[test]
fn a_connection_profiles_time_for_answers_holds_over_its_connection() {
    let mut desk = secured(Version::V201, 1);
    assert_eq!(desk.uplink.message_timeout_s(), 30, "the variable's");
    let mut asked = profile(2, "ws://other.example", 1);
    asked["connectionData"]["messageTimeout"] = json!(45);
    assert_eq!(status(&desk.ask("SetNetworkProfile", &asked).unwrap()), "Accepted");
    assert_eq!(desk.uplink.message_timeout_s(), 30, "it is not in use yet");
    let kept = desk.store.networks().unwrap()[&2].clone();
    desk.input(Input::Network(2, kept));
    assert_eq!(desk.uplink.message_timeout_s(), 45);
}

#[test]
fn in_1_6_the_security_profile_is_raised_by_its_key_and_never_lowered() {
    let mut desk = secured(Version::V16, 1);
    let write = |desk: &mut Desk, key: &str, value: &str| {
        let answer = desk.ask("ChangeConfiguration", &json!({ "key": key, "value": value })).unwrap();
        status(&answer).to_owned()
    };
    assert_eq!(write(&mut desk, "SecurityProfile", "0"), "Rejected");
    assert_eq!(write(&mut desk, "SecurityProfile", "2"), "Rejected", "there is no password and no root");
    for (key, wanted) in [
        ("no hexadecimal!!!!!!!!!!!!!!!!!!", "Rejected"),
        ("00112233445566778899aabbccddee", "Rejected"),
        ("00112233445566778899aabbccddeeff", "Accepted"),
        ("00112233445566778899aabbccddeeff00112233", "Accepted"),
    ] {
        assert_eq!(write(&mut desk, "AuthorizationKey", key), wanted, "{key}");
    }
    install(&mut desk, &authority().pem);
    assert_eq!(write(&mut desk, "SecurityProfile", "3"), "Rejected", "the station has no certificate");
    let before = desk.networks;
    assert_eq!(write(&mut desk, "SecurityProfile", "2"), "Accepted");
    assert_eq!(desk.networks, before + 1);
    let kept = &desk.store.networks().unwrap()[&1];
    assert_eq!((kept.url.as_str(), kept.security_profile), ("wss://csms.example/ocpp", 2));
}
