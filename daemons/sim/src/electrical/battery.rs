//! The traction battery: a voltage that rises with the charge, behind a resistance.

/// Share of the span between empty and full that the open-circuit voltage has reached, by charge.
const CURVE: [(f64, f64); 5] = [(0.0, 0.0), (0.1, 0.40), (0.5, 0.62), (0.9, 0.86), (1.0, 1.0)];

/// A battery. Voltages are those of the whole pack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Battery {
    /// Energy between empty and full, in watt-hours.
    pub capacity_wh: f64,
    /// State of charge, `0.0..=1.0`.
    pub soc: f64,
    /// Open-circuit voltage when empty.
    pub empty_v: f64,
    /// Open-circuit voltage when full.
    pub full_v: f64,
    /// Internal resistance, cables of the vehicle included.
    pub resistance_ohms: f64,
}

impl Battery {
    /// A pack of the 400 V class: 330 V empty, 420 V full, 80 mΩ.
    #[must_use]
    pub fn of_400_v(capacity_wh: f64, soc: f64) -> Self {
        Self { capacity_wh, soc: soc.clamp(0.0, 1.0), empty_v: 330.0, full_v: 420.0, resistance_ohms: 0.08 }
    }

    /// A pack of the 800 V class: 640 V empty, 830 V full, 120 mΩ.
    #[must_use]
    pub fn of_800_v(capacity_wh: f64, soc: f64) -> Self {
        Self { capacity_wh, soc: soc.clamp(0.0, 1.0), empty_v: 640.0, full_v: 830.0, resistance_ohms: 0.12 }
    }

    /// Volts of the pack with no current, at its present charge.
    #[must_use]
    pub fn open_circuit_v(&self) -> f64 {
        let soc = self.soc.clamp(0.0, 1.0);
        let share = CURVE.windows(2).find(|pair| soc <= pair[1].0).map_or(1.0, |pair| {
            pair[0].1 + (pair[1].1 - pair[0].1) * (soc - pair[0].0) / (pair[1].0 - pair[0].0)
        });
        self.empty_v + (self.full_v - self.empty_v) * share
    }

    /// Takes `amps` for `seconds`; the energy that the resistance turns to heat is not stored.
    pub(super) fn charge(&mut self, amps: f64, seconds: f64) {
        let joules = self.open_circuit_v() * amps * seconds;
        self.soc = (self.soc + joules / (self.capacity_wh * 3_600.0)).clamp(0.0, 1.0);
    }
}
