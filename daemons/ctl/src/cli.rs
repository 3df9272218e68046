//! The command line. What stands here is what `--help` and the man page say.

mod conform;
mod help;
mod update;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use voltry_bus::{SelfTestStep, TokenKind};

pub(crate) use conform::{Conform, Role};
use help::{
    ABOUT_ALL, AUTHORIZE, BUNDLE, CHECK, CLEAR, CONFORM, CONVERSATION, CONVERSATIONS, DEVICES, FAULT_LIST,
    FAULTS, FOLLOW, LIMITS, MODULES, OCPP_MESSAGES, OCPP_PROFILES, OCPP_SCHEDULE, OCPP_STATUS, PASSWORD,
    RECORD, RECORDED, SELF_TEST, SESSION, SESSIONS, SETUP, SHOW_FAULT, STATUS, SWIPE, TOP, TRUTH, UPDATE,
};
pub(crate) use update::{Update, UpdateCommand};

use crate::selftest::Load;

/// Look at a Voltry charging station, and tell it what to do.
#[derive(Debug, Parser)]
#[command(name = "voltryctl", version, arg_required_else_help = true, after_help = ABOUT_ALL)]
pub(crate) struct Cli {
    /// The bus's address, instead of the system bus
    #[arg(long, global = true, value_name = "ADDRESS", env = "VOLTRY_BUS", hide_env_values = true)]
    pub(crate) bus: Option<String>,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what each EVSE does, and what is wrong
    #[command(after_help = STATUS)]
    Status {
        /// Only this EVSE
        evse: Option<u32>,
        /// Go on showing it, every second, until Ctrl-C
        #[arg(long, short)]
        watch: bool,
    },
    /// Show the whole station, until q or Ctrl-C; where the output is no terminal, once
    #[command(after_help = TOP)]
    Top {
        /// Milliseconds from one frame to the next
        #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(500..=60_000))]
        every: u64,
        /// Without colours, as with $NO_COLOR
        #[arg(long)]
        plain: bool,
    },
    /// Look into the book of transactions
    Sessions {
        #[command(subcommand)]
        command: Sessions,
    },
    /// Show what station and vehicle said to each other, live or afterwards
    V2g {
        #[command(subcommand)]
        command: V2g,
    },
    /// Present an id token, as the card reader does; one that started a session ends it
    #[command(after_help = AUTHORIZE)]
    Authorize {
        /// The card's number; nothing with --type no-authorization
        #[arg(required_unless_present = "kind")]
        token: Option<String>,
        /// The EVSE; without it, the one that waits
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        evse: u32,
        /// What it is: iso14443, iso15693, emaid, key-code, local, mac-address, or no-authorization, as if
        /// somebody had pressed the start button
        #[arg(long = "type", value_name = "TYPE", default_value = "iso14443")]
        kind: TokenKind,
    },
    /// End the session on an EVSE in the normal way
    Stop {
        /// The EVSE
        evse: u32,
    },
    /// Take an EVSE into service, or out of it; lasts over restarts
    Available {
        /// The EVSE
        evse: u32,
        /// Out of service
        #[arg(long)]
        no: bool,
    },
    /// Check an EVSE without a vehicle: contactors, insulation monitor, modules, lock, temperatures
    #[command(after_help = SELF_TEST)]
    Selftest {
        /// The EVSE
        evse: u32,
        /// Only these checks
        #[arg(long, value_name = "CHECK")]
        only: Vec<SelfTestStep>,
        /// Nothing but this: the modules deliver so many amperes, at so many volts at most, into a load at the
        /// plug
        #[arg(long, value_name = "VOLTS,AMPERES", value_parser = load, conflicts_with = "only")]
        load: Option<Load>,
        /// Ask nothing, also before voltage is raised
        #[arg(long, short)]
        yes: bool,
    },
    /// Show faults of all devices, or clear the latched ones of an EVSE
    Faults {
        #[command(subcommand)]
        command: Faults,
    },
    /// Show every device: what it is, and whether it answers
    #[command(after_help = DEVICES)]
    Devices {
        /// What its EVSEs are bound to: this file, or this folder's voltry.toml and voltry.d. Without it what
        /// is installed, where the bus is the machine's own
        #[arg(long, value_name = "FILE_OR_DIR")]
        config: Option<PathBuf>,
    },
    /// Show what limits each EVSE's power now, and why
    #[command(after_help = LIMITS)]
    Limits,
    /// Show the power modules
    #[command(after_help = MODULES)]
    Modules {
        #[command(subcommand)]
        command: Option<Modules>,
    },
    /// Look at the connection to the back end
    Ocpp {
        #[command(subcommand)]
        command: Ocpp,
    },
    /// Check the configuration
    Config {
        #[command(subcommand)]
        command: Config,
    },
    /// Install firmware on this machine; never while anybody charges
    #[command(after_help = UPDATE)]
    Update(Update),
    /// Configure a station that was just built: ask what hardware hangs where, or read it, and look for it
    #[command(after_help = SETUP)]
    Setup(Setup),
    /// Give an account of the technician's page another password, or make an account
    #[command(after_help = PASSWORD)]
    Password(Password),
    /// Collect what whoever helps from afar asks for: an archive without secrets and ids
    #[command(after_help = BUNDLE)]
    SupportBundle(SupportBundle),
    /// Put a provider of a role through the bus contract; it is energised
    #[command(after_help = CONFORM)]
    Conform(Conform),
    /// Steer the simulated hardware and vehicle
    Sim {
        #[command(subcommand)]
        command: Sim,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Setup {
    /// Read it from here instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Look for the hardware, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Where the configuration goes
    #[arg(long, value_name = "DIR", default_value = "/etc/voltry")]
    pub(crate) config: PathBuf,
    /// Where secrets go, as the units take them
    #[arg(long, value_name = "DIR", default_value = "/etc/credstore")]
    pub(crate) credentials: PathBuf,
    /// Where the daemons are; without it, beside voltryctl
    #[arg(long, value_name = "DIR")]
    pub(crate) daemons: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Password {
    /// The account
    pub(crate) name: String,
    /// What it may: view, operate or configure; without it, what it may already
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// Read the password from standard input, its first line, instead of making one
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Where secrets are, as the units take them
    #[arg(long, value_name = "DIR", default_value = "/etc/credstore")]
    pub(crate) credentials: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SupportBundle {
    /// The archive (tar); an older one is replaced
    pub(crate) file: PathBuf,
    /// The configuration: this file, or this folder's voltry.toml and voltry.d
    #[arg(long, value_name = "FILE_OR_DIR")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ocpp {
    /// Where it stands, and what waits for it
    #[command(after_help = OCPP_STATUS)]
    Status,
    /// The last messages on the wire, tokens masked
    #[command(after_help = OCPP_MESSAGES)]
    Messages {
        /// At most so many
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// The charging profiles that are installed
    #[command(after_help = OCPP_PROFILES)]
    Profiles,
    /// What all charging profiles together let an EVSE take
    #[command(after_help = OCPP_SCHEDULE)]
    Schedule {
        /// The EVSE; 0: all together
        #[arg(default_value_t = 0)]
        evse: u32,
        /// For so many hours from now
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=24))]
        hours: u32,
    },
    /// All messages on the wire that are kept, tokens masked
    #[command(after_help = OCPP_MESSAGES)]
    Log {
        /// Go on with each that is said, until Ctrl-C
        #[arg(long, short = 'f')]
        follow: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// The newest transactions, newest first
    #[command(after_help = SESSIONS)]
    List {
        /// At most so many
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// One transaction with its events
    #[command(after_help = SESSION)]
    Show {
        /// Its number in the book
        id: u64,
        /// Instead, what station and vehicle said to each other
        #[arg(long)]
        v2g: bool,
        /// Instead, write that as a capture which Wireshark opens
        #[arg(long, value_name = "FILE")]
        pcap: Option<PathBuf>,
        /// Instead, everything on one time line: phases, faults, what flowed, what was said; no ids
        #[arg(long, conflicts_with_all = ["v2g", "pcap"])]
        timeline: bool,
        /// Instead, write the time line as a table for a spreadsheet
        #[arg(long, value_name = "FILE", conflicts_with_all = ["v2g", "pcap", "timeline"])]
        csv: Option<PathBuf>,
    },
    /// The newest sessions that the flight recorder keeps, newest first; those too without a transaction
    #[command(after_help = RECORDED)]
    Recorded {
        /// At most so many
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// One recorded session on one time line: phases, faults, what flowed, what was said; no ids
    #[command(after_help = RECORD)]
    Record {
        /// Its number in the recorder
        number: u64,
        /// Instead, write it as a table for a spreadsheet
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum V2g {
    /// The conversations that are remembered, and how each ended
    #[command(after_help = CONVERSATIONS)]
    List,
    /// One conversation, message by message, decoded
    #[command(after_help = CONVERSATION)]
    Show {
        /// The EVSE
        #[arg(default_value_t = 1)]
        evse: u32,
        /// Which one: 1 is the newest
        #[arg(long, short = 'n', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        number: u32,
        /// Instead, write a capture which Wireshark opens
        #[arg(long, value_name = "FILE")]
        pcap: Option<PathBuf>,
    },
    /// Every message as it is said, until Ctrl-C
    #[command(after_help = FOLLOW)]
    Follow {
        /// The EVSE; without it, all
        evse: Option<u32>,
        /// Also write a capture which Wireshark opens
        #[arg(long, value_name = "FILE")]
        pcap: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Faults {
    /// Every fault, present or latched; exit code 4 if there are any
    #[command(after_help = FAULTS)]
    List {
        /// What its EVSEs are bound to: this file, or this folder's voltry.toml and voltry.d. Without it what
        /// is installed, where the bus is the machine's own
        #[arg(long, value_name = "FILE_OR_DIR")]
        config: Option<PathBuf>,
    },
    /// What a code means, its likely causes, and what to measure; without a code, all that are known
    #[command(after_help = SHOW_FAULT)]
    Show {
        /// The code, as in `faults list`; MREC14 will do for MREC14PilotFault
        code: Option<String>,
    },
    /// Clear the latched faults of an EVSE whose cause is gone; exit code 4 if some stay
    #[command(after_help = CLEAR)]
    Clear {
        /// The EVSE
        evse: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Modules {
    /// Make the lamp of a module blink, to find it in the rack
    Identify {
        // Not `bus`: to clap that would be the global option's value.
        /// The bus, as `voltryctl modules` names it
        #[arg(value_name = "BUS")]
        line: String,
        /// The address on that bus
        address: u32,
        /// Stop blinking
        #[arg(long)]
        off: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Have every installed daemon check its part; exit code 4 if there are errors
    #[command(after_help = CHECK)]
    Check {
        /// Check this file, or this folder's voltry.toml and voltry.d
        #[arg(long, value_name = "FILE_OR_DIR")]
        config: Option<PathBuf>,
        /// Where the daemons are; without it, beside voltryctl
        #[arg(long, value_name = "DIR")]
        daemons: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sim {
    /// Plug the simulated vehicle in
    Plug {
        /// The EVSE
        #[arg(default_value_t = 1)]
        evse: u32,
    },
    /// Pull the plug, in whatever state it is
    Unplug {
        /// The EVSE
        #[arg(default_value_t = 1)]
        evse: u32,
    },
    /// Hold a card to the reader
    #[command(after_help = SWIPE)]
    Swipe {
        /// The card's number
        token: String,
        /// The EVSE; without it, the one that waits
        #[arg(default_value_t = 0, hide_default_value = true)]
        evse: u32,
    },
    /// Break something by name, mend it, or list what can break
    Fault {
        #[command(subcommand)]
        command: SimFault,
    },
    /// Show what is physically true, whatever the daemons believe
    #[command(after_help = TRUTH)]
    Truth {
        /// The EVSE
        #[arg(default_value_t = 1)]
        evse: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimFault {
    /// Every fault: what breaks, and what a technician then sees
    #[command(after_help = FAULT_LIST)]
    List,
    /// Break it
    Set {
        /// The name, as in the list
        name: String,
        /// The EVSE
        #[arg(default_value_t = 1)]
        evse: u32,
    },
    /// Mend it
    Clear {
        /// The name, as in the list
        name: String,
        /// The EVSE
        #[arg(default_value_t = 1)]
        evse: u32,
    },
}

fn load(text: &str) -> Result<Load, String> {
    let wanted = || "VOLTS,AMPERES are wanted, as 400,20".to_owned();
    let (voltage, current) = text.split_once(',').ok_or_else(wanted)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wanted());
    Ok(Load { voltage: number(voltage)?, current: number(current)? })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_is_explained() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands() {
                assert!(sub.get_about().is_some(), "{} is not explained", sub.get_name());
                for argument in sub.get_arguments() {
                    assert!(
                        argument.get_help().is_some(),
                        "{} {} is not explained",
                        sub.get_name(),
                        argument.get_id()
                    );
                }
                check(sub);
            }
        }
        check(&Cli::command());
    }
}
