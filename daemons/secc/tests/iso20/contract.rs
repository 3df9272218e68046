//! Plug & Charge of ISO 15118-20.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use iso15118::iso20::common::Signature;
use iso15118::iso20::messages::PnCAReqAuthorizationMode;
use iso15118::pnc::{self, GenChallenge, PncError, Suite};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::x509::X509Crl;
use voltry_secc::config::{Metering, Timing};
use voltry_secc::contract::CertificateAnswer;
use voltry_secc::message;
use voltry_secc::session::Session;
use voltry_secc::v2g::{Contracts, Identity};

use super::pki::{Holder, Role, Wish, root};
use super::*;

const EMAID: &str = "DEVOLC0123456X";

/// A contract on one of the two curves, and how it signs.
pub(super) struct Contract {
    root: Holder,
    sub: Holder,
    pub(super) leaf: Holder,
    pub(super) suite: Suite,
}

pub(super) struct Signer<'a>(pub(super) &'a Holder);

fn digest(suite: Suite, data: &[u8]) -> Vec<u8> {
    if suite == Suite::EcdsaSha512 {
        openssl::sha::sha512(data).to_vec()
    } else {
        openssl::sha::sha256(data).to_vec()
    }
}

impl pnc::Hash for Signer<'_> {
    fn digest(&self, suite: Suite, data: &[u8]) -> Vec<u8> {
        digest(suite, data)
    }
}

impl pnc::Sign for Signer<'_> {
    fn sign(&self, suite: Suite, data: &[u8]) -> Result<Vec<u8>, PncError> {
        let length = if suite == Suite::EcdsaSha512 { 66 } else { 32 };
        let key = self.0.key.ec_key().unwrap();
        let signature = EcdsaSig::sign(&digest(suite, data), &key).unwrap();
        let mut raw = signature.r().to_vec_padded(length).unwrap();
        raw.extend(signature.s().to_vec_padded(length).unwrap());
        Ok(raw)
    }
}

impl Contract {
    pub(super) fn new(suite: Suite, days: (i64, i64)) -> Self {
        let curve = if suite == Suite::EcdsaSha512 { Nid::SECP521R1 } else { Nid::X9_62_PRIME256V1 };
        let wish = |name, role| Wish { curve, ..Wish::new(name, role) };
        // Its curve does not matter to those below it.
        let root = root("MO root").issue(wish("MO", Role::Authority));
        let sub = root.issue(wish("MO sub-CA", Role::Authority));
        let leaf = sub.issue(Wish { days, ..wish(EMAID, Role::Contract) });
        Self { root, sub, leaf, suite }
    }

    /// What proves it to this challenge.
    pub(super) fn proof(&self, challenge: &[u8]) -> (PnCAReqAuthorizationMode, Signature) {
        let mut mode = PnCAReqAuthorizationMode {
            id: "ID1".to_owned(),
            gen_challenge: Vec::new(),
            contract_certificate_chain: messages::ContractCertificateChain {
                certificate: self.leaf.der(),
                sub_certificates: messages::SubCertificates { certificate: vec![self.sub.der()] },
            },
        };
        let challenge = GenChallenge::from_slice(challenge).unwrap();
        let signer = Signer(&self.leaf);
        let signature =
            pnc::iso20::sign_authorization(self.suite, &mut mode, &challenge, &signer, &signer).unwrap();
        (mode, signature)
    }

    /// A vehicle that was told the ways to be authorized, before a station that believes this
    /// contract's root; with the challenge.
    fn vehicle(&self) -> (Vehicle, Vec<u8>) {
        self.vehicle_at(None)
    }

    /// The same at a station with this meter.
    pub(super) fn vehicle_at(&self, metering: Option<Metering>) -> (Vehicle, Vec<u8>) {
        self.vehicle_without(None, metering)
    }

    /// The same at a station with this revocation list.
    fn vehicle_without(&self, list: Option<X509Crl>, metering: Option<Metering>) -> (Vehicle, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = self.root.write(folder.path(), "root", &[]);
        let lists = [folder.path().join("list")];
        if let Some(list) = list {
            std::fs::write(&lists[0], list.to_pem().unwrap()).unwrap();
        }
        Self::vehicle_before(Contracts::load(&[file], &lists).unwrap(), metering)
    }

