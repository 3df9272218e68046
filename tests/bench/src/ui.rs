//! The screen before fifty browsers: how large its page is, how long a change on the bus is on its way to the last
//! of them, what `voltry-ui` takes in memory, and when a real browser first paints.
//!
//! The station is played here, so that a change has one known instant; the technician's page is served as well, as
//! on a station in the field.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;
use voltry_bus::{EvseStatus, Transaction, names};
use zbus::{Connection, interface};

use crate::machine::{self, Bus, binary, resident};
use crate::report::{Report, percentile};
use crate::{certificates, ocpp};

const SCREENS: usize = 50;
const EVSES: u32 = 4;
/// Before anything is measured.
const WARM: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(30);
/// Visits of the real browser.
const VISITS: &str = "9";

struct Played(Vec<EvseStatus>);

#[interface(name = "org.voltry.Station1")]
impl Played {
    fn transactions(&self, _limit: u32) -> Vec<Transaction> {
        Vec::new()
    }

    #[zbus(property)]
    fn name(&self) -> &str {
        "Harbour"
    }

    #[zbus(property)]
    fn evses(&self) -> Vec<EvseStatus> {
        self.0.clone()
    }
}

/// All EVSEs charge; the first has delivered so many times ten watt-hours.
fn evses(change: u32) -> Vec<EvseStatus> {
    let status = |evse| EvseStatus {
        evse,
        state: "charging".to_owned(),
        available: true,
        authorized: true,
        voltage: 400.0,
        current: 125.0 + f64::from(change % 7),
        share: 150_000.0,
        energy: if evse == 1 { f64::from(change) * 10.0 } else { 0.0 },
        soc: 54.0,
        transaction: u64::from(evse),
        faults: Vec::new(),
    };
    (1..=EVSES).map(status).collect()
}

pub(crate) async fn measure(report: &mut Report, changes: u32) -> anyhow::Result<()> {
    machine::loopback().await?;
    let bus = Bus::start().await?;
    let station = voltry_service::connect(Some(&bus.address)).await?;
    station.object_server().at(names::STATION_PATH, Played(evses(0))).await?;
    station.request_name(names::STATION).await?;
    let (daemon, address) = screen(&bus).await?;
    report.add("ui_idle_rss_mb", resident("voltry-ui", bus.folder.path())?);
    report.add("ui_page_kb", page_bytes(address).await? / 1000.0);
    let (told, mut seen) = mpsc::unbounded_channel();
    for _ in 0..SCREENS {
        tokio::spawn(look(listen(address).await?, told.clone()));
    }
    all_see(&mut seen, 0).await?;
    let mut delays = Vec::new();
    for change in 1..=WARM + changes {
        let begun = Instant::now();
        show(&station, change).await?;
        for at in all_see(&mut seen, change).await? {
            if change > WARM {
                delays.push(at.duration_since(begun).as_secs_f64() * 1e3);
            }
        }
    }
    for (figure, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        report.add(format!("ui_update_{figure}_ms"), percentile(&mut delays, share));
    }
    report.add("ui_rss_mb", resident("voltry-ui", bus.folder.path())?);
    match first_paint(address).await {
        Ok(milliseconds) => report.add("ui_first_paint_ms", milliseconds),
        Err(why) => report.cannot("ui_first_paint_ms", &format!("{why:#}")),
    }
    report.note(format!(
        "ui: {SCREENS} screens of {EVSES} EVSEs that all charge, {changes} changes, each told when all have the one \
         before; the first paint in Debian's Chromium, {VISITS} visits without a cache, the browser open already, the \
         screens still there"
    ));
    ocpp::end(daemon).await
}

/// The daemon with both its pages, and where the screen's is.
async fn screen(bus: &Bus) -> anyhow::Result<(Child, SocketAddr)> {
    let folder = bus.folder.path();
    certificates::make_pages(folder)?;
    // Of nobody's password: nobody logs in.
    let accounts = "[nobody]\nrole = 'view'\npassword = '$argon2id$v=19$m=1024,t=2,p=1$\
                    cryivdH1ipkTqZFud4sivQ$tNQl5JSSBt6Mb2TRIKwuSQHO8j7lASGf+B1pXMbldy4'\n";
    std::fs::write(folder.join("accounts.toml"), accounts)?;
    let (kiosk, technician) = (free().await?, free().await?);
    let file = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "[ui]\nkiosk = '{kiosk}'\nhelp_line = '0800 123'\n[ui.technician]\naddress = '{technician}'\ncertificate = '{}'\n\
         key = '{}'\naccounts = '{}'\naudit = '{}'\n",
        file("ui.pem"),
        file("ui.key"),
        file("accounts.toml"),
        file("audit.log")
    );
    std::fs::write(folder.join("ui.toml"), config)?;
    let mut daemon = Command::new(binary("voltry-ui")?)
        .arg("--config")
        .arg(folder.join("ui.toml"))
        .args(["--log", "warn", "--bus", &bus.address])
        .kill_on_drop(true)
        .spawn()
        .context("starting voltry-ui")?;
    let there = async {
        while TcpStream::connect(kiosk).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        came = timeout(PATIENCE, there) => came.context("voltry-ui does not come up")?,
        ended = daemon.wait() => bail!("voltry-ui ended: {}", ended?),
    }
    Ok((daemon, kiosk))
}

async fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?)
}

async fn show(station: &Connection, change: u32) -> anyhow::Result<()> {
    let served = station.object_server().interface::<_, Played>(names::STATION_PATH).await?;
    let mut played = served.get_mut().await;
    played.0 = evses(change);
    played.evses_changed(served.signal_emitter()).await?;
    Ok(())
}

/// Everything that a first visit fetches, bytes on the wire.
async fn page_bytes(address: SocketAddr) -> anyhow::Result<f64> {
    let page = fetch(address, "/en").await?;
    let text = String::from_utf8_lossy(&page).into_owned();
    let mut bytes = page.len();
    let assets: Vec<&str> = text.split('"').filter(|part| part.starts_with("/assets/")).collect();
    if assets.len() < 2 {
        bail!("a page without its script and icon: {text}");
    }
    for asset in assets {
        bytes += fetch(address, asset).await?.len();
    }
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
    Ok(bytes as f64)
}

async fn fetch(address: SocketAddr, path: &str) -> anyhow::Result<Vec<u8>> {
    let mut stream = ask(address, path, "close").await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    if !answer.starts_with(b"HTTP/1.1 200") {
        bail!("{path}: {}", String::from_utf8_lossy(&answer));
    }
    Ok(answer)
}

async fn listen(address: SocketAddr) -> anyhow::Result<BufReader<TcpStream>> {
    Ok(BufReader::new(ask(address, "/events?language=en", "keep-alive").await?))
}

async fn ask(address: SocketAddr, path: &str, connection: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// Tells which change a screen shows, and when it was there.
async fn look(mut events: BufReader<TcpStream>, told: mpsc::UnboundedSender<(u32, Instant)>) {
    let mut line = String::new();
    while events.read_line(&mut line).await.is_ok_and(|length| length > 0) {
        if let Some(change) = shown(&line)
            && told.send((change, Instant::now())).is_err()
        {
            return;
        }
        line.clear();
    }
}

/// The first EVSE's energy, as a page shows it.
fn shown(line: &str) -> Option<u32> {
    let before = line.split(" <span class=\"unit\">kWh").next().filter(|before| before.len() < line.len())?;
    before.rsplit('>').next()?.replace('.', "").parse().ok()
}

/// When each screen had this change.
async fn all_see(
    seen: &mut mpsc::UnboundedReceiver<(u32, Instant)>,
    change: u32,
) -> anyhow::Result<Vec<Instant>> {
    let mut times = Vec::new();
    while times.len() < SCREENS {
        let told = timeout(PATIENCE, seen.recv()).await;
        let (number, at) = told.context("a screen stays behind")?.context("no screen is left")?;
        if number == change {
            times.push(at);
        }
    }
    Ok(times)
}

/// By a real browser, where it and what steers it are installed.
async fn first_paint(address: SocketAddr) -> anyhow::Result<f64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../browser");
    if !PathBuf::from("/usr/bin/chromium").exists() || !folder.join("node_modules").exists() {
        bail!("no Chromium, or nothing that steers it: scripts/install-tools browser");
    }
    let browser = Command::new("node")
        .arg(folder.join("first-paint.mjs"))
        .args([&format!("http://{address}/en"), VISITS])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = timeout(PATIENCE * 4, browser).await.context("the browser does not come to an end")??;
    let text = String::from_utf8_lossy(&said.stdout);
    text.trim().parse().with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_off_the_energy_of_the_first_evse() {
        let energy = |value: &str| {
            format!("<div><dt>Energy</dt><dd>{value} <span class=\"unit\">kWh</span></dd></div>")
        };
        assert_eq!(shown(&format!("data: {}{}", energy("1.23"), energy("0.00"))), Some(123));
        assert_eq!(shown("data: <main></main>"), None);
    }
}
