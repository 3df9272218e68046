//! `[power]` as it is read.

use super::*;

const BUS: &str = "[power.bus.main]\ntype = 'slcan'\ndevice = '/dev/ttyACM0'\nbit_rate = 125000\n";

fn read(supplies: &str) -> Result<Settings, String> {
    let text = format!("{BUS}{supplies}");
    let config = Config::parse([("voltry.toml", text.as_str())]).unwrap();
    configure(&config, "").map(|provision| provision.settings).map_err(|error| error.to_string())
}

#[test]
fn a_supply_needs_little_and_has_safe_defaults() {
    let settings = read("[power.supply.1]\nfamily = 'infypower'\nbus = 'main'\nmodules = [0, 1]\n").unwrap();
    let supply = &settings.supply["1"];
    assert_eq!(supply.expected(), 2);
    assert!(!supply.walk_in);
    assert_eq!(supply.lost_after(), Some(Duration::from_secs(15)));
    assert_eq!(supply.current_max, None);
}

#[test]
fn limits_and_groups_are_read() {
    let settings = read(
        "[power.supply.1]\nfamily = 'infypower'\nbus = 'main'\ngroup = 1\ncount = 2\n\
         current_max = 60.5\nsleep_after_ms = 0\n",
    )
    .unwrap();
    assert_eq!(settings.supply["1"].current_max, Some(Amps::from_milli(60_500)));
    assert_eq!(settings.supply["1"].expected(), 2);
}

#[test]
fn what_would_be_dangerous_or_means_nothing_is_refused() {
    let supply = |more: &str| format!("[power.supply.1]\nfamily = 'infypower'\nbus = 'main'\n{more}\n");
    for (text, wanted) in [
        (supply("modules = [0]\nlost_after_ms = 9000"), "at least 11000"),
        (supply("modules = [60]"), "no infypower module has address 60"),
        (supply(""), "either `modules`"),
        (supply("modules = [0]\ncurrent_max = 0.0"), "a limit of zero"),
        (supply("modules = [0]\nwalkin = true"), "walk_in"),
        (supply("modules = [0]").replace("main", "other"), "there is no [power.bus.other]"),
        (supply("modules = [0]").replace("infypower", "acme"), "known are infypower, infypower-beg"),
        (
            supply("modules = [0]") + &supply("modules = [0]").replace("supply.1", "supply.2"),
            "module 0 belongs to two supplies",
        ),
        (
            // On two buses that are one they would, too.
            supply("modules = [0]")
                + &BUS.replace("main", "second").replace("125000", "250000")
                + &supply("modules = [0]").replace("supply.1", "supply.2").replace("'main'", "'second'"),
            "is [power.bus.main] as well",
        ),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
    }
}

