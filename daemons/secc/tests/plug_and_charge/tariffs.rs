//! Sales tariffs under a contract: signed by the mobility operator, or none.

use std::sync::Arc;

use voltry_bus::PhaseAnswer;
use voltry_secc::message::{Offer, PowerPoint, Schedule, Tariff, TariffEntry};
use voltry_units::Watts;

use super::*;

fn planned(id: u8) -> Schedule {
    let entry =
        |start, level| TariffEntry { start, duration: None, price_level: Some(level), costs: Vec::new() };
    Schedule {
        id,
        points: vec![PowerPoint { start: 0, power: Watts::new(22_000) }],
        duration: 7200,
        tariff: Some(Tariff {
            id,
            description: None,
            price_levels: Some(2),
            entries: vec![entry(0, 2), entry(3600, 1)],
        }),
    }
}

/// What a vehicle that proved its contract is told, and under which signature.
fn told(signature: Option<Vec<u8>>) -> (iso2::SAScheduleList, Option<iso2::Signature>) {
    let contract = Contract::new();
    let mut bench = bench(&contract.root);
    let challenge = challenged(&mut bench, &contract);
    let (request, proof) = signed(&contract.leaf, &challenge);
    bench.pushed.authorization = Authorization::Granted;
    bench.send_signed(request, Some(proof));
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
    bench.send(parameters());
    let at = bench.now;
    let offer = Offer { id: 0, at, schedules: vec![planned(1), planned(2)], signature };
    bench.push(|pushed| pushed.schedules = Some(Arc::new(offer)));
    bench.pushed.answer = Some((bench.session.counter(), PhaseAnswer::Finished));
    bench.session.update(bench.now, &bench.pushed);
    let answer = bench.session.take_transmit();
    bench.vehicle.receive(&answer).unwrap();
    let Some(Message::Iso2(document)) = bench.vehicle.next_message().unwrap() else { panic!() };
    let iso2::Document::V2GMessage(whole) = *document else { panic!() };
    let Some(B::ChargeParameterDiscoveryRes(answer)) = whole.body.choice else { panic!() };
    assert_eq!(answer.response_code, R::OK);
    let Some(iso2::ChargeParameterDiscoveryResChoice2::SAScheduleList(list)) = answer.choice_2 else {
        panic!()
    };
    (list, whole.header.signature)
}

#[test]
fn without_a_signature_the_schedules_are_told_and_the_tariffs_are_not() {
    let (list, signature) = told(None);
    assert_eq!(list.sa_schedule_tuple.len(), 2);
    assert!(list.sa_schedule_tuple.iter().all(|tuple| tuple.sales_tariff.is_none()));
    assert_eq!(signature, None);
}

/// The operator signs what the station will tell; the vehicle checks it with the operator's key.
#[test]
fn a_mobility_operators_signature_covers_the_tariffs_that_the_vehicle_hears() {
    let operator = Contract::new().sub;
    // What is to be signed does not depend on the signature.
    let (_, unsigned) = told(Some(vec![1; 64]));
    let canonical = unsigned.unwrap().signed_info.to_xmldsig_fragment().unwrap();
    let value = pnc::Sign::sign(&Signer(&operator), Suite::EcdsaSha256, &canonical).unwrap();
    let (list, signature) = told(Some(value));
    let tariffs: Vec<_> =
        list.sa_schedule_tuple.iter().map(|tuple| tuple.sales_tariff.as_ref().unwrap()).collect();
    let ids: Vec<_> = tariffs.iter().map(|tariff| tariff.id.as_deref()).collect();
    assert_eq!(ids, [Some("tariff1"), Some("tariff2")]);
    let fragments: Vec<_> = tariffs.iter().map(|tariff| tariff.to_fragment().unwrap()).collect();
    let elements: Vec<_> =
        ids.iter().zip(&fragments).map(|(id, fragment)| pnc::Signed::new(id.unwrap(), fragment)).collect();
    let signature = signature.unwrap();
    let good =
        |elements: &[pnc::Signed<'_>]| pnc::iso2::verify(&signature, elements, &Sha256, &Checker(&operator));
    good(&elements).unwrap();
    assert!(good(&elements[..1]).is_err(), "a tariff that is not there");
    let mut other = fragments[1].clone();
    *other.last_mut().unwrap() ^= 0x10;
    assert!(good(&[elements[0], pnc::Signed::new("tariff2", &other)]).is_err(), "another tariff");
}

struct Checker<'a>(&'a Holder);

impl pnc::Verify for Checker<'_> {
    fn verify(&self, _: Suite, data: &[u8], signature: &[u8]) -> Result<(), PncError> {
        let number = |bytes| openssl::bn::BigNum::from_slice(bytes).unwrap();
        let (r, s) = signature.split_at(32);
        let signature = EcdsaSig::from_private_components(number(r), number(s)).unwrap();
        let key = self.0.key.ec_key().unwrap();
        let good = signature.verify(&openssl::sha::sha256(data), &key).unwrap();
        if good { Ok(()) } else { Err(PncError::BadSignature) }
    }
}
