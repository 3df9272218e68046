//! An energy register that counts in integers.

/// Microjoules in a watt-hour.
const MICROJOULES_PER_WH: i128 = 3_600_000_000;

/// Imported and exported energy, counted in microjoules so that no step is lost to rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EnergyRegister {
    import_uj: i128,
    export_uj: i128,
}

impl EnergyRegister {
    /// A register that has already counted `wh` watt-hours of import.
    #[must_use]
    pub fn from_wh(wh: u64) -> Self {
        Self { import_uj: i128::from(wh) * MICROJOULES_PER_WH, export_uj: 0 }
    }

    /// A register that has already counted these watt-hours.
    #[must_use]
    pub fn counted(import_wh: u64, export_wh: u64) -> Self {
        let [import_uj, export_uj] = [import_wh, export_wh].map(|wh| i128::from(wh) * MICROJOULES_PER_WH);
        Self { import_uj, export_uj }
    }

    /// Counts `joules`; negative ones are exported.
    pub fn add(&mut self, joules: f64) {
        // Saturates; a circuit's step carries some kilojoules.
        #[allow(clippy::cast_possible_truncation)]
        let microjoules = (joules * 1e6).round() as i128;
        if microjoules >= 0 { self.import_uj += microjoules } else { self.export_uj -= microjoules }
    }

    /// Whole watt-hours imported, as a meter shows them.
    #[must_use]
    pub fn import_wh(&self) -> u64 {
        u64::try_from(self.import_uj / MICROJOULES_PER_WH).unwrap_or(u64::MAX)
    }

    /// Whole watt-hours exported.
    #[must_use]
    pub fn export_wh(&self) -> u64 {
        u64::try_from(self.export_uj / MICROJOULES_PER_WH).unwrap_or(u64::MAX)
    }

    /// Imported energy in watt-hours, with its fraction.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // Exact to a microjoule up to some gigawatt-hours.
    pub fn exact_import_wh(&self) -> f64 {
        self.import_uj as f64 / MICROJOULES_PER_WH as f64
    }
}
