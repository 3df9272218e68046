//! What stands in voltry.toml, as the daemons read it, and in a meter's register map.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_service::Config;

fuzz_target!(|text: &str| {
    let _ = voltry_meter::model::Model::parse(text);
    let Ok(config) = Config::parse([("voltry.toml", text), ("drop-in.toml", text)]) else { return };
    for path in config.claimable() {
        let Some((table, instance)) = path.split_once('.') else { continue };
        match table {
            "evse" => drop(voltry_evse::config::configure(&config, instance)),
            "secc" => drop(voltry_secc::config::configure(&config, instance)),
            "meter" => drop(voltry_meter::config::configure(&config, instance)),
            _ => {}
        }
    }
    let _ = voltry_board::config::configure(&config, "");
    let _ = config.bindings();
});
