//! TLS with a vehicle that is OpenSSL's client and nothing else.

use std::pin::Pin;

use iso15118::sdp;
use iso15118::session::Connection as V2g;
use openssl::ssl::{
    ExtensionContext, Ssl, SslContext, SslContextBuilder, SslMethod, SslVerifyMode, SslVersion,
};
use openssl::x509::store::X509StoreBuilder;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use voltry_bus::{EvLink1Proxy, LinkOutcome};
use voltry_secc::config::configure;
use voltry_service::Config;

use super::pki::{Holder, Role, Wish, root};
use super::*;

/// A station with a P-256 chain below one root and a P-521 chain below another.
pub(crate) struct Files {
    pub(crate) folder: tempfile::TempDir,
    v2g: Holder,
    other: Holder,
    manufacturer: Holder,
}

impl Files {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (v2g, other, manufacturer) = (root("V2G root"), root("Other root"), root("Maker root"));
        let sub = v2g.issue(Wish::new("CPO sub-CA", Role::Authority));
        let leaf = sub.issue(Wish::new("station P-256", Role::Station));
        leaf.write(folder.path(), "p256", &[&sub, &v2g]);
        let leaf = other.issue(Wish::new("station of the other", Role::Station));
        leaf.write(folder.path(), "other", &[&other]);
        let wish = Wish { curve: openssl::nid::Nid::SECP521R1, ..Wish::new("station P-521", Role::Station) };
        v2g.issue(wish).write(folder.path(), "p521", &[&v2g]);
        manufacturer.write(folder.path(), "maker", &[]);
        std::fs::write(folder.path().join("ocsp.der"), b"stapled").unwrap();
        Self { folder, v2g, other, manufacturer }
    }

    pub(crate) fn configuration(&self, mode: &str) -> String {
        let path = |name: &str| format!("\"{}\"", self.folder.path().join(name).display());
        let one = |name: &str, ocsp: &str| {
            format!(
                "{{ chain = {}, key = {}{ocsp} }}",
                path(&format!("{name}.pem")),
                path(&format!("{name}.key"))
            )
        };
        format!(
            "[secc.1]\ninterface = \"lo\"\nevse_id = \"DE*VOL*E1\"\n\
             [secc.1.tls]\nmode = \"{mode}\"\nvehicle_roots = [{}]\nrevocation_lists = [{}]\n\
             certificates = [{}, {}, {}]\n",
            path("maker.pem"),
            path("maker.crl"),
            one("p256", &format!(", ocsp = {}", path("ocsp.der"))),
            one("other", ""),
            one("p521", ""),
        )
    }

    /// The manufacturer withdraws a vehicle's certificate; the next vehicle is plugged in.
    async fn withdraw(&self, evse: &EvLink1Proxy<'_>, stolen: &Holder, days: i64) {
        let list = self.manufacturer.revoke(&[stolen], days);
        std::fs::write(self.folder.path().join("maker.crl"), list.to_der().unwrap()).unwrap();
        evse.detach().await.unwrap();
        until(evse, LinkPhase::Detached).await;
        attach(evse).await;
    }

    /// A vehicle that trusts the V2G root.
    pub(crate) fn client(&self, version: SslVersion) -> SslContextBuilder {
        let mut client = client_of(&self.v2g);
        client.set_min_proto_version(Some(version)).unwrap();
        client.set_max_proto_version(Some(version)).unwrap();
        client
    }
}

fn client_of(root: &Holder) -> SslContextBuilder {
    let mut client = SslContext::builder(SslMethod::tls_client()).unwrap();
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(root.certificate.clone()).unwrap();
    client.set_cert_store(store.build());
    client.set_verify(SslVerifyMode::PEER);
    client
}

/// Names what it trusts in `trusted_ca_keys`.
fn naming(client: &mut SslContextBuilder, list: Vec<u8>) {
    client
        .add_custom_ext(
            3,
            ExtensionContext::CLIENT_HELLO | ExtensionContext::TLS1_2_SERVER_HELLO,
            move |_: &mut openssl::ssl::SslRef, context, _| {
                Ok(context.contains(ExtensionContext::CLIENT_HELLO).then(|| list.clone()))
            },
            |_, _, _: &[u8], _| Ok(()),
        )
        .unwrap();
}

