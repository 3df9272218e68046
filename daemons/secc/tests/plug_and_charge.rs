//! Plug & Charge of ISO 15118-2, from the choice of the contract to the grant.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

#[path = "plug_and_charge/certificates.rs"]
mod certificates;
#[path = "plug_and_charge/doubted.rs"]
mod doubted;
#[path = "plug_and_charge/metering.rs"]
mod metering;
#[path = "plug_and_charge/tariffs.rs"]
mod tariffs;

use crate::{bench, pki};

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bench::*;
use iso15118::exi::ValueCoding;
use iso15118::iso2::{
    self, BodyChoice as B, CertificateChain, EVSEProcessing, PaymentOption, PaymentServiceSelectionReq,
    ResponseCode as R, SelectedService,
};
use iso15118::message::Message;
use iso15118::pnc::{self, GenChallenge, PncError, Suite};
use openssl::ecdsa::EcdsaSig;
use openssl::x509::X509Crl;
use pki::{Holder, Role, Wish, root};
use proptest::prelude::*;
use voltry_bus::{Authorization, LinkOutcome};
use voltry_secc::config::{Metering, Timing};
use voltry_secc::contract::CertificateAnswer;
use voltry_secc::session::{Event, Session};
use voltry_secc::v2g::{Contracts, Identity};
use voltry_units::{Amps, Measured, Timestamp, WattHours};

const EMAID: &str = "DEVOLC0123456X";

/// A mobility operator's root, its sub-CA, and a contract.
struct Contract {
    root: Holder,
    sub: Holder,
    leaf: Holder,
}

impl Contract {
    fn new() -> Self {
        Self::of(Wish::new(EMAID, Role::Contract))
    }

    fn of(wish: Wish<'_>) -> Self {
        let root = root("MO root");
        let sub = root.issue(Wish::new("MO sub-CA", Role::Authority));
        let leaf = sub.issue(wish);
        Self { root, sub, leaf }
    }

    fn details(&self) -> B {
        self.details_of(EMAID)
    }

    fn details_of(&self, emaid: &str) -> B {
        B::PaymentDetailsReq(iso2::PaymentDetailsReq {
            e_maid: emaid.to_owned(),
            contract_signature_cert_chain: CertificateChain {
                id: None,
                certificate: self.leaf.der(),
                sub_certificates: Some(iso2::SubCertificates { certificate: vec![self.sub.der()] }),
            },
        })
    }
}

/// A session over TLS that believes contracts below this root.
fn bench(root: &Holder) -> Bench {
    bench_of(&[root])
}

fn bench_of(roots: &[&Holder]) -> Bench {
    bench_with(roots, None)
}

fn bench_with(roots: &[&Holder], metering: Option<Metering>) -> Bench {
    bench_without(&[], roots, metering)
}

/// At a station with these revocation lists.
fn bench_without(lists: &[Vec<u8>], roots: &[&Holder], metering: Option<Metering>) -> Bench {
    bench_by(lists, roots, metering, false)
}

/// At a station whose back end judges what leads to none of the roots, or does not.
fn bench_by(lists: &[Vec<u8>], roots: &[&Holder], metering: Option<Metering>, central: bool) -> Bench {
    let mut bench = Bench::new();
    let identity = Identity {
        evse_id: "DE*VOL*E1".to_owned(),
        peak_current_ripple: Amps::new(1),
        metering,
        protocols: voltry_secc::message::Protocol::ALL.to_vec(),
        dc_modes: vec![voltry_secc::message::DcMode::Extended],
        services: vec![voltry_secc::message::Service::Dc],
        control_modes: voltry_secc::message::ControlMode::ALL.to_vec(),
    };
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    bench.session = Session::open(bench.now, unix, identity, Timing::default(), ID, None, 100);
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (number, root) in roots.iter().enumerate() {
        files.push(root.write(folder.path(), &format!("root {number}"), &[]).0);
    }
    let mut revocation_lists = vec![folder.path().join("not there yet")];
    for (number, list) in lists.iter().enumerate() {
        revocation_lists.push(folder.path().join(format!("list {number}")));
        std::fs::write(&revocation_lists[number + 1], list).unwrap();
    }
    let contracts = Contracts::load(&files, &revocation_lists).unwrap().judged_centrally(central);
    bench.session.secured(bench.now, false, Some(Arc::new(contracts)));
    bench.reach_services();
    bench
}

