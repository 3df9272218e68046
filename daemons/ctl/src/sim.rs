//! `voltryctl sim`: steers `voltry-sim`, where there is one.

use voltry_bus::Sim1Proxy;
use voltry_bus::names::{SIM, SIM_PATH};
use zbus::Connection;

use crate::cli::{Sim, SimFault};
use crate::outcome::{Failure, Outcome};
use crate::output::{json as print_json, table};

pub(crate) async fn run(connection: &Connection, command: Sim, json: bool) -> Result<Outcome, Failure> {
    let sim = Sim1Proxy::builder(connection).destination(SIM).path(SIM_PATH).build().await?;
    match command {
        Sim::Plug { evse } => sim.plug(evse).await?,
        Sim::Unplug { evse } => sim.unplug(evse).await?,
        Sim::Swipe { token, evse } => {
            let outcome = sim.swipe(&token, evse).await?;
            if json {
                print_json(&serde_json::json!({ "outcome": outcome }))?;
            } else {
                println!("{outcome}");
            }
        }
        Sim::Fault { command } => match command {
            SimFault::List => {
                let faults = sim.faults().await?;
                if json {
                    print_json(&faults)?;
                } else {
                    let mut rows = table(["FAULT", "WHAT BREAKS", "WHAT A TECHNICIAN SEES"]);
                    for fault in faults {
                        rows.add_row([fault.name, fault.breaks, fault.seen]);
                    }
                    println!("{rows}");
                }
            }
            SimFault::Set { name, evse } => sim.inject_fault(&name, evse).await?,
            SimFault::Clear { name, evse } => sim.clear_fault(&name, evse).await?,
        },
        Sim::Truth { evse } => {
            let truth = sim.truth(evse).await?;
            if json {
                print_json(&truth)?;
            } else {
                println!("module side   {:.1} V", truth.module_voltage);
                println!("cable side    {:.1} V", truth.cable_voltage);
                println!("current       {:.1} A", truth.current);
                println!("contactors    {}", if truth.contactors_closed { "closed" } else { "open" });
                println!("battery       {:.1} %", truth.soc);
                println!(
                    "meter         {:.3} kWh, a count is {} Wh",
                    truth.register / 1000.0,
                    truth.resolution
                );
                println!("pilot         {}", truth.pilot);
            }
        }
    }
    Ok(Outcome::Done)
}
