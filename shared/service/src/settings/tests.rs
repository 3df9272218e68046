use super::*;

/// What is written, and how it is kept.
type Kept = (&'static str, &'static str);

fn spec(name: &'static str, kind: Kind) -> Spec {
    Spec {
        name,
        kind,
        unit: "s",
        access: Access::ReadWrite,
        writers: &[Writer::Csms, Writer::Operator],
        default: String::new(),
        component: "TxCtrlr",
        variable: "",
        about: "Something.",
    }
}

#[test]
fn a_value_of_its_kind_is_taken_and_any_other_refused() {
    let choices = &["Voltage", "SoC"];
    let kinds: [(Kind, &[Kept], &[&str]); 6] = [
        (Kind::Boolean, &[("true", "true"), ("False", "false")], &["1", "", "yes"]),
        (Kind::Integer { minimum: 0, maximum: 60 }, &[("60", "60"), (" 07 ", "7")], &["61", "-1", "1.0", ""]),
        (
            Kind::Decimal { minimum: 0.5, maximum: 2.0 },
            &[("1", "1"), ("1.50", "1.5")],
            &["NaN", "inf", "0", "x"],
        ),
        (Kind::Text { maximum: 4 }, &[("", ""), ("abcd", "abcd")], &["abcde", "a\nb"]),
        (Kind::Choice(choices), &[("soc", "SoC")], &["", "Power"]),
        (Kind::List(choices), &[("", ""), ("SoC, voltage,SoC", "SoC,Voltage")], &["SoC,Power"]),
    ];
    for (kind, good, bad) in kinds {
        let spec = spec("it", kind);
        for (value, kept) in good {
            assert_eq!(spec.checked(value).as_deref(), Ok(*kept), "{kind:?} {value:?}");
        }
        for value in bad {
            assert!(spec.checked(value).is_err(), "{kind:?} {value:?}");
        }
    }
}

#[test]
fn only_its_writers_may_write_a_setting() {
    let all = spec("it", Kind::Boolean);
    assert_eq!(all.may_write(Writer::Csms), Ok(()));
    let local = Spec { writers: &[Writer::Operator], ..all.clone() };
    assert!(matches!(local.may_write(Writer::Csms), Err(Error::Refused(_))));
    let fixed = Spec { access: Access::ReadOnly, ..all };
    assert!(matches!(fixed.may_write(Writer::Operator), Err(Error::Refused(_))));
}

#[test]
fn what_was_written_is_there_again_and_what_means_nothing_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let specs = [spec("interval", Kind::Integer { minimum: 0, maximum: 60 })];
    assert_eq!(load(&file, &specs).unwrap(), Written::new());
    let written = Written::from(
        [("interval", "30"), ("gone", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    save(&file, &written).unwrap();
    assert_eq!(load(&file, &specs).unwrap(), Written::from([("interval".to_owned(), "30".to_owned())]));
    let smaller = [spec("interval", Kind::Integer { minimum: 0, maximum: 10 })];
    assert_eq!(load(&file, &smaller).unwrap(), Written::new());
    std::fs::write(&file, "no settings").unwrap();
    assert!(load(&file, &specs).is_err());
}
