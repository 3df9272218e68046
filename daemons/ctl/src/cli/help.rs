//! What `--help` and the man page say after the options: exit codes, and what is in the JSON.

/// What holds for every command.
pub(super) const ABOUT_ALL: &str = "\
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

pub(super) const STATUS: &str = "\
STATES
  starting, available, connected, authorizing, parameters, cable-check, pre-charge, charging,
  stopping, finished (still plugged in), paused (by the vehicle, which may come back),
  error-shutdown, emergency, faulted, unavailable,
  absent (its daemon is not on the bus)

JSON
  An array with an object an EVSE, in order of their numbers: evse, state, available (in service),
  authorized, voltage, current (negative: from the vehicle), share (W that it may take), energy (Wh of the session), soc
  (percent; below 0: not told), transaction (0: none), faults ([{code, cause, at}], at in
  microseconds since boot), connector (as a driver meets it: state, since, reservation, limit (W)
  and limit_origin: hardware, or a source as in `limits`), power (as of the shares in `limits`: permit,
  share, wants, source, detail), vehicle (where one talks: {protocol, limits, needs}, with limits:
  voltage_min, voltage_max, current_min, current_max, power_min, power_max, discharge_current_max,
  discharge_power_max, energy_capacity (Wh), and needs: departure_at (microseconds since boot; 0: not
  told), energy, energy_min, energy_max (Wh), soc, soc_min (percent); below 0: not told). With --watch
  an array a line, every second.";

pub(super) const OCPP_STATUS: &str = "\
Exit code 4 if a back end is configured and has not accepted the station; 3 if voltry-ocpp does not
answer.

JSON
  {state (disabled, disconnected, connecting, booting, pending, rejected, accepted), since, url,
  identity, protocol, next_attempt (0: none waits), last_error, waiting (messages of transactions),
  acknowledged (up to which event of the book the back end has everything), newest (event of the
  book; 0: not known)}; times in microseconds of Unix time.";

pub(super) const OCPP_MESSAGES: &str = "\
The newest are kept (192 KiB) until voltry-ocpp ends.  >  the station said it,  <  the back end.
Id tokens, passwords and what is very long are masked.

JSON
  Messages as {number, time (microseconds of Unix time), outgoing, text}: an array; with --follow
  one a line. A gap in the numbers: more was said than could be followed.";

pub(super) const OCPP_PROFILES: &str = "\
JSON
  An array: evse (0: the station), source (EMS, Other, SO, CSO), profile (as OCPP 2.0.1 writes a
  ChargingProfileType).";

pub(super) const OCPP_SCHEDULE: &str = "\
JSON
  An array of periods: from (seconds from now), power (W).";

pub(super) const SESSIONS: &str = "\
JSON
  An array of transactions: id, evse, identity (masked; empty: free), state (open, closed), started
  and ended (microseconds of Unix time; ended 0: it goes on), register_start and register_end (Wh
  of the meter's register), energy (Wh), end_reason (in words, or the
  code of a fault), note, why (one sentence: who ended it, in which phase, why, what to check).";

pub(super) const SESSION: &str = "\
JSON
  {transaction, events}: the transaction as in `sessions list`, and its events in order: number,
  time (microseconds of Unix time), kind, register (Wh), detail. With --v2g a line a
  conversation, as in `v2g show`. With --timeline as `sessions record`.";

pub(super) const PASSWORD: &str = "\
The password is made and printed once, unless --stdin reads it: at least 12 letters. It is kept hashed, in
ui.accounts below /etc/credstore, which root alone reads, and holds from the next start of voltry-ui on.

Examples
  voltryctl password technician
  voltryctl password anna --role operate --stdin < file";

pub(super) const BUNDLE: &str = "\
What is in it
  about.txt (versions, kernel, memory), configuration.txt (secrets masked) and what `config check` says
  of it, the station's status, limits and devices with their faults, the newest 100 transactions, the
  newest 10 recorded sessions with their time lines (as `sessions record`, text and JSON), what was said
  to the back end, the journal of Voltry's daemons of two days, and missing.txt: what could not be had.
  Tokens, contracts and vehicles' identities are masked. It works without a station too.";

pub(super) const RECORDED: &str = "\
JSON
  An array: number (in the recorder), evse, transaction (0: none), plugged and unplugged (microseconds
  of Unix time; unplugged 0: not yet), why (one sentence; empty: not over), left_out (entries and
  samples that found no room).";

