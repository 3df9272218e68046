//! The newest of every measurement, and whether it still counts.

use voltry_bus::{Contactors, LinkPhase, Pilot};
use voltry_units::{Measured, Timestamp, Volts};

use super::{
    Capability, ConnectorIo, Discharge, Installation, InsulationReading, MeterReading, OverVoltageReading,
    Permit, Profile, Role, SupplyReading,
};

/// Readings that follow each other faster are no measure of how fast a voltage moves, in microseconds.
const MEASURED_EVERY: i64 = 50_000;

/// What is known. A value is used only through a method that asks for its age.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    supply: Option<SupplyReading>,
    capability: Capability,
    /// What the supply says that it can take from a vehicle.
    pub(super) discharge: Discharge,
    cable: Option<Measured<Volts>>,
    /// The voltages before these.
    supply_before: Option<Measured<Volts>>,
    cable_before: Option<Measured<Volts>>,
    over_voltage: Option<OverVoltageReading>,
    insulation: Option<InsulationReading>,
    /// The last self-test: passed, and when.
    pub(super) self_test: Option<(bool, Timestamp)>,
    io: Option<ConnectorIo>,
    /// The most temperatures that the board told: one that falls silent may be the hot one.
    sensors: u8,
    meter: Option<MeterReading>,
    pub(super) link: Link,
    pub(super) permit: Option<Permit>,
    present: [bool; Role::ALL.len()],
}

/// Where the conversation stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) phase: LinkPhase,
    pub(super) counter: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { phase: LinkPhase::Detached, counter: 0 }
    }
}

/// The lower of those that are known.
fn lower(one: Option<Volts>, other: Option<Volts>) -> Option<Volts> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (known, None) | (None, known) => known,
    }
}

/// A stamp that is neither from the future nor older than the one before.
fn in_order(at: Timestamp, before: Option<Timestamp>, now: Timestamp) -> bool {
    at <= now && before.is_none_or(|before| at >= before)
}

impl Observed {
    pub(super) fn found(&mut self, role: Role) {
        self.present[role as usize] = true;
    }

    /// Forgets all that the role told.
    pub(super) fn lost(&mut self, role: Role) {
        self.present[role as usize] = false;
        match role {
            Role::PowerSupply => {
                self.supply = None;
                self.capability = Capability::default();
                self.discharge = Discharge::default();
            }
            Role::VoltageMonitor => self.cable = None,
            Role::OverVoltageMonitor => self.over_voltage = None,
            Role::InsulationMonitor => {
                self.insulation = None;
                self.self_test = None;
            }
            Role::ConnectorIo => (self.io, self.sensors) = (None, 0),
            Role::EnergyMeter => self.meter = None,
            Role::EvLink => self.link = Link::default(),
        }
    }

    pub(super) fn is_present(&self, role: Role) -> bool {
        self.present[role as usize]
    }

    pub(super) fn see_supply(&mut self, reading: SupplyReading, now: Timestamp) {
        if in_order(reading.at, self.supply.map(|old| old.at), now) {
            self.supply_before = self.supply.map(|old| Measured::new(old.voltage, old.at));
            self.supply = Some(reading);
        }
    }

    pub(super) fn see_capability(&mut self, capability: Capability) {
        self.capability = capability;
    }

    pub(super) fn see_cable(&mut self, voltage: Measured<Volts>, now: Timestamp) {
        if in_order(voltage.at, self.cable.map(|old| old.at), now) {
            self.cable_before = self.cable;
            self.cable = Some(voltage);
        }
    }

    pub(super) fn see_over_voltage(&mut self, reading: OverVoltageReading, now: Timestamp) {
        if in_order(reading.at, self.over_voltage.map(|old| old.at), now) {
            self.over_voltage = Some(reading);
        }
    }

    /// Whether the over-voltage monitor says anything but what it said before.
    pub(super) fn is_news(&self, reading: OverVoltageReading) -> bool {
        self.over_voltage.is_none_or(|old| {
            (old.armed, old.limit, old.tripped) != (reading.armed, reading.limit, reading.tripped)
        })
    }

    /// A value that the device does not vouch for, or that its counter calls old, is none.
    pub(super) fn see_insulation(&mut self, reading: InsulationReading, now: Timestamp) {
        let old = self.insulation;
        if reading.valid
            && in_order(reading.at, old.map(|old| old.at), now)
            && old.is_none_or(|old| old.counter != reading.counter)
        {
            self.insulation = Some(reading);
        }
    }

    pub(super) fn see_io(&mut self, io: ConnectorIo, now: Timestamp) {
        if in_order(io.at, self.io.map(|old| old.at), now) {
            self.io = Some(io);
            self.sensors = self.sensors.max(io.sensors);
        }
    }

    pub(super) fn see_meter(&mut self, reading: MeterReading, now: Timestamp) {
        if in_order(reading.at, self.meter.map(|old| old.at), now) {
            self.meter = Some(reading);
        }
    }

    pub(super) fn supply(&self, now: Timestamp, profile: &Profile) -> Option<SupplyReading> {
        self.supply.filter(|reading| now.since(reading.at) <= profile.reading_stale)
    }

    pub(super) fn cable(&self, now: Timestamp, profile: &Profile) -> Option<Volts> {
        self.cable.and_then(|cable| cable.fresh(now, profile.reading_stale).copied())
    }

