//! From `main` to a running daemon.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches as _};
use serde::Serialize;

use crate::log::Log;
use crate::{Binding, Config, ConfigError, Daemon, Problem, Stop};

/// A daemon, as its `main.rs` states it:
///
/// ```no_run
/// # use voltry_service::{Config, ConfigError, Daemon, Program, Provision};
/// # struct Settings;
/// # fn configure(_: &Config, _: &str) -> Result<Provision<Settings>, ConfigError> { todo!() }
/// # async fn run(_: Settings, _: Daemon) -> anyhow::Result<()> { todo!() }
/// fn main() -> std::process::ExitCode {
///     Program { name: "voltry-evse", about: "One EVSE's energy path", instances: Some("evse") }
///         .main(configure, run)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The name of the executable.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// For a daemon that runs once per table: the table of those tables, as `evse` for
    /// `[evse.1]`. It then takes the instance, `1`, as its positional argument.
    pub instances: Option<&'static str>,
}

/// What a daemon makes of its tables.
#[derive(Debug)]
pub struct Provision<T> {
    /// The objects it will provide.
    pub objects: Vec<Binding>,
    /// The checked settings.
    pub settings: T,
}

/// The `configure` of a daemon that is installed everywhere and has work where its table is: without that it
/// provides nothing, and has nothing to say against a configuration in which an OEM's daemon does its part.
pub fn where_configured<T>(
    table: &'static str,
    configure: impl Fn(&Config, &str) -> Result<Provision<T>, ConfigError>,
) -> impl Fn(&Config, &str) -> Result<Provision<Option<T>>, ConfigError> {
    move |config, instance| {
        if !config.contains(table) {
            return Ok(Provision { objects: Vec::new(), settings: None });
        }
        let Provision { objects, settings } = configure(config, instance)?;
        Ok(Provision { objects, settings: Some(settings) })
    }
}

#[derive(Debug, Args)]
struct Options {
    /// Read only this file, or this folder's voltry.toml and voltry.d
    #[arg(long, value_name = "FILE_OR_DIR")]
    config: Option<PathBuf>,
    /// Check the configuration, say what is claimed and provided, and end: 0 if good, 2 if not
    #[arg(long)]
    check_config: bool,
    /// With --check-config: print JSON
    #[arg(long, requires = "check_config")]
    json: bool,
    /// The bus's address, instead of the system bus
    #[arg(long, value_name = "ADDRESS")]
    bus: Option<String>,
    /// What to log, as `info` or `voltry_evse=debug`; else as $VOLTRY_LOG says
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

/// What `--check-config --json` prints. `voltryctl config check` puts all daemons' together.
#[derive(Debug, Default, Serialize)]
struct Check {
    /// What no daemon claims is an unknown key.
    tables: Vec<String>,
    objects: Vec<Binding>,
    errors: Vec<Problem>,
}

const MAKE_SAFE: &str = "make-safe";
/// A line that takes no byte does not hold the unit's restart up for longer.
const MAKING_SAFE: Duration = Duration::from_secs(1);

/// A configuration the daemon cannot run with; starting it again does not help.
const EXIT_CONFIG: u8 = 2;

impl Program {
    /// Reads the command line and the configuration, and runs the daemon on one thread.
    ///
    /// `configure` turns the daemon's tables into its settings; it gets the instance, or `""`.
    /// `run` returns when [`Daemon::stop`] does, with its I/O made safe, or with what failed.
    pub fn main<T, F>(
        self,
        configure: impl Fn(&Config, &str) -> Result<Provision<T>, ConfigError>,
        run: impl FnOnce(T, Daemon) -> F,
    ) -> ExitCode
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.main_with_audit(configure, |_, _, _| Vec::new(), run)
    }

