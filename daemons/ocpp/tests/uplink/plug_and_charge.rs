//! Plug & Charge: vehicles that ask for a contract certificate, and contracts that want to charge.

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::certificates::{HashAlgorithm, HashData, Parsed};
use voltry_ocpp::plug_and_charge::{Contract, VENDOR, Wanted};
use voltry_ocpp::transactions::Token;
use voltry_ocpp::uplink::{Command, Input, Outcome};

use crate::customers::customer_by;
use crate::desk::{Desk, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];
const EMAID: &str = "DEABCC00000001";

fn wanted(ticket: u64) -> Input {
    let schema = "urn:iso:15118:2:2013:MsgDef".to_owned();
    Input::ContractWanted(Wanted { ticket, update: false, schema, message: vec![1, 2, 3] })
}

/// The newest CALL as 2.0.1 has it, whichever way it went.
fn asked(desk: &Desk) -> (String, Value) {
    let call = desk.open().unwrap();
    match desk.version {
        Version::V201 => (call.action.clone(), call.payload.clone()),
        Version::V16 => {
            assert_eq!((call.action.as_str(), &call.payload["vendorId"]), ("DataTransfer", &json!(VENDOR)));
            let data = call.payload["data"].as_str().unwrap();
            (call.payload["messageId"].as_str().unwrap().to_owned(), serde_json::from_str(data).unwrap())
        }
    }
}

fn answer(desk: &mut Desk, payload: &Value) {
    let payload = match desk.version {
        Version::V201 => payload.clone(),
        Version::V16 => json!({ "status": "Accepted", "data": payload.to_string() }),
    };
    desk.answer(payload);
}

#[test]
fn a_vehicle_gets_the_contract_certificate_that_the_csms_gives() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.input(wanted(1));
        let (action, payload) = asked(&desk);
        assert_eq!(action, "Get15118EVCertificate");
        assert_eq!(
            payload,
            json!({ "iso15118SchemaVersion": "urn:iso:15118:2:2013:MsgDef", "action": "Install", "exiRequest": "AQID" })
        );
        answer(&mut desk, &json!({ "status": "Accepted", "exiResponse": "BAUG" }));
        assert_eq!(desk.contracts, [(1, vec![4, 5, 6])]);
        desk.input(wanted(2));
        desk.answer_error("NotImplemented");
        assert_eq!(desk.contracts[1], (2, Vec::new()), "there is none");
    }
}

#[test]
fn a_vehicle_that_nobody_can_help_is_told_at_once() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.input(wanted(1));
        desk.input(wanted(2));
        lost(&mut desk);
        desk.input(wanted(3));
        let mut told = desk.contracts.clone();
        told.sort();
        assert_eq!(told, [(1, Vec::new()), (2, Vec::new()), (3, Vec::new())]);
    }
}

fn contract() -> Vec<Vec<u8>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "MO");
    let key = KeyPair::generate().unwrap();
    let issuer = params.self_signed(&key).unwrap().der().to_vec();
    let authority = Issuer::new(params, key);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, EMAID);
    // AuthorityInfoAccess with one OCSP responder, http://ocsp.
    let mut access = vec![0x30, 0x19, 0x30, 0x17, 0x06, 0x08, 0x2B, 6, 1, 5, 5, 7, 0x30, 1, 0x86, 11];
    access.extend_from_slice(b"http://ocsp");
    params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access));
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
    vec![leaf.der().to_vec(), issuer]
}

fn authorize(desk: &mut Desk, ticket: u64) {
    let token = Token { id: EMAID.to_owned(), kind: "eMAID".to_owned() };
    desk.input(Input::Authorize { ticket, evse: 0, token });
}

#[test]
fn a_contract_is_judged_by_its_certificates_too() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.input(Input::ContractShown(Contract { emaid: EMAID.to_owned(), chain: contract() }));
        authorize(&mut desk, 1);
        let (action, payload) = asked(&desk);
        assert_eq!(action, "Authorize");
        assert_eq!(payload["idToken"], json!({ "idToken": EMAID, "type": "eMAID" }));
        assert_eq!(payload["iso15118CertificateHashData"][0]["responderURL"], "http://ocsp");
        assert_eq!(payload.get("certificate"), None, "it was judged here");
        let info = json!({ "status": "Accepted" });
        answer(&mut desk, &json!({ "idTokenInfo": info, "certificateStatus": "CertificateRevoked" }));
        assert_eq!(desk.authorized, [(1, "invalid by csms".to_owned())]);
        authorize(&mut desk, 2);
        answer(&mut desk, &json!({ "idTokenInfo": info, "certificateStatus": "Accepted" }));
        assert_eq!(desk.authorized[1], (2, "accepted by csms".to_owned()));
    }
}

