//! What the technician's page does beyond looking: the self-test, and the configuration.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::rig;

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rig::page::Page;
use rig::{PATIENCE, status};
use voltry_bus::EvseStatus;

/// As a browser sends it in a form.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        write!(all, "%{byte:02x}").unwrap();
        all
    })
}

/// The page of the self-test when it says this.
async fn until(page: &Page, cookie: &str, part: &str) -> String {
    let said = async {
        loop {
            let shown = page.ask("GET /selftest", cookie, "").await;
            if shown.contains(part) {
                return shown;
            }
        }
    };
    tokio::time::timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("no {part:?} came"))
}

#[tokio::test]
async fn an_evse_is_tested_out_of_service_and_its_modules_only_if_somebody_answers_for_it() {
    let mut page = Page::start().await;
    page.rig.station_comes(EvseStatus { transaction: 0, ..status("available") }).await;
    page.rig.listen("/events?language=en").await.until("state-free").await;
    let viewer = page.login("anna", "view this").await.unwrap();
    let key = page.key(&viewer).await;
    for (head, form) in [("GET /selftest", ""), ("POST /selftest/1", &*format!("key={key}&modules=yes"))] {
        assert!(page.ask(head, &viewer, form).await.starts_with("HTTP/1.1 403"), "{head}");
    }
    assert!(page.ask("GET /events?page=selftest", &viewer, "").await.starts_with("HTTP/1.1 403"));
    let operator = page.login("ben", "operate this").await.unwrap();
    assert!(page.ask("POST /selftest/1", &operator, "key=0").await.starts_with("HTTP/1.1 403"));
    assert!(page.rig.stops.try_recv().is_err(), "nothing of that reached the station");

    let key = page.key(&operator).await;
    let begun = page.ask("POST /selftest/1", &operator, &format!("key={key}")).await;
    assert!(begun.starts_with("HTTP/1.1 303"), "{begun}");
    let over = until(&page, &operator, "did not pass").await;
    assert!(over.contains("&lt;insulation-monitor&gt; was seen") && over.contains("failed"), "{over}");
    page.rig.listen("/events?language=en").await.until("state-free").await;
    let mut checks = Vec::new();
    while let Ok((_, check)) = page.rig.stops.try_recv() {
        checks.push(check);
    }
    assert_eq!(checks.pop().as_deref(), Some("end of the test of 1"));
    assert_eq!(checks.len(), 5, "{checks:?}");
    assert!(!checks.contains(&"check modules".to_owned()), "nobody answered for it");

    page.ask("POST /selftest/1", &operator, &format!("key={key}&modules=yes")).await;
    until(&page, &operator, "&lt;modules&gt; was seen").await;
    until(&page, &operator, "did not pass").await;
    let boss = page.login("cleo", "configure this").await.unwrap();
    let trail = page.ask("GET /audit", &boss, "").await;
    for line in ["self-test of EVSE 1, with its modules: begun", "self-test of EVSE 1: 1 did not pass"] {
        assert!(trail.contains(line), "{line} is not in {trail}");
    }
}

#[tokio::test]
async fn while_somebody_charges_nothing_is_tested() {
    let mut page = Page::start().await;
    page.rig.station_comes(status("charging")).await;
    page.rig.listen("/events?language=en").await.until("state-charging").await;
    let operator = page.login("ben", "operate this").await.unwrap();
    let key = page.key(&operator).await;
    page.ask("POST /selftest/1", &operator, &format!("key={key}")).await;
    until(&page, &operator, "a session runs").await;
    page.ask("POST /selftest/9", &operator, &format!("key={key}")).await;
    until(&page, &operator, "there is no EVSE 9").await;
    while let Ok((_, check)) = page.rig.stops.try_recv() {
        assert!(!check.starts_with("check "), "{check}");
    }
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_shown_at_its_line_and_changes_nothing() {
    let page = Page::start().await;
    let file = page.rig.folder.path().join("voltry.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let boss = page.login("cleo", "configure this").await.unwrap();
    let shown = page.ask("GET /configuration", &boss, "").await;
    assert!(shown.contains("help_line = &quot;0800 123&quot;"), "{shown}");
    let key = page.key(&boss).await;
    let form = |file: &str, text: &str, then: &str| {
        format!("key={key}&file={}&text={}&then={then}", encoded(file), encoded(text))
    };
    let name = file.display().to_string();
    for (wrong, line) in [
        (before.replace("help_line", "helpline"), "line 3: "),
        (before.replace("help_line = \"0800 123\"", "help_line = 5"), "line 3: "),
        (before.replace("help_line = ", "help_line "), "line 3: "),
        (format!("{before}\n[statoin]\n"), "no daemon knows the table [statoin]"),
    ] {
        let answer = page.ask("POST /configuration", &boss, &form(&name, &wrong, "save")).await;
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains(line), "{line}: {answer}");
        assert!(answer.contains("It was not taken."), "{answer}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    }
    // What the daemon writes by itself is as its umask wants it.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).unwrap();
    let good = before.replace("0800 123", "0800 456");
    let checked = page.ask("POST /configuration", &boss, &form(&name, &good, "check")).await;
    assert!(checked.starts_with("HTTP/1.1 200") && checked.contains("It was not saved."), "{checked}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let other = page.ask("POST /configuration", &boss, &form("/etc/passwd", &good, "save")).await;
    assert!(other.starts_with("HTTP/1.1 400"), "{other}");
    let saved =
        page.ask("POST /configuration", &boss, &form(&name, &good.replace('\n', "\r\n"), "save")).await;
    assert!(saved.starts_with("HTTP/1.1 200") && saved.contains("Saved."), "{saved}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), good);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o664, "other daemons read it no more");
    assert!(page.ask("GET /audit", &boss, "").await.contains("voltry.toml: Saved."));
}

#[tokio::test]
async fn whoever_may_not_configure_sees_no_configuration_and_changes_none() {
    let page = Page::start().await;
    let file = page.rig.folder.path().join("voltry.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    for (name, password) in [("anna", "view this"), ("ben", "operate this")] {
        let cookie = page.login(name, password).await.unwrap();
        let shown = page.ask("GET /configuration", &cookie, "").await;
        assert!(shown.starts_with("HTTP/1.1 403") && !shown.contains("0800 123"), "{shown}");
        let form = format!("key={}&file={}&text=&then=save", page.key(&cookie).await, file.display());
        assert!(page.ask("POST /configuration", &cookie, &form).await.starts_with("HTTP/1.1 403"));
    }
    let boss = page.login("cleo", "configure this").await.unwrap();
    let form = format!("key=0&file={}&text=&then=save", file.display());
    assert!(page.ask("POST /configuration", &boss, &form).await.starts_with("HTTP/1.1 403"), "no key");
    let large = format!("key=0&file=x&text={}", "x".repeat(400_000));
    let answer = page.ask("POST /configuration", &boss, &large).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}
