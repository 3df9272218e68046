//! Texts that a peer chose, on the bus: one byte that D-Bus does not take throws the daemon off it.

use std::sync::Arc;

use voltry_bus::LinkOutcome;
use voltry_bus::proxies::ContractCertificates1Proxy;
use voltry_secc::contract::Proven;
use voltry_secc::decide::Cause;
use voltry_secc::session::Event;

use super::*;

async fn log_of(connection: &zbus::Connection) -> V2gLog1Proxy<'static> {
    V2gLog1Proxy::builder(connection).destination(NAME).path(PATH).build().await.unwrap()
}

async fn ping(connection: &zbus::Connection) {
    let peer = zbus::fdo::PeerProxy::builder(connection).destination(NAME).path(PATH).build().await.unwrap();
    peer.ping().await.expect("it is off the bus");
}

#[tokio::test]
async fn a_protocol_with_a_zero_in_its_name_is_refused_and_told_without_it() {
    with_daemon(|evse| async move {
        let connection = evse.inner().connection().clone();
        let log = log_of(&connection).await;
        let mut ends = evse.receive_ended().await.unwrap();
        attach(&evse).await;
        let mut vehicle = Vehicle::connect().await;
        let mut offer = SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso2));
        offer.app_protocols[0].protocol_namespace = "urn:\0".to_owned();
        vehicle.exchange(Message::AppProtocolReq(Box::new(offer))).await.unwrap();
        let end = ends.next().await.unwrap();
        let detail = end.args().unwrap().end().detail.clone();
        assert_eq!(detail, "no protocol in common; the vehicle offers urn:\\0");
        until(&evse, LinkPhase::Listening).await;
        ping(&connection).await;
        let [conversation] = &log.conversations().await.unwrap()[..] else { panic!("not one") };
        assert!(conversation.ended.ends_with("urn:\\0"), "{}", conversation.ended);
        Vehicle::connect().await.charge().await;
    })
    .await;
}

#[tokio::test]
async fn a_text_of_a_peer_is_told_without_its_control_characters() {
    let bus = Bus::start();
    let (server, client) = (bus.connect().await, bus.connect().await);
    server.request_name(NAME).await.unwrap();
    let log = V2gLog::serve(&server, PATH).await.unwrap();
    let (mut publisher, _) = bus::serve(&server, PATH).await.unwrap();
    let evse = evse::link(&client).await.unwrap();
    let back_end =
        ContractCertificates1Proxy::builder(&client).destination(NAME).path(PATH).build().await.unwrap();
    let (mut ends, mut shown) =
        (evse.receive_ended().await.unwrap(), back_end.receive_shown().await.unwrap());

    let proven = Proven { emaid: "DE\0VOL".into(), chain: Arc::new([vec![1]]), rooted: true };
    publisher.publish(now(), Event::Contract(proven)).await.unwrap();
    let contract = shown.next().await.unwrap();
    assert_eq!(contract.args().unwrap().contract().emaid, "DE\u{fffd}VOL");
    assert_eq!(evse.contract().await.unwrap(), "DE\u{fffd}VOL");

    let cause = Cause::Tls("line\nand\0zero".to_owned());
    publisher.publish(now(), Event::Ended(LinkOutcome::Failed, Some(cause))).await.unwrap();
    let end = ends.next().await.unwrap();
    assert_eq!(end.args().unwrap().end().detail, "line\u{fffd}and\u{fffd}zero");

    log.begin(now(), 1);
    log.ended("a\0b".to_owned());
    assert_eq!(log_of(&client).await.conversations().await.unwrap()[0].ended, "a\u{fffd}b");
    ping(&client).await;
}