async fn tcp() -> TcpStream {
    let station = Vehicle::discover_patiently(sdp::Request::TLS).await;
    assert_eq!(station.security, sdp::Security::Tls);
    TcpStream::connect((station.ipv6(), station.port)).await.unwrap()
}

/// Hands shake; the vehicle's side of it.
pub(crate) async fn shake(client: SslContextBuilder) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
    shake_by(&client.build()).await
}

async fn shake_by(client: &SslContext) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
    let mut ssl = Ssl::new(client).unwrap();
    ssl.set_status_type(openssl::ssl::StatusType::OCSP).unwrap();
    let mut stream = SslStream::new(ssl, tcp().await).unwrap();
    Pin::new(&mut stream).connect().await?;
    Ok(stream)
}

pub(crate) fn vehicle(stream: SslStream<TcpStream>) -> Vehicle {
    Vehicle { stream: Box::new(stream), v2g: V2g::new(), id: vec![0; 8] }
}

/// How the station says that it ended.
async fn detail(ends: &mut voltry_bus::proxies::EndedStream) -> String {
    let end = ends.next().await.unwrap();
    let end = end.args().unwrap().end().clone();
    assert_eq!(end.outcome, LinkOutcome::Failed);
    end.detail
}

fn shown(stream: &SslStream<TcpStream>) -> String {
    let name = stream.ssl().peer_certificate().unwrap();
    let entry = name.subject_name().entries_by_nid(openssl::nid::Nid::COMMONNAME).next().unwrap();
    entry.data().to_string().unwrap()
}

#[tokio::test]
async fn an_iso_15118_2_vehicle_charges_by_its_own_suite_and_gets_an_ocsp_response() {
    let files = Files::new();
    with_daemon_of(&files.configuration("allowed"), |evse| async move {
        attach(&evse).await;
        let mut client = files.client(SslVersion::TLS1_2);
        client.set_cipher_list("ECDHE-ECDSA-AES128-SHA256").unwrap();
        let stream = shake(client).await.unwrap();
        assert_eq!(stream.ssl().current_cipher().unwrap().protocol_id(), [0xc0, 0x23]);
        assert_eq!(stream.ssl().ocsp_status(), Some(&b"stapled"[..]));
        assert_eq!(shown(&stream), "station P-256");
        let mut vehicle = vehicle(stream);
        vehicle.charge().await;
        let mut rounds = Vec::new();
        for _ in 0..500 {
            let start = Instant::now();
            vehicle.ok(current_demand()).await;
            rounds.push(start.elapsed());
        }
        rounds.sort_unstable();
        println!(
            "CurrentDemandRes over TLS p50 {:?}, p99 {:?}, max {:?}",
            rounds[250], rounds[495], rounds[499]
        );
        assert!(rounds[250] < Duration::from_millis(25), "p50 {:?}", rounds[250]);
    })
    .await;
}

#[tokio::test]
async fn of_both_suites_the_one_that_vehicles_pick_comes_first() {
    let files = Files::new();
    with_daemon_of(&files.configuration("allowed"), |evse| async move {
        attach(&evse).await;
        let stream = shake(files.client(SslVersion::TLS1_2)).await.unwrap();
        assert_eq!(stream.ssl().current_cipher().unwrap().protocol_id(), [0xc0, 0x23]);
    })
    .await;
}

