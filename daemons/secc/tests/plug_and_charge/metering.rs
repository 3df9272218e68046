//! What a vehicle that charges by contract is shown of the meter, and the receipts that it signs.

use super::*;

/// A vehicle that charges by contract, at a station that shows its meter and wants a receipt a minute.
fn metered(contract: &Contract) -> Bench {
    let receipt_every = Some(Duration::from_secs(60));
    let mut bench = bench_with(&[&contract.root], Some(Metering { id: "M-1".to_owned(), receipt_every }));
    let challenge = challenged(&mut bench, contract);
    bench.push(|pushed| pushed.authorization = Authorization::Granted);
    let (req, signature) = signed(&contract.leaf, &challenge);
    bench.send_signed(req, Some(signature));
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
    bench.charge_from_parameters();
    bench
}

/// One round of the charge loop with the meter at this register, read two seconds ago.
fn demand(bench: &mut Bench, register: i64) -> iso2::CurrentDemandRes {
    bench.present(400, 100);
    let read = Timestamp::from_micros(bench.now.as_micros() - 2_000_000);
    bench.pushed.meter = Some(Measured::new(WattHours::from_milli(register), read));
    let B::CurrentDemandRes(answer) = bench.ask(current_demand()).unwrap() else { panic!() };
    answer
}

/// The round that asks for a receipt, and that receipt.
fn asked(bench: &mut Bench) -> iso2::MeteringReceiptReq {
    bench.pass(Duration::from_secs(59), true);
    assert_eq!(demand(bench, 7_000_999).receipt_required, None);
    bench.pass(Duration::from_secs(1), true);
    let answer = demand(bench, 8_000_999);
    assert_eq!((answer.response_code, answer.receipt_required), (R::OK, Some(true)));
    iso2::MeteringReceiptReq {
        id: None,
        session_id: ID.to_vec(),
        sa_schedule_tuple_id: Some(1),
        meter_info: answer.meter_info.unwrap(),
    }
}

#[test]
fn a_vehicle_is_told_what_the_meter_says_while_that_is_fresh() {
    let contract = Contract::new();
    let mut bench = metered(&contract);
    let answer = demand(&mut bench, 1_234_999);
    let info = answer.meter_info.unwrap();
    assert_eq!((info.meter_id.as_str(), info.meter_reading), ("M-1", Some(1234)));
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(info.t_meter.unwrap().abs_diff(i64::try_from(begun).unwrap()) <= 10);
    assert_eq!(answer.receipt_required, None);
    bench.pass(Duration::from_millis(1100), true);
    let B::CurrentDemandRes(answer) = bench.ok(current_demand()) else { panic!() };
    assert_eq!(answer.meter_info, None, "it is more than three seconds old");
}

#[test]
fn a_contract_signs_what_was_metered_once_a_minute_and_charges_on() {
    let contract = Contract::new();
    let mut bench = metered(&contract);
    for _ in 0..2 {
        let mut receipt = asked(&mut bench);
        let signature =
            pnc::iso2::sign_metering_receipt(&mut receipt, &Sha256, &Signer(&contract.leaf)).unwrap();
        bench.send_signed(B::MeteringReceiptReq(receipt), Some(signature));
        let Some(B::MeteringReceiptRes(answer)) = bench.heard() else { panic!() };
        assert_eq!(answer.response_code, R::OK);
        assert_eq!(demand(&mut bench, 9_000_000).response_code, R::OK);
    }
}

#[test]
fn a_receipt_that_is_not_the_contracts_or_of_another_reading_ends_the_session() {
    let contract = Contract::new();
    let other = contract.sub.issue(Wish::new("DEVOLC9999999X", Role::Contract));
    type Forge = fn(&mut iso2::MeteringReceiptReq, &mut Option<iso2::Signature>);
    let unsigned: Forge = |_, signature| *signature = None;
    let garbled: Forge = |_, signature| signature.as_mut().unwrap().signature_value.value[0] ^= 1;
    let less: Forge = |receipt, _| receipt.meter_info.meter_reading = Some(1);
    let kept: Forge = |_, _| {};
    for (forge, signer, why) in [
        (unsigned, &contract.leaf, "no signature"),
        (garbled, &contract.leaf, "signature"),
        (less, &contract.leaf, "MeterInfo"),
        (kept, &other, "signature"),
    ] {
        let mut bench = metered(&contract);
        let mut receipt = asked(&mut bench);
        let mut signature =
            Some(pnc::iso2::sign_metering_receipt(&mut receipt, &Sha256, &Signer(signer)).unwrap());
        forge(&mut receipt, &mut signature);
        bench.send_signed(B::MeteringReceiptReq(receipt), signature);
        assert_eq!(code(&bench.heard().unwrap()), R::FAILEDMeteringSignatureNotValid, "{why}");
        let (outcome, cause) = end(&bench);
        assert!(outcome == LinkOutcome::Failed && cause.contains(why), "{cause}");
    }
    // A good one, but of another session.
    let mut bench = metered(&contract);
    let mut receipt = iso2::MeteringReceiptReq { session_id: vec![9; 8], ..asked(&mut bench) };
    let signature = pnc::iso2::sign_metering_receipt(&mut receipt, &Sha256, &Signer(&contract.leaf)).unwrap();
    bench.send_signed(B::MeteringReceiptReq(receipt), Some(signature));
    assert_eq!(code(&bench.heard().unwrap()), R::FAILEDMeteringSignatureNotValid);
}

#[test]
fn a_vehicle_that_owes_a_receipt_may_stop_but_not_go_on() {
    let contract = Contract::new();
    let mut bench = metered(&contract);
    asked(&mut bench);
    assert_eq!(demand(&mut bench, 8_000_999).response_code, R::FAILEDSequenceError);
    assert!(end(&bench).1.contains("out of order before MeteringReceipt"), "{}", end(&bench).1);
    let mut bench = metered(&contract);
    asked(&mut bench);
    bench.send(power_delivery(iso2::ChargeProgress::Stop));
    bench.answer(voltry_bus::PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
    // Nor is one taken that was not asked for.
    let mut bench = metered(&contract);
    let mut receipt = asked(&mut bench);
    let signature = pnc::iso2::sign_metering_receipt(&mut receipt, &Sha256, &Signer(&contract.leaf)).unwrap();
    for told in [R::OK, R::FAILEDSequenceError] {
        bench.send_signed(B::MeteringReceiptReq(receipt.clone()), Some(signature.clone()));
        assert_eq!(code(&bench.heard().unwrap()), told);
    }
}

#[test]
fn who_pays_otherwise_is_shown_the_meter_and_owes_no_receipt() {
    let contract = Contract::new();
    let receipt_every = Some(Duration::from_secs(60));
    let mut bench = bench_with(&[&contract.root], Some(Metering { id: "M-1".to_owned(), receipt_every }));
    bench.ok(payment());
    bench.push(|pushed| pushed.authorization = Authorization::Granted);
    bench.ok(authorization());
    bench.charge_from_parameters();
    demand(&mut bench, 1_000_000);
    bench.pass(Duration::from_secs(59), true);
    demand(&mut bench, 1_000_000);
    bench.pass(Duration::from_secs(30), true);
    let answer = demand(&mut bench, 2_000_000);
    assert_eq!((answer.receipt_required, answer.meter_info.unwrap().meter_reading), (None, Some(2000)));
}
