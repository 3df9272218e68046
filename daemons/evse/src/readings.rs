//! What providers signal, as inputs; what is no physical value, or out of order, is refused.

use voltry_bus as bus;
use voltry_units::{Amps, Celsius, Measured, Ohms, OutOfRange, Percent, Timestamp, Volts, WattHours, Watts};
use zbus::{Message, OwnedVariant};

use crate::energy_path::{
    Capability, ConnectorIo, Discharge, FaultCode, Input, InsulationReading, MeterReading,
    OverVoltageReading, Role, SupplyReading, Target, VehicleLimits,
};

/// Why a message is not taken for a measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Malformed(#[from] zbus::Error),
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    #[error("stamped {by_micros} µs in the future")]
    FromTheFuture { by_micros: u64 },
    #[error("sequence {sequence} after {last}")]
    OutOfOrder { sequence: u64, last: u64 },
    #[error("{0} is below zero")]
    Negative(f64),
}

/// The newest sequence number of each stream.
#[derive(Debug, Default)]
pub(crate) struct Sequences([u64; Role::ALL.len()]);

impl Sequences {
    /// A provider that came anew begins anew.
    pub(crate) fn forget(&mut self, role: Role) {
        self.0[role as usize] = 0;
    }

    fn take(&mut self, role: Role, sequence: u64) -> Result<(), Refused> {
        let last = &mut self.0[role as usize];
        if sequence <= *last {
            return Err(Refused::OutOfOrder { sequence, last: *last });
        }
        *last = sequence;
        Ok(())
    }
}

/// The input that a signal is; none for a signal that the energy path does not use.
pub(crate) fn input(
    role: Role,
    member: &str,
    message: &Message,
    sequences: &mut Sequences,
    now: Timestamp,
) -> Result<Option<Input>, Refused> {
    let body = message.body();
    let past = |micros: u64| {
        let at = Timestamp::from_micros(micros);
        if at > now { Err(Refused::FromTheFuture { by_micros: micros - now.as_micros() }) } else { Ok(at) }
    };
    let input = match (role, member) {
        (Role::PowerSupply, "Output") => {
            let output: bus::DcOutput = body.deserialize()?;
            let reading = SupplyReading {
                voltage: Volts::from_si(output.voltage)?,
                current: Amps::from_si(output.current)?,
                at: past(output.at)?,
            };
            sequences.take(role, output.sequence)?;
            Input::Supply(reading)
        }
        (Role::VoltageMonitor, "Voltage") => {
            let reading: bus::VoltageReading = body.deserialize()?;
            let voltage = Measured::new(Volts::from_si(reading.voltage)?, past(reading.at)?);
            sequences.take(role, reading.sequence)?;
            Input::CableVoltage(voltage)
        }
        (Role::OverVoltageMonitor, "State") => {
            let told: bus::OverVoltageState = body.deserialize()?;
            let reading = OverVoltageReading {
                armed: told.armed,
                limit: Volts::from_si(told.limit)?,
                tripped: told.tripped,
                voltage: Volts::from_si(told.voltage)?,
                at: past(told.at)?,
            };
            sequences.take(role, told.sequence)?;
            Input::OverVoltage(reading)
        }
        (Role::InsulationMonitor, "Insulation") => {
            let told: bus::InsulationReading = body.deserialize()?;
            let reading = InsulationReading {
                resistance: Ohms::from_si(told.resistance)?,
                valid: told.valid,
                counter: told.counter,
                at: past(told.at)?,
            };
            sequences.take(role, told.sequence)?;
            Input::Insulation(reading)
        }
        (Role::InsulationMonitor, "SelfTestFinished") => {
            let result: bus::SelfTestResult = body.deserialize()?;
            Input::SelfTest { passed: result.passed, at: past(result.at)? }
        }
        (Role::ConnectorIo, "Io") => {
            let state: bus::ConnectorState = body.deserialize()?;
            let io = connector_io(&state, past(state.at)?)?;
            sequences.take(role, state.sequence)?;
            Input::Io(io)
        }
        (Role::EnergyMeter, "Reading") => {
            let reading: bus::MeterReading = body.deserialize()?;
            let energy = WattHours::from_si(not_negative(reading.energy_import)?)?;
            let export = WattHours::from_si(not_negative(reading.energy_export)?)?;
            let at = past(reading.at)?;
            sequences.take(role, reading.sequence)?;
            Input::Meter(MeterReading { energy, export, at })
        }
        (Role::EvLink, _) => return link_input(member, message, now),
        _ => return Ok(None),
    };
    Ok(Some(input))
}

