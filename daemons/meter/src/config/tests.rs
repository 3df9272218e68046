use super::*;

const LINE: &str = r#"[meter.grid]
port = { serial = "/dev/ttyUSB0" }
models = ["MAPS"]

[meter.grid.device.main]
kind = "energy-meter"
model = "abb-b23"
address = 1
"#;

const IMD: &str = r#"[meter.imd1]
port = { tcp = "127.0.0.1:502" }

[meter.imd1.device.imd1]
kind = "insulation-monitor"
model = "isocha425hv"
address = 3
insulation = { alarm_kohm = 125, fast_cable_check = false }
"#;

fn read(text: &str, line: &str) -> Result<Provision<Settings>, ConfigError> {
    let maps = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/meters");
    let text = text.replace("MAPS", maps);
    configure(&Config::parse([("voltry.toml", text.as_str())]).unwrap(), line)
}

/// The message, on the line of the file where `mark` stands.
#[track_caller]
fn refused(text: &str, line: &str, mark: &str, message: &str) {
    let problems = read(text, line).expect_err("a wrong table was accepted").0;
    let at = 1 + text.lines().position(|line| line.contains(mark)).expect("the mark is in the file");
    assert!(
        problems.iter().any(|problem| problem.line == Some(at) && problem.message.contains(message)),
        "{message:?} at line {at} is not in {problems:#?}"
    );
}

#[track_caller]
fn changed(old: &str, new: &str, mark: &str, message: &str) {
    assert!(LINE.contains(old), "{old:?}");
    refused(&LINE.replacen(old, new, 1), "grid", mark, message);
}

/// Copied and half changed: the second EVSE's cable would have the first one's insulation.
#[test]
fn a_device_that_another_line_reads_is_refused() {
    let second = IMD.replace("imd1", "imd2");
    let both = format!("{IMD}\n{second}");
    let twice = read(&both, "imd2").unwrap_err().to_string();
    assert!(twice.contains("[meter.imd1] reads this device already"), "{twice}");
    assert!(read(&both, "imd1").is_err(), "nobody knows which of them is right");
    let gateway = format!("{IMD}\n{}", second.replace("address = 3", "address = 4"));
    assert!(read(&gateway, "imd2").is_ok(), "several devices behind one gateway");
    let elsewhere = format!("{IMD}\n{}", second.replace("127.0.0.1", "127.0.0.2"));
    assert!(read(&elsewhere, "imd2").is_ok());
    let wire = format!(
        "{LINE}\n{}",
        LINE.replace("meter.grid", "meter.other").replace("address = 1", "address = 2")
    );
    let twice = read(&wire, "grid").unwrap_err().to_string();
    assert!(twice.contains("[meter.other] has this line already"), "{twice}");
}

#[test]
fn a_meter_gets_its_bus_name_and_path_and_the_serial_settings_of_its_map() {
    let provision = read(LINE, "grid").unwrap();
    let objects = [Binding::new("org.voltry.Meter.Grid", "/org/voltry/energy_meter/main").unwrap()];
    assert_eq!(provision.objects, objects);
    let settings = provision.settings;
    assert_eq!(settings.bus_name, "org.voltry.Meter.Grid");
    assert_eq!(settings.port.to_string(), "/dev/ttyUSB0 at 9600 8E1");
    assert_eq!(settings.devices[0].peer.address, 1);
    let Role::EnergyMeter { resolution, transaction } = &settings.served[0].role else { panic!() };
    assert_eq!(*resolution, 10.0);
    assert_eq!(transaction, std::path::Path::new("/var/lib/voltry/meter/grid-main.transaction"));
}

#[test]
fn an_insulation_monitor_is_an_object_of_its_own_role() {
    let provision = read(IMD, "imd1").unwrap();
    let objects = [Binding::new("org.voltry.Meter.Imd1", "/org/voltry/insulation_monitor/imd1").unwrap()];
    assert_eq!(provision.objects, objects);
    assert_eq!(provision.settings.port.to_string(), "127.0.0.1:502");
}

