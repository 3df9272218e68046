//! Words that cross the bus as strings. A word that is not listed is refused where it enters.

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
        #[zbus(signature = "s")]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as it stands on the bus.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::Error;
            fn from_str(word: &str) -> Result<Self, crate::Error> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err(crate::Error::Invalid(format!(
                        "{other:?} is no {}", stringify!($name)
                    ))),
                }
            }
        }

        // As a property the word is a plain string.
        impl From<$name> for Variant<'_> {
            fn from(word: $name) -> Self {
                Variant::from(word.as_str())
            }
        }
        impl From<$name> for OwnedVariant {
            fn from(word: $name) -> Self {
                OwnedVariant::from(zbus::Str::from(word.as_str()))
            }
        }
        impl TryFrom<OwnedVariant> for $name {
            type Error = zbus::Error;
            fn try_from(value: OwnedVariant) -> Result<Self, Self::Error> {
                let word = String::try_from(value)?;
                word.parse().map_err(|error: crate::Error| zbus::Error::Failure(error.to_string()))
            }
        }
        impl TryFrom<Variant<'_>> for $name {
            type Error = zbus::Error;
            fn try_from(value: Variant<'_>) -> Result<Self, Self::Error> {
                let word = String::try_from(value)?;
                word.parse().map_err(|error: crate::Error| zbus::Error::Failure(error.to_string()))
            }
        }
    };
}

words! {
    /// What a power supply does.
    SupplyState {
        /// Nothing flows; modules are awake.
        Off = "off",
        /// An epoch is open and the modules are on.
        On = "on",
        /// Off, and the modules sleep; waking takes seconds.
        Asleep = "asleep",
        /// Nothing answers.
        Absent = "absent",
    }
}

words! {
    /// The control pilot's state as the vehicle sets it (IEC 61851-1 table A.2).
    Pilot {
        /// +12 V: no vehicle.
        A = "A",
        /// +9 V: connected, not ready.
        B = "B",
        /// +6 V: ready.
        C = "C",
        /// +3 V: ready, ventilation wanted.
        D = "D",
        /// 0 V: short to protective earth, or no supply.
        E = "E",
        /// -12 V: the EVSE is not available.
        F = "F",
        /// No valid level.
        Invalid = "invalid",
        /// Not measured yet.
        Unknown = "unknown",
    }
}

words! {
    /// What is wrong with the control pilot.
    PilotFault {
        /// Nothing.
        None = "none",
        /// The pilot is shorted.
        Short = "short",
        /// The vehicle's diode is missing or shorted.
        Diode = "diode",
    }
}

words! {
    /// What the inputs of a cabinet tell.
    Alarm {
        /// A door or cover is open.
        EnclosureOpen = "enclosure-open",
        /// The cabinet was tilted, or knocked.
        Tilted = "tilted",
        /// Water where none may be.
        Water = "water",
        /// The cooling of cabinet, modules or cable does not run.
        CoolingFailed = "cooling-failed",
    }
}

/// Those [`Alarm`]s that are present; a list of words on the bus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(from = "Vec<Alarm>", into = "Vec<Alarm>")]
#[zbus(signature = "as")]
pub struct Alarms(u8);

impl Alarms {
    /// Whether this one is present.
    #[must_use]
    pub const fn contains(self, alarm: Alarm) -> bool {
        self.0 & 1 << alarm as u8 != 0
    }

