//! The daemon on a private bus, beside a RAUC and a station that the test plays. What RAUC itself does with it is in
//! `tests/interop/test_update.py`; this needs neither RAUC nor root.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

#[path = "../../../tests/private_bus.rs"]
mod private_bus;
mod rig;

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use rig::{Rauc, Rig, Slots};
use voltry_bus::{Error, Update1Proxy, UpdateOutcome, UpdateVerdict};

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    let all = async {
        while !met().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}

/// How it ends; tried again while the daemon has not seen yet that nobody charges.
async fn install(update: &Update1Proxy<'_>, bundle: &str) -> Result<(UpdateOutcome, String), Error> {
    let mut ended = update.receive_installation_ended().await.unwrap();
    let begin = tokio::time::Instant::now();
    loop {
        match update.install(bundle).await {
            Ok(()) => break,
            Err(Error::Unavailable(_)) => {}
            Err(Error::Refused(why)) if why.contains("does not answer") => {}
            Err(error) => return Err(error),
        }
        assert!(begin.elapsed() < PATIENCE, "it never begins");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let signal = tokio::time::timeout(PATIENCE, ended.next()).await.expect("it ends").unwrap();
    let arguments = signal.args().unwrap();
    Ok((arguments.outcome, arguments.detail.to_string()))
}

#[tokio::test]
async fn a_bundle_is_installed_tried_and_marked_good() {
    let rig = Rig::new().await;
    let (daemon, update) = rig.boot("trial_s = 3600\nsteady_s = 1").await;
    assert_eq!(install(&update, "/2.0").await.unwrap(), (UpdateOutcome::RestartNeeded, String::new()));
    assert!(update.restart_needed().await.unwrap() && !update.installing().await.unwrap());
    update.restart().await.unwrap();
    until("the restart", async || rig.path("restart").exists()).await;
    drop(daemon);
    rig.station.is("faulted", "faulted");
    let (_daemon, update) = rig.boot("trial_s = 3600\nsteady_s = 1").await;
    until("the trial", async || update.detail().await.unwrap() == "EVSE 1 does not work").await;
    assert_eq!(update.verdict().await.unwrap(), UpdateVerdict::OnTrial);
    assert!(matches!(update.install("/3.0").await, Err(Error::Refused(_))));
    rig.station.is("available", "available");
    until("a good end", async || update.verdict().await.unwrap() == UpdateVerdict::Good).await;
    assert_eq!(rig.slots.lock().unwrap().marked.last().unwrap(), "good 1");
    let slots = update.slots().await.unwrap();
    assert_eq!(
        (slots[1].name.as_str(), slots[1].booted, slots[1].version.as_str()),
        ("rootfs.1", true, "2.0")
    );
}

#[tokio::test]
async fn a_version_that_does_not_charge_is_left() {
    let rig = Rig::new().await;
    let (daemon, update) = rig.boot("trial_s = 2\nsteady_s = 1").await;
    install(&update, "/2.0").await.unwrap();
    drop(daemon);
    rig.station.is("absent", "unavailable");
    let (daemon, _) = rig.boot("trial_s = 2\nsteady_s = 1").await;
    until("the way back", async || rig.path("restart").exists()).await;
    assert_eq!(rig.slots.lock().unwrap().marked.last().unwrap(), "bad 1");
    drop(daemon);
    let (_daemon, update) = rig.boot("trial_s = 2\nsteady_s = 1").await;
    until("the verdict", async || update.verdict().await.unwrap() == UpdateVerdict::FellBack).await;
    assert_eq!(update.version().await.unwrap(), "1.0");
    assert_eq!(update.detail().await.unwrap(), "EVSE 1 does not work");
}

#[tokio::test]
async fn what_is_refused_says_why_and_changes_nothing() {
    let rig = Rig::new().await;
    let (_daemon, update) = rig.boot("").await;
    let invalid = install(&update, "/nothing").await.unwrap();
    assert_eq!(invalid.0, UpdateOutcome::Invalid, "{}", invalid.1);
    assert!(matches!(install(&update, "/0.9").await, Err(Error::Refused(why)) if why.contains("older")));
    assert!(matches!(update.install("2.0").await, Err(Error::Invalid(_))));
    assert_eq!(rig.slots.lock().unwrap().versions[1], "", "nothing was written");
    let damaged = install(&update, "/2.0-damaged").await.unwrap();
    assert_eq!(damaged, (UpdateOutcome::Invalid, "Failed to verify signature".to_owned()));
    rig.station.is("charging", "charging");
    until("somebody charges", async || {
        matches!(update.install("/2.0").await, Err(Error::Refused(why)) if why.contains("charges at EVSE 1"))
    })
    .await;
    assert!(matches!(update.restart().await, Err(Error::Refused(_))));
}

/// Each member as one line, by introspection.
fn members(xml: &str) -> Vec<String> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(xml, options).unwrap();
    let interface = document
        .descendants()
        .find(|node| node.attribute("name") == Some("de.pengutronix.rauc.Installer"))
        .expect("it is served");
    let member = |node: roxmltree::Node<'_, '_>| {
        let types: Vec<&str> = node.children().filter_map(|child| child.attribute("type")).collect();
        let own = node.attribute("type").unwrap_or_default();
        let name = node.attribute("name").unwrap_or_default();
        format!("{} {name}: {own}{}", node.tag_name().name(), types.concat())
    };
    interface.children().filter(roxmltree::Node::is_element).map(member).collect()
}

#[test]
fn the_rauc_of_these_tests_serves_what_the_real_one_says_that_it_serves() {
    let real = Path::new("/usr/share/dbus-1/interfaces/de.pengutronix.rauc.Installer.xml");
    let Ok(real) = std::fs::read_to_string(real) else {
        eprintln!("skipped: rauc-service (Debian) is not installed");
        return;
    };
    let mut ours = String::from("<node>");
    zbus::object_server::Interface::introspect_to_writer(&Rauc(Slots::new()), &mut ours, 0);
    ours.push_str("</node>");
    let real = members(&real);
    for member in members(&ours) {
        assert!(real.contains(&member), "{member} is not in {real:?}");
    }
}
