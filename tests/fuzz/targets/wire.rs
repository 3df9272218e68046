//! What arrives on the bus: any bytes as the body of any message that the daemons read. What is
//! read as a quantity is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_bus as bus;
use voltry_units::{Amps, Ohms, Volts, WattHours};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{LE, to_bytes};

fn read<T: serde::de::DeserializeOwned + zbus::Type>(bytes: &[u8]) -> Option<T> {
    let data = Data::new(bytes, Context::new(LE, 0));
    data.deserialize::<T>().ok().map(|(value, _)| value)
}

fuzz_target!(|data: &[u8]| {
    if let Some(output) = read::<bus::DcOutput>(data)
        && let (Ok(volts), Ok(amps)) = (Volts::from_si(output.voltage), Amps::from_si(output.current))
    {
        assert!(volts.as_si().is_finite() && amps.as_si().is_finite());
    }
    if let Some(reading) = read::<bus::InsulationReading>(data)
        && let Ok(ohms) = Ohms::from_si(reading.resistance)
    {
        assert!(ohms.as_si() >= 0.0 && !reading.resistance.is_nan());
    }
    if let Some(reading) = read::<bus::MeterReading>(data) {
        let _ = WattHours::from_si(reading.energy_import);
    }
    if let Some(state) = read::<bus::ConnectorState>(data) {
        let again = to_bytes(Context::new(LE, 0), &state).expect("it was read");
        let _ = read::<bus::ConnectorState>(&again).expect("what is written can be read");
    }
    let _ = read::<bus::PhaseEntry>(data);
    let _ = read::<bus::Target>(data);
    let _ = read::<bus::VehicleLimits>(data);
    let _ = read::<bus::VehicleState>(data);
    let _ = read::<bus::LinkEnd>(data);
    let _ = read::<bus::Present>(data);
    let _ = read::<bus::Permit>(data);
    let _ = read::<bus::Fault>(data);
});