    /// The same at a station that believes these contracts.
    fn vehicle_before(contracts: Contracts, metering: Option<Metering>) -> (Vehicle, Vec<u8>) {
        let mut bench = Bench::new();
        let identity = Identity {
            evse_id: "DE*VOL*E1".to_owned(),
            peak_current_ripple: Amps::new(1),
            metering,
            protocols: vec![message::Protocol::Iso2],
            control_modes: message::ControlMode::ALL.to_vec(),
            dc_modes: vec![voltry_secc::message::DcMode::Extended],
            services: vec![Service::Dc],
        };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        bench.session = Session::open(bench.now, unix, identity, Timing::default(), ID, None, 100);
        bench.session.secured(bench.now, true, Some(Arc::new(contracts)));
        let mut vehicle = Vehicle::at(bench);
        let Main::SessionSetupRes(setup) = vehicle.main(session_setup) else { panic!() };
        vehicle.id = setup.header.session_id;
        let Main::AuthorizationSetupRes(offered) = vehicle.main(authorization_setup) else { panic!() };
        let (contract, external) = (messages::Authorization::PnC, messages::Authorization::EIM);
        assert_eq!(offered.authorization_services, [contract, external]);
        assert!(offered.certificate_installation_service);
        let messages::AuthorizationSetupResChoice::PnCASResAuthorizationMode(mode) = offered.choice else {
            panic!("no challenge")
        };
        assert_eq!(mode.gen_challenge.len(), 16);
        (vehicle, mode.gen_challenge)
    }
}

impl Vehicle {
    pub(super) fn prove(&mut self, (mode, signature): (PnCAReqAuthorizationMode, Signature)) {
        self.send_main(|header| {
            Main::AuthorizationReq(messages::AuthorizationReq {
                header: MessageHeader { signature: Some(signature), ..header },
                selected_authorization_service: messages::Authorization::PnC,
                choice: messages::AuthorizationReqChoice::PnCAReqAuthorizationMode(mode),
            })
        });
    }

    pub(super) fn told(&mut self) -> (ResponseCode, Processing) {
        let Some(Main::AuthorizationRes(answer)) = self.heard_main() else { panic!("no answer") };
        (answer.response_code, answer.evse_processing)
    }

    fn contracts(&self) -> Vec<&str> {
        let told = self.bench.events.iter();
        told.filter_map(|event| if let Event::Contract(proven) = event { Some(&*proven.emaid) } else { None })
            .collect()
    }
}

#[test]
fn a_contract_on_either_curve_charges() {
    for suite in [Suite::EcdsaSha256, Suite::EcdsaSha512] {
        let contract = Contract::new(suite, (-1, 365));
        let (mut vehicle, challenge) = contract.vehicle();
        let proof = contract.proof(&challenge);
        vehicle.prove(proof.clone());
        vehicle.bench.pass(Duration::from_millis(150), true);
        let waiting = (ResponseCode::OK, Processing::OngoingWaitingForCustomerInteraction);
        assert_eq!(vehicle.told(), waiting, "{suite:?}");
        // It asks again as it did.
        vehicle.prove(proof);
        vehicle.bench.push(|pushed| pushed.authorization = Authorization::Granted);
        assert_eq!(vehicle.told(), (ResponseCode::OK, Processing::Finished));
        assert_eq!(vehicle.contracts(), [EMAID]);
        assert!(matches!(vehicle.main(service_discovery), Main::ServiceDiscoveryRes(_)));
    }
}