#[test]
fn what_is_written_wins_over_what_the_map_says() {
    let port = r#"{ serial = "/dev/ttyUSB0", baud = 19200, parity = "none", stop_bits = 2 }"#;
    let text = LINE.replace(r#"{ serial = "/dev/ttyUSB0" }"#, port);
    assert_eq!(read(&text, "grid").unwrap().settings.port.to_string(), "/dev/ttyUSB0 at 19200 8N2");
}

#[test]
fn devices_delivered_differently_need_the_settings_written_down() {
    let second = "\n[meter.grid.device.second]\nkind = \"energy-meter\"\nmodel = \"abb-b23\"\naddress = 3\n";
    read(&format!("{LINE}{second}"), "grid").expect("both are 9600 8E1");
    let other = LINE.replace("abb-b23", "eastron-sdm630-v2");
    refused(&format!("{other}{second}"), "grid", "port =", "different serial settings");
}

#[test]
fn an_insulation_monitor_has_a_line_of_its_own() {
    let monitor =
        "\n[meter.grid.device.imd]\nkind = \"insulation-monitor\"\nmodel = \"isocha425hv\"\naddress = 3\n";
    refused(&format!("{LINE}{monitor}"), "grid", "\"insulation-monitor\"", "a line of its own");
    let (head, _) = LINE.split_once("[meter.grid.device").unwrap();
    read(&format!("{head}{monitor}"), "grid").expect("alone");
    let two = format!("{head}{monitor}{}", monitor.replace("imd]", "imd2]").replace("= 3", "= 4"));
    refused(&two, "grid", "\"insulation-monitor\"", "a line of its own");
}

#[test]
fn mistakes_are_told_where_they_were_made() {
    changed("address = 1", "address = 0", "address = 0", "1 to 247");
    changed("address = 1", "address = 255", "address = 255", "behind TCP also 255");
    changed("model = \"abb-b23\"", "model = \"abb\"", "model =", "no register map abb.toml");
    changed("model = \"abb-b23\"", "model = \"../x\"", "model =", "the name of a register map");
    changed("\"energy-meter\"", "\"energy-metre\"", "kind =", "did you mean `energy-meter`");
    changed("address = 1", "address = 1\ntimeout_ms = 1", "timeout_ms", "10 to 1000");
    changed("address = 1", "address = 1\ntimeout_ms = 1001", "timeout_ms", "taken for one that hangs");
    changed("address = 1", "address = 1\nperiod_ms = 10", "period_ms", "100 to 60000");
    changed("address = 1", "address = 1\nmisses = 0", "misses", "1 to 100");
    changed("address = 1", "address = 1\ninsulation = {}", "insulation", "has no insulation settings");
    changed("{ serial = \"/dev/ttyUSB0\" }", "{ baud = 9600 }", "port =", "either `serial` or `tcp`");
    changed("\"/dev/ttyUSB0\" }", "\"/dev/ttyUSB0\", baud = 5 }", "port =", "5 baud");
    changed("serial = \"/dev/ttyUSB0\"", "tcp = \"meter\"", "port =", "HOST:PORT");
    changed("serial = \"/dev/ttyUSB0\"", "tcp = \"m:502\", baud = 9600", "port =", "for a serial port");
    let two = format!(
        "{LINE}[meter.grid.device.second]\nkind = \"energy-meter\"\nmodel = \"abb-b23\"\naddress = 1 # again\n"
    );
    refused(&two, "grid", "# again", "have the same address 1");
    refused(&IMD.replace("125", "600"), "imd1", "insulation =", "alarm_kohm < prealarm_kohm");
    refused(&IMD.replace("isocha425hv", "iso165c"), "imd1", "model =", "known are isocha425hv, rn5893");
    let dold = IMD.replace("isocha425hv", "rn5893");
    refused(&dold, "imd1", "insulation =", "not settings of RN5893");
    let dold = dold.replace(
        "insulation = { alarm_kohm = 125, fast_cable_check = false }",
        "rn5893 = { alarm_kohm = 501 }",
    );
    refused(&dold, "imd1", "rn5893 =", "prealarm_kohm <= 500");
    let seldom = IMD.replace("address = 3", "address = 3\nperiod_ms = 3000");
    refused(&seldom, "imd1", "period_ms", "100 to 2000");
}

#[test]
fn a_monitor_of_another_make_has_its_own_settings_and_the_same_role() {
    let dold = IMD.replace("isocha425hv", "rn5893");
    let dold = dold.replace(
        "insulation = { alarm_kohm = 125, fast_cable_check = false }",
        "rn5893 = { coupling = \"rp5898\" }",
    );
    let served = read(&dold, "imd1").unwrap().settings.served;
    assert_eq!((served[0].vendor.as_str(), served[0].model.as_str()), ("Dold", "RN5893"));
    assert_eq!(served[0].role, Role::InsulationMonitor);
}

#[test]
fn a_lines_name_must_make_a_bus_name() {
    for name in ["Grid", "1st", "a-b", "_x"] {
        let text = LINE.replace("meter.grid", &format!("meter.{name}"));
        let problems = read(&text, name).expect_err(name).0;
        assert!(problems.iter().any(|problem| problem.message.contains("a line's name")), "{problems:?}");
    }
}
