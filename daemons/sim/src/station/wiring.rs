//! Which simulated device is at the end of which serial line.
//!
//! ```text
//! dev/canN     slcan adapter with the power modules of EVSE N, of the topology's family; or, in its place,
//!              an interface of the kernel
//! dev/can      slcan adapter with the modules of all groups, where EVSEs share them; dev/can-a, dev/can-b … for
//!              each group where modules on a bus are one
//! dev/matrix   the controller of the contactors between groups and EVSEs
//! dev/mcuN     the safety controller of connector N
//! dev/dcN      the direct-current meter of EVSE N (Acrel DJSF1352-RN)
//! dev/imdN     the insulation monitor of EVSE N, as the topology names it
//! dev/readerN  the card reader of EVSE N (PN532), where the topology has readers
//! dev/grid     the meter of the grid connection (Carlo Gavazzi EM580)
//! ```

use std::path::Path;

use anyhow::Context;
use tokio::task::JoinSet;

use super::topology::{Controllers, EvseParts, Monitor, Topology};
use crate::electrical::{SharedCircuit, SharedMatrix, Socket};
use crate::hardware::can::SharedLoad;
use crate::hardware::modbus::Slave;
use crate::hardware::{
    AcrelMeter, CanBus, CardField, Em580, IsoCha, Line, MatrixController, Mcu, McuConfig, Pn532, PowerModule,
    Pty, Rn5893, Wire, serve, serve_on_interface,
};

pub(super) const CAN_BIT_RATE: u32 = 125_000;
pub(super) const MODBUS_BAUD: u32 = 19_200;
pub(super) const METER_UNIT: u8 = 1;
/// As it leaves the factory.
pub(super) const MONITOR_UNIT: u8 = 3;

/// The meter daemon's instance for EVSE `n`'s direct-current meter.
pub(super) fn dc_line(evse: u32) -> String {
    format!("dc{evse}")
}

/// The meter daemon's instance for EVSE `n`'s insulation monitor.
pub(super) fn imd_line(evse: u32) -> String {
    format!("imd{evse}")
}

/// The meter daemon's instance for the grid connection.
pub(super) fn grid_line() -> String {
    "grid".to_owned()
}

/// Builds the devices of one EVSE, but its modules, and links their lines into `dev`.
pub(super) fn attach(
    evse: u32,
    circuit: &SharedCircuit,
    topology: &Topology,
    parts: &EvseParts,
    dev: &Path,
    world: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let monitor_pace = parts.monitor_pace;
    connect(&dev.join(format!("mcu{evse}")), Mcu::new(McuConfig::default(), circuit.clone()), world)?;
    let meter = AcrelMeter::new(METER_UNIT, circuit.clone());
    connect(&dev.join(dc_line(evse)), Line::new(MODBUS_BAUD, vec![Box::new(meter)]), world)?;
    let circuit = circuit.clone();
    let monitor: Box<dyn Slave> = match topology.monitor {
        Monitor::IsoCha425Hv => Box::new(IsoCha::new(MONITOR_UNIT, circuit).with_pace(monitor_pace)),
        Monitor::Rn5893 => Box::new(Rn5893::new(MONITOR_UNIT, circuit).with_pace(monitor_pace)),
    };
    connect(&dev.join(imd_line(evse)), Line::new(MODBUS_BAUD, vec![monitor]), world)
}

/// Builds the modules of one EVSE, or of several that share a bus, which is named after the first.
pub(super) fn attach_modules(
    first: u32,
    circuits: &[SharedCircuit],
    topology: &Topology,
    can: Option<&Controllers>,
    dev: &Path,
    world: &mut JoinSet<()>,
) -> anyhow::Result<SharedLoad> {
    let family = topology.family;
    let of = |circuit: &SharedCircuit| {
        let count = circuit.with(|circuit| circuit.modules.len());
        (0..count).map(|index| (circuit.clone(), index)).collect::<Vec<_>>()
    };
    let modules = circuits
        .iter()
        .flat_map(of)
        .enumerate()
        .map(|(number, (circuit, index))| {
            let number = u8::try_from(number).context("a bus has at most 60 modules")?;
            let address = family.first_address() + number;
            Ok(PowerModule::new(family, address, family.group(), circuit, index))
        })
        .collect::<anyhow::Result<_>>()?;
    let bus = CanBus::new(modules);
    let load = bus.load();
    match can {
        Some(Controllers { modules, .. }) => {
            world.spawn(serve_on_interface(modules.clone(), bus));
        }
        None => connect(&dev.join(format!("can{first}")), bus, world)?,
    }
    Ok(load)
}

/// Builds the card reader of one EVSE; returns the place where cards are held.
pub(super) fn attach_reader(
    evse: u32,
    circuit: &SharedCircuit,
    dev: &Path,
    world: &mut JoinSet<()>,
) -> anyhow::Result<CardField> {
    let field = CardField::default();
    connect(&dev.join(format!("reader{evse}")), Pn532::new(field.clone(), circuit.clone()), world)?;
    Ok(field)
}

/// Builds the modules behind a matrix and the controller of its contactors; returns the first bus's load.
pub(super) fn attach_matrix(
    matrix: &SharedMatrix,
    topology: &Topology,
    dev: &Path,
    world: &mut JoinSet<()>,
) -> anyhow::Result<SharedLoad> {
    let (family, mut loads, mut before) = (topology.family, Vec::new(), 0);
    for (name, groups) in topology.buses_of_groups() {
        let count = topology.groups[groups].iter().sum::<usize>();
        let modules = (0..count)
            .map(|index| {
                let number = u8::try_from(index).context("a bus has at most 60 modules")?;
                let socket = Socket::Matrix(matrix.clone(), before + u32::from(number));
                Ok(PowerModule::at(family, family.first_address() + number, family.group(), socket))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        before += u32::try_from(modules.len()).context("a matrix has a handful of modules")?;
        let bus = CanBus::new(modules);
        loads.push(bus.load());
        connect(&dev.join(name), bus, world)?;
    }
    connect(&dev.join("matrix"), MatrixController::new(matrix.clone()), world)?;
    loads.into_iter().next().context("a matrix has groups")
}

/// Builds the meter of the grid connection that feeds all these circuits.
pub(super) fn attach_grid(
    circuits: Vec<SharedCircuit>,
    dev: &Path,
    world: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let meter = Em580::new(METER_UNIT, circuits);
    connect(&dev.join(grid_line()), Line::new(MODBUS_BAUD, vec![Box::new(meter)]), world)
}

fn connect(link: &Path, device: impl Wire + 'static, world: &mut JoinSet<()>) -> anyhow::Result<()> {
    let pty = Pty::open().context("opening a pseudo-terminal")?;
    pty.link(link).with_context(|| format!("linking {}", link.display()))?;
    let name = link.display().to_string();
    world.spawn(async move {
        if let Err(error) = serve(pty, device).await {
            tracing::error!(line = name, %error, "the simulated device stopped");
        }
    });
    Ok(())
}
