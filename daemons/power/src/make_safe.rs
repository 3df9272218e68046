//! OFF to every module, without a bus: for whoever finds that the daemon has died.

use voltry_canlink::{CanFrame, CanLink, CanPort, Received};
use voltry_power_module::Family;
use voltry_service::clock;

use crate::Settings;
use crate::budget::{Room, SLOT};
use crate::bus::Framed as _;
use crate::rack::{Input, Rack};

/// Tells every module of every bus to switch off; ends when all have confirmed it, or do not answer.
pub async fn make_safe(settings: Settings) {
    let (supplies, groups) = (&settings.supply, &settings.group);
    let buses = settings.bus.iter().map(|(name, port)| async move {
        let now = clock::now();
        let on_it = supplies.iter().chain(groups).filter(|(_, supply)| supply.bus == *name);
        let family = on_it.clone().map(|(_, supply)| supply.family).next();
        let racks = on_it.map(|(number, supply)| Rack::new(number, supply.clone(), now)).collect();
        // Without a supply it is an insulation monitor's.
        if let Some(family) = family
            && let Err(error) = switch_off(port, family, racks).await
        {
            tracing::error!(bus = name, %error, "the modules could not be told to switch off");
        }
    });
    futures_util::future::join_all(buses).await;
}

async fn switch_off(port: &CanPort, family: &'static Family, mut racks: Vec<Rack>) -> anyhow::Result<()> {
    let mut link = CanLink::open(port)?;
    step(&mut racks, &Input::LinkUp);
    while !racks.iter().all(Rack::all_off) {
        send_one(&mut link, family, &mut racks)?;
        let pause = tokio::time::sleep(SLOT);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                received = link.recv() => {
                    if let Received::Frame(frame) = received? {
                        hear(&mut racks, family, &frame);
                    }
                }
                () = &mut pause => break,
            }
        }
        step(&mut racks, &Input::Tick);
    }
    Ok(())
}

fn step(racks: &mut [Rack], input: &Input) {
    let now = clock::now();
    // Nobody is there to be told what came of it.
    racks.iter_mut().for_each(|rack| drop(rack.step(now, input.clone())));
}

fn send_one(link: &mut CanLink, family: &Family, racks: &mut [Rack]) -> anyhow::Result<()> {
    let now = clock::now();
    let on_bus = racks.iter().map(Rack::answering).sum();
    let request = racks.iter_mut().find_map(|rack| rack.next_request(on_bus, Room::Any, now).ok());
    if let Some(frame) = request.and_then(|(to, request)| family.frame(to, request)) {
        link.send(frame)?;
    }
    Ok(())
}

fn hear(racks: &mut [Rack], family: &Family, frame: &CanFrame) {
    if frame.id().is_extended()
        && let Ok(message) = (family.decode)(frame.id().bits(), frame.data())
        && let Some(rack) = racks.iter().position(|rack| rack.concerns(&message))
    {
        drop(racks[rack].step(clock::now(), Input::Heard(message)));
    }
}
