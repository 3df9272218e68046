//! A contract that leads to no root here, at a station whose back end judges such contracts.

use super::*;

/// The id and the contract of each doubt that was told.
fn doubts(bench: &Bench) -> Vec<(u64, &str, usize)> {
    let told = bench.events.iter().filter_map(|event| match event {
        Event::ContractDoubted { id, contract } => Some((*id, &*contract.emaid, contract.chain.len())),
        _ => None,
    });
    told.collect()
}

/// A session in which the back end may judge, and nobody's root is here.
fn judged() -> Bench {
    bench_by(&[], &[], None, true)
}

/// Up to the signed AuthorizationReq, which is open; the doubt's id.
fn doubted(bench: &mut Bench, contract: &Contract) -> u64 {
    let challenge = challenged(bench, contract);
    let (req, signature) = signed(&contract.leaf, &challenge);
    bench.send_signed(req, Some(signature));
    let [(id, EMAID, 2)] = doubts(bench)[..] else { panic!("{:?}", doubts(bench)) };
    id
}

#[test]
fn a_contract_that_the_back_end_believes_is_presented_after_its_word_and_not_before() {
    let contract = Contract::new();
    let mut bench = judged();
    let id = doubted(&mut bench, &contract);
    assert_eq!(contracts(&bench), [""; 0], "nobody has vouched for it");
    bench.pass(Duration::from_millis(150), true);
    let Some(B::AuthorizationRes(answer)) = bench.heard() else { panic!() };
    assert_eq!((answer.response_code, answer.evse_processing), (R::OK, EVSEProcessing::Ongoing));
    bench.send(authorization());
    bench.push(|pushed| pushed.judgement = Some((id - 1, true)));
    assert_eq!(contracts(&bench), [""; 0], "the word on another");
    bench.push(|pushed| pushed.judgement = Some((id, true)));
    assert_eq!(contracts(&bench), [EMAID]);
    bench.push(|pushed| pushed.authorization = Authorization::Granted);
    let Some(B::AuthorizationRes(answer)) = bench.heard() else { panic!() };
    assert_eq!((answer.response_code, answer.evse_processing), (R::OK, EVSEProcessing::Finished));
    assert_eq!((contracts(&bench).len(), doubts(&bench).len()), (1, 1), "told once");
}

#[test]
fn a_contract_that_the_back_end_does_not_believe_is_refused_and_never_presented() {
    let contract = Contract::new();
    let mut bench = judged();
    let id = doubted(&mut bench, &contract);
    bench.push(|pushed| pushed.judgement = Some((id, false)));
    assert_eq!(code(&bench.heard().unwrap()), R::FAILEDCertChainError);
    assert_eq!(contracts(&bench), [""; 0]);
    let (outcome, cause) = end(&bench);
    assert!(
        outcome == LinkOutcome::Failed && cause.contains("the back end does not believe them"),
        "{cause}"
    );
}

#[test]
fn without_the_back_ends_word_a_doubted_contract_does_not_charge_and_a_card_does() {
    let contract = Contract::new();
    for card in [false, true] {
        let mut bench = judged();
        doubted(&mut bench, &contract);
        // The eleventh request comes after the 55 s that the back end has.
        for _ in 0..if card { 10 } else { 11 } {
            bench.pass(Duration::from_millis(5400), true);
            assert_eq!(code(&bench.heard().unwrap()), R::OK);
            bench.send(authorization());
        }
        if card {
            bench.push(|pushed| pushed.authorization = Authorization::Granted);
        }
        let Some(B::AuthorizationRes(answer)) = bench.heard() else { panic!() };
        let told = (answer.response_code, answer.evse_processing);
        let expected = if card { R::OK } else { R::FAILED };
        assert_eq!(told, (expected, EVSEProcessing::Finished));
        assert_eq!(contracts(&bench), [""; 0]);
    }
}

#[test]
fn what_is_wrong_with_a_contract_is_not_left_to_the_back_end() {
    let expired = Contract::of(Wish { days: (-30, -2), ..Wish::new(EMAID, Role::Contract) });
    let stranger = Contract::new();
    // As a thief would write it: below another's certificate, which did not sign it.
    let forged = Contract { sub: Contract::new().sub, ..Contract::new() };
    let other = root("MO root").issue(Wish::new("other sub-CA", Role::Authority));
    let astray = Contract { sub: other, ..Contract::new() };
    for (contract, emaid, told) in [
        (&expired, EMAID, R::FAILEDCertificateExpired),
        (&stranger, "DEVOLC9999999X", R::FAILEDCertChainError),
        (&forged, EMAID, R::FAILEDCertChainError),
        (&astray, EMAID, R::FAILEDCertChainError),
    ] {
        let mut bench = judged();
        bench.ok(choose_contract(&[(1, None)]));
        assert_eq!(code(&bench.ask(contract.details_of(emaid)).unwrap()), told, "{emaid}");
    }
    // And the challenge has to be signed by the contract's own key.
    let mut bench = judged();
    let challenge = challenged(&mut bench, &stranger);
    let (req, signature) = signed(&expired.leaf, &challenge);
    bench.send_signed(req, Some(signature));
    assert_eq!(code(&bench.heard().unwrap()), R::FAILEDSignatureError);
    assert!(doubts(&bench).is_empty());
}

#[test]
fn a_contract_alone_or_with_its_root_is_the_back_ends_to_judge_too() {
    let contract = Contract::new();
    for above in [vec![], vec![contract.sub.der(), contract.root.der()]] {
        let mut bench = judged();
        bench.ok(choose_contract(&[(1, None)]));
        let B::PaymentDetailsReq(mut details) = contract.details() else { panic!() };
        details.contract_signature_cert_chain.sub_certificates =
            (!above.is_empty()).then_some(iso2::SubCertificates { certificate: above.clone() });
        let B::PaymentDetailsRes(answer) = bench.ok(B::PaymentDetailsReq(details)) else { panic!() };
        let (req, signature) = signed(&contract.leaf, &answer.gen_challenge);
        bench.send_signed(req, Some(signature));
        let [(_, EMAID, shown)] = doubts(&bench)[..] else { panic!() };
        assert_eq!(shown, above.len() + 1);
    }
}
