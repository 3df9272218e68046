//! Tables, figures and times as a person reads them.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::outcome::Failure;

/// A table with a heading, as wide as the terminal.
pub(crate) fn table<const N: usize>(heading: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(heading);
    table
}

/// One value as JSON on standard output.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Other(error.to_string()))?;
    println!("{text}");
    Ok(())
}

/// Watts as kilowatts.
pub(crate) fn kilowatts(watts: f64) -> String {
    format!("{:.1} kW", watts / 1000.0)
}

/// Watt-hours as kilowatt-hours, to the watt-hour.
pub(crate) fn kilowatt_hours(watt_hours: f64) -> String {
    format!("{:.3} kWh", watt_hours / 1000.0)
}

/// Percent, where a vehicle told it.
pub(crate) fn percent(value: f64) -> String {
    if value < 0.0 { "–".to_owned() } else { format!("{value:.0} %") }
}

/// Microseconds of Unix time as local time; a dash for 0.
pub(crate) fn time(unix_micros: i64) -> String {
    match jiff::Timestamp::from_microsecond(unix_micros) {
        Ok(time) if unix_micros != 0 => {
            time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        Ok(_) | Err(_) => "–".to_owned(),
    }
}

/// Microseconds of Unix time as local time of day, to the millisecond.
pub(crate) fn clock_time(unix_micros: i64) -> String {
    match jiff::Timestamp::from_microsecond(unix_micros) {
        Ok(time) => time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%H:%M:%S%.3f").to_string(),
        Err(_) => "–".to_owned(),
    }
}

/// When a `CLOCK_BOOTTIME` microsecond is, as local time of day.
pub(crate) fn time_of_boot_time(at: u64) -> String {
    let from_now = i128::from(at) - i128::from(voltry_service::clock::now().as_micros());
    let then = i64::try_from(from_now).ok().and_then(|micros| {
        jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_micros(micros)).ok()
    });
    then.map_or_else(
        || "–".to_owned(),
        |time| time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%H:%M").to_string(),
    )
}

/// How long ago a `CLOCK_BOOTTIME` microsecond was; never for 0.
pub(crate) fn ago(at: u64) -> String {
    if at == 0 {
        return "never".to_owned();
    }
    let seconds = voltry_service::clock::now().since(voltry_units::Timestamp::from_micros(at)).as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_on_a_display() {
        assert_eq!(kilowatts(71_340.0), "71.3 kW");
        assert_eq!(kilowatt_hours(1_204.0), "1.204 kWh");
        assert_eq!(percent(-1.0), "–");
        assert_eq!((time(0).as_str(), ago(0).as_str()), ("–", "never"));
    }
}
