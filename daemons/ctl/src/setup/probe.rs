//! Looks for the hardware by those who know it: the daemons of power, board, meters and links to vehicles, on a bus of
//! their own. Starting, they switch off what they drive; nobody is there to enable it.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use voltry_bus::{CheckResult, SelfTestOutcome, SelfTestStep, Station1Proxy, names};
use zbus::Connection;
use zbus::fdo::DBusProxy;

use super::configuration::lines;
use super::report::Checked;
use super::site::Site;
use crate::bus;
use crate::devices::{Device, devices};
use crate::outcome::Failure;
use crate::private_bus::{broker, started};
use crate::{selftest, station};

/// A device that does not answer by then is not there: modules are found within some seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);
/// Modules that answer are asked for their serial numbers each second; not every family has any.
const SERIALS: Duration = Duration::from_secs(5);

/// The bus of a station that runs here.
pub(super) async fn running(address: Option<&str>) -> Option<Connection> {
    let connection = bus::connect_patiently(address, selftest::PATIENCE).await.ok()?;
    let bus = DBusProxy::new(&connection).await.ok()?;
    let there = bus.name_has_owner(names::STATION.try_into().ok()?).await.ok()?;
    there.then_some(connection)
}

/// The devices of a station that runs.
pub(super) async fn ask(station: &Connection) -> Result<Vec<Device>, Failure> {
    Ok(devices(station, &[]).await?.0)
}

/// The devices that the site's configuration leads to.
pub(super) async fn look(site: &Site, config: &Path, daemons: &Path) -> Result<Vec<Device>, Failure> {
    let (address, _broker) = broker().await?;
    let mut all: Vec<(&str, Option<String>)> = vec![("voltry-power", None), ("voltry-board", None)];
    all.extend(lines(site).into_iter().map(|line| ("voltry-meter", Some(line))));
    all.extend((1..=site.evse.len()).map(|number| ("voltry-secc", Some(number.to_string()))));
    let mut running = Vec::new();
    for (daemon, instance) in all {
        let mut arguments: Vec<OsString> =
            vec!["--config".into(), config.into(), "--log".into(), "off".into()];
        arguments.extend(instance.map(OsString::from));
        running.push(started(daemons.join(daemon).as_os_str(), arguments, &address)?);
    }
    let connection = bus::connect(Some(&address)).await?;
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let seen = devices(&connection, &[]).await;
        match seen {
            Ok((seen, _)) if tell_all(site, &seen) || Instant::now() >= deadline => return Ok(seen),
            Err(_) if Instant::now() >= deadline => return Ok(Vec::new()),
            Ok((seen, _)) if all_answer(site, &seen) => deadline = deadline.min(Instant::now() + SERIALS),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn all_answer(site: &Site, seen: &[Device]) -> bool {
    expected(site).iter().all(|object| seen.iter().any(|device| device.object == *object && answers(device)))
}

/// Whether there is nothing to wait for.
fn tell_all(site: &Site, seen: &[Device]) -> bool {
    let told = |device: &Device| !device.object.starts_with("power_supply/") || !device.serial.is_empty();
    all_answer(site, seen) && seen.iter().all(told)
}

/// The objects of the site's devices.
pub(super) fn expected(site: &Site) -> Vec<String> {
    (1..=site.evse.len())
        .flat_map(|number| {
            [
                format!("power_supply/{number}"),
                format!("connector/{number}"),
                format!("energy_meter/dc{number}"),
                format!("insulation_monitor/imd{number}"),
                format!("ev_link/{number}"),
            ]
        })
        .collect()
}

/// Whether a device answers. A link to vehicles is online with its interface; the modem behind it, if there is one, has
/// answered when its address is known, from its word that it has a key.
pub(super) fn answers(device: &Device) -> bool {
    let modem = device.object.starts_with("ev_link/") && !device.model.is_empty();
    device.online && (!modem || !device.serial.is_empty())
}

/// Every check of every EVSE that energises nothing.
pub(super) async fn self_test(connection: &Connection) -> Result<Vec<Checked>, Failure> {
    let station = station::proxy(connection).await?;
    let mut checked = Vec::new();
    for evse in station.evses().await? {
        checked.append(&mut checks(&station, evse.evse).await);
    }
    Ok(checked)
}

/// The checks of one EVSE. After one that it does not make, as while somebody charges, it would make no other.
async fn checks(station: &Station1Proxy<'_>, evse: u32) -> Vec<Checked> {
    let mut checked = Vec::new();
    for &check in SelfTestStep::ALL.iter().filter(|step| **step != SelfTestStep::Modules) {
        let made = station.self_test(evse, check).await;
        let refused = made.is_err();
        let CheckResult { outcome, seen } = made.unwrap_or_else(|error| CheckResult {
            outcome: SelfTestOutcome::Refused,
            seen: Failure::from(error).to_string(),
        });
        checked.push(Checked { evse, check, outcome, seen });
        if refused {
            break;
        }
    }
    if let Err(error) = station.end_self_test(evse).await
        && let Some(last) = checked.last_mut()
    {
        last.outcome = SelfTestOutcome::Refused;
        last.seen += &format!("; the self-test was not ended: {}", Failure::from(error));
    }
    checked
}
