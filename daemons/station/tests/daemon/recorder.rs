//! The flight recorder and the sentence of why a session ended, as they are served.

use voltry_bus::{Recorder1Proxy, names};
use zbus::proxy::CacheProperties;

use crate::rig::Rig;

async fn recorder(rig: &Rig) -> Recorder1Proxy<'static> {
    Recorder1Proxy::builder(&rig.connection)
        .destination(names::STATION)
        .path(names::STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_session_is_recorded_from_plug_to_unplug_through_a_kill_with_why_it_ended() {
    let mut rig = Rig::start("free_vending = true").await;
    rig.plug(5).await;
    rig.until_newest("started").await;
    rig.meter(1000.0).await;
    rig.flow(100.0, 120.0).await;
    rig.until_newest("charging").await;
    let served = recorder(&rig).await;
    // It is on the disk once it was read.
    let (session, entries, samples) = served.read(1).await.unwrap();
    assert_eq!((session.evse, session.transaction, session.unplugged, session.why.as_str()), (1, 1, 0, ""));
    assert!(entries.iter().any(|entry| entry.kind == "phase" && entry.text == "charging"), "{entries:?}");
    assert!(entries.iter().any(|entry| entry.kind == "told" && entry.text == "it may charge"), "{entries:?}");
    assert_eq!((samples[0].current, samples[0].target_current, samples[0].soc), (100.0, 120.0, 42.0));

    rig.kill();
    rig.start_daemon().await;
    rig.end("MREC8EmergencyStop").await;
    rig.until_newest("ended").await;
    rig.unplug().await;
    rig.until_newest("unplugged").await;
    rig.until("it is over", async || served.sessions(9).await.is_ok_and(|all| all[0].unplugged > 0)).await;
    let sessions = served.sessions(9).await.unwrap();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    let (session, entries, _) = served.read(1).await.unwrap();
    assert_eq!(session, sessions[0]);
    assert!(
        session.why.starts_with("The station ended it while charging, MREC8EmergencyStop: an emergency stop"),
        "{session:?}"
    );
    assert!(entries.is_sorted_by_key(|entry| entry.time), "{entries:?}");
    let [transaction] = &rig.station.transactions(1).await.unwrap()[..] else { panic!("not one") };
    assert_eq!(transaction.why, session.why);
}

#[tokio::test]
async fn a_session_in_which_nobody_was_let_in_has_its_sentence_in_recorder_and_book() {
    let rig = Rig::start("tokens = [\"0A\"]").await;
    rig.plug(5).await;
    rig.until_newest("plugged").await;
    rig.unplug().await;
    let events = rig.until_newest("unplugged").await;
    let served = recorder(&rig).await;
    rig.until("it is over", async || served.sessions(9).await.is_ok_and(|all| all[0].unplugged > 0)).await;
    let session = served.sessions(1).await.unwrap().remove(0);
    assert_eq!(session.transaction, 0);
    assert!(
        session.why.starts_with("The driver ended it while the driver was to be authorized"),
        "{session:?}"
    );
    assert_eq!(events.last().unwrap().detail, session.why);
    assert!(served.read(2).await.is_err(), "there is no second");
}
