//! A vehicle that asks for a contract certificate, and a back end on the bus.

use iso15118::iso2::{PaymentOption, ResponseCode, SelectedService};
use openssl::ssl::SslVersion;
use voltry_bus::proxies::ContractCertificates1Proxy;
use voltry_bus::{CertificateAnswer, CertificateRequest, Device1Proxy, Error};

use super::tls::{Files, shake, vehicle};
use super::*;

/// As [`Vehicle::ask`] would send it, of another session.
fn message(body: B) -> Vec<u8> {
    let header = iso2::MessageHeader { session_id: vec![9; 8], notification: None, signature: None };
    let message = iso2::V2GMessage { header, body: iso2::Body { choice: Some(body) } };
    Message::Iso2(Box::new(iso2::Document::V2GMessage(message))).encode().unwrap().1
}

fn selection() -> B {
    let service = |service_id, parameter_set_id| SelectedService { service_id, parameter_set_id };
    B::PaymentServiceSelectionReq(iso2::PaymentServiceSelectionReq {
        selected_payment_option: PaymentOption::Contract,
        selected_service_list: iso2::SelectedServiceList {
            selected_service: vec![service(1, None), service(2, Some(1))],
        },
    })
}

#[tokio::test]
async fn a_back_end_answers_over_the_bus_once_and_nothing_but_what_was_asked() {
    let files = Files::new();
    let root = files.folder.path().join("maker.pem");
    let configuration =
        format!("{}contract_roots = [\"{}\"]\n", files.configuration("allowed"), root.display());
    with_daemon_of(&configuration, |evse| async move {
        attach(&evse).await;
        let connection = evse.inner().connection();
        let back_end = ContractCertificates1Proxy::builder(connection)
            .destination(NAME)
            .path(PATH)
            .build()
            .await
            .unwrap();
        let mut requests = back_end.receive_requested().await.unwrap();
        let mut vehicle = vehicle(shake(files.client(SslVersion::TLS1_2)).await.unwrap());
        vehicle.set_up().await;
        vehicle.ok(service_discovery()).await;
        vehicle.ok(selection()).await;
        let asked = B::CertificateInstallationReq(iso2::CertificateInstallationReq {
            id: "ID1".to_owned(),
            ..iso2::CertificateInstallationReq::minimal()
        });
        let mut granted = iso2::CertificateInstallationRes::minimal();
        granted.response_code = ResponseCode::OK;
        let granted = B::CertificateInstallationRes(granted);
        let answering = async {
            let request = requests.next().await.unwrap();
            let CertificateRequest { id, kind, schema, message: sent } =
                request.args().unwrap().request().clone();
            assert_eq!((kind.as_str(), schema.as_str()), ("installation", "urn:iso:15118:2:2013:MsgDef"));
            assert!(sent.len() > 10);
            let answer = |id, message| back_end.answer(CertificateAnswer { id, message });
            let good = message(granted.clone());
            assert!(matches!(answer(id + 1, good.clone()).await, Err(Error::Stale(_))));
            for nonsense in [vec![0x80, 1, 2], sent, message(session_setup()), vec![0x80; 20_000]] {
                assert!(matches!(answer(id, nonsense).await, Err(Error::Invalid(_))));
            }
            answer(id, good.clone()).await.unwrap();
            assert!(matches!(answer(id, good).await, Err(Error::Stale(_))), "a second time");
        };
        let (heard, ()) = tokio::join!(vehicle.ask(asked.clone()), answering);
        assert_eq!(heard, granted);

        let refusing = async {
            let request = requests.next().await.unwrap();
            let id = request.args().unwrap().request().id;
            back_end.answer(CertificateAnswer { id, message: Vec::new() }).await.unwrap();
        };
        let (heard, ()) = tokio::join!(vehicle.ask(asked), refusing);
        assert_eq!(code(&heard), ResponseCode::FAILEDNoCertificateAvailable);
    })
    .await;
}

#[tokio::test]
async fn what_a_back_end_reads_of_plug_and_charge_is_what_the_next_vehicle_is_offered() {
    let files = Files::new();
    let installed = files.folder.path().join("installed");
    std::fs::create_dir(&installed).unwrap();
    let configuration =
        format!("{}installed = \"{}\"\n", files.configuration("allowed"), installed.display());
    with_daemon_of(&configuration, |evse| async move {
        let device = Device1Proxy::builder(evse.inner().connection())
            .destination(NAME)
            .path(PATH)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .unwrap();
        let read = async |name: &str| {
            let variables = device.variables().await.unwrap();
            variables.into_iter().find(|variable| variable.name == name).map(|variable| variable.value)
        };
        attach(&evse).await;
        assert_eq!(read("PnCEnabled").await.unwrap(), "false");
        std::fs::copy(files.folder.path().join("maker.pem"), installed.join("mo-roots.pem")).unwrap();
        evse.detach().await.unwrap();
        until(&evse, LinkPhase::Detached).await;
        attach(&evse).await;
        assert_eq!(read("PnCEnabled").await.unwrap(), "true");
        // Without a root, where the back end judges contracts; none waits for its word yet.
        std::fs::remove_file(installed.join("mo-roots.pem")).unwrap();
        let connection = evse.inner().connection();
        let back_end = ContractCertificates1Proxy::builder(connection).destination(NAME).path(PATH);
        let back_end = back_end.build().await.unwrap();
        back_end.set_central_validation(true).await.unwrap();
        assert!(matches!(back_end.judge(1, true).await, Err(Error::Stale(_))));
        evse.detach().await.unwrap();
        until(&evse, LinkPhase::Detached).await;
        attach(&evse).await;
        assert_eq!(read("PnCEnabled").await.unwrap(), "true");
        back_end.set_central_validation(false).await.unwrap();
        evse.detach().await.unwrap();
        until(&evse, LinkPhase::Detached).await;
        attach(&evse).await;
        assert_eq!(read("PnCEnabled").await.unwrap(), "false");
        // Those the back end sets itself, for the whole station.
        for name in ["CentralContractValidationAllowed", "ContractValidationOffline"] {
            assert_eq!(read(name).await, None, "{name}");
        }
    })
    .await;
}
