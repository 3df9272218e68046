//! Well-known names and object paths.

/// The bus name of EVSE `n`'s energy path.
#[must_use]
pub fn evse(n: u32) -> String {
    format!("org.voltry.Evse.N{n}")
}

/// The bus name of EVSE `n`'s ISO 15118 communication.
#[must_use]
pub fn secc(n: u32) -> String {
    format!("org.voltry.Secc.N{n}")
}

/// The bus name of the meter daemon of a line.
#[must_use]
pub fn meter(line: &str) -> String {
    format!("org.voltry.Meter.{line}")
}

/// The bus name of `voltry-station`.
pub const STATION: &str = "org.voltry.Station1";
/// The bus name of `voltry-power`.
pub const POWER: &str = "org.voltry.Power1";
/// The bus name of `voltry-board`.
pub const BOARD: &str = "org.voltry.Board1";
/// The bus name of `voltry-ocpp`.
pub const OCPP: &str = "org.voltry.Ocpp1";
/// The bus name of `voltry-reader`.
pub const READER: &str = "org.voltry.Reader1";
/// The bus name of `voltry-update`, or of whoever else installs firmware, unless configured otherwise.
pub const UPDATE: &str = "org.voltry.Update1";
/// The bus name of `voltry-sim`.
pub const SIM: &str = "org.voltry.Sim1";

/// The object of the uplink to the back end.
pub const CSMS_PATH: &str = "/org/voltry/csms";
/// The object of whoever installs firmware, unless configured otherwise.
pub const UPDATE_PATH: &str = "/org/voltry/update";
/// The object that says what people are to read.
pub const DISPLAY_PATH: &str = "/org/voltry/display";
/// The object of the station.
pub const STATION_PATH: &str = "/org/voltry/station";
/// The object of the simulator.
pub const SIM_PATH: &str = "/org/voltry/sim";
/// Under it, a `Session1` object for each session; the ObjectManager is here.
pub const SESSIONS_PATH: &str = "/org/voltry/session";

/// The path of an object: `/org/voltry/<role>/<name>`, as `power_supply` and `1`.
#[must_use]
pub fn path(role: &str, name: &str) -> String {
    format!("/org/voltry/{role}/{name}")
}