#[test]
fn a_vehicle_whose_contract_is_no_good_is_warned_and_may_pay_otherwise() {
    let good = Contract::new(Suite::EcdsaSha256, (-1, 365));
    let expired = Contract::new(Suite::EcdsaSha256, (-30, -2));
    let stranger = Contract::new(Suite::EcdsaSha256, (-1, 365));
    for (at, shown, challenge, warning) in [
        (&expired, &expired, None, ResponseCode::WARNINGCertificateExpired),
        (&good, &stranger, None, ResponseCode::WARNINGCertificateValidationError),
        (&good, &good, Some([7; 16]), ResponseCode::WARNINGChallengeInvalid),
    ] {
        let (mut vehicle, ours) = at.vehicle();
        vehicle.bench.pushed.authorization = Authorization::Granted;
        vehicle.prove(shown.proof(challenge.as_ref().map_or(&ours, |wrong| wrong)));
        assert_eq!(vehicle.told(), (warning, Processing::Finished));
        assert_eq!(vehicle.contracts(), [""; 0]);
        let Main::ServiceDiscoveryRes(refused) = vehicle.main(service_discovery) else { panic!() };
        assert_eq!(refused.response_code, ResponseCode::FAILEDSequenceError, "nothing was granted");
        let (mut vehicle, ours) = at.vehicle();
        vehicle.prove(shown.proof(challenge.as_ref().map_or(&ours, |wrong| wrong)));
        assert_eq!(vehicle.told().0, warning);
        vehicle.bench.pushed.authorization = Authorization::Granted;
        let Main::AuthorizationRes(answer) = vehicle.main(authorization) else { panic!() };
        assert_eq!(answer.response_code, ResponseCode::OK);
    }
}

#[test]
fn a_contract_without_a_root_here_charges_by_the_back_ends_word_alone() {
    let (good, bad) = (ResponseCode::OK, ResponseCode::WARNINGCertificateValidationError);
    for (word, answer, presented) in [
        (Some(true), (good, Processing::Finished), true),
        (Some(false), (bad, Processing::Finished), false),
        (None, (good, Processing::Ongoing), false),
    ] {
        let contract = Contract::new(Suite::EcdsaSha512, (-1, 365));
        let contracts = Contracts::load(&[], &[]).unwrap().judged_centrally(true);
        let (mut vehicle, challenge) = Contract::vehicle_before(contracts, None);
        let proof = contract.proof(&challenge);
        vehicle.prove(proof.clone());
        vehicle.bench.pass(Duration::from_millis(150), true);
        assert_eq!(vehicle.told(), (good, Processing::Ongoing));
        let doubts: Vec<_> = vehicle
            .bench
            .events
            .iter()
            .filter_map(|event| {
                if let Event::ContractDoubted { id, contract } = event {
                    Some((*id, contract.chain.len()))
                } else {
                    None
                }
            })
            .collect();
        let [(id, 2)] = doubts[..] else { panic!("{doubts:?}") };
        assert_eq!(vehicle.contracts(), [""; 0], "nobody has vouched for it");
        vehicle.prove(proof);
        vehicle.bench.push(|pushed| pushed.judgement = word.map(|believed| (id, believed)));
        assert_eq!(vehicle.contracts(), vec![EMAID; usize::from(presented)], "{word:?}");
        if presented {
            vehicle.bench.push(|pushed| pushed.authorization = Authorization::Granted);
        } else {
            vehicle.bench.pass(Duration::from_millis(150), true);
        }
        assert_eq!(vehicle.told(), answer, "{word:?}");
    }
}

#[test]
fn a_vehicle_whose_contract_was_withdrawn_is_warned_of_that() {
    let contract = Contract::new(Suite::EcdsaSha512, (-1, 365));
    let list = contract.sub.revoke(&[&contract.leaf], 30);
    let (mut vehicle, challenge) = contract.vehicle_without(Some(list), None);
    vehicle.bench.pushed.authorization = Authorization::Granted;
    vehicle.prove(contract.proof(&challenge));
    assert_eq!(vehicle.told(), (ResponseCode::WARNINGCertificateRevoked, Processing::Finished));
    assert_eq!(vehicle.contracts(), [""; 0]);
}

#[test]
fn warnings_end_with_the_time_for_authorization() {
    let contract = Contract::new(Suite::EcdsaSha256, (-30, -2));
    let (mut vehicle, challenge) = contract.vehicle();
    for _ in 0..11 {
        vehicle.prove(contract.proof(&challenge));
        assert_eq!(vehicle.told().0, ResponseCode::WARNINGCertificateExpired);
        vehicle.bench.pass(Duration::from_secs(5), true);
    }
    vehicle.prove(contract.proof(&challenge));
    assert_eq!(vehicle.told().0, ResponseCode::FAILED);
    let ended = |event: &Event| matches!(event, Event::Ended(LinkOutcome::Failed, _));
    assert!(vehicle.bench.events.iter().any(ended));
}