fn allow_central_validation(desk: &mut Desk) {
    let key = "CentralContractValidationAllowed";
    let told = match desk.version {
        Version::V16 => desk.ask("ChangeConfiguration", &json!({ "key": key, "value": "true" })),
        Version::V201 => desk.set("ISO15118Ctrlr", key, "true"),
    };
    told.unwrap();
}

fn doubted(desk: &mut Desk, ticket: u64) {
    let contract = Contract { emaid: EMAID.to_owned(), chain: contract() };
    desk.input(Input::ContractDoubted { ticket, evse: 1, contract });
}

#[test]
fn a_contract_without_a_root_here_is_the_csmss_to_judge_where_it_wants_to() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        assert_eq!(desk.central_validation, [false], "who speaks with vehicles is told at once");
        doubted(&mut desk, 1);
        assert_eq!(desk.judged, [(1, false)], "it does not want to");
        allow_central_validation(&mut desk);
        assert_eq!(desk.central_validation, [false, true]);
        doubted(&mut desk, 2);
        let (action, payload) = asked(&desk);
        assert_eq!(action, "Authorize");
        assert_eq!(payload["idToken"], json!({ "idToken": EMAID, "type": "eMAID" }));
        assert_eq!(payload["iso15118CertificateHashData"][0]["responderURL"], "http://ocsp");
        assert_eq!(payload["certificate"].as_str().unwrap().matches("BEGIN CERTIFICATE").count(), 2);
        let info = json!({ "status": "Accepted" });
        answer(&mut desk, &json!({ "idTokenInfo": info, "certificateStatus": "Accepted" }));
        assert_eq!(desk.judged[1..], [(2, true)]);
        // The station's question follows, and is answered already.
        let calls = desk.calls.len();
        authorize(&mut desk, 1);
        assert_eq!(desk.authorized, [(1, "accepted by csms".to_owned())]);
        assert_eq!(desk.calls.len(), calls);
        authorize(&mut desk, 2);
        assert_eq!(desk.calls.len(), calls + 1, "once");
    }
}

#[test]
fn a_contract_without_a_root_here_does_not_charge_by_anything_but_the_csmss_word() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        allow_central_validation(&mut desk);
        // The cache knows the contract, and would let it charge.
        desk.input(Input::ContractShown(Contract { emaid: EMAID.to_owned(), chain: contract() }));
        authorize(&mut desk, 1);
        let info = json!({ "status": "Accepted" });
        answer(&mut desk, &json!({ "idTokenInfo": info }));
        assert_eq!(desk.authorized, [(1, "accepted by csms".to_owned())]);
        for said in [
            json!({ "idTokenInfo": info, "certificateStatus": "CertChainError" }),
            // It has not looked at them.
            json!({ "idTokenInfo": info }),
            json!({ "idTokenInfo": { "status": "Invalid" } }),
        ] {
            doubted(&mut desk, 2);
            answer(&mut desk, &said);
            assert_eq!(desk.judged.pop(), Some((2, false)), "{said}");
        }
        doubted(&mut desk, 3);
        desk.answer_error("InternalError");
        assert_eq!(desk.judged.pop(), Some((3, false)));
        doubted(&mut desk, 4);
        lost(&mut desk);
        doubted(&mut desk, 5);
        let judged = std::mem::take(&mut desk.judged);
        assert_eq!(judged, [(4, false), (5, false)]);
        // What was said of somebody's copy does not count against the contract itself.
        authorize(&mut desk, 2);
        assert_eq!(desk.authorized[1], (2, "accepted by cache".to_owned()));
    }
}

#[test]
fn what_the_csms_could_not_read_is_not_sent() {
    let mut desk = Desk::accepted(Version::V201);
    allow_central_validation(&mut desk);
    let calls = desk.calls.len();
    for (ticket, (emaid, chain)) in [
        (EMAID, vec![b"no certificate".to_vec()]),
        (EMAID, vec![]),
        (EMAID, std::iter::repeat_n(contract(), 9).flatten().collect()),
        (&*"E".repeat(37), contract()),
    ]
    .into_iter()
    .enumerate()
    {
        let ticket = u64::try_from(ticket).unwrap();
        let contract = Contract { emaid: emaid.to_owned(), chain };
        desk.input(Input::ContractDoubted { ticket, evse: 1, contract });
        assert_eq!(desk.judged.last(), Some(&(ticket, false)));
    }
    assert_eq!(desk.calls.len(), calls);
}

