//! What a person, a test or `Sim1` can do to the simulated world.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use voltry_bus::{Error, SimTruth, Station1Proxy, names};

use crate::electrical::{MatrixWear, PilotState, SharedCircuit, SharedMatrix};
use crate::faults::Fault;
use crate::hardware::CardField;
use crate::hardware::can::SharedLoad;
use crate::vehicle::{Doing, VehicleConfig};

/// Watt-hours of one count of the simulated direct-current meter.
const METER_RESOLUTION_WH: f64 = 1.0;

/// A card is held to a reader for this long at most.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether it was read.
const LOOK: Duration = Duration::from_millis(10);
/// And then for so long: a person's hand is slower than a reader, which wants to see a card twice, on a noisy line too.
const HELD: Duration = Duration::from_millis(1500);

/// One EVSE of the simulated world, with the vehicle that parks there.
#[derive(Debug)]
pub struct Place {
    /// Its circuit.
    pub circuit: SharedCircuit,
    /// The vehicle that plugs in here.
    pub vehicle: VehicleConfig,
    /// What that vehicle does.
    pub doing: watch::Receiver<Doing>,
    /// Where cards are held, if it has a reader.
    pub reader: Option<CardField>,
    /// How full the bus of its modules is; where EVSEs share modules, they share that.
    pub bus: SharedLoad,
}

/// The simulated world.
#[derive(Debug)]
pub struct Control {
    places: BTreeMap<u32, Place>,
    matrix: Option<SharedMatrix>,
    connection: watch::Receiver<Option<zbus::Connection>>,
}

impl Control {
    /// Steers these places, which may share modules; `connection` leads to the daemons.
    #[must_use]
    pub fn new(
        places: BTreeMap<u32, Place>,
        matrix: Option<SharedMatrix>,
        connection: watch::Receiver<Option<zbus::Connection>>,
    ) -> Self {
        Self { places, matrix, connection }
    }

    /// What the matrix has suffered, and how many modules feed each EVSE.
    ///
    /// # Errors
    /// `Refused` where there is none.
    pub fn matrix(&self) -> Result<(MatrixWear, Vec<usize>), Error> {
        let matrix = self.matrix.as_ref();
        let matrix = matrix.ok_or_else(|| Error::Refused("each EVSE has modules of its own".to_owned()))?;
        let feeding = self.places.values().map(|place| place.circuit.with(|circuit| circuit.modules.len()));
        Ok((matrix.with(|matrix| matrix.wear), feeding.collect()))
    }

    /// The numbers of the EVSEs.
    pub fn evses(&self) -> impl Iterator<Item = u32> {
        self.places.keys().copied()
    }

    /// The EVSE of this number.
    ///
    /// # Errors
    /// `UnknownEvse`.
    pub fn place(&self, evse: u32) -> Result<&Place, Error> {
        self.places.get(&evse).ok_or_else(|| Error::UnknownEvse(format!("there is no EVSE {evse}")))
    }

    /// Plugs a fresh vehicle in, with the state of charge of its configuration.
    ///
    /// # Errors
    /// `UnknownEvse`; `Refused` if one is plugged in.
    pub fn plug(&self, evse: u32) -> Result<(), Error> {
        let place = self.place(evse)?;
        place.circuit.with(|circuit| {
            if circuit.vehicle().is_some() || circuit.load_ohms().is_some() {
                return Err(Error::Refused(format!("a vehicle or a load is in the plug of EVSE {evse}")));
            }
            circuit.plug_in(place.vehicle.electrical());
            Ok(())
        })
    }

    /// Puts the plug into a load bank of so many ohms; 0: takes it out.
    ///
    /// # Errors
    /// `UnknownEvse`; `Refused` if a vehicle is plugged in; `OutOfRange` for ohms that none has.
    pub fn load(&self, ohms: f64, evse: u32) -> Result<(), Error> {
        if !(0.0..=1e6).contains(&ohms) {
            return Err(Error::OutOfRange(format!("{ohms} ohms")));
        }
        self.place(evse)?.circuit.with(|circuit| {
            if circuit.vehicle().is_some() {
                return Err(Error::Refused(format!("a vehicle is in the plug of EVSE {evse}")));
            }
            circuit.plug_load((ohms > 0.0).then_some(ohms));
            Ok(())
        })
    }

    /// The air that an EVSE's modules draw in has so many degrees Celsius.
    ///
    /// # Errors
    /// `UnknownEvse`.
    pub fn air(&self, celsius: u32, evse: u32) -> Result<(), Error> {
        self.place(evse)?.circuit.with(|circuit| circuit.surroundings.air_c = f64::from(celsius));
        Ok(())
    }

    /// Others behind the grid connection take so many amperes of a phase, from 1.
    ///
    /// # Errors
    /// `OutOfRange` for a phase that there is none of.
    pub fn others(&self, phase: u32, amps: u32) -> Result<(), Error> {
        let index = usize::try_from(phase).unwrap_or(0).wrapping_sub(1);
        self.place(1)?.circuit.with(|circuit| match circuit.surroundings.others_a.get_mut(index) {
            Some(others) => {
                *others = f64::from(amps);
                Ok(())
            }
            None => Err(Error::OutOfRange(format!("phase {phase}"))),
        })
    }