    /// Like [`Self::main`], for a daemon with outputs: asked to `--make-safe`, as its unit does when the daemon
    /// has ended, it runs nothing but `make_safe`, without a bus and for a second at most.
    pub fn main_with_outputs<T, F, S>(
        self,
        configure: impl Fn(&Config, &str) -> Result<Provision<T>, ConfigError>,
        make_safe: impl FnOnce(T) -> S,
        run: impl FnOnce(T, Daemon) -> F,
    ) -> ExitCode
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
        S: Future<Output = ()>,
    {
        let line = self.command().arg(make_safe_argument());
        let matches = line.get_matches();
        if !matches.get_flag(MAKE_SAFE) {
            return self.obey(&matches, configure, |_, _, _| Vec::new(), run);
        }
        let options = Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let instance = instance(&matches).unwrap_or_default();
        match Config::read(options.config.as_deref()).and_then(|config| configure(&config, &instance)) {
            Ok(provision) => {
                let log = Log::start(self.name, &instance, options.log.as_deref());
                let code = make_safe_within(MAKING_SAFE, make_safe(provision.settings));
                log.flush();
                code
            }
            Err(errors) => {
                eprintln!("{errors}");
                ExitCode::from(EXIT_CONFIG)
            }
        }
    }

    /// Like [`Self::main`]; `audit` finds what a check should tell, but must not keep the daemon
    /// from starting, as a certificate that expired. Only `--check-config` asks it.
    pub fn main_with_audit<T, F>(
        self,
        configure: impl Fn(&Config, &str) -> Result<Provision<T>, ConfigError>,
        audit: impl Fn(&Config, &str, &T) -> Vec<Problem>,
        run: impl FnOnce(T, Daemon) -> F,
    ) -> ExitCode
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.obey(&self.command().get_matches(), configure, audit, run)
    }

    fn obey<T, F>(
        self,
        matches: &ArgMatches,
        configure: impl Fn(&Config, &str) -> Result<Provision<T>, ConfigError>,
        audit: impl Fn(&Config, &str, &T) -> Vec<Problem>,
        run: impl FnOnce(T, Daemon) -> F,
    ) -> ExitCode
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let options = Options::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
        let instance = instance(matches).unwrap_or_default();
        let config = Config::read(options.config.as_deref());
        if options.check_config {
            return self.check(config, &instance, options.json, configure, audit);
        }
        let provision = match config.and_then(|config| configure(&config, &instance)) {
            Ok(provision) => provision,
            Err(errors) => {
                eprintln!("{errors}");
                return ExitCode::from(EXIT_CONFIG);
            }
        };
        let log = Log::start(self.name, &instance, options.log.as_deref());
        let code = match block_on(&options, &instance, provision.settings, run) {
            Ok(Stop::Asked) => ExitCode::SUCCESS,
            Ok(Stop::BusLost) => ExitCode::FAILURE,
            Err(error) => {
                tracing::error!("{error:#}");
                ExitCode::FAILURE
            }
        };
        log.flush();
        code
    }

    fn command(self) -> Command {
        let command = Command::new(self.name).about(self.about).version(env!("CARGO_PKG_VERSION"));
        let command = match self.instances {
            Some(table) => command.arg(
                Arg::new("instance")
                    .value_name("INSTANCE")
                    .help(format!("Which table to run, as 1 for [{table}.1]"))
                    .required_unless_present("check_config"),
            ),
            None => command,
        };
        Options::augment_args(command)
    }

    fn check<T>(
        self,
        config: Result<Config, ConfigError>,
        instance: &str,
        json: bool,
        configure: impl Fn(&Config, &str) -> Result<Provision<T>, ConfigError>,
        audit: impl Fn(&Config, &str, &T) -> Vec<Problem>,
    ) -> ExitCode {
        let mut check = Check::default();
        match config {
            Ok(config) => {
                for instance in self.checked_instances(&config, instance) {
                    match configure(&config, &instance) {
                        Ok(mut provision) => {
                            check.errors.append(&mut audit(&config, &instance, &provision.settings));
                            check.objects.append(&mut provision.objects);
                        }
                        Err(mut error) => check.errors.append(&mut error.0),
                    }
                }
                check.tables = config.claimed();
            }
            Err(error) => check.errors = error.0,
        }
        if json {
            println!("{}", serde_json::to_string_pretty(&check).expect("strings and numbers are JSON"));
        } else {
            check.tables.iter().for_each(|table| println!("table  [{table}]"));
            check.objects.iter().for_each(|object| println!("object {} {}", object.name, object.path));
            check.errors.iter().for_each(|error| eprintln!("{error}"));
        }
        if check.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) }
    }

    fn checked_instances(self, config: &Config, instance: &str) -> Vec<String> {
        match self.instances {
            Some(table) if instance.is_empty() => config.instances(table),
            Some(_) | None => vec![instance.to_owned()],
        }
    }
}