#[test]
fn to_a_csms_of_1_6_without_plug_and_charge_a_contract_is_a_token() {
    let mut desk = Desk::accepted(Version::V16);
    authorize(&mut desk, 1);
    desk.answer(json!({ "status": "UnknownVendorId" }));
    assert_eq!(desk.open().unwrap().payload, json!({ "idTag": EMAID }));
    desk.answer_all();
    assert_eq!(desk.authorized, [(1, "accepted by csms".to_owned())]);
    desk.input(wanted(2));
    assert_eq!(desk.contracts, [(2, Vec::new())]);
}

#[test]
fn a_contract_may_be_kept_from_counting_while_nobody_can_be_asked() {
    let mut desk = Desk::accepted(Version::V201);
    authorize(&mut desk, 1);
    desk.answer_all();
    lost(&mut desk);
    authorize(&mut desk, 2);
    assert_eq!(desk.authorized[1], (2, "accepted by cache".to_owned()));
    desk.input(Input::Connected);
    desk.set("ISO15118Ctrlr", "ContractValidationOffline", "false").unwrap();
    lost(&mut desk);
    authorize(&mut desk, 3);
    assert_eq!(desk.authorized[2], (3, "unknown by offline".to_owned()));
}

fn root() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn roots_of_contracts_are_installed_in_1_6_by_data_transfer() {
    let mut desk = Desk::accepted(Version::V16);
    let ask = |desk: &mut Desk, message: &str, data: &Value| {
        let payload = json!({ "vendorId": VENDOR, "messageId": message, "data": data.to_string() });
        let answer = desk.ask("DataTransfer", &payload).unwrap();
        let data = answer["data"].as_str().map(|data| serde_json::from_str::<Value>(data).unwrap());
        (answer["status"].as_str().unwrap().to_owned(), data.unwrap_or_default())
    };
    let install = json!({ "certificateType": "MORootCertificate", "certificate": root() });
    let accepted = ("Accepted".to_owned(), json!({ "status": "Accepted" }));
    assert_eq!(ask(&mut desk, "InstallCertificate", &install), accepted);
    let (_, listed) = ask(&mut desk, "GetInstalledCertificateIds", &json!({}));
    let chain = &listed["certificateHashDataChain"][0];
    assert_eq!(chain["certificateType"], "MORootCertificate");
    let delete = json!({ "certificateHashData": chain["certificateHashData"] });
    assert_eq!(ask(&mut desk, "DeleteCertificate", &delete), accepted);
    assert_eq!(ask(&mut desk, "InstallCertificate", &json!({ "certificate": 7 })).0, "Rejected");
    assert_eq!(ask(&mut desk, "MakeCoffee", &json!({})).0, "UnknownMessageId");
    let other = json!({ "vendorId": "other", "messageId": "InstallCertificate", "data": "{}" });
    assert_eq!(desk.ask("DataTransfer", &other), Err("nothing yet".to_owned()), "another's is handed on");
}

#[test]
fn a_certificate_towards_vehicles_is_asked_for() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let trigger = json!({ "requestedMessage": "SignV2GCertificate" });
        let answer = match version {
            Version::V201 => desk.ask("TriggerMessage", &trigger),
            Version::V16 => {
                let data = trigger.to_string();
                let payload = json!({ "vendorId": VENDOR, "messageId": "TriggerMessage", "data": data });
                desk.ask("DataTransfer", &payload)
            }
        };
        assert_eq!(answer.unwrap()["status"], "Accepted");
        let (action, payload) = asked(&desk);
        assert_eq!(
            (action.as_str(), &payload["certificateType"]),
            ("SignCertificate", &json!("V2GCertificate"))
        );
        assert!(payload["csr"].as_str().unwrap().contains("BEGIN CERTIFICATE REQUEST"));
        answer_it(&mut desk);
    }
}

fn answer_it(desk: &mut Desk) {
    answer(desk, &json!({ "status": "Accepted" }));
}