fn choose_contract(services: &[(u16, Option<i16>)]) -> B {
    let service = services
        .iter()
        .map(|(service_id, parameter_set_id)| SelectedService {
            service_id: *service_id,
            parameter_set_id: *parameter_set_id,
        })
        .collect();
    B::PaymentServiceSelectionReq(PaymentServiceSelectionReq {
        selected_payment_option: PaymentOption::Contract,
        selected_service_list: iso2::SelectedServiceList { selected_service: service },
    })
}

struct Sha256;

impl pnc::Hash for Sha256 {
    fn digest(&self, _: Suite, data: &[u8]) -> Vec<u8> {
        openssl::sha::sha256(data).to_vec()
    }
}

struct Signer<'a>(&'a Holder);

impl pnc::Sign for Signer<'_> {
    fn sign(&self, _: Suite, data: &[u8]) -> Result<Vec<u8>, PncError> {
        let key = self.0.key.ec_key().unwrap();
        let signature = EcdsaSig::sign(&openssl::sha::sha256(data), &key).unwrap();
        let mut raw = signature.r().to_vec_padded(32).unwrap();
        raw.extend(signature.s().to_vec_padded(32).unwrap());
        Ok(raw)
    }
}

/// AuthorizationReq with its signature by this key.
fn signed(key: &Holder, challenge: &[u8]) -> (B, iso2::Signature) {
    let mut req = iso2::AuthorizationReq { id: None, gen_challenge: None };
    let challenge = GenChallenge::from_slice(challenge).unwrap();
    let signature = pnc::iso2::sign_authorization(&mut req, &challenge, &Sha256, &Signer(key)).unwrap();
    (B::AuthorizationReq(req), signature)
}

/// Up to the challenge.
fn challenged(bench: &mut Bench, contract: &Contract) -> Vec<u8> {
    bench.ok(choose_contract(&[(1, None)]));
    let B::PaymentDetailsRes(answer) = bench.ok(contract.details()) else { panic!() };
    answer.gen_challenge
}

fn end(bench: &Bench) -> (LinkOutcome, String) {
    let end = bench.events.iter().find_map(|event| match event {
        Event::Ended(outcome, cause) => Some((*outcome, cause.as_ref().unwrap().to_string())),
        _ => None,
    });
    end.expect("it ended")
}

