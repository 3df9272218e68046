//! The faults that can be injected, by name: what breaks, and what a technician then sees.

/// One thing that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fault {
    /// The first power module stops: no output, no answers.
    ModuleDead,
    /// The first power module reports its set points while it delivers something else.
    ModuleLies,
    /// The first power module answers three seconds late.
    ModuleLate,
    /// The first power module is too hot and switches its output off.
    ModuleOvertemp,
    /// Every power module can give only 40 % of its current.
    ModuleDerated,
    /// The modules' bleeders have failed: their output stays charged.
    ModuleBleeder,
    /// The second power module has the address of the first.
    ModuleSharesAddress,
    /// The second power module answers in the name of the first.
    ModuleAnswersForOther,
    /// The first power module says its last answer again and again.
    ModuleAnswersUnasked,
    /// The CAN bus is cut.
    CanSilent,
    /// The CAN adapter delivers garbage between the frames.
    CanGarbage,
    /// Another device on the CAN bus sends without a pause, before all others.
    CanFlood,
    /// The CAN adapter's controller is bus-off.
    CanBusOff,
    /// The safety controller's frames have wrong checksums.
    BoardWrongCrc,
    /// The safety controller stops sending.
    BoardSilent,
    /// The meter answers, and its registers stand still.
    MeterStuck,
    /// The meter counts what is imported downwards.
    MeterBackwards,
    /// The meter no longer answers.
    MeterGone,
    /// The meter's answers have wrong checksums.
    MeterWrongCrc,
    /// The insulation monitor no longer answers.
    ImdGone,
    /// The insulation monitor's self-test ends in a device error.
    ImdSelfTestFails,
    /// The insulation falls slowly.
    InsulationFalling,
    /// DC− touches earth through 20 kΩ.
    InsulationFault,
    /// Both contactors stay closed once they are.
    ContactorWelded,
    /// The contactors do not close.
    ContactorStuckOpen,
    /// The control pilot touches PE.
    PilotShort,
    /// The diode in the vehicle's pilot circuit is shorted.
    PilotDiode,
    /// A contact of the connector has a high resistance and heats.
    ConnectorHot,
    /// The emergency stop is pressed.
    EmergencyStop,
    /// The proximity wire is broken.
    ProximityOpen,
    /// The protective earth of the cable is broken.
    PeLoss,
    /// DC+ touches DC− at the connector.
    OutputShort,
    /// The vehicle stops talking.
    VehicleSilent,
    /// The vehicle asks for more than anybody offered.
    VehicleOverasks,
    /// The connector is pulled while current flows.
    VehicleUnplugsUnderLoad,
    /// The vehicle never ends PreCharge.
    VehicleNoPrechargeEnd,
    /// The vehicle sends its messages in the wrong order.
    VehicleWrongOrder,
    /// The vehicle takes just longer than allowed between its messages.
    VehicleSlow,
    /// The powerline modem of the EVSE does not answer.
    ModemSilent,
    /// The vehicle never begins to match.
    VehicleNeverMatches,
    /// A vehicle at the next cable is heard on this one, and wants to match here.
    PowerlineCrosstalk,
    /// The matrix's contactors towards this EVSE stay closed once they are.
    MatrixWelded,
    /// The matrix's contactors towards this EVSE do not close.
    MatrixStuckOpen,
    /// The matrix's controller stops sending.
    MatrixSilent,
    /// The card reader no longer answers.
    ReaderGone,
    /// The card reader's line is noisy.
    ReaderNoise,
    /// The bolt of the plug's lock does not move.
    LockStuck,
}

/// A fault as `voltryctl sim fault list` explains it.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// The fault.
    pub fault: Fault,
    /// Its name on the command line.
    pub name: &'static str,
    /// What breaks, physically.
    pub breaks: &'static str,
    /// What the technician then sees.
    pub seen: &'static str,
    /// Whether the charger stays faulted after the cause is gone, until somebody clears it.
    pub latching: bool,
}

impl Fault {
    /// The fault of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.fault)
    }

    /// Its row of the table.
    #[must_use]
    pub fn describe(self) -> &'static Description {
        // The table is in the order of the enum; a test holds it so.
        &TABLE[self as usize]
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.describe().name
    }
}

/// The faults of one EVSE that are injected now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultSet(u64);

