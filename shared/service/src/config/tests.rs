use std::time::Duration;

use serde::Deserialize;
use voltry_units::Volts;

use super::*;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Supply {
    #[serde(deserialize_with = "quantity")]
    voltage: Volts,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default, rename = "lease_ms")]
    lease_ms: Option<u64>,
    #[serde(default)]
    modules: Vec<Module>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Normal,
    WalkIn,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    address: u8,
}

fn errors(documents: &[(&str, &str)]) -> String {
    match Config::parse(documents.iter().copied()).and_then(|config| config.load::<Supply>("power.1")) {
        Ok(supply) => panic!("taken: {supply:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn later_files_win_key_by_key() {
    let config = Config::parse([
        ("vendor.toml", "[power.1]\nvoltage = 500\nmode = 'normal'\n[power.2]\nvoltage = 1"),
        ("site.toml", "[power.1]\nvoltage = 920.5\nmodules = [{ address = 3 }]"),
    ])
    .unwrap();
    let supply: Supply = config.load("power.1").unwrap();
    assert_eq!(supply.voltage, Volts::from_milli(920_500));
    assert_eq!(supply.mode, Some(Mode::Normal));
    assert_eq!(supply.modules, [Module { address: 3 }]);
    assert_eq!(config.instances("power"), ["1", "2"]);
    assert!(config.contains("power.2.voltage") && !config.contains("power.3"));
}

#[test]
fn an_unknown_key_is_told_with_its_file_line_and_nearest_neighbour() {
    let text = errors(&[
        ("/etc/voltry/voltry.toml", "[power.1]\nvoltage = 500\n"),
        ("/etc/voltry/voltry.d/site.toml", "# ours\n[power.1]\nvoltge = 400\n"),
    ]);
    assert_eq!(
        text,
        "/etc/voltry/voltry.d/site.toml:3: unknown key `voltge` in [power.1], did you mean `voltage`?"
    );
}

#[test]
fn a_key_like_none_gets_the_list_of_what_is_known() {
    assert_eq!(
        errors(&[(
            "a.toml",
            "[power.1]\nvoltage = 1\nmodules = [{ address = 1 },\n { address = 2, x = 3 }]"
        )]),
        "a.toml:4: unknown key `x` in [power.1.modules.1]; known are `address`"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    assert_eq!(
        errors(&[("a.toml", "[power.1]\nvoltage = 5000\nmode = 'walkin'\nlease_ms = 'soon'\nmodule = []")]),
        "a.toml:2: `voltage`: 5000 V is not between -2000 and 2000 V\n\
         a.toml:3: `mode`: unknown word `walkin`, did you mean `walk-in`?\n\
         a.toml:4: `lease_ms`: invalid type: string \"soon\", expected u64\n\
         a.toml:5: unknown key `module` in [power.1], did you mean `modules`?"
    );
}

#[test]
fn a_missing_key_and_a_missing_table_are_told() {
    assert_eq!(
        errors(&[("a.toml", "\n[power.1]\nmode = 'normal'")]),
        "a.toml:2: `voltage` is missing in [power.1]"
    );
    assert_eq!(errors(&[("a.toml", "[power.2]")]), "there is no table [power.1]");
}

#[test]
fn what_is_not_toml_is_told_with_its_line() {
    let text = errors(&[("a.toml", "[power.1]\nvoltage = \n"), ("b.toml", "x = 1\nx = 2\n")]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("a.toml:2: "), "{text}");
    assert!(lines.last().unwrap().starts_with("b.toml:2: duplicate key"), "{text}");
}

#[test]
fn a_number_that_is_no_physical_value_is_refused() {
    for number in ["nan", "inf", "-inf"] {
        let text = errors(&[("a.toml", &format!("[power.1]\nvoltage = {number}"))]);
        assert!(text.starts_with("a.toml:2: `voltage`: "), "{text}");
    }
}

#[test]
fn bindings_are_checked_where_they_are_written() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Evse {
        supply: Binding,
    }
    let good = "[evse.1]\nsupply = { name = 'org.voltry.Power1', path = '/org/voltry/power_supply/1' }";
    let evse: Evse = Config::parse([("a.toml", good)]).unwrap().load("evse.1").unwrap();
    assert_eq!(evse.supply, Binding::new("org.voltry.Power1", "/org/voltry/power_supply/1").unwrap());
    let bad = "[evse.1]\n\nsupply = { name = 'org.voltry.Power1', path = 'power/1' }";
    let error = Config::parse([("a.toml", bad)]).unwrap().load::<Evse>("evse.1").unwrap_err();
    assert_eq!(error.to_string(), "a.toml:3: `supply`: \"power/1\" is no object path");
}

#[test]
fn a_daemons_own_check_names_the_line_too() {
    let config = Config::parse([("a.toml", "[power.1]\nvoltage = 500")]).unwrap();
    let problem = config.problem("power.1.voltage", "more than the modules give");
    assert_eq!(problem.to_string(), "a.toml:2: more than the modules give");
}

#[test]
fn durations_are_whole_milliseconds() {
    #[derive(Deserialize)]
    struct Times {
        #[serde(deserialize_with = "duration_ms")]
        stale_ms: Duration,
    }
    let load = |text| Config::parse([("a.toml", text)]).unwrap().load::<Times>("t");
    assert_eq!(load("[t]\nstale_ms = 300").unwrap().stale_ms, Duration::from_millis(300));
    assert!(load("[t]\nstale_ms = -1").is_err());
}

#[test]
fn a_folder_is_read_in_order_and_an_unreadable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("voltry.d")).unwrap();
    std::fs::write(folder.path().join("voltry.toml"), "[power.1]\nvoltage = 1").unwrap();
    std::fs::write(folder.path().join("voltry.d/20.toml"), "[power.1]\nvoltage = 3").unwrap();
    std::fs::write(folder.path().join("voltry.d/10.toml"), "[power.1]\nvoltage = 2").unwrap();
    std::fs::write(folder.path().join("voltry.d/30.bak"), "nonsense").unwrap();
    let config = Config::read(Some(folder.path())).unwrap();
    assert_eq!(config.load::<Supply>("power.1").unwrap().voltage, Volts::new(3));
    let error = Config::read(Some(&folder.path().join("none.toml"))).unwrap_err().to_string();
    assert!(error.contains("none.toml: No such file"), "{error}");
}

