//! The command line that all daemons share.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Error, Parser, ValueExt as _};

use crate::Program;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) task: Task,
    pub(crate) config: Option<PathBuf>,
    pub(crate) bus: Option<String>,
    pub(crate) log: Option<String>,
    /// Of [`Program::instances`], or empty.
    pub(crate) instance: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Task {
    #[default]
    Run,
    CheckConfig {
        json: bool,
    },
    MakeSafe,
    Help,
    Version,
}

impl CommandLine {
    /// `arguments` without the program's name.
    ///
    /// # Errors
    /// What was not understood, contradicts itself, or is missing.
    pub(crate) fn parse(
        program: Program,
        has_outputs: bool,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Error> {
        let mut line = Self::default();
        let (mut check, mut json, mut make_safe) = (false, false, false);
        let mut instance = None;
        let mut parser = Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("config") => once("--config", &mut line.config, value(&mut parser)?.into())?,
                Long("bus") => once("--bus", &mut line.bus, value(&mut parser)?.string()?)?,
                Long("log") => once("--log", &mut line.log, value(&mut parser)?.string()?)?,
                Long("check-config") => check = true,
                Long("json") => json = true,
                Long("make-safe") if has_outputs => make_safe = true,
                Short('h') | Long("help") => return Ok(Self { task: Task::Help, ..Self::default() }),
                Short('V') | Long("version") => return Ok(Self { task: Task::Version, ..Self::default() }),
                Value(value) if program.instances.is_some() => {
                    once("INSTANCE", &mut instance, value.string()?)?;
                }
                Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
            }
        }
        line.task = match (check, make_safe) {
            (true, true) => return Err("--check-config and --make-safe exclude each other".into()),
            (true, false) => Task::CheckConfig { json },
            (false, _) if json => return Err("--json wants --check-config".into()),
            (false, true) => Task::MakeSafe,
            (false, false) => Task::Run,
        };
        if let (Some(table), None, false) = (program.instances, &instance, check) {
            return Err(format!("which instance? As 1 for [{table}.1]").into());
        }
        line.instance = instance.unwrap_or_default();
        Ok(line)
    }
}

/// An option is none, unless it stands behind `=`: `--log --make-safe` must not log and energise.
fn value(parser: &mut Parser) -> Result<OsString, Error> {
    if let Some(value) = parser.optional_value() {
        return Ok(value);
    }
    let value = parser.value()?;
    if value.as_encoded_bytes().starts_with(b"-") {
        return Err(format!("{} is no value; write it behind =", value.display()).into());
    }
    Ok(value)
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), Error> {
    if place.replace(value).is_some() {
        return Err(format!("{name} is given twice").into());
    }
    Ok(())
}

/// What `--help` prints.
pub(crate) fn help(program: Program, has_outputs: bool) -> String {
    let Program { name, about, instances } = program;
    let mut text = format!("{about}\n\n{}", usage(program));
    if let Some(table) = instances {
        text += &format!(
            "\nArguments:\n  INSTANCE  Which table to run, as 1 for [{table}.1]; a check without it takes all\n"
        );
    }
    text += "
Options:
      --config FILE_OR_DIR  Read only this file, or this folder's voltry.toml and voltry.d
      --check-config        Check the configuration, say what is claimed and provided, and end: 0 if good, 2 if not
      --json                With --check-config: print JSON
      --bus ADDRESS         The bus's address, instead of the system bus
";
    text += &format!(
        "      --log FILTER          What to log, as `info` or `{}=debug`; else as $VOLTRY_LOG says\n",
        name.replace('-', "_")
    );
    if has_outputs {
        text += "      --make-safe           Run nothing: make the outputs safe, whatever state they are in, and end \
                 within a second\n";
    }
    text + "  -h, --help                Print this\n  -V, --version             Print the version\n"
}

