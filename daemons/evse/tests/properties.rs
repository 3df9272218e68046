//! What must hold whatever an energy path is told, also what no device would ever tell. What must hold
//! whatever breaks is held by `tests/sweep`.

#![allow(clippy::wildcard_enum_match_arm, clippy::too_many_lines)] // one long list of generators

mod plant;

use std::time::Duration;

use proptest::prelude::*;
use voltry_bus::{
    Alarm, Alarms, Authorization, Contactors, LinkOutcome, LinkPhase, Lock, Pilot, PilotFault, PilotOutput,
    Proximity,
};
use voltry_evse::energy_path::{
    Action, Capability, Command, ConnectorIo, Discharge, EnergyPath, FaultCode, Input, Installation,
    InsulationReading, MeterReading, OverVoltageReading, Permit, Refusal, Role, SupplyReading, Target,
    VehicleLimits,
};
use voltry_units::{Amps, Celsius, Measured, Ohms, Percent, Timestamp, Volts, WattHours, Watts};

/// What a board may say that it latched for.
const LATCHES: [FaultCode; 11] = [
    FaultCode::EnclosureOpen,
    FaultCode::TiltDetected,
    FaultCode::WaterIngress,
    FaultCode::CoolingFailed,
    FaultCode::BoardSafeState,
    FaultCode::EmergencyStop,
    FaultCode::PilotFault,
    FaultCode::DiodeFault,
    FaultCode::ProximityFault,
    FaultCode::ContactorFault,
    FaultCode::CableOverTempStop,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_sequence_of_inputs_panics_or_closes_onto_a_voltage(
        discharge in any::<bool>(),
        inputs in prop::collection::vec((any_input(), 0_u64..400), 1..400)
    ) {
        let mut path = EnergyPath::new(Installation { discharge, ..plant::installation() });
        let mut now = Timestamp::from_micros(1_000_000_000);
        for role in Role::ALL {
            let _ = path.step(now, Input::Found(role));
        }
        let mut guard: Option<OverVoltageReading> = None;
        for (make, wait) in inputs {
            now = now + Duration::from_millis(wait);
            let input = make.at(now);
            match input {
                // As the path takes it: not older than what it has.
                Input::OverVoltage(reading) if guard.is_none_or(|old| reading.at >= old.at) => guard = Some(reading),
                Input::Lost(Role::OverVoltageMonitor) => guard = None,
                _ => {}
            }
            let watches = guard.is_some_and(|guard| {
                guard.armed && !guard.tripped && now.since(guard.at) <= Duration::from_millis(300)
            });
            let actions = path.step(now, input).to_vec();
            prop_assert!(actions.len() < 32, "{} actions", actions.len());
            let (cable, supply) = path.measured(now);
            for action in actions {
                let Action::Do(command) = action else { continue };
                prop_assert!(command.epoch().is_none() || watches, "{command:?} unguarded");
                match command {
                    Command::CloseContactors(_) => {
                        let (cable, supply) = (cable.unwrap(), supply.unwrap().voltage);
                        prop_assert!(cable.abs() < Volts::new(60) && supply.abs_diff(cable) < Volts::new(20));
                    }
                    Command::RenewSupply(_) | Command::RenewContactors(_) => {
                        prop_assert!(input == Input::Tick, "renewed by {input:?}");
                        prop_assert!(cable.is_some() && supply.is_some(), "renewed on stale inputs");
                    }
                    Command::SetOutput { current, .. } => {
                        prop_assert!(current <= Amps::new(200));
                        let least = if discharge { Amps::new(-200) } else { Amps::ZERO };
                        prop_assert!(current >= least, "{current} set");
                    }
                    Command::Discharge(taken) => prop_assert!(discharge, "{taken:?} offered"),
                    _ => {}
                }
            }
        }
    }
}

/// An input whose times are relative to the moment it arrives.
#[derive(Debug, Clone)]
struct Made {
    input: Input,
    age: u64,
}

impl Made {
    fn at(&self, now: Timestamp) -> Input {
        let at = now - Duration::from_millis(self.age);
        match self.input {
            Input::Supply(reading) => Input::Supply(SupplyReading { at, ..reading }),
            Input::CableVoltage(voltage) => Input::CableVoltage(Measured::new(voltage.value, at)),
            Input::OverVoltage(reading) => Input::OverVoltage(OverVoltageReading { at, ..reading }),
            Input::Insulation(reading) => Input::Insulation(InsulationReading { at, ..reading }),
            Input::SelfTest { passed, .. } => Input::SelfTest { passed, at },
            Input::Io(io) => Input::Io(ConnectorIo { at, ..io }),
            Input::Meter(reading) => Input::Meter(MeterReading { at, ..reading }),
            Input::Target(target) => Input::Target(Target { at, ..target }),
            Input::Permit(permit) => Input::Permit(Permit { until: now + Duration::from_secs(30), ..permit }),
            other => other,
        }
    }
}