impl FaultSet {
    /// Whether `fault` is injected.
    #[must_use]
    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    /// Breaks it.
    pub fn inject(&mut self, fault: Fault) {
        self.0 |= 1 << fault as u8;
    }

    /// Mends it.
    pub fn clear(&mut self, fault: Fault) {
        self.0 &= !(1 << fault as u8);
    }

    /// Breaks or mends it.
    pub fn set(&mut self, fault: Fault, broken: bool) {
        if broken { self.inject(fault) } else { self.clear(fault) }
    }

    /// Mends everything.
    pub fn clear_all(&mut self) {
        self.0 = 0;
    }

    /// What is injected, in the table's order.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        TABLE.iter().map(|row| row.fault).filter(move |fault| self.has(*fault))
    }
}

macro_rules! fault {
    ($fault:ident, $name:literal, $breaks:literal, $seen:literal, $latching:literal) => {
        Description { fault: Fault::$fault, name: $name, breaks: $breaks, seen: $seen, latching: $latching }
    };
}

/// Every fault, in the order of [`Fault`].
#[rustfmt::skip]
pub const TABLE: [Description; 47] = [
    fault!(ModuleDead, "module-dead",
        "the first power module loses its supply: no output, no answer on CAN",
        "`voltryctl modules` shows it lost after some seconds; the session goes on with what the others can give, or stops if there are none", false),
    fault!(ModuleLies, "module-lies",
        "the first power module reports its set points while it delivers half the current, 20 V lower",
        "VoltageImplausible after 5 s: the two sides of the contactors disagree; measure at the terminals before trusting either", true),
    fault!(ModuleLate, "module-late",
        "the first power module answers every request three seconds late",
        "its readings are stale: the module is treated as lost, then found again when the fault is cleared", false),
    fault!(ModuleOvertemp, "module-overtemp",
        "the first power module's air inlet is blocked: over-temperature protection, its output off",
        "`voltryctl modules` shows over-temperature; less power or, with one module, an error shutdown; clean the filter", false),
    fault!(ModuleDerated, "module-derated",
        "every power module limits itself to 40 % of its current and power",
        "charging goes on slower; the module's status says power limited, `status` shows the limit that binds", false),
    fault!(ModuleBleeder, "module-bleeder",
        "the bleeders in the power modules have failed, so the output stays charged when switched off",
        "the modules report PowerModuleDischargeFailed and give nothing more: PowerSupplyFailed after 1 s, error shutdown; they latch, so `faults clear` is needed twice", true),
    fault!(ModuleSharesAddress, "module-shares-address",
        "the second power module's address switches are set as the first's: both obey and both answer",
        "PowerModuleAnswersUnasked within two seconds, all modules off; `voltryctl modules` shows the second as lost; set the switches, then clear the fault", true),
    fault!(ModuleAnswersForOther, "module-answers-for-other",
        "the second power module obeys its own address and answers in the name of the first",
        "PowerModuleAnswersUnasked within some seconds, all modules off; `voltryctl modules` shows the second as lost; exchange it, then clear the fault", true),
    fault!(ModuleAnswersUnasked, "module-answers-unasked",
        "the first power module's firmware hangs: it says its last answer again and again",
        "PowerModuleAnswersUnasked within two seconds, all modules off; the fault names its address", true),
    fault!(CanSilent, "can-silent",
        "the CAN cable is cut: nothing passes in either direction",
        "all modules lost at once, MREC15PowerLoss after 300 ms, error shutdown; after 10 s the modules switch off by themselves", true),
    fault!(CanGarbage, "can-garbage",
        "the CAN adapter delivers broken lines and frames nobody sent, between the real ones",
        "one warning a minute with a count of bad frames; charging goes on", false),
    fault!(CanFlood, "can-flood",
        "another device on the CAN bus sends without a pause, with an identifier that goes before all others",
        "no reading and no OFF gets through: MREC15PowerLoss after 300 ms, error shutdown, contactors open under load; PowerModuleBusFlooded names the frame; after 10 s the modules switch off by themselves", true),
    fault!(CanBusOff, "can-bus-off",
        "CAN H and L touch: the adapter's controller is bus-off, refuses every frame and hears none",
        "PowerModuleBusOff after 0.1 s, error shutdown, contactors open under load; after 10 s the modules switch off by themselves; the controller is begun anew each second", true),
    fault!(BoardWrongCrc, "wrong-crc",
        "the safety controller's frames arrive with wrong checksums",
        "as board-silent: ConnectorIoMissing after 300 ms, error shutdown; the counter of bad frames rises", true),
    fault!(BoardSilent, "board-silent",
        "the safety controller sends nothing more; it still obeys",
        "ConnectorIoMissing after 300 ms, error shutdown", true),
    fault!(MeterStuck, "meter-stuck",
        "the meter answers, but its registers stand still",
        "MeterStuck when 500 Wh have flowed that it did not count (25 s at 72 kW), error shutdown; what it did not count is not sold", true),
    fault!(MeterBackwards, "meter-backwards",
        "the meter counts downwards what flows: its current terminals were swapped, or its firmware fails",
        "MeterBackwards with the two readings, error shutdown at the first that falls; the book closes with the last reading before it, and its note says so; test the meter before it bills again", true),
    fault!(MeterGone, "meter-gone",
        "the meter no longer answers",
        "readings stale after 3 s: the session ends in the normal way, since what cannot be billed is not sold; the book notes how old the last reading is", false),
    fault!(MeterWrongCrc, "meter-wrong-crc",
        "the meter's answers arrive with wrong checksums (termination, interference)",
        "as meter-gone, with checksum errors counted on the line", false),
    fault!(ImdGone, "imd-gone",
        "the insulation monitor no longer answers",
        "the monitor also measures the cable's voltage: VoltageMonitorMissing after 300 ms, error shutdown; no session starts", false),
    fault!(ImdSelfTestFails, "imd-self-test-fails",
        "the insulation monitor's self-test ends in a device error",
        "MREC11CableCheckFault, with the self-test named", true),
    fault!(InsulationFalling, "insulation-falling",
        "moisture creeps in: the resistance of DC− to earth halves every two seconds",
        "a warning level first where the profile has one, below 100 kΩ MREC22ResistanceFault and an error shutdown", true),
    fault!(InsulationFault, "insulation-fault",
        "DC− touches earth through 20 kΩ at once",
        "MREC22ResistanceFault within the monitor's measuring time (4 s), error shutdown; the vehicle is told Fault", true),
    fault!(ContactorWelded, "contactor-welded",
        "both contactors weld: they do not open any more once closed",
        "MREC17EVSEContactorFault when the session ends: the feedback stays closed after the command to open; replace the contactors", true),
    fault!(ContactorStuckOpen, "contactor-stuck-open",
        "the contactors do not close: coil wire broken",
        "MREC17EVSEContactorFault: the session ends before any test voltage, and the board latches", true),
    fault!(PilotShort, "pilot-short",
        "the control pilot touches PE",
        "MREC14PilotFault; the board opens by itself and latches in state F", true),
    fault!(PilotDiode, "pilot-diode",
        "the diode in the vehicle's pilot circuit is shorted",
        "DiodeFault; the board opens by itself and latches in state F; another vehicle charges", true),
    fault!(ConnectorHot, "connector-hot",
        "the DC+ contact has a high resistance and heats to 95 °C in some seconds",
        "derating from 70 °C, then MREC19CableOverTempStop; at 85 °C the board opens by itself and latches", true),
    fault!(EmergencyStop, "emergency-stop",
        "the emergency stop is pressed",
        "MREC8EmergencyStop: contactors open at once; release the button, then clear the fault", true),
    fault!(ProximityOpen, "proximity-open",
        "the proximity wire is broken",
        "MREC23ProximityFault: the board reads no valid proximity level and latches", true),
    fault!(PeLoss, "pe-loss",
        "the protective earth in the cable is broken, so the pilot has no return either",
        "the vehicle vanishes from the pilot (state A) while charging: MREC14PilotFault in the book, an emergency", true),
    fault!(OutputShort, "output-short",
        "DC+ touches DC− at the connector (0.1 Ω)",
        "ShortCircuit: in CableCheck the current limit is reached without the voltage; while charging the voltage collapses", true),
    fault!(VehicleSilent, "vehicle-silent",
        "the vehicle sends no further message",
        "VehicleSilent: current to zero after 1 s, error shutdown after 3 s; free after unplugging", false),
    fault!(VehicleOverasks, "vehicle-overasks",
        "the vehicle asks for more current and voltage than it or the charger named",
        "the set point stays at the limits; `status` shows which one binds", false),
    fault!(VehicleUnplugsUnderLoad, "vehicle-unplugs-under-load",
        "the connector is pulled while current flows",
        "MREC14PilotFault in the book: pilot A while charging is an emergency, one opening under load; the missing plug clears it", true),
    fault!(VehicleNoPrechargeEnd, "vehicle-no-precharge-end",
        "the vehicle repeats PreCharge for ever",
        "MREC12PreChargeFault: the station ends it after the 5 s that PreCharge may take; nothing was delivered", false),
    fault!(VehicleWrongOrder, "vehicle-wrong-order",
        "the vehicle sends a message that the order does not allow",
        "the answer is FAILED_SequenceError and the session ends", false),
    fault!(VehicleSlow, "vehicle-slow",
        "the vehicle leaves more than a second between its charging requests",
        "each target is stale after a second: the current falls to zero until the next request. The session goes on: the standard lets a vehicle pause for up to 60 s between requests, and evse ends it after 3 s", false),
    fault!(ModemSilent, "modem-silent",
        "the powerline modem of the EVSE answers no question and measures nothing",
        "ModemSilent at the link, some seconds after the next key was due; vehicles stay connected and are started anew by the pilot in vain, until VehicleUnmatched", false),
    fault!(VehicleNeverMatches, "vehicle-never-matches",
        "nothing of the vehicle arrives on the powerline: its modem is broken, or it only charges with alternating current",
        "after 40 s the pilot goes to F for 4.5 s, twice; then VehicleUnmatched at the link, \"no vehicle was heard on the powerline\"", false),
    fault!(PowerlineCrosstalk, "powerline-crosstalk",
        "a vehicle at the next cable, whose own station is dead, is heard here 27 dB weaker and wants to match",
        "the journal of voltry-secc: \"no match\" for the farther vehicle; the one that is plugged in charges", false),
    fault!(MatrixWelded, "matrix-welded",
        "the contactors between module groups and this EVSE weld: they do not open any more once closed",
        "MatrixContactorFault at the matrix and ModuleGroupBarred at the EVSE's supply when a group is to leave: its modules stay off, no other EVSE gets them; both name the group", true),
    fault!(MatrixStuckOpen, "matrix-stuck-open",
        "the contactors between module groups and this EVSE do not close: coil supply broken",
        "MatrixContactorFault names the group; a vehicle waits for modules and is refused after 55 s, EVSEs that have theirs go on", true),
    fault!(MatrixSilent, "matrix-silent",
        "the controller of the contactors between module groups and EVSEs sends nothing more; it still obeys",
        "every EVSE that shares modules is off within a second and SwitchMatrixMissing after 2 s, MatrixControllerSilent at the matrix", true),
    fault!(ReaderGone, "reader-gone",
        "the card reader no longer answers on its serial line",
        "TokenReaderSilent at the reader after 3 s; cards are not read, who charges goes on; it goes by itself", false),
    fault!(ReaderNoise, "reader-noise",
        "noise on the card reader's line: bytes nobody sent, and every fourth message damaged",
        "one warning a minute with a count; cards are read, a moment later", false),
    fault!(LockStuck, "lock-stuck",
        "the bolt of the plug's lock jams: its motor runs, and nothing moves",
        "where the topology has a lock: MREC1ConnectorLockFailure before anything is energised, error shutdown; what was locked stays locked, and an unlock is refused", true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_own_row_name_and_explanation() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.fault as usize, index, "{} is out of order", row.name);
            assert_eq!(Fault::from_name(row.name), Some(row.fault));
            assert!(!row.breaks.is_empty() && !row.seen.is_empty());
        }
        assert_eq!(Fault::from_name("no-such-fault"), None);
    }

    #[test]
    fn faults_come_and_go_alone() {
        let mut set = FaultSet::default();
        set.inject(Fault::VehicleSlow);
        set.inject(Fault::ModuleDead);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Fault::ModuleDead, Fault::VehicleSlow]);
        set.clear(Fault::ModuleDead);
        assert!(!set.has(Fault::ModuleDead) && set.has(Fault::VehicleSlow));
    }
}