pub(super) const RECORD: &str = "\
JSON
  {session, phases, moments, samples}: the session as in `sessions recorded`; phases: phase, began
  (microseconds of Unix time), seconds; moments: time, kind (phase, event, fault, cleared, told, v2g,
  ocpp), source, text; samples: time, voltage (V), current (A), target_voltage and target_current
  (what the vehicle wanted), power_offered (W), soc (percent; below 0: not told), energy (Wh).";

pub(super) const CONVERSATIONS: &str = "\
JSON
  An array: evse, began (microseconds of Unix time), protocol (empty: none was agreed), ended (in
  words; empty: it goes on), left_out (messages that were not kept).";

pub(super) const CONVERSATION: &str = "\
JSON
  {conversation, messages}: the conversation with began, protocol, ended and left_out as in
  `v2g list`; its messages in order: time (microseconds of Unix time), by_vehicle, name, text,
  payload_type (of V2GTP), payload (its bytes as numbers).";

pub(super) const FOLLOW: &str = "\
JSON
  A message a line, as in `v2g show`, with evse.";

pub(super) const AUTHORIZE: &str = "\
Exit code 1 if the token is refused. A back end that judges it may take as long as `station.csms_patience_s` says.

JSON
  {evse, outcome, detail}: outcome is granted, refused, stopped (its session ends) or remembered (for
  the next vehicle plugged in; evse is 0). detail: why it is refused.";

pub(super) const FAULTS: &str = "\
Exit code 4 if there are faults; 3 if there are none, but some daemon is away, or it or a device of it
does not answer properly: it is named. Who should be there is known by the configuration; on another
bus than the machine's own, as of a simulated station, only with --config.

JSON
  An array of the devices that have faults, as in `devices`.";

pub(super) const SELF_TEST: &str = "\
The EVSE is out of service meanwhile; what `available --no` says stays. Each check says
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

With --load VOLTS,AMPERES the modules deliver into a load that stands in the plug in a vehicle's place and
holds the pilot in state C, as a load bank with an adapter does: the plug is locked, the insulation monitor
tests itself, the contactors close without voltage, the current rises in 10 s to AMPERES, at VOLTS at most,
stands for 5 s and goes, and the contactors open without it. **The cable and the load are live meanwhile**: it
asks before that. Take the EVSE out of service (`available --no`) before you plug the load in: in service it
is taken for a vehicle. All that is measured ends it as it ends a charge; its power is the EVSE's share of
the station's.

Exit code 4 if a check failed, was refused or broken off.

JSON
  An array of the checks: check, outcome (passed, failed, skipped, refused, aborted), seen.";

pub(super) const SHOW_FAULT: &str = "\
Makers of devices add their own codes in /usr/lib/voltry/faults/*.toml, a site in /etc/voltry/faults.

JSON
  {code, means, causes, measure, clears (plug, command, self)}; without a code an array of them.";

pub(super) const CLEAR: &str = "\
Exit code 4 if some stay. A trip of an over-voltage monitor, and a latched board, are reset with it.

JSON
  An array of the faults that stay: code, cause, at (microseconds since boot).";

pub(super) const DEVICES: &str = "\
Exit code 3 if some daemon is away (as in `faults list`), or it or a device of it does not answer
properly: it is named; what answers is shown all the same.

JSON
  An array of devices: object, vendor, model, serial, firmware (each empty where the device does
  not tell), online, faults ([{code, cause, at}], at in microseconds since boot). Of a link over a
  powerline also powerline: {state, vehicle (the address of the one matched last; empty: none),
  attenuation (dB), matched_at (microseconds since boot; 0: never), retries (how often the vehicle was
  started anew by its pilot)}.";

pub(super) const LIMITS: &str = "\
MAY TAKE is what the EVSE was told; SHARE more than that waits until others take less. A limit of the
station counts at the mains, an EVSE's at its output.

JSON
  {sources, shares}: sources, the lowest first: source, power (W from the mains), output (W at the
  EVSEs), detail. shares: evse, permit, share, wants (W), source (what holds it down: a source,
  hardware, session where there is none, or an origin that set a limit for this EVSE), detail.";

pub(super) const MODULES: &str = "\
JSON
  An array of modules: bus, address, group, serial, state, online, voltage, current, available (A
  that it could give now), temperature (°C at its inlet), alarms, at (microseconds since boot when
  it was last heard; 0: never), share (A that it was told to give; null where the supply does not
  say it), hours (that it has worked; null where it does not tell). Of modules that several EVSEs
  share: place (own where they do not; starting, free, joining, serving, leaving, lost, barred), evse
  (whom their group is joined to, or on its way to or from; 0: none).";

pub(super) const CHECK: &str = "\
Exit code 4 if there are errors. Every program voltry-* in the folder is asked, an OEM's as well.