fn refused(path: &std::path::Path) -> String {
    Config::read(Some(path)).map(drop).unwrap_err().to_string()
}

#[test]
fn more_bytes_than_any_configuration_has_are_refused_with_the_name_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voltry.toml");
    let line = "[power.1] # ö\n".repeat(1000);
    let size = usize::try_from(SIZE_MAX).unwrap();
    std::fs::write(&file, &line.repeat(1 + size / line.len()).as_bytes()[..=size]).unwrap();
    let told = format!("{}: all files together have more than {SIZE_MAX} bytes", file.display());
    assert_eq!(refused(&file), told);
    // One without an end costs no more than any other.
    assert!(refused(std::path::Path::new("/dev/zero")).starts_with("/dev/zero: all files together"));
    // Each is small enough; which of them is one too many?
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(folder.path().join("voltry.d")).unwrap();
    for number in 1..=3 {
        let half = format!("[power.{number}]\nvoltage = 1\n#{}", "x".repeat(size / 2 - 1000));
        std::fs::write(folder.path().join(format!("voltry.d/{number}.toml")), half).unwrap();
    }
    let told = refused(folder.path());
    assert!(told.contains("voltry.d/3.toml: all files together"), "{told}");
    std::fs::remove_file(folder.path().join("voltry.d/3.toml")).unwrap();
    assert_eq!(Config::read(Some(folder.path())).unwrap().instances("power"), ["1", "2"]);
}

#[test]
fn more_drop_ins_than_anybody_keeps_are_refused_with_the_name_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let drop_ins = folder.path().join("voltry.d");
    std::fs::create_dir(&drop_ins).unwrap();
    for number in 0..FILES_MAX {
        std::fs::write(drop_ins.join(format!("{number}.toml")), format!("[power.{number}]")).unwrap();
    }
    assert_eq!(Config::read(Some(folder.path())).unwrap().instances("power").len(), FILES_MAX);
    std::fs::write(drop_ins.join("more.toml"), "").unwrap();
    let told = format!("{}: more than {FILES_MAX} files of configuration", drop_ins.display());
    assert_eq!(refused(folder.path()), told);
}

/// What is within a dotted key, lists and inline tables multiplies: far deeper than the stack.
#[test]
fn nesting_that_would_exhaust_the_stack_is_refused_with_its_line() {
    let key = vec!["a"; 78].join(".");
    let wide = format!("\n{} = 1{}\n", vec![key.as_str(); 78].join(" = { "), " }".repeat(77));
    let lists = format!("\nx = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let tables = format!("\n[{}]\n", vec!["a"; 100_000].join("."));
    let ours = "deep.toml:2: more than 32 tables";
    for (text, expected) in
        [(&wide, ours), (&lists, "deep.toml:2: "), (&tables, "deep.toml: recursion limit")]
    {
        let told = Config::parse([("deep.toml", text.as_str())]).map(drop).unwrap_err().to_string();
        assert!(told.starts_with(expected), "{told:.300}");
        assert!(told.lines().count() <= 50, "{} lines", told.lines().count());
    }
    let within = |depth: usize| format!("\n{} = 1", vec!["a"; depth].join("."));
    assert!(Config::parse([("a.toml", within(DEPTH_MAX).as_str())]).is_ok());
    let told = Config::parse([("a.toml", within(DEPTH_MAX + 1).as_str())]).map(drop).unwrap_err();
    assert_eq!(told.to_string(), "a.toml:2: more than 32 tables and lists within each other");
}

#[test]
fn what_is_shown_to_others_has_no_secrets() {
    let text = "[ocpp]\nidentity = 'A'\n[ocpp.profile.1]\npassword = 'deadbeef'\nproxy = 'http://u:deadbeef@p'\n\
                [station]\ntokens = ['deadbeef']\n[evse.1.power]\nname = 'org.voltry.Power1'\n";
    let shown = Config::parse([("voltry.toml", text)]).unwrap().shown();
    assert!(!shown.contains("deadbeef"), "{shown}");
    assert!(shown.contains("ocpp.identity = \"A\"\n") && shown.contains("evse.1.power.name"), "{shown}");
}