#[tokio::test]
async fn a_vehicle_that_names_its_roots_is_shown_a_certificate_below_one_of_them() {
    let files = Files::new();
    with_daemon_of(&files.configuration("allowed"), |evse| async move {
        attach(&evse).await;
        let name = files.other.certificate.subject_name().to_der().unwrap();
        let mut by_name = vec![2];
        by_name.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        by_name.extend(&name);
        let mut by_hash = vec![3];
        by_hash.extend(openssl::sha::sha1(&files.other.der()));
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            for authority in [&by_name, &by_hash] {
                let mut list = u16::try_from(authority.len()).unwrap().to_be_bytes().to_vec();
                list.extend(authority);
                let mut client = client_of(&files.other);
                client.set_max_proto_version(Some(version)).unwrap();
                naming(&mut client, list);
                let stream = shake(client).await.expect("a certificate that it trusts");
                assert_eq!(shown(&stream), "station of the other");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_iso_15118_20_vehicle_shows_its_certificate_and_is_shown_the_stronger_curve() {
    let files = Files::new();
    with_daemon_of(&files.configuration("required"), |evse| async move {
        attach(&evse).await;
        let mut client = files.client(SslVersion::TLS1_3);
        let own = files.manufacturer.issue(Wish::new("vehicle", Role::Station));
        client.set_certificate(&own.certificate).unwrap();
        client.set_private_key(&own.key).unwrap();
        let client = client.build();
        let stream = shake_by(&client).await.unwrap();
        assert_eq!(shown(&stream), "station P-521");
        vehicle(stream).charge().await;
        // Its maker has now withdrawn another, and let that list grow old.
        let other = files.manufacturer.issue(Wish::new("another vehicle", Role::Station));
        files.withdraw(&evse, &other, -1).await;
        assert!(offers_iso20(vehicle(shake_by(&client).await.unwrap())).await);
        // One that shows none may speak ISO 15118-2.
        let none = files.client(SslVersion::TLS1_3).build();
        assert!(!offers_iso20(vehicle(shake_by(&none).await.unwrap())).await);
        vehicle(shake_by(&none).await.unwrap()).charge().await;
    })
    .await;
}

async fn offers_iso20(mut vehicle: Vehicle) -> bool {
    let offer = SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso20));
    let answer = vehicle.exchange(Message::AppProtocolReq(Box::new(offer))).await;
    let Some(Message::AppProtocolRes(answer)) = answer else { panic!("no answer") };
    answer.schema_id.is_some()
}

#[tokio::test]
async fn a_vehicle_whose_certificate_is_not_believed_is_refused_with_the_reason() {
    let files = Files::new();
    with_daemon_of(&files.configuration("allowed"), |evse| async move {
        attach(&evse).await;
        let mut ends = evse.receive_ended().await.unwrap();
        let foreign = files.other.issue(Wish::new("stranger", Role::Station));
        let expired = Wish { days: (-30, -2), ..Wish::new("forgotten", Role::Station) };
        let expired = files.manufacturer.issue(expired);
        let stolen = files.manufacturer.issue(Wish::new("stolen", Role::Station));
        files.withdraw(&evse, &stolen, 30).await;
        for (own, told) in [
            (stolen, "stolen: certificate revoked"),
            (foreign, "stranger: unable to get local issuer"),
            (expired, "forgotten: certificate has expired (valid from"),
        ] {
            let mut client = files.client(SslVersion::TLS1_3);
            client.set_certificate(&own.certificate).unwrap();
            client.set_private_key(&own.key).unwrap();
            // In TLS 1.3 the vehicle's side is done before the station has judged.
            let mut stream = shake(client).await.unwrap();
            assert!(matches!(stream.read(&mut [0]).await, Err(_) | Ok(0)));
            let detail = detail(&mut ends).await;
            assert!(detail.contains(told), "{detail}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_vehicle_that_does_not_trust_us_is_named_with_its_alert() {
    let files = Files::new();
    with_daemon_of(&files.configuration("allowed"), |evse| async move {
        attach(&evse).await;
        let mut ends = evse.receive_ended().await.unwrap();
        let mut client = client_of(&files.manufacturer);
        client.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        shake(client).await.unwrap_err();
        let detail = detail(&mut ends).await;
        assert!(detail.contains("alert unknown_ca (48)") && detail.contains("station P-256"), "{detail}");
    })
    .await;
}

#[tokio::test]
async fn without_a_common_suite_those_of_the_vehicle_are_named() {
    let files = Files::new();
    with_daemon_of(&files.configuration("allowed"), |evse| async move {
        attach(&evse).await;
        let mut ends = evse.receive_ended().await.unwrap();
        let mut client = files.client(SslVersion::TLS1_2);
        client.set_cipher_list("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-SHA384").unwrap();
        shake(client).await.unwrap_err();
        let detail = detail(&mut ends).await;
        assert!(detail.contains("0xC02C ECDHE-ECDSA-AES256-GCM-SHA384, 0xC024"), "{detail}");
    })
    .await;
}

#[tokio::test]
async fn garbage_and_silence_in_a_handshake_end_it_and_the_next_vehicle_is_served() {
    let files = Files::new();
    let configuration = files.configuration("allowed");
    let hasty = configuration.replace("evse_id", "timing.tls_handshake_ms = 400\nevse_id");
    with_daemon_of(&hasty, |evse| async move {
        attach(&evse).await;
        let mut ends = evse.receive_ended().await.unwrap();
        let mut garbage = tcp().await;
        garbage.write_all(&[0x16; 3000]).await.unwrap();
        assert!(matches!(garbage.read(&mut [0; 64]).await, Err(_) | Ok(_)));
        let told = detail(&mut ends).await;
        assert!(told.contains("TLS handshake failed"), "{told}");
        // A record that claims 16 kB, and comes byte by byte.
        let start = Instant::now();
        let mut slow = tcp().await;
        slow.write_all(&[0x16, 0x03, 0x01, 0x40, 0x00]).await.unwrap();
        let dripping = async {
            while slow.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            std::future::pending::<()>().await;
        };
        let told = tokio::select! { told = detail(&mut ends) => told, () = dripping => unreachable!() };
        assert!(told.contains("not done within 0.4 s"), "{told}");
        let factor = start.elapsed().as_secs_f64() / 0.4;
        println!("a slow handshake ended after {factor:.2} of its time");
        assert!((1.0..5.0).contains(&factor));
        vehicle(shake(files.client(SslVersion::TLS1_2)).await.unwrap()).charge().await;
    })
    .await;
}

#[tokio::test]
async fn a_plain_vehicle_is_served_where_tls_is_allowed_and_refused_where_it_is_required() {
    let files = Files::new();
    with_daemon_of(&files.configuration("allowed"), |evse| async move {
        attach(&evse).await;
        let station = Vehicle::discover().await.unwrap();
        assert_eq!(station.security, sdp::Security::None);
        Vehicle::connect().await.charge().await;
    })
    .await;
    let files = Files::new();
    with_daemon_of(&files.configuration("required"), |evse| async move {
        attach(&evse).await;
        let mut ends = evse.receive_ended().await.unwrap();
        let station = Vehicle::discover().await.unwrap();
        assert_eq!(station.security, sdp::Security::Tls);
        let mut plain = Vehicle::connect().await;
        plain.stream.write_all(&[0x01, 0xfe]).await.unwrap();
        let told = detail(&mut ends).await;
        assert!(told.contains("does not speak TLS"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn renewed_certificates_are_used_from_the_next_vehicle_on() {
    let files = Files::new();
    with_daemon_of(&files.configuration("allowed"), |evse| async move {
        attach(&evse).await;
        let renewed = files.v2g.issue(Wish::new("renewed", Role::Station));
        renewed.write(files.folder.path(), "p256", &[&files.v2g]);
        evse.detach().await.unwrap();
        until(&evse, LinkPhase::Detached).await;
        attach(&evse).await;
        assert_eq!(shown(&shake(files.client(SslVersion::TLS1_2)).await.unwrap()), "renewed");
        // A half-written pair leaves the one in use.
        std::fs::write(files.folder.path().join("p256.key"), "").unwrap();
        evse.detach().await.unwrap();
        until(&evse, LinkPhase::Detached).await;
        attach(&evse).await;
        assert_eq!(shown(&shake(files.client(SslVersion::TLS1_2)).await.unwrap()), "renewed");
    })
    .await;
}

#[test]
fn a_check_of_the_configuration_finds_what_will_not_work() {
    use voltry_secc::config::audit;
    let files = Files::new();
    let problems = |text: &str| {
        let config = Config::parse([("voltry.toml", text)]).unwrap();
        let settings = configure(&config, "1").unwrap().settings;
        audit(&config, "1", &settings).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let good = files.configuration("allowed");
    assert_eq!(problems(&good), Vec::<String>::new());
    std::fs::write(files.folder.path().join("maker.crl"), "no list").unwrap();
    let sub = files.v2g.issue(Wish::new("sub", Role::Authority));
    let late = sub.issue(Wish { days: (-30, -1), ..Wish::new("late", Role::Station) });
    let text = good.replace("p256.key", "other.key").replace("maker.pem", "none.pem");
    late.write(files.folder.path(), "p521", &[&files.v2g]);
    late.write(files.folder.path(), "other", &[&sub, &files.v2g]);
    let found = problems(&text);
    for part in [
        "other.key is not the key of the certificate in",
        "late expired on ",
        "V2G root did not issue late",
        "none.pem: No such file",
        "maker.crl: no certificate revocation list",
    ] {
        assert!(found.iter().any(|one| one.contains(part)), "{part}: {found:#?}");
    }
    assert!(found.iter().all(|one| one.starts_with("voltry.toml:")), "{found:#?}");
}