fn instance(matches: &ArgMatches) -> Option<String> {
    matches.try_get_one::<String>("instance").ok().flatten().cloned()
}

fn block_on<T, F>(
    options: &Options,
    instance: &str,
    settings: T,
    run: impl FnOnce(T, Daemon) -> F,
) -> anyhow::Result<Stop>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let ended = runtime.block_on(async {
        let daemon = Daemon::start(options.bus.as_deref(), instance).await?;
        let stop = daemon.stop_watch();
        // In a task of its own: what a task wakes here is run in the same turn. Were this it, the runtime would ask
        // the kernel for events first, every time.
        tokio::spawn(run(settings, daemon)).await.context("the daemon panicked")??;
        Ok(stop.borrow().unwrap_or(Stop::Asked))
    });
    // What still blocks a thread, as a name that is looked up, holds nothing that has to be made
    // safe, and would keep the process for as long as it likes.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

fn make_safe_argument() -> Arg {
    Arg::new(MAKE_SAFE)
        .long(MAKE_SAFE)
        .action(clap::ArgAction::SetTrue)
        .conflicts_with("check_config")
        .help("Run nothing: make the outputs safe, whatever state they are in, and end within a second")
}

fn make_safe_within(limit: Duration, making_safe: impl Future<Output = ()>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "starting the runtime");
            return ExitCode::FAILURE;
        }
    };
    let made = runtime.block_on(async { tokio::time::timeout(limit, making_safe).await.is_ok() });
    runtime.shutdown_background();
    if !made {
        tracing::error!("the outputs could not be made safe in {limit:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVSE: Program = Program { name: "voltry-evse", about: "", instances: Some("evse") };

    #[test]
    fn the_command_line_is_consistent() {
        EVSE.command().arg(make_safe_argument()).debug_assert();
    }

    #[test]
    fn an_instance_is_wanted_except_for_a_check() {
        let parse = |arguments: &[&str]| {
            let line = std::iter::once("voltry-evse").chain(arguments.iter().copied());
            EVSE.command().try_get_matches_from(line).map(|matches| instance(&matches))
        };
        assert_eq!(parse(&["1"]).unwrap(), Some("1".to_owned()));
        assert_eq!(parse(&["--check-config"]).unwrap(), None);
        assert!(parse(&[]).is_err());
        let board = Program { instances: None, ..EVSE };
        assert!(board.command().try_get_matches_from(["voltry-board", "1"]).is_err());
    }

    #[test]
    fn an_output_that_cannot_be_made_safe_is_a_failure_and_not_waited_for() {
        let limit = Duration::from_millis(1);
        assert_eq!(make_safe_within(limit, std::future::pending()), ExitCode::FAILURE);
        assert_eq!(make_safe_within(limit, std::future::ready(())), ExitCode::SUCCESS);
    }

    #[test]
    fn a_check_without_an_instance_checks_them_all() {
        let config = Config::parse([("a.toml", "[evse.1]\n[evse.2]")]).unwrap();
        assert_eq!(EVSE.checked_instances(&config, ""), ["1", "2"]);
        assert_eq!(EVSE.checked_instances(&config, "2"), ["2"]);
    }
}