#[test]
fn the_status_of_the_certificate_towards_vehicles_is_fetched_and_refreshed() {
    for version in [Version::V16, Version::V201] {
        let mut desk = Desk::new(version);
        let asks = json!({ "hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb",
            "serialNumber": "12", "responderURL": "http://ocsp.example" });
        desk.asks = vec![asks.clone()];
        let mut desk = desk.accept();
        let fetched = |desk: &Desk, from: usize| -> Vec<Value> {
            let calls = desk.calls[from..].iter();
            calls
                .filter_map(|call| match version {
                    Version::V16 if call.payload["messageId"] == "GetCertificateStatus" => {
                        serde_json::from_str(call.payload["data"].as_str().unwrap()).ok()
                    }
                    Version::V201 if call.action == "GetCertificateStatus" => Some(call.payload.clone()),
                    Version::V16 | Version::V201 => None,
                })
                .collect()
        };
        let said = |status: &str, result: &str| {
            let said = json!({ "status": status, "ocspResult": result });
            match version {
                Version::V16 => json!({ "status": "Accepted", "data": said.to_string() }),
                Version::V201 => said,
            }
        };
        // The desk answered the first with nothing of use: an hour later it is asked again.
        assert_eq!(fetched(&desk, 0), [json!({ "ocspRequestData": asks })], "{version:?}");
        assert!(desk.stapled.is_empty());
        let before = desk.calls.len();
        desk.pass(3600);
        let asked = |desk: &mut Desk| loop {
            let call = desk.open().expect("it is asked").clone();
            if call.action == "GetCertificateStatus" || call.payload["messageId"] == "GetCertificateStatus" {
                return;
            }
            desk.answer(json!({ "currentTime": voltry_ocpp::time::rfc3339(crate::desk::START) }));
        };
        asked(&mut desk);
        desk.answer(said("Accepted", "cnVi\nYmlzaA=="));
        assert_eq!(desk.stapled, [b"rubbish".to_vec()], "whoever speaks with vehicles judges it");
        assert_eq!(fetched(&desk, before).len(), 1);
        let before = desk.calls.len();
        desk.pass(24 * 3600);
        while desk.open().is_some_and(|call| call.action == "Heartbeat") {
            desk.answer(json!({ "currentTime": voltry_ocpp::time::rfc3339(crate::desk::START) }));
            desk.pass(0);
        }
        assert_eq!(fetched(&desk, before).len(), 1, "a day later it is asked for anew");
        let before = desk.calls.len();
        lost(&mut desk);
        desk.input(Input::Connected);
        desk.answer_all();
        assert_eq!(fetched(&desk, before).len(), 1, "what was not answered is asked again");
    }
}

#[test]
fn a_customer_is_known_by_the_certificate_of_his_contract() {
    let mut desk = Desk::accepted(Version::V201);
    let chain = contract();
    let [own, issuer] = [0, 1].map(|place: usize| Parsed::new(chain[place].clone().into()).unwrap());
    desk.input(Input::ContractShown(Contract { emaid: EMAID.to_owned(), chain }));
    let named = |algorithm: HashAlgorithm| {
        let hash = HashData::of(algorithm, &own, &issuer);
        json!({ "hashAlgorithm": algorithm.name(), "issuerNameHash": hash.issuer_name,
                "issuerKeyHash": hash.issuer_key.to_ascii_uppercase(), "serialNumber": hash.serial })
    };
    let ask = |desk: &mut Desk, certificate: &Value, doing, found| {
        customer_by(desk, ("customerCertificate", certificate), doing, found).1
    };
    let none = Outcome::Charged(Vec::new());
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let text = ask(&mut desk, &named(algorithm), (true, false), Some(none.clone()));
        assert_eq!(text, "Contract: a vehicle has shown its certificates.");
        let Command::TransactionsOf { token, .. } = &desk.commands.last().unwrap().1 else { panic!() };
        assert_eq!((token.id.as_str(), token.kind.as_str()), (EMAID, "eMAID"));
    }
    let mut other = named(HashAlgorithm::Sha256);
    other["serialNumber"] = json!("7");
    assert_eq!(ask(&mut desk, &other, (true, false), None), "Nothing is known.");
    let certificate = named(HashAlgorithm::Sha256);
    let text = ask(&mut desk, &certificate, (false, true), Some(none));
    assert_eq!(text, "The contract's certificates are forgotten.");
    assert_eq!(ask(&mut desk, &certificate, (true, false), None), "Nothing is known.");
}

#[test]
fn the_status_of_each_certificate_towards_vehicles_is_fetched() {
    let mut desk = Desk::new(Version::V201);
    let asks = |serial: &str| {
        json!({ "hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb",
            "serialNumber": serial, "responderURL": "http://ocsp.example" })
    };
    desk.asks = vec![asks("12"), asks("34")];
    let mut desk = desk.accept();
    // The desk answered the first ones with nothing of use: an hour later they are asked again.
    desk.pass(3600);
    let mut fetched = Vec::new();
    while let Some(call) = desk.open().cloned() {
        if call.action == "GetCertificateStatus" {
            fetched.push(call.payload["ocspRequestData"]["serialNumber"].clone());
            let result = if fetched.len() == 1 { "YQ==" } else { "Yg==" };
            desk.answer(json!({ "status": "Accepted", "ocspResult": result }));
        } else {
            desk.answer(json!({ "currentTime": voltry_ocpp::time::rfc3339(crate::desk::START) }));
        }
    }
    assert_eq!(fetched, ["12", "34"]);
    assert_eq!(desk.stapled, [b"a", b"b"], "each goes to whoever has its certificate");
}