fn any_input() -> impl Strategy<Value = Made> {
    let at = Timestamp::BOOT;
    let volts = prop_oneof![4 => -20_000_i64..60_000, 1 => any::<i32>().prop_map(i64::from)]
        .prop_map(Volts::from_milli);
    let amps = (-10_000_i64..400_000).prop_map(Amps::from_milli);
    let phase = prop::sample::select(LinkPhase::ALL.to_vec());
    let io = (
        prop::sample::select(vec![
            Pilot::A,
            Pilot::B,
            Pilot::C,
            Pilot::C,
            Pilot::C,
            Pilot::D,
            Pilot::E,
            Pilot::F,
        ]),
        prop::sample::select(vec![PilotFault::None, PilotFault::None, PilotFault::None, PilotFault::Diode]),
        prop::sample::select(Contactors::ALL.to_vec()),
        prop::bool::weighted(0.02),
        prop::option::weighted(0.02, prop::sample::select(Alarm::ALL.to_vec())),
        prop::option::weighted(0.02, prop::sample::select(LATCHES.to_vec())),
        -20_i32..110,
    )
        .prop_map(move |(pilot, pilot_fault, contactors, emergency_stop, alarm, safe_state, celsius)| {
            Input::Io(ConnectorIo {
                pilot,
                pilot_fault,
                proximity: Proximity::NotUsed,
                contactors,
                lock: Lock::NotFitted,
                emergency_stop,
                alarms: alarm.into_iter().fold(Alarms::default(), |alarms, alarm| alarms.set(alarm, true)),
                safe_state,
                hottest: Some(Celsius::new(celsius)),
                sensors: 1,
                at,
            })
        });
    let capability =
        (0_i32..200, 300_i32..1000, 0_i32..500, 0_i32..200_000).prop_map(|(low, high, amps, watts)| {
            Input::Capability(Capability {
                voltage_min: Volts::new(low),
                voltage_max: Volts::new(high),
                current_max: Amps::new(amps),
                power_max: Watts::new(watts),
            })
        });
    let limits = (prop::option::of(volts.clone()), prop::option::of(amps.clone())).prop_map(
        |(voltage_max, current_max)| {
            Input::VehicleLimits(VehicleLimits { voltage_max, current_max, power_max: None })
        },
    );
    let taken = (0_i32..400, 0_i32..400, 0_i32..100_000).prop_map(|(volts, amps, watts)| Discharge {
        voltage_min: Volts::new(volts),
        current_max: Amps::new(amps),
        power_max: Watts::new(watts),
    });
    let inputs = prop_oneof![
        8 => Just(Input::Tick),
        6 => (volts.clone(), amps.clone())
            .prop_map(move |(voltage, current)| Input::Supply(SupplyReading { voltage, current, at })),
        6 => volts.clone().prop_map(move |volts| Input::CableVoltage(Measured::new(volts, at))),
        6 => io,
        4 => (prop::bool::weighted(0.9), prop::sample::select(vec![550, 825, 1100]), prop::bool::weighted(0.02))
            .prop_map(move |(armed, limit, tripped)| {
                let (limit, voltage) = (Volts::new(limit), Volts::ZERO);
                Input::OverVoltage(OverVoltageReading { armed, limit, tripped, voltage, at })
            }),
        2 => capability,
        1 => taken.clone().prop_map(Input::Discharge),
        1 => taken.prop_map(Input::VehicleDischarge),
        2 => (0_i32..3_000_000, any::<bool>(), 0_u64..9).prop_map(move |(ohms, valid, counter)| {
            Input::Insulation(InsulationReading { resistance: Ohms::new(ohms), valid, counter, at })
        }),
        1 => any::<bool>().prop_map(move |passed| Input::SelfTest { passed, at }),
        2 => (0_i32..9, 0_i32..9).prop_map(move |(wh, export)| {
            Input::Meter(MeterReading { energy: WattHours::new(wh), export: WattHours::new(export), at })
        }),
        4 => (0_u64..40, phase).prop_map(|(counter, phase)| Input::Phase { counter, phase }),
        2 => (0_u64..40, volts, amps)
            .prop_map(move |(counter, voltage, current)| Input::Target(Target { counter, voltage, current, at })),
        2 => limits,
        1 => (0_i32..100).prop_map(|soc| Input::Soc(Percent::new(soc))),
        1 => (0_u64..40, prop::sample::select(PilotOutput::ALL.to_vec()))
            .prop_map(|(counter, output)| Input::PilotRequest { counter, output }),
        1 => prop::sample::select(LinkOutcome::ALL.to_vec()).prop_map(Input::LinkEnded),
        2 => (any::<bool>(), 0_i32..100_000)
            .prop_map(move |(allowed, watts)| Input::Permit(Permit { allowed, power: Watts::new(watts), until: at })),
        1 => prop::sample::select(Authorization::ALL.to_vec())
            .prop_map(|authorization| Input::Authorization { session: 1_000_000_000, authorization }),
        1 => prop::sample::select(vec![Input::Stop, Input::ClearFaults, Input::Unlock, Input::Available(true), Input::Available(false)]),
        1 => prop::sample::select(Role::ALL.to_vec()).prop_map(Input::Found),
        1 => prop::sample::select(Role::ALL.to_vec()).prop_map(Input::Lost),
        1 => prop::sample::select(vec![
            Input::Refused(Command::SupplyOff, Refusal::TooOld), Input::Refused(Command::StartSelfTest, Refusal::Device), Input::Terminate,
        ]),
    ];
    (inputs, 0_u64..400).prop_map(|(input, age)| Made { input, age })
}
