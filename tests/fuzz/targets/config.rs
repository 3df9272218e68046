//! What stands in voltry.toml, as the daemons read it: alone, and as a drop-in over a file that is
//! good. And what stands in a meter's register map.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_service::Config;

const GOOD: &str = r#"
[evse.1]
profile = "iec61851-23-2023"
voltage_max = 1000
current_max = 200
power_supply = { name = "org.voltry.Power1", path = "/org/voltry/power_supply/1" }
voltage_monitor = { name = "org.voltry.Board1", path = "/org/voltry/voltage_monitor/1" }
over_voltage_monitor = { name = "com.example.Guard", path = "/com/example/guard/1" }
insulation_monitor = { name = "org.voltry.Meter.imd", path = "/org/voltry/insulation_monitor/imd" }
connector_io = { name = "org.voltry.Board1", path = "/org/voltry/connector/1" }
energy_meter = { name = "org.voltry.Meter.dc", path = "/org/voltry/energy_meter/dc" }
ev_link = { name = "org.voltry.Secc.N1", path = "/org/voltry/ev_link/1" }
[secc.1]
interface = "qca0"
evse_id = "DE*VOL*E1"
[board.1]
device = "/dev/ttyLP2"
[meter.imd]
port = { serial = "/dev/ttyLP3" }
[meter.imd.device.imd]
kind = "insulation-monitor"
model = "isocha425hv"
address = 3
"#;

fuzz_target!(|text: &str| {
    let _ = voltry_meter::model::Model::parse(text);
    for files in [&[("voltry.toml", text)][..], &[("voltry.toml", GOOD), ("drop-in.toml", text)]] {
        if let Ok(config) = Config::parse(files.iter().copied()) {
            configure(&config);
        }
    }
});

fn configure(config: &Config) {
    for path in config.claimable() {
        let Some((table, instance)) = path.split_once('.') else { continue };
        match table {
            "evse" => drop(voltry_evse::config::configure(config, instance)),
            "secc" => drop(voltry_secc::config::configure(config, instance)),
            "meter" => drop(voltry_meter::config::configure(config, instance)),
            _ => {}
        }
    }
    let _ = voltry_board::config::configure(config, "");
    let _ = config.bindings();
}
