//! A vehicle that asks the back end for a contract certificate.

use super::*;

fn certificate_request() -> B {
    B::CertificateInstallationReq(iso2::CertificateInstallationReq {
        id: "ID1".to_owned(),
        ..iso2::CertificateInstallationReq::minimal()
    })
}

/// A message as a back end makes it.
fn whole(body: B) -> Arc<[u8]> {
    let header = iso2::MessageHeader { session_id: vec![9; 8], notification: None, signature: None };
    let message = iso2::V2GMessage { header, body: iso2::Body { choice: Some(body) } };
    let message = Message::Iso2(Box::new(iso2::Document::V2GMessage(message)));
    message.encode().unwrap().1.into()
}

/// Up to the open request; its id and what the back end is given.
fn asked_for_a_certificate(bench: &mut Bench) -> (u64, Arc<[u8]>) {
    let B::ServiceDiscoveryRes(answer) = bench.ok(service_discovery()) else { panic!() };
    assert_eq!(answer.service_list.unwrap().service[0].service_id, 2);
    let B::ServiceDetailRes(answer) = bench.ok(B::ServiceDetailReq(iso2::ServiceDetailReq { service_id: 2 }))
    else {
        panic!()
    };
    assert_eq!(answer.service_parameter_list.unwrap().parameter_set.len(), 2);
    bench.ok(choose_contract(&[(1, None), (2, Some(1))]));
    assert_eq!(bench.ask(certificate_request()), None, "the back end is asked");
    let asked = bench.events.iter().find_map(|event| match event {
        Event::CertificateRequest { id, update: false, message, .. } => Some((*id, Arc::clone(message))),
        _ => None,
    });
    asked.expect("the back end is asked")
}

#[test]
fn the_back_end_gets_the_request_as_it_came_and_the_vehicle_its_answer() {
    let contract = Contract::new();
    let mut bench = bench(&contract.root);
    let (id, message) = asked_for_a_certificate(&mut bench);
    let payload_type = iso15118::v2gtp::PayloadType::from_u16(0x8001);
    let decoded = Message::decode(Some(iso15118::Protocol::Iso2), payload_type, &message).unwrap();
    assert_eq!(decoded.name(), "CertificateInstallationReq");
    let mut answer = iso2::CertificateInstallationRes::minimal();
    answer.response_code = R::OK;
    answer.e_maid.value = EMAID.to_owned();
    let answer = B::CertificateInstallationRes(answer);
    // One that came too late is not this one's.
    let late = CertificateAnswer { id: id - 1, message: Some(whole(answer.clone())), refused: false };
    bench.push(|pushed| pushed.certificate = Some(late));
    assert_eq!(bench.heard(), None);
    let right = CertificateAnswer { id, message: Some(whole(answer.clone())), refused: false };
    bench.push(|pushed| pushed.certificate = Some(right));
    assert_eq!(bench.heard(), Some(answer));
    assert_eq!(bench.id, ID, "under this session's id");
    bench.ok(contract.details());
}

#[test]
fn a_back_end_that_refuses_is_heard_in_its_own_words() {
    let contract = Contract::new();
    for (words, told) in [
        (Some(R::FAILEDContractCanceled), R::FAILEDContractCanceled),
        (None, R::FAILEDNoCertificateAvailable),
    ] {
        let mut bench = bench(&contract.root);
        let (id, _) = asked_for_a_certificate(&mut bench);
        let message = words.map(|code| {
            let mut answer = iso2::CertificateInstallationRes::minimal();
            answer.response_code = code;
            whole(B::CertificateInstallationRes(answer))
        });
        bench.push(|pushed| pushed.certificate = Some(CertificateAnswer { id, message, refused: true }));
        assert_eq!(code(&bench.heard().unwrap()), told);
        assert_eq!(end(&bench).0, LinkOutcome::Failed);
    }
}

#[test]
fn an_update_is_the_back_ends_too() {
    let contract = Contract::new();
    let mut bench = bench(&contract.root);
    bench.ok(choose_contract(&[(1, None), (2, Some(2))]));
    let update = iso2::CertificateUpdateReq { id: "ID1".to_owned(), ..iso2::CertificateUpdateReq::minimal() };
    assert_eq!(bench.ask(B::CertificateUpdateReq(update)), None);
    let asked = |event: &Event| matches!(event, Event::CertificateRequest { update: true, .. });
    assert!(bench.events.iter().any(asked));
    bench.pass(Duration::from_millis(4600), true);
    assert_eq!(code(&bench.heard().unwrap()), R::FAILEDNoCertificateAvailable);
}

#[test]
fn without_an_answer_of_the_back_end_the_vehicle_hears_in_time_that_there_is_none() {
    let contract = Contract::new();
    let mut bench = bench(&contract.root);
    asked_for_a_certificate(&mut bench);
    bench.pass(Duration::from_millis(4400), true);
    assert_eq!(bench.heard(), None);
    bench.pass(Duration::from_millis(200), true);
    let Some(B::CertificateInstallationRes(answer)) = bench.heard() else { panic!() };
    assert_eq!(answer.response_code, R::FAILEDNoCertificateAvailable);
    assert!(end(&bench).1.contains("within 4.5 s"), "{:?}", end(&bench));
}