#[test]
fn a_signature_that_is_not_the_contracts_ends_the_session() {
    let contract = Contract::new(Suite::EcdsaSha512, (-1, 365));
    let (mut vehicle, challenge) = contract.vehicle();
    vehicle.bench.pushed.authorization = Authorization::Granted;
    let (mode, mut signature) = contract.proof(&challenge);
    signature.signature_value.value[9] ^= 1;
    vehicle.prove((mode, signature));
    assert_eq!(vehicle.told().0, ResponseCode::FAILEDSignatureError);
    assert_eq!(vehicle.contracts(), [""; 0]);
    assert!(vehicle.bench.events.iter().any(|event| matches!(event, Event::Ended(LinkOutcome::Failed, _))));
}

#[test]
fn iso_15118_20_is_offered_where_the_connection_is_protected_so_far_and_not_elsewhere() {
    for protected in [true, false] {
        let mut bench = Bench::speaking(&[message::Protocol::Iso2, message::Protocol::Din]);
        bench.session.secured(bench.now, protected, None);
        let offer = SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso20));
        bench.vehicle.send(&Message::AppProtocolReq(Box::new(offer))).unwrap();
        bench.flush();
        let Some(Message::AppProtocolRes(answer)) = bench.vehicle.next_message().unwrap() else { panic!() };
        assert_eq!(answer.schema_id.is_some(), protected);
    }
}

fn certificate_request(header: MessageHeader) -> Main {
    Main::CertificateInstallationReq(messages::CertificateInstallationReq {
        header,
        ..messages::CertificateInstallationReq::minimal()
    })
}

/// The id and the message that the back end is asked with.
fn asked_for_a_certificate(vehicle: &Vehicle) -> (u64, std::sync::Arc<[u8]>) {
    let asked = vehicle.bench.events.iter().find_map(|event| match event {
        Event::CertificateRequest { id, protocol: message::Protocol::Iso20, update: false, message } => {
            Some((*id, std::sync::Arc::clone(message)))
        }
        _ => None,
    });
    asked.expect("the back end is asked")
}

/// As OCPP would bring it, of another session.
fn installation(response_code: ResponseCode) -> Vec<u8> {
    let header = MessageHeader { session_id: vec![9; 8], time_stamp: 1, signature: None };
    let answer = messages::CertificateInstallationRes {
        header,
        response_code,
        remaining_contract_certificate_chains: 3,
        ..messages::CertificateInstallationRes::minimal()
    };
    Message::Iso20(Box::new(Main::CertificateInstallationRes(answer))).encode().unwrap().1
}

#[test]
fn the_back_end_gets_the_request_for_a_certificate_and_the_vehicle_its_answer() {
    let contract = Contract::new(Suite::EcdsaSha512, (-1, 365));
    for told in [ResponseCode::OK, ResponseCode::WARNINGNoContractMatchingPCIDFound] {
        let (mut vehicle, challenge) = contract.vehicle();
        vehicle.send_main(certificate_request);
        let (id, request) = asked_for_a_certificate(&vehicle);
        let main = iso15118::v2gtp::PayloadType::Part20Main;
        let decoded = Message::decode(Some(Protocol::Iso20), main, &request).unwrap();
        assert_eq!(decoded.name(), "CertificateInstallationReq");
        let refused =
            voltry_secc::v2g::certificate_refused(message::Protocol::Iso20, false, &installation(told));
        let answer =
            CertificateAnswer { id, message: Some(installation(told).into()), refused: refused.unwrap() };
        vehicle.bench.push(|pushed| pushed.certificate = Some(answer));
        let Some(Main::CertificateInstallationRes(answer)) = vehicle.heard_main() else { panic!() };
        assert_eq!((answer.response_code, answer.remaining_contract_certificate_chains), (told, 3));
        assert_eq!(answer.header.session_id, ID, "under this session's id");
        assert!(answer.header.time_stamp > 1);
        // Whatever came of it, the vehicle may pay by a contract now.
        vehicle.bench.pushed.authorization = Authorization::Granted;
        vehicle.prove(contract.proof(&challenge));
        assert_eq!(vehicle.told(), (ResponseCode::OK, Processing::Finished));
    }
}

