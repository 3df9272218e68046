//! Simulated hardware and vehicles, and the station that runs the real daemons against them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use voltry_sim::demo::{self, Demo};
use voltry_sim::foreground;
use voltry_sim::hardware::Family;
use voltry_sim::station::topology::{HELP as TOPOLOGY, Topology};
use voltry_sim::station::uplink::Uplink;
use voltry_sim::station::{hardware, namespace, screen, uplink};

/// Simulated hardware and vehicles around the real daemons.
#[derive(Debug, Parser)]
#[command(name = "voltry-sim", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up a whole station in the foreground and obey lines on standard input
    ///
    /// Prints `ready` when every EVSE is available and drivers are let in. Then, a line each:
    /// plug [N], unplug [N], load OHMS [N] (a load bank in the plug; 0 unplugs it), swipe TOKEN [N],
    /// air CELSIUS [N] (at the modules), others PHASE AMPERES (that others at the grid connection take of a phase),
    /// fault NAME [N], clear NAME [N], status [N], power-cut, kill DAEMON, quit. N is an EVSE: the first, if none is named, and for swipe the
    /// one that waits. DAEMON is named as its log is, as evse-1. Each line is answered by one that
    /// begins with `ok` or `error`.
    /// End of input does not end the station; Ctrl-C does, and leaves nothing running.
    #[command(verbatim_doc_comment, after_long_help = TOPOLOGY)]
    Station(StationOptions),
    /// Charge a simulated car from 20 to 80 % in about a minute, and compare the bill with the meter
    Demo(DemoOptions),
    /// Play the hardware and the vehicles of an installed station, whose daemons systemd runs
    ///
    /// Serves them below /run/voltry-sim/dev and on the network interfaces evseN, until SIGTERM;
    /// `voltryctl sim` steers them. Wants CAP_NET_ADMIN and CAP_NET_RAW, as voltry-sim.service gives them.
    #[command(verbatim_doc_comment, after_long_help = TOPOLOGY)]
    Hardware(WhichHardware),
    /// Print the daemons' configuration for that hardware
    Configuration(WhichHardware),
}

#[derive(Debug, Args)]
struct WhichHardware {
    /// What the station consists of (TOML); else one EVSE that anybody may use
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StationOptions {
    /// What the station consists of (TOML); else one EVSE that anybody may use
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Where the station keeps its book, its logs and its sockets; else a new folder in /tmp
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// How many EVSEs, instead of the topology's number
    #[arg(long, value_name = "N")]
    evses: Option<u32>,
    /// What family the power modules are of, instead of the topology's
    #[arg(long, value_name = "FAMILY")]
    modules: Option<Family>,
    /// Let the message broker go before other programs too, on a machine that has much else to do
    #[arg(long)]
    broker_first: bool,
    /// Show what the daemons log
    #[arg(long)]
    verbose: bool,
    /// Give the station a screen, to be seen with a browser at this address
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8080")]
    ui: Option<SocketAddr>,
    /// The CSMS, ws://… or wss://…, without the identity; tokens are then shown to it
    #[arg(long, value_name = "URL")]
    csms: Option<String>,
    /// What the CSMS knows the station by
    #[arg(long, value_name = "ID", default_value = "VOLTRY-SIM", requires = "csms")]
    identity: String,
    /// The version of OCPP spoken with the CSMS
    #[arg(long, value_name = "VERSION", default_value = "2.0.1", requires = "csms")]
    #[arg(value_parser = ["1.6", "2.0.1"])]
    ocpp: String,
    /// A variable of OCPP until the CSMS writes it, by 1.6's key or Component.Variable; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, requires = "csms")]
    ocpp_set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
struct DemoOptions {
    #[command(flatten)]
    station: StationOptions,
    /// Break this while it charges, and show what a technician then sees
    #[arg(long, value_name = "NAME")]
    fault: Option<String>,
    /// Stay up afterwards, to play with voltryctl
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    // A simulator of which a part is dead is no station.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        std::process::abort();
    }));
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(options));
            // A plain drop would wait for the thread that reads standard input.
            runtime.shutdown_background();
            code
        }
        Err(error) => Err(error.into()),
    };
    let code = code.unwrap_or_else(|error| {
        eprintln!("voltry-sim: {error:#}");
        1
    });
    ExitCode::from(code)
}

async fn run(options: Options) -> anyhow::Result<u8> {
    match options.command {
        Command::Hardware(which) => {
            foreground::start_logging(false, "info");
            hardware::run(&which.topology()?).await?;
            Ok(0)
        }
        Command::Configuration(which) => {
            print!("{}", hardware::configuration(&which.topology()?)?);
            Ok(0)
        }
        Command::Station(station) if !namespace::inside() => enter_namespaces(&station, true).await,
        Command::Demo(demo) if !namespace::inside() => enter_namespaces(&demo.station, demo.keep).await,
        Command::Station(station) => {
            foreground::start_logging(station.verbose, "info");
            let state = station.state.clone();
            foreground::station(topology(&station)?, state, station.verbose).await
        }
        Command::Demo(demo) => {
            foreground::start_logging(demo.station.verbose, "error");
            let topology = topology(&demo.station)?;
            let demo = Demo {
                fault: demo.fault,
                keep: demo.keep,
                state: demo.station.state,
                verbose: demo.station.verbose,
            };
            demo::run(topology, demo).await
        }
    }
}

async fn enter_namespaces(station: &StationOptions, forward_input: bool) -> anyhow::Result<u8> {
    let topology = topology(station)?;
    // The ways out and in last until the inner process has ended.
    let (out, _way_out) = match topology.uplink {
        Some(_) => Some(uplink::lead_out()?).unzip(),
        None => (None, None),
    };
    let (into, _way_in) = match topology.screen {
        Some(address) => Some(screen::lead_in(address).await?).unzip(),
        None => (None, None),
    };
    namespace::enter(forward_input, out.into_iter().chain(into).collect()).await
}

impl WhichHardware {
    fn topology(&self) -> anyhow::Result<Topology> {
        self.topology.as_deref().map_or_else(|| Ok(Topology::default()), Topology::read)
    }
}

fn topology(options: &StationOptions) -> anyhow::Result<Topology> {
    let mut topology = match &options.topology {
        Some(file) => Topology::read(file)?,
        // With a CSMS, that says who may charge.
        None => Topology { free: options.csms.is_none(), ..Topology::default() },
    };
    topology.broker_first |= options.broker_first;
    topology.screen = options.ui.or(topology.screen);
    topology.family = options.modules.unwrap_or(topology.family);
    if let Some(csms) = &options.csms {
        topology.uplink = Some(Uplink {
            csms: csms.clone(),
            identity: options.identity.clone(),
            version: options.ocpp.clone(),
            variables: options.ocpp_set.iter().cloned().collect(),
            file_proxy: None,
            profile: toml::Table::new(),
        });
    }
    match options.evses {
        Some(evses) => topology.with_evses(evses),
        None => Ok(topology),
    }
}