/// Its last line says how to learn more where an error was told before.
pub(crate) fn usage(program: Program) -> String {
    let instance = if program.instances.is_some() { " INSTANCE" } else { "" };
    format!("Usage: {} [OPTIONS]{instance}\n", program.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    const EVSE: Program = Program { name: "voltry-evse", about: "One EVSE", instances: Some("evse") };
    const POWER: Program = Program { name: "voltry-power", about: "Modules", instances: None };

    fn parse(program: Program, line: &str) -> Result<CommandLine, String> {
        let arguments = line.split_whitespace().map(OsString::from);
        CommandLine::parse(program, program == POWER, arguments).map_err(|error| error.to_string())
    }

    fn task(program: Program, line: &str) -> Task {
        parse(program, line).unwrap().task
    }

    #[test]
    fn all_that_may_be_asked_is_understood() {
        let all = parse(EVSE, "--config=a/b 1 --bus unix:path=/b --log voltry_evse=debug").unwrap();
        assert_eq!(
            all,
            CommandLine {
                task: Task::Run,
                config: Some("a/b".into()),
                bus: Some("unix:path=/b".into()),
                log: Some("voltry_evse=debug".into()),
                instance: "1".into(),
            }
        );
        assert_eq!(parse(POWER, ""), Ok(CommandLine::default()));
        assert_eq!(task(POWER, "--make-safe --config x"), Task::MakeSafe);
        assert_eq!(task(EVSE, "--check-config"), Task::CheckConfig { json: false });
        assert_eq!(task(EVSE, "--json --check-config"), Task::CheckConfig { json: true });
        assert_eq!(task(EVSE, "-h"), Task::Help);
        assert_eq!(task(EVSE, "--help --nonsense"), Task::Help);
        assert_eq!(task(POWER, "--version"), Task::Version);
    }

    #[test]
    fn an_instance_is_wanted_except_for_a_check() {
        assert_eq!(parse(EVSE, "1").unwrap().instance, "1");
        assert_eq!(parse(EVSE, "--check-config").unwrap().instance, "");
        assert_eq!(parse(EVSE, "--check-config 2").unwrap().instance, "2");
        assert_eq!(parse(EVSE, "").unwrap_err(), "which instance? As 1 for [evse.1]");
        assert_eq!(parse(EVSE, "1 2").unwrap_err(), "INSTANCE is given twice");
        assert_eq!(parse(POWER, "1").unwrap_err(), "unexpected argument \"1\"");
    }

    #[test]
    fn what_is_not_understood_or_contradicts_itself_is_said() {
        assert_eq!(parse(EVSE, "1 --configs x").unwrap_err(), "invalid option '--configs'");
        assert_eq!(parse(EVSE, "1 -x").unwrap_err(), "invalid option '-x'");
        assert_eq!(parse(EVSE, "1 --make-safe").unwrap_err(), "invalid option '--make-safe'");
        assert_eq!(parse(EVSE, "1 --config").unwrap_err(), "missing argument for option '--config'");
        assert_eq!(
            parse(POWER, "--log --make-safe").unwrap_err(),
            "--make-safe is no value; write it behind ="
        );
        assert_eq!(parse(POWER, "--log=-x").unwrap().log, Some("-x".into()));
        assert_eq!(parse(EVSE, "1 --bus a --bus b").unwrap_err(), "--bus is given twice");
        assert_eq!(parse(EVSE, "1 --json").unwrap_err(), "--json wants --check-config");
        assert_eq!(
            parse(POWER, "--check-config --make-safe").unwrap_err(),
            "--check-config and --make-safe exclude each other"
        );
        assert!(parse(EVSE, "--json=yes --check-config").is_err());
        let no_text = [OsString::from("--bus"), OsString::from_vec(vec![0xFF])];
        assert!(CommandLine::parse(POWER, true, no_text).is_err());
    }

    #[test]
    fn help_names_each_option_that_is_understood() {
        let (evse, power) = (help(EVSE, false), help(POWER, true));
        for option in ["--config", "--check-config", "--json", "--bus", "--log", "--help", "--version"] {
            assert!(evse.contains(option) && power.contains(option), "{option}");
        }
        assert!(evse.contains("Usage: voltry-evse [OPTIONS] INSTANCE\n"), "{evse}");
        assert!(evse.contains("`voltry_evse=debug`") && evse.contains("[evse.1]"), "{evse}");
        assert!(
            power.contains("Usage: voltry-power [OPTIONS]\n") && power.contains("--make-safe"),
            "{power}"
        );
        assert!(!evse.contains("--make-safe"), "{evse}");
    }
}
