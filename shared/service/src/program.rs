//! From `main` to a running daemon.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::command_line::{self, CommandLine, Task};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What `--check-config --json` prints. `voltryctl config check` puts all daemons' together.
#[derive(Debug, Default, Serialize)]
struct Check {
    /// What no daemon claims is an unknown key.
    tables: Vec<String>,
    objects: Vec<Binding>,
    errors: Vec<Problem>,
}

/// A line that takes no byte does not hold the unit's restart up for longer.
const MAKING_SAFE: Duration = Duration::from_secs(1);

/// A command line or a configuration the daemon cannot run with; starting it again does not help.
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
        let line = match self.command_line(true) {
            Ok(line) => line,
            Err(code) => return code,
        };
        if line.task != Task::MakeSafe {
            return self.obey(&line, configure, |_, _, _| Vec::new(), run);
        }
        match Config::read(line.config.as_deref()).and_then(|config| configure(&config, &line.instance)) {
            Ok(provision) => {
                let log = Log::start(self.name, &line.instance, line.log.as_deref());
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
        match self.command_line(false) {
            Ok(line) => self.obey(&line, configure, audit, run),
            Err(code) => code,
        }
    }

    /// What this process was asked for; or its end, where that is said with a few words.
    fn command_line(self, has_outputs: bool) -> Result<CommandLine, ExitCode> {
        let line = CommandLine::parse(self, has_outputs, std::env::args_os().skip(1)).map_err(|error| {
            eprintln!("{}: {error}\n{}Try --help.", self.name, command_line::usage(self));
            ExitCode::from(EXIT_CONFIG)
        })?;
        match line.task {
            Task::Help => print!("{}", command_line::help(self, has_outputs)),
            Task::Version => println!("{} {}", self.name, env!("CARGO_PKG_VERSION")),
            Task::Run | Task::CheckConfig { .. } | Task::MakeSafe => return Ok(line),
        }
        Err(ExitCode::SUCCESS)
    }

    fn obey<T, F>(
        self,
        line: &CommandLine,
        configure: impl Fn(&Config, &str) -> Result<Provision<T>, ConfigError>,
        audit: impl Fn(&Config, &str, &T) -> Vec<Problem>,
        run: impl FnOnce(T, Daemon) -> F,
    ) -> ExitCode
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let config = Config::read(line.config.as_deref());
        if let Task::CheckConfig { json } = line.task {
            return self.check(config, &line.instance, json, configure, audit);
        }
        let provision = match config.and_then(|config| configure(&config, &line.instance)) {
            Ok(provision) => provision,
            Err(errors) => {
                eprintln!("{errors}");
                return ExitCode::from(EXIT_CONFIG);
            }
        };
        let log = Log::start(self.name, &line.instance, line.log.as_deref());
        let code = match block_on(line, provision.settings, run) {
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

fn block_on<T, F>(line: &CommandLine, settings: T, run: impl FnOnce(T, Daemon) -> F) -> anyhow::Result<Stop>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let ended = runtime.block_on(async {
        let daemon = Daemon::start(line.bus.as_deref(), &line.instance).await?;
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