    /// Pulls the plug, whatever flows, unless a lock holds it.
    ///
    /// # Errors
    /// `UnknownEvse`; `Refused` if none is plugged in, or it is locked.
    pub fn unplug(&self, evse: u32) -> Result<(), Error> {
        let circuit = &self.place(evse)?.circuit;
        if circuit.with(|circuit| circuit.vehicle().is_some() && circuit.plug_lock.holds()) {
            return Err(Error::Refused(format!("the plug of EVSE {evse} is locked")));
        }
        match circuit.with(crate::electrical::Circuit::unplug) {
            Some(_vehicle) => Ok(()),
            None => Err(Error::Refused(format!("no vehicle is plugged in at EVSE {evse}"))),
        }
    }

    /// Breaks something.
    ///
    /// # Errors
    /// `UnknownEvse`; `Invalid` for a name that is no fault's.
    pub fn inject(&self, name: &str, evse: u32) -> Result<(), Error> {
        let fault = fault(name)?;
        self.place(evse)?.circuit.with(|circuit| circuit.faults.inject(fault));
        Ok(())
    }

    /// Mends it.
    ///
    /// # Errors
    /// `UnknownEvse`; `Invalid` for a name that is no fault's.
    pub fn clear(&self, name: &str, evse: u32) -> Result<(), Error> {
        let fault = fault(name)?;
        self.place(evse)?.circuit.with(|circuit| circuit.faults.clear(fault));
        Ok(())
    }

    /// Holds a card to the reader of an EVSE until it was read: `read`, whatever comes of it. Where there are none
    /// the station is asked, and says what came of it; EVSE 0: it finds out which is meant.
    ///
    /// # Errors
    /// What `Station1.Authorize` answers; `Unavailable` without a bus, or if nobody reads the card.
    pub async fn swipe(&self, token: &str, evse: u32) -> Result<String, Error> {
        if evse == 0 && self.places.values().any(|place| place.reader.is_some()) {
            return Err(Error::Invalid("each EVSE has a reader: say which".to_owned()));
        }
        if evse != 0
            && let Some(reader) = &self.place(evse)?.reader
        {
            return hold(reader, token).await;
        }
        let connection = self.connection()?;
        let station = Station1Proxy::new(&connection, names::STATION, names::STATION_PATH).await?;
        let outcome = station.authorize(token, evse).await?;
        Ok(outcome.outcome)
    }

    /// The truth of an EVSE's circuit.
    ///
    /// # Errors
    /// `UnknownEvse`.
    pub fn truth(&self, evse: u32) -> Result<SimTruth, Error> {
        let place = self.place(evse)?;
        Ok(place.circuit.with(|circuit| SimTruth {
            module_voltage: circuit.module_side_v(),
            cable_voltage: circuit.cable_side_v(),
            current: circuit.output_a(),
            contactors_closed: circuit.contactors.conducts(),
            soc: circuit.vehicle().map_or(-1.0, |vehicle| vehicle.battery.soc * 100.0),
            register: (circuit.meter.exact_import_wh() / METER_RESOLUTION_WH).floor() * METER_RESOLUTION_WH,
            resolution: METER_RESOLUTION_WH,
            pilot: pilot(circuit.pilot_state()).to_owned(),
            at: now_us(),
        }))
    }

    /// The bus, if there is one now.
    ///
    /// # Errors
    /// `Unavailable` while there is none.
    pub fn connection(&self) -> Result<zbus::Connection, Error> {
        self.connection.borrow().clone().ok_or_else(|| Error::Unavailable("the bus is down".to_owned()))
    }
}

/// Holds a card to a reader until it was read.
async fn hold(reader: &CardField, number: &str) -> Result<String, Error> {
    // What lies there when the reader begins is told to nobody.
    until(|| reader.was_seen_empty()).await?;
    if !reader.lay(number) {
        return Err(Error::Invalid("a card's number has 4, 7 or 10 bytes, in hexadecimal digits".to_owned()));
    }
    let read = until(|| reader.is_listed()).await;
    if read.is_ok() {
        tokio::time::sleep(HELD).await;
    }
    reader.take_away();
    read.map(|()| "read".to_owned())
}

async fn until(holds: impl Fn() -> bool) -> Result<(), Error> {
    let end = tokio::time::Instant::now() + READ_WITHIN;
    while !holds() {
        if tokio::time::Instant::now() > end {
            return Err(Error::Unavailable("nobody reads the card".to_owned()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn fault(name: &str) -> Result<Fault, Error> {
    Fault::from_name(name)
        .ok_or_else(|| Error::Invalid(format!("{name:?} is no fault; `voltryctl sim fault list` names them")))
}

fn pilot(state: PilotState) -> &'static str {
    match state {
        PilotState::A => "A",
        PilotState::B => "B",
        PilotState::C => "C",
        PilotState::D => "D",
        PilotState::E => "E",
        PilotState::F => "F",
    }
}

/// `CLOCK_BOOTTIME` in microseconds, the time of everything on the bus.
fn now_us() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .expect("every Linux since 2.6.39 has CLOCK_BOOTTIME");
    u64::try_from(std::time::Duration::from(now).as_micros()).unwrap_or(u64::MAX)
}