fn link_input(member: &str, message: &Message, now: Timestamp) -> Result<Option<Input>, Refused> {
    let body = message.body();
    Ok(Some(match member {
        "PhaseEntered" => {
            let entry: bus::PhaseEntry = body.deserialize()?;
            Input::Phase { counter: entry.counter, phase: entry.phase }
        }
        "Target" => {
            let target: bus::Target = body.deserialize()?;
            let at = Timestamp::from_micros(target.at);
            if at > now {
                return Err(Refused::FromTheFuture { by_micros: target.at - now.as_micros() });
            }
            Input::Target(Target {
                counter: target.phase,
                voltage: Volts::from_si(not_negative(target.voltage)?)?,
                current: Amps::from_si(target.current)?,
                at,
            })
        }
        "Limits" => {
            let limits: bus::VehicleLimits = body.deserialize()?;
            Input::VehicleLimits(vehicle_limits(&limits)?)
        }
        "DischargeLimits" => {
            let told: bus::VehicleDischarge = body.deserialize()?;
            Input::VehicleDischarge(discharge(told.voltage_min, told.current_max, told.power_max)?)
        }
        "Vehicle" => {
            let state: bus::VehicleState = body.deserialize()?;
            Input::Soc(Percent::from_si(state.soc)?)
        }
        "PilotRequest" => {
            let (phase, output): (u64, bus::PilotOutput) = body.deserialize()?;
            Input::PilotRequest { counter: phase, output }
        }
        "Ended" => {
            let end: bus::LinkEnd = body.deserialize()?;
            Input::LinkEnded(end.outcome)
        }
        _ => return Ok(None),
    }))
}

/// Zero: the vehicle did not say.
fn vehicle_limits(limits: &bus::VehicleLimits) -> Result<VehicleLimits, Refused> {
    let said = |value: f64| if value == 0.0 { Ok(None) } else { not_negative(value).map(Some) };
    Ok(VehicleLimits {
        voltage_max: said(limits.voltage_max)?.map(Volts::from_si).transpose()?,
        current_max: said(limits.current_max)?.map(Amps::from_si).transpose()?,
        power_max: said(limits.power_max)?.map(Watts::from_si).transpose()?,
    })
}

fn not_negative(value: f64) -> Result<f64, Refused> {
    if value < 0.0 { Err(Refused::Negative(value)) } else { Ok(value) }
}

fn connector_io(state: &bus::ConnectorState, at: Timestamp) -> Result<ConnectorIo, OutOfRange> {
    let mut hottest = None;
    for temperature in &state.temperatures {
        hottest = hottest.max(Some(Celsius::from_si(*temperature)?));
    }
    Ok(ConnectorIo {
        pilot: state.pilot,
        pilot_fault: state.pilot_fault,
        proximity: state.proximity,
        contactors: state.contactors,
        lock: state.lock,
        emergency_stop: state.emergency_stop,
        alarms: state.alarms,
        safe_state: (!state.safe_state.is_empty()).then(|| FaultCode::latched_by_board(&state.safe_state)),
        hottest,
        sensors: u8::try_from(state.temperatures.len()).unwrap_or(u8::MAX),
        at,
    })
}

/// A supply's capability. Refused as a whole: what it said last holds.
pub(crate) fn capability(told: OwnedVariant) -> Result<Capability, Refused> {
    let told = bus::DcCapability::try_from(told)?;
    Ok(Capability {
        voltage_min: Volts::from_si(not_negative(told.voltage_min)?)?,
        voltage_max: Volts::from_si(not_negative(told.voltage_max)?)?,
        current_max: Amps::from_si(not_negative(told.current_max)?)?,
        power_max: Watts::from_si(not_negative(told.power_max)?)?,
    })
}

/// What a supply can take, likewise.
pub(crate) fn supply_discharge(told: OwnedVariant) -> Result<Discharge, Refused> {
    let told = bus::DcDischarge::try_from(told)?;
    discharge(told.voltage_min, told.current_max, told.power_max)
}

fn discharge(voltage_min: f64, current_max: f64, power_max: f64) -> Result<Discharge, Refused> {
    Ok(Discharge {
        voltage_min: Volts::from_si(not_negative(voltage_min)?)?,
        current_max: Amps::from_si(not_negative(current_max)?)?,
        power_max: Watts::from_si(not_negative(power_max)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(body: &(impl serde::Serialize + zbus::DynamicType)) -> Message {
        Message::signal("/org/voltry/power_supply/1", "org.voltry.PowerSupply1", "Output")
            .build(body)
            .unwrap()
    }

    fn output(sequence: u64, voltage: f64, at: u64) -> Message {
        signal(&(bus::DcOutput { sequence, voltage, current: 0.0, at },))
    }

    fn taken(message: &Message, sequences: &mut Sequences) -> Result<Option<Input>, Refused> {
        input(Role::PowerSupply, "Output", message, sequences, Timestamp::from_micros(1_000))
    }

    #[test]
    fn a_measurement_that_is_no_number_or_from_the_future_or_late_is_refused() {
        let mut sequences = Sequences::default();
        assert!(matches!(taken(&output(5, 400.0, 900), &mut sequences), Ok(Some(Input::Supply(_)))));
        for bad in
            [output(6, f64::NAN, 901), output(7, 1e9, 901), output(8, 400.0, 1_001), output(5, 400.0, 901)]
        {
            assert!(taken(&bad, &mut sequences).is_err());
        }
        assert!(taken(&signal(&("text",)), &mut sequences).is_err());
        assert!(taken(&output(6, 400.0, 1_000), &mut sequences).is_ok(), "a refused one counts for nothing");
    }

    #[test]
    fn a_provider_that_came_anew_counts_from_one() {
        let mut sequences = Sequences::default();
        taken(&output(500, 400.0, 900), &mut sequences).unwrap();
        assert!(taken(&output(1, 400.0, 900), &mut sequences).is_err());
        sequences.forget(Role::PowerSupply);
        assert!(taken(&output(1, 400.0, 900), &mut sequences).is_ok());
    }
}