    /// With this one present, or not.
    #[must_use]
    pub const fn set(self, alarm: Alarm, present: bool) -> Self {
        let bit = 1 << alarm as u8;
        Self(if present { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Vec<Alarm>> for Alarms {
    fn from(present: Vec<Alarm>) -> Self {
        present.into_iter().fold(Self::default(), |alarms, alarm| alarms.set(alarm, true))
    }
}

impl From<Alarms> for Vec<Alarm> {
    fn from(alarms: Alarms) -> Self {
        Alarm::ALL.iter().copied().filter(|alarm| alarms.contains(*alarm)).collect()
    }
}

words! {
    /// How the EVSE drives the control pilot.
    PilotOutput {
        /// Steady +12 V: no charging now.
        X1 = "x1",
        /// 5 % duty: digital communication.
        Digital = "digital",
        /// Steady -12 V: not available.
        F = "f",
    }
}

words! {
    /// Where the powerline link to the vehicle stands (ISO 15118-3).
    PowerlineState {
        /// No modem is configured: Ethernet leads to the vehicle.
        NoModem = "no-modem",
        /// The modem does not answer.
        ModemSilent = "modem-silent",
        /// No vehicle is attached.
        Idle = "idle",
        /// The vehicle at the cable's end is looked for.
        Matching = "matching",
        /// The pilot is in state E or F, to start the vehicle anew.
        Reinitialising = "reinitialising",
        /// No match, and starting anew was given up; a vehicle that asks is still answered.
        Unmatched = "unmatched",
        /// A vehicle has the key and joins the network.
        Joining = "joining",
        /// The link is up.
        Up = "up",
    }
}

words! {
    /// The proximity contact.
    Proximity {
        /// This connector has none (a tethered cable).
        NotUsed = "not-used",
        /// Nothing plugged in.
        Absent = "absent",
        /// Plugged in and latched.
        Latched = "latched",
        /// Plugged in, the latch is pressed: the plug is about to be pulled.
        Released = "released",
        /// No valid level.
        Fault = "fault",
    }
}

words! {
    /// The contactors, by their feedback contacts.
    Contactors {
        /// All open.
        Open = "open",
        /// All closed.
        Closed = "closed",
        /// Not as asked, for longer than they need to move.
        Mismatch = "mismatch",
        /// No feedback known.
        Unknown = "unknown",
    }
}

words! {
    /// The plug's lock.
    Lock {
        /// This EVSE has none (the vehicle's inlet locks).
        NotFitted = "not-fitted",
        /// Unlocked.
        Unlocked = "unlocked",
        /// Locked.
        Locked = "locked",
        /// On its way.
        Moving = "moving",
        /// Not where it should be.
        Fault = "fault",
    }
}

words! {
    /// The phases of a charging conversation, the same for every protocol.
    LinkPhase {
        /// No vehicle is plugged in, or it must not talk.
        Detached = "detached",
        /// Waiting for the vehicle to connect.
        Listening = "listening",
        /// A session is set up; services are chosen.
        Connected = "connected",
        /// The vehicle waits for authorization.
        Authorizing = "authorizing",
        /// The vehicle named its limits and waits for ours (ChargeParameterDiscovery).
        Parameters = "parameters",
        /// The vehicle waits for the insulation test.
        CableCheck = "cable-check",
        /// The vehicle waits for its battery's voltage on the cable.
        PreCharge = "pre-charge",
        /// PowerDelivery(Start) waits for an answer.
        PowerOn = "power-on",
        /// The charge loop.
        Charging = "charging",
        /// Out of the charge loop, PowerDelivery(Renegotiate): limits are agreed on again. The vehicle stays
        /// ready and charges on, or opens S2 without current and comes back by the insulation test.
        Renegotiating = "renegotiating",
        /// PowerDelivery(Stop): the vehicle wants the current off.
        PowerOff = "power-off",
        /// The vehicle tests its contactors; the output stays off.
        WeldingDetection = "welding-detection",
        /// The vehicle asks to end the session (SessionStop).
        Stopping = "stopping",
    }
}

words! {
    /// How a conversation ended.
    LinkOutcome {
        /// SessionStop(Terminate), in order.
        Normal = "normal",
        /// SessionStop(Pause), in order.
        Paused = "paused",
        /// Refused or failed; the detail says why.
        Failed = "failed",
        /// Ended by the station, because the phase took longer than the standard allows.
        Overdue = "overdue",
        /// The vehicle fell silent or dropped the connection.
        Lost = "lost",
    }
}

words! {
    /// The answer to the phase that a vehicle is in.
    PhaseAnswer {
        /// Not yet.
        Ongoing = "ongoing",
        /// Done, or granted.
        Finished = "finished",
        /// It failed, or is refused.
        Failed = "failed",
    }
}

words! {
    /// Whether a driver may charge.
    Authorization {
        /// Nobody has said.
        Pending = "pending",
        /// Yes.
        Granted = "granted",
        /// No.
        Refused = "refused",
    }
}

words! {
    /// What the vehicle is told of the insulation (ISO 15118-2 isolationLevelType).
    Isolation {
        /// Not tested.
        Invalid = "invalid",
        /// Good.
        Valid = "valid",
        /// Below the warning level.
        Warning = "warning",
        /// Below the fault level.
        Fault = "fault",
    }
}

words! {
    /// What the vehicle is told of the EVSE (ISO 15118-2 DC_EVSEStatusCodeType).
    EvseStatusCode {
        /// Not ready.
        NotReady = "not-ready",
        /// Ready.
        Ready = "ready",
        /// Shutting down in the normal way.
        Shutdown = "shutdown",
        /// The insulation is being tested.
        IsolationMonitoringActive = "isolation-monitoring-active",
        /// Emergency shutdown.
        EmergencyShutdown = "emergency-shutdown",
        /// A failure.
        Malfunction = "malfunction",
    }
}

words! {
    /// Where an EVSE stands.
    EvseState {
        /// Proving after its start that everything is off.
        Starting = "starting",
        /// Ready for a vehicle.
        Available = "available",
        /// A vehicle is plugged in.
        Connected = "connected",
        /// Waiting for authorization.
        Authorizing = "authorizing",
        /// Comparing limits with the vehicle.
        Parameters = "parameters",
        /// Testing the insulation.
        CableCheck = "cable-check",
        /// Bringing the cable to the battery's voltage.
        PreCharge = "pre-charge",
        /// Delivering.
        Charging = "charging",
        /// Stopping in the normal way.
        Stopping = "stopping",
        /// The session is over; the vehicle is still plugged in.
        Finished = "finished",
        /// The vehicle paused the session and means to come back to it.
        Paused = "paused",
        /// Shutting down because of an error.
        ErrorShutdown = "error-shutdown",
        /// Emergency shutdown.
        Emergency = "emergency",
        /// Off, with a latched fault.
        Faulted = "faulted",
        /// Out of service.
        Unavailable = "unavailable",
    }
}

words! {
    /// What an EVSE says of why delivery ended, where neither the station's words nor a fault's code do.
    SessionEnd {
        /// The vehicle ended it.
        Vehicle = "ended by the vehicle",
        /// The station asked for it, without words.
        Station = "ended by the station",
        /// The driver is not allowed to charge.
        NotAuthorized = "not authorized",
        /// The permit was withdrawn, or ran out.
        NoPermit = "no permit from the station",
        /// The vehicle's limits and ours have nothing in common.
        Incompatible = "vehicle and charger are not compatible",
        /// Authorization or a phase took too long.
        TimedOut = "timed out",
        /// The energy can't be metered.
        Unmetered = "the energy meter does not answer",
        /// The EVSE is taken out of service, or its process ends.
        OutOfService = "taken out of service",
    }
}

words! {
    /// One check of an EVSE's self-test.
    SelfTestStep {
        /// No voltage on either side, contactors open.
        Voltages = "voltages",
        /// Connector and cable are not hot.
        Temperatures = "temperatures",
        /// The plug's lock locks and unlocks.
        Lock = "lock",
        /// The insulation monitor's own self-test, and a value after it.
        InsulationMonitor = "insulation-monitor",
        /// Close and open, without voltage.
        Contactors = "contactors",
        /// Raised to a voltage with the contactors open, and off again.
        Modules = "modules",
    }
}

words! {
    /// How a check of the self-test ended.
    SelfTestOutcome {
        /// As it should be.
        Passed = "passed",
        /// Not as it should be.
        Failed = "failed",
        /// There is nothing to check.
        Skipped = "skipped",
        /// It was not begun.
        Refused = "refused",
        /// It was broken off.
        Aborted = "aborted",
    }
}