#[test]
fn what_modules_of_a_family_do_not_tell_must_be_said() {
    let rating = |volts| {
        format!(
            "rating = {{ voltage_min = {volts}, voltage_max = 1000.0, current_max = 50.0, power_max = 20000.0 }}"
        )
    };
    let supply = |family: &str, more: &str| {
        format!("[power.supply.1]\nfamily = '{family}'\nbus = 'main'\nmodules = [1]\n{more}\n")
    };
    let whole = rating("150.0") + "\nsilence_limit_ms = 8000";
    let settings = read(&supply("uugreenpower", &whole)).unwrap();
    assert_eq!(settings.supply["1"].lost_after(), Some(Duration::from_secs(13)));
    let settings = read(&supply("uugreenpower", &whole.replace("8000", "0"))).unwrap();
    assert_eq!(settings.supply["1"].lost_after(), None, "it never stops by itself");
    let settings = read(&supply("huawei-r100040gx", &whole)).unwrap();
    let rating_of = |settings: &Settings| settings.supply["1"].ways().rating.unwrap();
    assert_eq!(rating_of(&settings).current_max, Amps::new(50), "the lower of both");
    let discharge = "\ndischarge = { voltage_min = 150.0, current_max = 10.0, power_max = 5000.0 }";
    for (text, wanted) in [
        (supply("uugreenpower", "silence_limit_ms = 8000"), "rating: uugreenpower"),
        (supply("uugreenpower", &rating("150.0")), "silence_limit_ms: for how long"),
        (supply("uugreenpower", &(rating("1000.0") + "\nsilence_limit_ms = 1")), "no module is rated so"),
        (supply("uugreenpower", &(whole.clone() + "\nlost_after_ms = 8999")), "at least 9000"),
        (
            supply("uugreenpower", &(whole.replace("8000", "0") + "\nlost_after_ms = 60000")),
            "never certainly off",
        ),
        (supply("tonhe", &(rating("150.0") + "\nsilence_limit_ms = 5000")), "less than the family's"),
        (supply("maxwell-mxr", &(whole.clone() + "\nrange = 'low'")), "range: maxwell-mxr"),
        (supply("huawei-r100040gx", &(whole.clone() + "\nrange = 'by_voltage'")), "range: huawei"),
        (supply("maxwell-mxr", &whole).replace("[1]", "[64]"), "has address 64"),
        (
            supply("maxwell-mxr", &whole).replace("modules = [1]", "group = 1\ncount = 2"),
            "name their addresses",
        ),
        (supply("infypower-beg", &whole), "give `group` and `count`"),
        (
            supply("infypower-beg", &whole).replace("modules = [1]", "group = 60\ncount = 2"),
            "have no such group",
        ),
        (supply("tonhe", &(whole.replace("8000", "20000") + discharge)), "discharge: tonhe modules cannot"),
        (supply("maxwell-mxr", &whole).replace("[1]", "[1, 2, 3, 4, 5, 6, 7, 8, 9]"), "at most 8 can"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
    }
}

/// TonHe modules report by themselves, each half a second. Somebody else than an EVSE may do with that.
#[test]
fn modules_that_tell_too_seldom_for_an_evse_are_refused_where_one_is_bound_to_them() {
    let supply = "[power.supply.1]\nfamily = 'tonhe'\nbus = 'main'\nmodules = [1]\nrating = { voltage_min = 150.0, \
                  voltage_max = 1000.0, current_max = 50.0, power_max = 20000.0 }\n";
    assert!(read(supply).is_ok(), "nothing is bound to it");
    let evse = |supply: &str| {
        format!(
            "[evse.3]\npower_supply = {{ name = 'org.voltry.Power1', path = '/org/voltry/power_supply/{supply}' }}\n"
        )
    };
    assert!(read(&(supply.to_owned() + &evse("2"))).is_ok(), "it has another");
    let refused = read(&(supply.to_owned() + &evse("1"))).unwrap_err();
    assert!(
        refused.contains("tonhe modules cannot be asked and report each 500 ms: EVSE 3 takes"),
        "{refused}"
    );
    let matrix = "[power.matrix]\nswitch = { name = 'org.voltry.Board1', path = '/org/voltry/switch_matrix/1' }\n\
                  evses = [1, 2]\n";
    let refused = read(&(matrix.to_owned() + &supply.replace("supply.1", "group.a"))).unwrap_err();
    assert!(refused.contains("report each 500 ms: an EVSE takes"), "{refused}");
}

#[test]
fn groups_are_shared_by_the_evses_of_a_matrix() {
    let matrix = "[power.matrix]\nswitch = { name = 'org.voltry.Board1', path = '/org/voltry/switch_matrix/1' }\n\
                  evses = [1, 2]\n";
    let group = |name: &str, more: &str| {
        format!("[power.group.{name}]\nfamily = 'infypower'\nbus = 'main'\n{more}\n")
    };
    let two = group("a", "modules = [0]") + &group("b", "modules = [1]\nevses = [2]");
    let settings = read(&(matrix.to_owned() + &two)).unwrap();
    let contactors = settings.matrix.as_ref().unwrap().contactors(&settings.group);
    let places: Vec<_> = contactors.iter().map(|contactor| (contactor.group, contactor.evse)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (1, 1)]);
    let gives = "evses = [2]\ngroup = 1\ncount = 1\nsilence_limit_ms = 8000\n\
                 rating = { voltage_min = 150.0, voltage_max = 1000.0, current_max = 50.0, power_max = 20000.0 }\n\
                 discharge = { voltage_min = 150.0, current_max = 10.0, power_max = 5000.0 }";
    for (text, wanted) in [
        (two.clone(), "there is none"),
        (matrix.to_owned() + "contactor_ms = 1499\n" + &two, "contactor_ms: 1500 to 10000"),
        (matrix.to_owned() + &group("a", "modules = [0]\nevses = [3]"), "3 is none of"),
        (matrix.to_owned() + &group("a", "modules = [0]") + &group("b", "modules = [0]"), "two supplies"),
        (
            matrix.to_owned()
                + &group("a", "modules = [0]")
                + &group("x", "modules = [1]").replace("group.x", "supply.1"),
            "a [power.supply.1] of its own",
        ),
        (matrix.to_owned() + &group("a", "modules = [0]\nsilence_limit_ms = 0"), "never stop by themselves"),
        (
            matrix.to_owned()
                + &group("a", "modules = [0]")
                + &group("b", gives).replace("infypower", "infypower-beg"),
            "EVSE 2: all groups that it can have have a discharge, or none",
        ),
        (
            group("x", "modules = [0]\nevses = [1]").replace("group.x", "supply.1"),
            "of a [power.group.NAME] alone",
        ),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
    }
}

#[test]
fn a_monitor_is_alone_on_its_bus_and_its_settings_are_its_own() {
    let monitor = "[power.monitor.imd1]\nbus = 'main'\n";
    let settings = read(&format!("{monitor}model = 'sim100'\nsettings = {{ voltage_max = 920 }}\n"));
    assert_eq!(settings.unwrap().monitor.len(), 1);
    let supply = "[power.supply.1]\nfamily = 'infypower'\nbus = 'main'\nmodules = [0]\n";
    for (text, wanted) in [
        (format!("{monitor}model = 'iso165c'\n{supply}"), "a bus of its own"),
        (format!("{monitor}model = 'iso165c'\nsettings = {{ mean_factor = 21 }}"), "mean_factor is 1 to 20"),
        (format!("{monitor}model = 'sim100'\nsettings = {{ mean_factor = 1 }}"), "mean_factor"),
        (format!("{monitor}model = 'sim200'\n"), "sim200"),
        (monitor.replace("main", "other") + "model = 'sim100'\n", "there is no [power.bus.other]"),
        (String::new(), "no supply and no monitor"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
    }
}

#[test]
fn the_documents_example_of_a_matrix_is_taken() {
    let document = include_str!("../../../../docs/integration.md");
    let (_, section) = document.split_once("## Modules shared by several EVSEs").unwrap();
    let example = section.split("```").nth(1).unwrap().trim_start_matches("toml");
    let text = format!("[power.bus.can1]\ntype = 'socketcan'\ninterface = 'can1'\n{example}");
    let config = Config::parse([("voltry.toml", text.as_str())]).unwrap();
    let provision = configure(&config, "").unwrap();
    assert_eq!(provision.settings.group["b"].evses.len(), 2);
    assert!(provision.objects.iter().any(|object| object.path.as_str() == "/org/voltry/power_supply/2"));
}