    /// The lowest and the highest of all that measure a voltage: the supply on its side, the cable's monitor
    /// and the over-voltage monitor on the other. Behind closed contactors they are one voltage.
    pub(super) fn voltages(&self, now: Timestamp, profile: &Profile) -> (Volts, Volts) {
        let supply = self.supply(now, profile).map(|supply| supply.voltage);
        // A trip keeps the voltage that caused it.
        let guard = self.over_voltage(now, profile).filter(|guard| !guard.tripped);
        let guard = guard.map(|guard| guard.voltage);
        let cable = self.cable(now, profile);
        // Every step asks this. An iterator over a few options takes ten times as long as they do.
        let lowest = lower(lower(supply, cable), guard).unwrap_or(Volts::ZERO);
        let highest = supply.max(cable).max(guard).unwrap_or(Volts::ZERO);
        (lowest, highest)
    }

    /// The lower of both sides: a short circuit behind closed contactors shows on each, and one may lie.
    pub(super) fn lower_voltage(&self, now: Timestamp, profile: &Profile) -> Option<Volts> {
        let supply = self.supply(now, profile).map(|supply| supply.voltage);
        lower(supply, self.cable(now, profile))
    }

    /// How far the two sides can be apart as long as these readings count: what is measured, and what each
    /// moves by in that time if it goes on as it did.
    pub(super) fn apart(&self, now: Timestamp, profile: &Profile) -> Option<Volts> {
        let (supply, cable) = (self.supply(now, profile)?.voltage, self.cable(now, profile)?);
        let stale = i64::try_from(profile.reading_stale.as_micros()).unwrap_or(i64::MAX);
        let drift = |value: Volts, at: Timestamp, before: Option<Measured<Volts>>| {
            let Some(before) = before else { return Volts::ZERO };
            let passed = i64::try_from(at.since(before.at).as_micros()).unwrap_or(i64::MAX).max(1);
            value.abs_diff(before.value).scaled(stale, passed.max(MEASURED_EVERY))
        };
        let supply_drift = drift(supply, self.supply?.at, self.supply_before);
        let cable_drift = drift(cable, self.cable?.at, self.cable_before);
        Some(supply.abs_diff(cable) + supply_drift + cable_drift)
    }

    pub(super) fn over_voltage(&self, now: Timestamp, profile: &Profile) -> Option<OverVoltageReading> {
        self.over_voltage.filter(|reading| now.since(reading.at) <= profile.reading_stale)
    }

    /// The cable's voltage with its time, whatever its age.
    pub(super) fn newest_cable(&self) -> Option<Measured<Volts>> {
        self.cable
    }

    pub(super) fn io(&self, now: Timestamp, profile: &Profile) -> Option<ConnectorIo> {
        self.io.filter(|io| now.since(io.at) <= profile.reading_stale)
    }

    /// How many temperatures the board tells, and how many it told, if one of them is missing.
    pub(super) fn missing_sensors(&self) -> Option<(u8, u8)> {
        self.io.map(|io| (io.sensors, self.sensors)).filter(|(tell, told)| tell < told)
    }

    pub(super) fn insulation(&self, now: Timestamp, profile: &Profile) -> Option<InsulationReading> {
        self.insulation.filter(|reading| now.since(reading.at) <= profile.insulation_stale)
    }

    pub(super) fn meter(&self, now: Timestamp, profile: &Profile) -> Option<MeterReading> {
        self.meter.filter(|reading| now.since(reading.at) <= profile.meter_stale)
    }

    /// All zero while the supply is away.
    pub(super) fn capability(&self) -> Capability {
        self.capability
    }

    pub(super) fn pilot(&self, now: Timestamp, profile: &Profile) -> Option<Pilot> {
        self.io(now, profile).map(|io| io.pilot)
    }

    /// The permit, while it holds.
    pub(super) fn permit(&self, now: Timestamp) -> Option<Permit> {
        self.permit.filter(|permit| permit.allowed && now < permit.until)
    }

    /// Both sides measured, and no person in danger.
    pub(super) fn voltages_safe(&self, now: Timestamp, profile: &Profile) -> bool {
        let below = |voltage: Volts| voltage.abs() < profile.safe_voltage;
        self.supply(now, profile).is_some_and(|supply| below(supply.voltage))
            && self.cable(now, profile).is_some_and(below)
    }

    /// Both sides measured safe, no current, and the contactors open by their feedback.
    pub(super) fn confirmed_safe(&self, now: Timestamp, profile: &Profile) -> bool {
        self.voltages_safe(now, profile)
            && self.supply(now, profile).is_some_and(|supply| supply.current.abs() < profile.open_current)
            && self.io(now, profile).is_some_and(|io| io.contactors == Contactors::Open)
    }

    /// The first role that is gone or whose streams are stale. The insulation monitor and the
    /// link have no steady stream: their silence is judged where it matters.
    pub(super) fn first_missing(
        &self,
        now: Timestamp,
        installation: &Installation,
        meter_wanted: bool,
    ) -> Option<Role> {
        let profile = &installation.profile;
        let stale = |role| match role {
            Role::PowerSupply => self.supply(now, profile).is_none(),
            Role::VoltageMonitor => self.cable(now, profile).is_none(),
            Role::OverVoltageMonitor => self.over_voltage(now, profile).is_none(),
            Role::ConnectorIo => self.io(now, profile).is_none(),
            Role::EnergyMeter => self.meter(now, profile).is_none(),
            Role::InsulationMonitor | Role::EvLink => false,
        };
        Role::ALL
            .into_iter()
            .filter(|role| installation.has(*role) && (meter_wanted || *role != Role::EnergyMeter))
            .find(|role| !self.is_present(*role) || stale(*role))
    }
}