JSON
  {daemons, errors}: who was asked, and each error in words with file and line.";

pub(super) const UPDATE: &str = "\
FILE is a bundle of RAUC's, or of whoever else plays the role Update1. A signature that is not
believed, another machine's bundle and an older version are refused. After the restart the new
version is on trial: if the EVSEs that worked before do not, the one from before is started again.

Exit code 1 if it was not installed.

JSON
  Lines: {progress (percent)} whenever it changes, at last {outcome (installed, restart-needed,
  invalid, failed), detail}.

EXAMPLES
  voltryctl update /mnt/station-2.1.0.raucb --restart
  voltryctl update status";

pub(super) const UPDATE_STATUS: &str = "\
Exit code 4 if the last update was left again, or interrupted.

JSON
  {version (that runs), verdict (none, on-trial, good, fell-back, interrupted), detail (why),
  installing, progress (percent), restart_needed, slots ([{name, booted (it runs), good (it can
  start), version (of the bundle that was put there; empty: not known)}])}.";

pub(super) const SETUP: &str = "\
Asks, or reads from a file, what the station is built of; has every installed daemon check the
configuration that follows from it; then lets the daemons of power, board and meters look for their
devices, on a bus of their own (where a station runs, it is asked instead). Nothing is energised. The
configuration is written, the one before it kept as voltry.toml.before. Passwords of this station
alone are made, for the back end and for the technician's page, and shown once: the page's is stored
as its hash. A station that runs makes its self-test, without the modules. Last comes the report of
the commissioning.

FILE (TOML)
  name, power_limit_w, free_vending = false, csms = { url, identity, version, roots }
  [[evse]] profile, voltage_max, current_max, over_voltage_by_hardware, evse_id, interface, modem,
           board, modules = { family, can, addresses, more }, meter = { model, line, baud, address },
           insulation_monitor = { the same }

Exit code 4 if the configuration has errors, a device is missing or has a fault, or a check failed or was
refused, as while somebody charges; 1 if something could not be written: the passwords that were made by
then are shown all the same.

JSON
  {name, written (the file; null: nothing was), units (that this station has beside those of every
  station, to be enabled), errors, devices (as in `devices`), missing (devices that do not answer),
  self_test (as of `selftest`, each with its evse), secrets ([{of, file, secret}]), failure (what it
  broke off with; null: nothing)}";

pub(super) const CONFORM: &str = "\
Whoever implements a role's interface may play the role; this tries whether it keeps the contract
that dbus/*.xml writes down. Not for the station's own bus: the provider is energised, refused, left
alone and killed. With its program after `--` it is started on a bus of its own (or the one at --bus,
which it finds in $DBUS_SYSTEM_BUS_ADDRESS); who energises or counts is killed, and started again. A
power supply raises its output to 200 V, or what it can, into whatever is connected; an energy meter
opens transactions; an insulation monitor pauses and tests itself; a connector closes its contactors.

ROLES
  power-supply        org.voltry.PowerSupply1
  energy-meter        org.voltry.EnergyMeter1
  insulation-monitor  org.voltry.InsulationMonitor1
  voltage-monitor     org.voltry.VoltageMonitor1
  connector           org.voltry.ConnectorIo1

Exit code 1 if a rule failed. One that could not be tried is no failure.

JSON
  An array of the rules: rule, asks, seen, verdict (passed, failed, not-tried).

EXAMPLES
  voltryctl conform power-supply com.example.Power1 /org/voltry/power_supply/1 --yes -- ./power.py
  voltryctl conform energy-meter org.voltry.Meter.Dc1 /org/voltry/energy_meter/dc1 --bus ADDRESS";

pub(super) const FAULT_LIST: &str = "\
JSON
  An array: name, breaks, seen.";

pub(super) const TOP: &str = "\
COLUMNS
  V, A, kW and kWh of the session, SoC the vehicle's state of charge, SHARE the kW it may take, WHY a
  fault's code or what holds the power down. A last row as +12 counts what has no room.

Only what changed is sent: a frame in which a few figures moved takes some hundred bytes. With
--every 5000 it does over the slowest line.

For scripts: `voltryctl --json status`, `modules` and `faults list`.";

pub(super) const SWIPE: &str = "\
JSON
  {outcome}: read, where the EVSE has a reader; else as of `authorize`.";

pub(super) const TRUTH: &str = "\
JSON
  {module_voltage, cable_voltage, current, contactors_closed, soc (percent), register (Wh of the
  simulated meter), resolution (Wh of one count), pilot, at (microseconds since boot)}.";