fn contracts(bench: &Bench) -> Vec<&str> {
    let told = bench.events.iter().filter_map(|event| match event {
        Event::Contract(proven) => Some(&*proven.emaid),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_contract_that_leads_to_a_root_and_signs_the_challenge_charges() {
    let contract = Contract::new();
    let mut bench = bench(&contract.root);
    let B::ServiceDiscoveryRes(answer) = bench.ok(service_discovery()) else { panic!() };
    let options = [PaymentOption::Contract, PaymentOption::ExternalPayment];
    assert_eq!(answer.payment_option_list.payment_option, options);
    let challenge = challenged(&mut bench, &contract);
    assert_eq!(challenge.len(), 16);
    assert_eq!(contracts(&bench), [""; 0], "nothing is proved yet");
    let (req, signature) = signed(&contract.leaf, &challenge);
    bench.send_signed(req.clone(), Some(signature.clone()));
    assert_eq!(contracts(&bench), [EMAID]);
    bench.pass(Duration::from_millis(150), true);
    let Some(B::AuthorizationRes(answer)) = bench.heard() else { panic!() };
    assert_eq!(
        (answer.response_code, answer.evse_processing),
        (R::OK, EVSEProcessing::OngoingWaitingForCustomerInteraction)
    );
    // Some sign each of their requests, some the first alone.
    bench.send_signed(req, Some(signature));
    bench.pass(Duration::from_millis(150), true);
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
    bench.send(authorization());
    bench.push(|pushed| pushed.authorization = Authorization::Granted);
    let Some(B::AuthorizationRes(answer)) = bench.heard() else { panic!() };
    assert_eq!((answer.response_code, answer.evse_processing), (R::OK, EVSEProcessing::Finished));
    assert_eq!(contracts(&bench), [EMAID], "told once");
    bench.send(parameters());
    bench.answer(voltry_bus::PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
}

#[test]
fn each_of_several_roots_is_believed() {
    let (first, second, stranger) = (Contract::new(), Contract::new(), Contract::new());
    let roots = [&first.root, &second.root];
    for contract in [&first, &second] {
        challenged(&mut bench_of(&roots), contract);
    }
    let mut bench = bench_of(&roots);
    bench.ok(choose_contract(&[(1, None)]));
    assert_eq!(code(&bench.ask(stranger.details()).unwrap()), R::FAILEDCertChainError);
}

#[test]
fn an_emaid_is_the_same_with_and_without_its_check_digit_and_its_separators() {
    for (named, told, same) in [
        ("DE-VOL-C0123456X-7", "DEVOLC0123456X7", true),
        ("DEVOLC0123456X", "DEVOLC0123456X7", true),
        ("DEVOLC0123456X7", "devolc0123456x", true),
        ("DEVOLC0123456X7", "DEVOLC0123456X8", false),
        ("DEVOLC0123456X", "DEVOLC0123456Y", false),
    ] {
        let contract = Contract::of(Wish::new(named, Role::Contract));
        let mut bench = bench(&contract.root);
        bench.ok(choose_contract(&[(1, None)]));
        let expected = if same { R::OK } else { R::FAILEDCertChainError };
        assert_eq!(code(&bench.ask(contract.details_of(told)).unwrap()), expected, "{named} {told}");
    }
}

#[test]
fn a_signature_over_the_other_grammar_is_accepted_too() {
    let contract = Contract::new();
    let mut bench = bench(&contract.root);
    let challenge = challenged(&mut bench, &contract);
    let (req, mut signature) = signed(&contract.leaf, &challenge);
    let alone = signature.signed_info.to_xmldsig_fragment().unwrap();
    let whole = signature.signed_info.to_fragment_with(ValueCoding::Literal).unwrap();
    assert_eq!((alone.len(), whole.len()), (209, 210));
    signature.signature_value.value =
        pnc::Sign::sign(&Signer(&contract.leaf), Suite::EcdsaSha256, &whole).unwrap();
    bench.push(|pushed| pushed.authorization = Authorization::Granted);
    bench.send_signed(req, Some(signature));
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
}

#[test]
fn a_contract_that_cannot_be_believed_is_refused_with_its_reason() {
    let good = Contract::new();
    let expired = Contract::of(Wish { days: (-30, -2), ..Wish::new(EMAID, Role::Contract) });
    let other_emaid = Contract::of(Wish::new("DEVOLC9999999X", Role::Contract));
    let no_contract = Contract::of(Wish::new(EMAID, Role::Station));
    let stranger = Contract::new();
    for (contract, root, told, why) in [
        (
            &expired,
            &expired.root,
            R::FAILEDCertificateExpired,
            "certificate 0 is outside its validity period (",
        ),
        (&other_emaid, &other_emaid.root, R::FAILEDCertChainError, "for another eMAID"),
        (&no_contract, &no_contract.root, R::FAILEDCertChainError, "KeyUsage"),
        (&stranger, &good.root, R::FAILEDCertChainError, "trust anchor"),
    ] {
        let mut bench = bench(root);
        bench.ok(choose_contract(&[(1, None)]));
        let answer = bench.ask(contract.details()).unwrap();
        assert_eq!(code(&answer), told, "{why}");
        let (outcome, cause) = end(&bench);
        assert_eq!(outcome, LinkOutcome::Failed);
        assert!(cause.contains(why), "{cause}");
        assert!(!cause.contains(EMAID), "a contract's id is in the log: {cause}");
    }
}

#[test]
fn a_contract_that_was_withdrawn_or_stands_below_a_certificate_that_was_is_refused() {
    let (contract, other) = (Contract::new(), Contract::new());
    let sibling = contract.sub.issue(Wish::new("DEVOLC9999999X", Role::Contract));
    let der = |list: X509Crl| list.to_der().unwrap();
    let of_leaf = || contract.sub.revoke(&[&sibling, &contract.leaf], 30);
    let mut both = contract.root.revoke(&[&sibling], 30).to_pem().unwrap();
    both.extend(of_leaf().to_pem().unwrap());
    // As a thief would write it: signed by another who calls himself the same.
    let forged = other.sub.revoke(&[&contract.leaf], 30);
    for (lists, told) in [
        (vec![der(of_leaf())], R::FAILEDCertificateRevoked),
        (vec![der(contract.root.revoke(&[&contract.sub], 30))], R::FAILEDCertificateRevoked),
        (vec![der(other.sub.revoke(&[&other.leaf], 30)), both], R::FAILEDCertificateRevoked),
        (vec![der(contract.sub.revoke(&[&contract.leaf], -1))], R::FAILEDCertificateRevoked),
        (vec![der(contract.sub.revoke(&[&sibling], 30))], R::OK),
        (vec![der(contract.sub.revoke(&[&sibling], -1))], R::OK),
        (vec![der(forged)], R::OK),
    ] {
        let mut bench = bench_without(&lists, &[&contract.root], None);
        bench.ok(choose_contract(&[(1, None)]));
        assert_eq!(code(&bench.ask(contract.details()).unwrap()), told);
        if told == R::FAILEDCertificateRevoked {
            let (outcome, cause) = end(&bench);
            assert!(outcome == LinkOutcome::Failed && cause.contains("withdrawn by its issuer"), "{cause}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("list");
    std::fs::write(&damaged, "no list").unwrap();
    let (root, _) = contract.root.write(folder.path(), "root", &[]);
    assert!(Contracts::load(&[root], &[damaged]).unwrap_err().contains("no certificate revocation list"));
}

#[test]
fn a_signature_that_is_not_the_contracts_over_our_challenge_is_refused() {
    let contract = Contract::new();
    let other = contract.sub.issue(Wish::new("DEVOLC9999999X", Role::Contract));
    type Forge = fn(&mut B, &mut Option<iso2::Signature>);
    let altered: [(Forge, R); 5] = [
        (|_, signature| *signature = None, R::FAILEDSignatureError),
        // As some repeat it, but before any was good.
        (
            |req, signature| {
                *signature = None;
                *req = authorization();
            },
            R::FAILEDSignatureError,
        ),
        (|_, signature| signature.as_mut().unwrap().signature_value.value[5] ^= 1, R::FAILEDSignatureError),
        (
            |_, signature| {
                signature.as_mut().unwrap().signed_info.reference[0].digest_value[0] ^= 1;
            },
            R::FAILEDSignatureError,
        ),
        (
            |req, _| {
                let B::AuthorizationReq(req) = req else { return };
                req.gen_challenge = Some(vec![7; 16]);
            },
            R::FAILEDChallengeInvalid,
        ),
    ];
    for (forge, told) in altered {
        let mut bench = bench(&contract.root);
        let challenge = challenged(&mut bench, &contract);
        bench.push(|pushed| pushed.authorization = Authorization::Granted);
        let (mut req, signature) = signed(&contract.leaf, &challenge);
        let mut signature = Some(signature);
        forge(&mut req, &mut signature);
        bench.send_signed(req, signature);
        assert_eq!(code(&bench.heard().unwrap()), told);
        assert_eq!(contracts(&bench), [""; 0]);
    }
    let mut bench = bench(&contract.root);
    let challenge = challenged(&mut bench, &contract);
    bench.push(|pushed| pushed.authorization = Authorization::Granted);
    let (req, signature) = signed(&other, &challenge);
    bench.send_signed(req, Some(signature));
    assert_eq!(code(&bench.heard().unwrap()), R::FAILEDSignatureError);
    assert_eq!(contracts(&bench), [""; 0]);
}

#[test]
fn a_contract_that_was_not_shown_and_an_unsigned_way_round_are_out_of_order() {
    let contract = Contract::new();
    let mut bench = bench(&contract.root);
    bench.push(|pushed| pushed.authorization = Authorization::Granted);
    bench.ok(choose_contract(&[(1, None)]));
    assert_eq!(code(&bench.ask(authorization()).unwrap()), R::FAILEDSequenceError);
}

#[test]
fn services_that_are_not_offered_or_not_charging_are_refused_under_a_contract_too() {
    for (services, refusal) in [
        (&[(2, Some(1))][..], R::FAILEDNoChargeServiceSelected),
        (&[(1, None), (2, Some(3))], R::FAILEDServiceSelectionInvalid),
        (&[(1, None), (3, None)], R::FAILEDServiceSelectionInvalid),
        (&[(1, None), (2, Some(2))], R::OK),
        (&[(1, None), (2, None)], R::OK),
    ] {
        let root = root("MO root");
        let mut bench = bench(&root);
        assert_eq!(code(&bench.ask(choose_contract(services)).unwrap()), refusal, "{services:?}");
    }
}

#[test]
fn a_vehicle_that_asks_for_services_of_another_kind_hears_of_none() {
    use iso2::ServiceCategory as C;
    for (category, scope, told) in [
        (None, None, true),
        (Some(C::ContractCertificate), None, true),
        (Some(C::Internet), None, false),
        (None, Some("somebody's own"), false),
    ] {
        let root = root("MO root");
        let mut bench = bench(&root);
        let request = B::ServiceDiscoveryReq(iso2::ServiceDiscoveryReq {
            service_scope: scope.map(str::to_owned),
            service_category: category,
        });
        let B::ServiceDiscoveryRes(answer) = bench.ok(request) else { panic!() };
        assert_eq!(answer.service_list.is_some(), told, "{category:?} {scope:?}");
    }
}

#[test]
fn without_tls_or_roots_there_is_no_contract() {
    let contract = Contract::new();
    let mut bench = Bench::new();
    bench.session.secured(bench.now, false, None);
    bench.reach_services();
    let B::ServiceDiscoveryRes(answer) = bench.ok(service_discovery()) else { panic!() };
    assert_eq!(answer.payment_option_list.payment_option, [PaymentOption::ExternalPayment]);
    assert_eq!(answer.service_list, None);
    assert_eq!(code(&bench.ask(choose_contract(&[(1, None)])).unwrap()), R::FAILEDPaymentSelectionInvalid);
    let mut bench = Bench::new();
    bench.reach_services();
    assert_eq!(code(&bench.ask(contract.details()).unwrap()), R::FAILEDSequenceError);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a vehicle shows in place of its contract's certificate: it is refused, and no worse.
    #[test]
    fn damaged_certificates_are_refused(at in any::<prop::sample::Index>(), bit in 0_u32..8, cut in any::<bool>()) {
        static CONTRACT: std::sync::LazyLock<Contract> = std::sync::LazyLock::new(Contract::new);
        let contract = &*CONTRACT;
        let mut certificate = contract.leaf.der();
        let at = at.index(certificate.len());
        if cut { certificate.truncate(at) } else { certificate[at] ^= 1 << bit }
        let mut bench = bench(&contract.root);
        bench.ok(choose_contract(&[(1, None)]));
        let B::PaymentDetailsReq(mut details) = contract.details() else { panic!() };
        details.contract_signature_cert_chain.certificate = certificate;
        let answer = bench.ask(B::PaymentDetailsReq(details));
        prop_assert!(answer.is_some_and(|answer| code(&answer) != R::OK) || bench.session.is_closed());
    }
}

/// Vehicles wait for a minute: no driver has a part in it.
#[test]
fn a_contract_that_nobody_grants_is_refused_before_the_vehicle_gives_up() {
    let contract = Contract::new();
    let mut bench = bench(&contract.root);
    let challenge = challenged(&mut bench, &contract);
    let start = bench.now;
    let refused = loop {
        let (request, proof) = signed(&contract.leaf, &challenge);
        bench.send_signed(request, Some(proof));
        bench.pass(Duration::from_secs(1), true);
        let answer = bench.heard().unwrap();
        if code(&answer) != R::OK {
            break code(&answer);
        }
        assert!(bench.now.since(start) < Duration::from_secs(60), "it waits no longer");
    };
    assert_eq!(refused, R::FAILED);
    assert!(bench.now.since(start) >= Duration::from_secs(55), "a card may be shown as long");
}
