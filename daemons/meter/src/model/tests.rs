use super::*;

const GOOD: &str = r#"vendor = "Acme"
model = "M1"
serial = { baud = 9600, parity = "none", stop_bits = 1 }
resolution_wh = 100.0

[[read]]
function = 4
address = 0
count = 8

[value.voltage]
address = 0
type = "i32"
word_order = "low-first"
scale = 0.1
unit = "V"

[value.current]
address = 2
type = "u16"
unit = "A"

[value.power]
address = 3
type = "u16"
unit = "kW"

[value.energy_import]
address = 4
type = "u32"
word_order = "high-first"
scale = 0.1
unit = "kWh"
not_available = ["FFFFFFFF"]
"#;

fn problems(text: &str) -> Vec<(usize, String)> {
    let problems = Model::parse(text).expect_err("a wrong map was accepted");
    problems.into_iter().map(|problem| (problem.line, problem.text)).collect()
}

fn with(old: &str, new: &str) -> String {
    let text = GOOD.replacen(old, new, 1);
    assert_ne!(text, GOOD, "{old:?} is not in the map");
    text
}

/// The problem that changing `old` to `new` makes, on the line where `mark` then stands.
#[track_caller]
fn refused(old: &str, new: &str, mark: &str, text: &str) {
    let file = with(old, new);
    let line = 1 + file.lines().position(|line| line.contains(mark)).expect("the mark is in the file");
    let problems = problems(&file);
    assert!(
        problems.iter().any(|(at, found)| *at == line && found.contains(text)),
        "{text:?} at line {line} is not in {problems:?}"
    );
}

#[test]
fn a_good_map_is_read_whole() {
    let model = Model::parse(GOOD).unwrap();
    assert_eq!((model.vendor.as_str(), model.name.as_str()), ("Acme", "M1"));
    assert_eq!(model.serial.to_string(), "9600 8N1");
    assert_eq!(model.pause, Duration::from_millis(10));
    assert_eq!(model.blocks, [Block { function: Function::InputRegisters, address: 0, count: 8 }]);
    assert_eq!(model.values[&Quantity::EnergyImport].place, Place { block: 0, word: 4 });
    assert_eq!(model.values[&Quantity::Power].factor, 1000.0);
}

#[test]
fn what_toml_itself_refuses_has_its_line() {
    assert_eq!(problems("vendor = \"Acme\"\nmodel = 3\n")[0].0, 2);
    refused("count = 8", "count = 8\ncuont = 9", "cuont", "unknown field");
    refused("[value.power]", "[value.pwer]", "[value.pwer]", "unknown variant");
    refused("type = \"i32\"", "type = \"i33\"", "i33", "unknown variant");
    refused("unit = \"V\"", "unit = \"mV\"", "mV", "unknown variant");
}

#[test]
fn reads_that_cannot_be_asked_are_refused() {
    refused("function = 4", "function = 6", "[[read]]", "function 6");
    refused("count = 8", "count = 0", "[[read]]", "0 registers");
    refused("count = 8", "count = 126", "[[read]]", "126 registers");
    refused("address = 0\ncount", "address = 65530\ncount", "[[read]]", "past register 65535");
    refused("resolution_wh", "max_registers = 4\nresolution_wh", "[[read]]", "1 to 4 are allowed");
    refused("resolution_wh", "max_registers = 126\nresolution_wh", "max_registers", "1 to 125");
}

#[test]
fn reads_whose_replies_could_be_mistaken_are_refused() {
    let second = "[[read]] # second\nfunction = 4\naddress = 100\ncount = 8\n\n[value.voltage]";
    refused("[value.voltage]", second, "# second", "a late reply could be taken for it");
    let overlapping = second.replace("100", "7").replace("count = 8", "count = 9");
    refused("[value.voltage]", &overlapping, "# second", "overlaps");
}

#[test]
fn values_that_cannot_be_read_are_refused() {
    refused("address = 4", "address = 7", "[value.energy_import]", "no [[read]] has all of its 2 words");
    refused("word_order = \"low-first\"\n", "", "[value.voltage]", "needs word_order");
    refused("scale = 0.1\nunit = \"V\"", "scale = nan\nunit = \"V\"", "[value.voltage]", "a scale of NaN");
    refused("unit = \"kW\"", "unit = \"kWh\"", "[value.power]", "power is not measured in");
    refused("\"FFFFFFFF\"", "\"FFFF\"", "[value.energy_import]", "8 hex digits");
    refused("address = 3", "address = 2", "[value.power]", "are the same register");
    refused(
        "unit = \"A\"",
        "unit = \"A\"\nexponent = { address = 9 }",
        "[value.current]",
        "no [[read]] has all of its 1 words at 9",
    );
}

#[test]
fn a_map_without_what_is_billed_is_refused() {
    let import = GOOD.find("[value.energy_import]").expect("the map has it");
    assert!(problems(&GOOD[..import]).iter().any(|(_, text)| text.contains("no [value.energy_import]")));
    let volts = with("[value.voltage]", "[value.energy_export]");
    assert!(problems(&volts).iter().any(|(_, text)| text.contains("no [value.voltage]")));
}

#[test]
fn a_resolution_that_the_register_contradicts_is_refused() {
    refused(
        "resolution_wh = 100.0",
        "resolution_wh = 1.0",
        "resolution_wh",
        "one count of energy_import is 100",
    );
    refused("resolution_wh = 100.0", "resolution_wh = -1.0", "resolution_wh", "not above 0");
}

#[test]
fn all_problems_are_told_at_once_with_the_files_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = GOOD.replace("count = 8", "count = 3").replace("baud = 9600", "baud = 1");
    std::fs::write(folder.path().join("m1.toml"), text).unwrap();
    let error = Model::load("m1", &[folder.path().into()]).unwrap_err().to_string();
    assert!(error.lines().count() >= 3, "{error}");
    assert!(error.lines().all(|line| line.contains("m1.toml:")), "{error}");
    assert!(error.contains("m1.toml:3: 1 baud"), "{error}");
}

#[test]
fn the_first_folder_of_the_search_path_wins() {
    let (own, vendor) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(vendor.path().join("m1.toml"), GOOD).unwrap();
    let path = [own.path().to_path_buf(), vendor.path().to_path_buf()];
    assert_eq!(Model::load("m1", &path).unwrap().vendor, "Acme");
    std::fs::write(own.path().join("m1.toml"), GOOD.replace("Acme", "Mine")).unwrap();
    assert_eq!(Model::load("m1", &path).unwrap().vendor, "Mine");
    let error = Model::load("m2", &path).unwrap_err().to_string();
    assert!(error.contains("no register map m2.toml"), "{error}");
}

#[test]
fn every_shipped_map_is_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/meters");
    let mut models = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        Model::load(name, std::slice::from_ref(&folder)).unwrap_or_else(|error| panic!("{error}"));
        models += 1;
    }
    assert!(models >= 5, "{models}");
}
