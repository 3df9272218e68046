//! The command line. What stands here is what `--help` and the man page say.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use voltry_bus::SelfTestStep;

/// What holds for every command.
const ABOUT_ALL: &str = "\
EXIT CODES
  0  done
  1  the station refused, or something failed
  2  the command line is wrong
  3  the station, or a daemon of it, does not answer
  4  the answer is bad news: there are faults, or the configuration has errors

JSON
  With --json a command that shows something prints one line of JSON; its own --help says what is
  in it. Quantities are SI: V, A, W, Wh, °C. Keys may be added, and are never changed or removed.
  A command that only acts prints nothing. Failures are told in words on standard error.

EXAMPLES
  voltryctl status --watch
  voltryctl authorize 04A1B2C3D4 --evse 1
  voltryctl faults list
  voltryctl sessions show 17
  voltryctl status --json | jq '.[] | select(.state == \"faulted\").evse'
  voltryctl completions bash > /etc/bash_completion.d/voltryctl";

const STATUS: &str = "\
STATES
  starting, available, connected, authorizing, parameters, cable-check, pre-charge, charging,
  stopping, finished (still plugged in), paused (by the vehicle, which may come back),
  error-shutdown, emergency, faulted, unavailable,
  absent (its daemon is not on the bus)

JSON
  An array with an object an EVSE, in order of their numbers: evse, state, available (in service),
  authorized, voltage, current, share (W that it may take), energy (Wh of the session), soc
  (percent; below 0: not told), transaction (0: none), faults ([{code, cause, at}], at in
  microseconds since boot), connector (as a driver meets it: state, since, reservation, limit (W)
  and limit_origin: hardware, or a source as in `limits`). With --watch an array
  a line, every second.";

const OCPP_STATUS: &str = "\
Exit code 4 if a back end is configured and has not accepted the station; 3 if voltry-ocpp does not
answer.

JSON
  {state (disabled, disconnected, connecting, booting, pending, rejected, accepted), since, url,
  identity, protocol, next_attempt (0: none waits), last_error, waiting (messages of transactions),
  acknowledged (up to which event of the book the back end has everything), newest (event of the
  book; 0: not known)}; times in microseconds of Unix time.";

const OCPP_MESSAGES: &str = "\
The newest are kept (192 KiB) until voltry-ocpp ends.  >  the station said it,  <  the back end.
Id tokens, passwords and what is very long are masked.

JSON
  Messages as {number, time (microseconds of Unix time), outgoing, text}: an array; with --follow
  one a line. A gap in the numbers: more was said than could be followed.";

const OCPP_PROFILES: &str = "\
JSON
  An array: evse (0: the station), source (EMS, Other, SO, CSO), profile (as OCPP 2.0.1 writes a
  ChargingProfileType).";

const OCPP_SCHEDULE: &str = "\
JSON
  An array of periods: from (seconds from now), power (W).";

const SESSIONS: &str = "\
JSON
  An array of transactions: id, evse, identity (masked; empty: free), state (open, closed), started
  and ended (microseconds of Unix time; ended 0: it goes on), register_start and register_end (Wh
  of the meter's register), energy (Wh), end_reason, note.";

const SESSION: &str = "\
JSON
  {transaction, events}: the transaction as in `sessions list`, and its events in order: number,
  time (microseconds of Unix time), kind, register (Wh), detail.";

const CONVERSATIONS: &str = "\
JSON
  An array: evse, began (microseconds of Unix time), protocol (empty: none was agreed), ended (in
  words; empty: it goes on), left_out (messages that were not kept).";

const CONVERSATION: &str = "\
JSON
  {conversation, messages}: the conversation with began, protocol, ended and left_out as in
  `v2g list`; its messages in order: time (microseconds of Unix time), by_vehicle, name, text,
  payload_type (of V2GTP), payload (its bytes as numbers).";

const FOLLOW: &str = "\
JSON
  A message a line, as in `v2g show`, with evse.";

const AUTHORIZE: &str = "\
Exit code 1 if the token is refused.

JSON
  {evse, outcome}: outcome is granted, refused, stopped (its session ends) or remembered (for the
  next vehicle plugged in; evse is 0).";

const FAULTS: &str = "\
Exit code 4 if there are faults; 3 if there are none, but some daemon does not answer.

JSON
  An array of the devices that have faults, as in `devices`.";

const SELF_TEST: &str = "\
The EVSE is taken out of service for it, and back into service afterwards if it was. Each check says
what it does before it does it. `modules` raises the power modules to 500 V with the contactors open:
the cable stays dead, the inside of the cabinet does not. It asks before that, and without a terminal
it wants --yes. A vehicle that is plugged in meanwhile ends a check, and everything is off.

CHECKS
  voltages            no voltage on either side of the contactors, contactors open
  temperatures        connector and cable are not hot
  lock                the plug's lock locks and unlocks
  insulation-monitor  its own self-test, and a value after it
  contactors          close and open again, without voltage
  modules             raised to 500 V or what they can, with the contactors open, and off again

Exit code 4 if a check failed, was refused or broken off.

JSON
  An array of the checks: check, outcome (passed, failed, skipped, refused, aborted), seen.";

const SHOW_FAULT: &str = "\
Makers of devices add their own codes in /usr/lib/voltry/faults/*.toml, a site in /etc/voltry/faults.

JSON
  {code, means, causes, measure, clears (plug, command, self)}; without a code an array of them.";

const CLEAR: &str = "\
Exit code 4 if some stay. A trip of an over-voltage monitor, and a latched board, are reset with it.

JSON
  An array of the faults that stay: code, cause, at (microseconds since boot).";

const DEVICES: &str = "\
Exit code 3 if some daemon is on the bus and does not answer; what answers is shown all the same.

JSON
  An array of devices: object, vendor, model, serial, firmware (each empty where the device does
  not tell), online, faults ([{code, cause, at}], at in microseconds since boot).";

const LIMITS: &str = "\
MAY TAKE is what the EVSE was told; SHARE more than that waits until others take less. A limit of the
station counts at the mains, an EVSE's at its output.

JSON
  {sources, shares}: sources, the lowest first: source, power (W from the mains), output (W at the
  EVSEs), detail. shares: evse, permit, share, wants (W), source (what holds it down: a source,
  hardware, session where there is none, or an origin that set a limit for this EVSE), detail.";

const MODULES: &str = "\
JSON
  An array of modules: bus, address, group, serial, state, online, voltage, current, available (A
  that it could give now), temperature (°C at its inlet), alarms, at (microseconds since boot when
  it was last heard; 0: never), share (A that it was told to give; null where the supply does not
  say it), hours (that it has worked; null where it does not tell).";

const CHECK: &str = "\
Exit code 4 if there are errors. Every program voltry-* in the folder is asked, an OEM's as well.

JSON
  {daemons, errors}: who was asked, and each error in words with file and line.";

const FAULT_LIST: &str = "\
JSON
  An array: name, breaks, seen.";

const SWIPE: &str = "\
JSON
  {outcome}, as of `authorize`.";

const TRUTH: &str = "\
JSON
  {module_voltage, cable_voltage, current, contactors_closed, soc (percent), register (Wh of the
  simulated meter), resolution (Wh of one count), pilot, at (microseconds since boot)}.";

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
        /// The card's number
        token: String,
        /// The EVSE; without it, the one that waits
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        evse: u32,
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
    Devices,
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
    List,
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
