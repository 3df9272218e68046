//! The power stage of one module: a voltage source with a current limit. It takes no current, unless
//! it feeds back into the grid; then it gives none.

/// Regulation: a volt of droop is 500 A, so that parallel modules share evenly.
const DROOP_OHMS: f64 = 2e-3;
/// How fast the output rises: with walk-in, and without.
const WALK_IN_V_PER_S: f64 = 100.0;
const FAST_V_PER_S: f64 = 2_000.0;
const WALK_IN_A_PER_S: f64 = 10.0;
const FAST_A_PER_S: f64 = 400.0;
/// What leaks away when the bleeder has failed.
const LEAK_OHMS: f64 = 2e6;

/// What a module can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModuleRating {
    /// Highest output voltage, in volts.
    pub max_v: f64,
    /// Lowest output voltage it regulates, in volts.
    pub min_v: f64,
    /// Highest output current, in amperes.
    pub max_a: f64,
    /// Highest output power, in watts.
    pub rated_w: f64,
    /// Capacitance at the output, in farads.
    pub output_farads: f64,
    /// The bleeder that discharges it when off, in ohms.
    pub bleeder_ohms: f64,
}

impl Default for ModuleRating {
    /// 150–1000 V, 100 A, 30 kW; 63 % of the output voltage is gone 0.6 s after off.
    fn default() -> Self {
        Self {
            max_v: 1_000.0,
            min_v: 150.0,
            max_a: 100.0,
            rated_w: 30_000.0,
            output_farads: 200e-6,
            bleeder_ohms: 3e3,
        }
    }
}

/// One module's power stage. Its CAN side writes the set points and reads the results.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModuleOutput {
    /// What it can do.
    pub rating: ModuleRating,
    /// By which it is found where a matrix moves it between circuits.
    pub number: u32,
    /// The power stage runs.
    pub on: bool,
    /// Voltage to reach, in volts.
    pub set_v: f64,
    /// Current not to exceed, in amperes.
    pub limit_a: f64,
    /// Rise slowly after switching on.
    pub walk_in: bool,
    /// Share of the rated current and power it can give now, `0.0..=1.0`.
    pub derating: f64,
    /// Watts that it was told not to exceed.
    pub limit_w: f64,
    /// It feeds back into the grid: it takes current while its output stands above `set_v`.
    pub feeds_back: bool,
    running: bool,
    ramped_v: f64,
    ramped_a: f64,
    current_a: f64,
}

impl ModuleOutput {
    /// A module that is off.
    #[must_use]
    pub fn new(rating: ModuleRating) -> Self {
        Self {
            rating,
            number: 0,
            on: false,
            set_v: 0.0,
            limit_a: 0.0,
            walk_in: false,
            derating: 1.0,
            limit_w: rating.rated_w,
            feeds_back: false,
            running: false,
            ramped_v: 0.0,
            ramped_a: 0.0,
            current_a: 0.0,
        }
    }

    /// Amperes it delivers; negative when it takes them.
    #[must_use]
    pub fn current_a(&self) -> f64 {
        self.current_a
    }

    /// Amperes it could deliver now at `volts`.
    #[must_use]
    pub fn available_a(&self, volts: f64) -> f64 {
        let watts = self.limit_w.min(self.rating.rated_w * self.derating);
        (self.rating.max_a * self.derating).min(watts / volts.max(1.0))
    }

    pub(super) fn ramp(&mut self, dt: f64, node_v: f64, enabled: bool) {
        let runs = self.on && enabled;
        if runs && !self.running {
            // The stage starts from what already stands on its output.
            self.ramped_v = node_v.min(self.set_v);
            self.ramped_a = 0.0;
        }
        self.running = runs;
        let (v_per_s, a_per_s) =
            if self.walk_in { (WALK_IN_V_PER_S, WALK_IN_A_PER_S) } else { (FAST_V_PER_S, FAST_A_PER_S) };
        let rise_to = if self.feeds_back { self.set_v } else { self.ramped_v + v_per_s * dt };
        self.ramped_v = self.set_v.min(rise_to);
        self.ramped_a = self.limit_a.min(self.ramped_a + a_per_s * dt);
    }

    pub(super) fn current_at(&self, volts: f64) -> f64 {
        if !self.running {
            return 0.0;
        }
        let limit = self.ramped_a.min(self.available_a(volts)).max(0.0);
        let (least, most) = if self.feeds_back { (-limit, 0.0) } else { (0.0, limit) };
        ((self.ramped_v - volts) / DROOP_OHMS).clamp(least, most)
    }

    /// What the bleeder takes: it works when the stage is off or the output is above its set point.
    pub(super) fn bleeder_a(&self, volts: f64, works: bool) -> f64 {
        let bleeds = works && (!self.running || !self.feeds_back && volts > self.ramped_v + 5.0);
        volts / if bleeds { self.rating.bleeder_ohms } else { LEAK_OHMS }
    }

    pub(super) fn settle(&mut self, volts: f64) {
        self.current_a = self.current_at(volts);
    }
}