#[test]
fn without_an_answer_of_the_back_end_the_vehicle_is_warned_in_time_and_may_pay_otherwise() {
    let contract = Contract::new(Suite::EcdsaSha256, (-1, 365));
    let (mut vehicle, _) = contract.vehicle();
    vehicle.send_main(certificate_request);
    vehicle.bench.pass(Duration::from_millis(4400), true);
    assert_eq!(vehicle.heard_main(), None);
    vehicle.bench.pass(Duration::from_millis(200), true);
    let Some(Main::CertificateInstallationRes(answer)) = vehicle.heard_main() else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::WARNINGNoCertificateAvailable);
    vehicle.bench.pushed.authorization = Authorization::Granted;
    let Main::AuthorizationRes(answer) = vehicle.main(authorization) else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::OK);
}

#[test]
fn an_answer_of_the_back_end_in_another_protocol_is_none() {
    let refused = |protocol, message: &[u8]| voltry_secc::v2g::certificate_refused(protocol, false, message);
    let granted = installation(ResponseCode::OK);
    assert_eq!(refused(message::Protocol::Iso20, &granted), Ok(false));
    assert!(refused(message::Protocol::Iso2, &granted).is_err());
    let header = MessageHeader { session_id: vec![9; 8], time_stamp: 1, signature: None };
    let other = Message::Iso20(Box::new(service_discovery(header))).encode().unwrap().1;
    assert!(refused(message::Protocol::Iso20, &other).unwrap_err().contains("answers another request"));
    assert!(refused(message::Protocol::Iso20, &[0x80; 16_385]).unwrap_err().contains("more than"));
}

#[test]
fn a_vehicle_that_was_warned_of_its_contract_may_fetch_another_one() {
    let expired = Contract::new(Suite::EcdsaSha256, (-30, -2));
    let (mut vehicle, challenge) = expired.vehicle();
    vehicle.prove(expired.proof(&challenge));
    assert_eq!(vehicle.told().0, ResponseCode::WARNINGCertificateExpired);
    vehicle.send_main(certificate_request);
    let (id, _) = asked_for_a_certificate(&vehicle);
    let answer =
        CertificateAnswer { id, message: Some(installation(ResponseCode::OK).into()), refused: false };
    vehicle.bench.push(|pushed| pushed.certificate = Some(answer));
    let Some(Main::CertificateInstallationRes(answer)) = vehicle.heard_main() else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::OK);
    vehicle.prove(expired.proof(&challenge));
    assert_eq!(vehicle.told().0, ResponseCode::WARNINGCertificateExpired, "heard, whatever it shows now");
}

#[test]
fn certificates_that_are_fetched_again_and_again_give_no_more_time_for_authorization() {
    let expired = Contract::new(Suite::EcdsaSha256, (-30, -2));
    let (mut vehicle, challenge) = expired.vehicle();
    let start = vehicle.bench.now;
    let refused = loop {
        vehicle.prove(expired.proof(&challenge));
        let (code, _) = vehicle.told();
        if code != ResponseCode::WARNINGCertificateExpired {
            break code;
        }
        vehicle.send_main(certificate_request);
        vehicle.bench.pass(Duration::from_secs(5), true);
        assert!(matches!(vehicle.heard_main(), Some(Main::CertificateInstallationRes(_))));
        assert!(vehicle.bench.now.since(start) < Duration::from_secs(65), "it goes on for ever");
    };
    assert_eq!(refused, ResponseCode::FAILED);
    assert!(vehicle.bench.now.since(start) >= Duration::from_secs(55));
}

#[test]
fn a_vehicle_that_was_granted_its_charge_fetches_no_certificate() {
    let contract = Contract::new(Suite::EcdsaSha256, (-1, 365));
    let (mut vehicle, challenge) = contract.vehicle();
    vehicle.bench.pushed.authorization = Authorization::Granted;
    vehicle.prove(contract.proof(&challenge));
    assert_eq!(vehicle.told(), (ResponseCode::OK, Processing::Finished));
    let Main::CertificateInstallationRes(answer) = vehicle.main(certificate_request) else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::FAILEDSequenceError);
}
