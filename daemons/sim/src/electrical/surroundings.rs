//! What is around an EVSE, and no fault of it.

/// The air and the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surroundings {
    /// Degrees Celsius of the air that the modules draw in.
    pub air_c: f64,
    /// Amperes that others behind the same grid connection take of each phase.
    pub others_a: [f64; 3],
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { air_c: 28.0, others_a: [0.0; 3] }
    }
}
