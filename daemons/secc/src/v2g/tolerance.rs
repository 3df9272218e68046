//! What real vehicles do that the standards forbid, or do not foresee, and what this station makes
//! of it: every tolerance, in one table. Each costs the station nothing; refusing it would cost a
//! charge. `tests/quirks.rs` names the test of each.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// One byte 0x00 behind the message.
    TrailingByte,
    /// A PowerDeliveryReq whose charging profile is outside the schema.
    ChargingProfile,
    /// A number, text or list of bytes beyond what the schema allows (DIN 70121).
    BeyondSchema,
    /// A power limit or an energy capacity that is negative, too large or in another unit.
    SenselessLimit,
    /// A mode of a combo plug, or of its core, that is not the one offered.
    OtherContacts,
    /// AuthorizationReq without challenge and signature, after one whose signature was good.
    UnsignedRepeat,
    /// PowerDeliveryReq that stops what has not begun.
    EarlyStop,
    /// SessionStopReq before the delivery was stopped.
    EarlyGoodbye,
    /// An offer of a protocol that nobody here knows, of highest priority.
    UnknownProtocol,
    /// SchemaIDs of any number, in any order, and priorities with gaps.
    AnySchemaId,
    /// SessionSetupReq with a SessionID of 0, 1, 6 or 8 bytes.
    AnySessionId,
    /// SessionSetupReq with the SessionID of a session long past.
    StaleSessionId,
    /// EVReady = false in the charge parameters.
    NotYetReady,
    /// An EVCCID of eight bytes (DIN 70121).
    LongEvccId,
    /// An Ethernet address that is drawn anew for each session.
    ChangingAddress,
    /// ChargeParameterDiscoveryRes is waited for no longer than 400 ms.
    HastyForParameters,
    /// Minutes of CurrentDemandReq for no current.
    SlowStart,
    /// CableCheckReq after alternating current was refused.
    CableCheckForAc,
    /// A target voltage of 0 V in PreChargeReq.
    NoTargetYet,
    /// A PowerDeliveryReq again and again while the vehicle says Ongoing (ISO 15118-20).
    RepeatedDelivery,
    /// A RunID of zeros, or the same text for ever.
    SameRunId,
    /// CM_SLAC_PARM.REQ in the middle of a run.
    ParametersAgain,
    /// No CM_ATTEN_CHAR.RSP.
    SilentAboutAttenuation,
    /// No SLAC on 5 % duty cycle until it is plugged in again.
    DeafUntilReplugged,
    /// A root named in `trusted_ca_keys`, and one suite with CBC (TLS 1.2).
    OldTls,
    /// SignedInfo signed as the xmldsig schema alone encodes it.
    StandaloneSignature,
}

impl Tolerance {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::TrailingByte,
        Self::ChargingProfile,
        Self::BeyondSchema,
        Self::SenselessLimit,
        Self::OtherContacts,
        Self::UnsignedRepeat,
        Self::EarlyStop,
        Self::EarlyGoodbye,
        Self::UnknownProtocol,
        Self::AnySchemaId,
        Self::AnySessionId,
        Self::StaleSessionId,
        Self::NotYetReady,
        Self::LongEvccId,
        Self::ChangingAddress,
        Self::HastyForParameters,
        Self::SlowStart,
        Self::CableCheckForAc,
        Self::NoTargetYet,
        Self::RepeatedDelivery,
        Self::SameRunId,
        Self::ParametersAgain,
        Self::SilentAboutAttenuation,
        Self::DeafUntilReplugged,
        Self::OldTls,
        Self::StandaloneSignature,
    ];

    /// Who needs it, and why it is harmless.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "a table")]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TrailingByte => {
                "Tesla's ContractAuthenticationReq carries it; the message before it is whole"
            }
            Self::ChargingProfile => {
                "a Seres tells a negative power on four phases; the profile is the vehicle's \
                 estimate, on which nothing here hangs"
            }
            Self::BeyondSchema => {
                "the schema ends a schedule's power at 32 767 W and a state of charge at 100; what \
                 the station uses it judges itself"
            }
            Self::SenselessLimit => {
                "voltage and current bound the delivery, and those must make sense; the others are \
                 taken as not told"
            }
            Self::OtherContacts => {
                "the plug decides which contacts carry the current, and it is in the inlet; every mode \
                 runs the same messages"
            }
            Self::UnsignedRepeat => {
                "Josev signs only the first of those that it sends while authorization is ongoing; \
                 over this one TLS connection the contract is proved"
            }
            Self::EarlyStop => {
                "vehicles that give up in the parameters, CableCheck or PreCharge say so; evse \
                 stops, as it does on any PowerOff"
            }
            Self::EarlyGoodbye => {
                "vehicles that give up say so in any phase; one that is answered \
                 FAILED_SequenceError keeps its plug locked for 15 s (FreeV2G 20 and 42); an Audi Q4 \
                 does so right after SessionSetupRes (Josev 432)"
            }
            Self::UnknownProtocol => {
                "Tesla offers urn:tesla:din:2018:MsgDef before DIN 70121; the next that both know is \
                 agreed on"
            }
            Self::AnySchemaId => {
                "vehicles number their protocols 0, 1, 2, 3, 10, 20; the answer gives the vehicle its own \
                 number back"
            }
            Self::AnySessionId => {
                "none by a Subaru, six zeros by a Seres, eight by Hyundai, Kia, Tesla and BYD; a new \
                 session is meant, and the station names it"
            }
            Self::StaleSessionId => {
                "an Audi Q4 and vehicles of Stellantis name it; one that was not paused here is answered \
                 OK_NewSessionEstablished"
            }
            Self::NotYetReady => {
                "nearly all vehicles; what they bear is known, and nothing is energised before CableCheck"
            }
            Self::LongEvccId => {
                "some vehicles fill it up to the eight bytes that the schema allows (FreeV2G 164 and 165)"
            }
            Self::ChangingAddress => {
                "Volkswagen's; a vehicle that can't be told from others is no token for AutoCharge"
            }
            Self::HastyForParameters => {
                "one vehicle gives up then (FreeV2G 173); it is answered Ongoing until evse has decided"
            }
            Self::SlowStart => {
                "a Taycan needs half a minute, a VW one; while it asks in time the session goes on"
            }
            Self::CableCheckForAc => {
                "a Seres goes on after the refusal; it gets FAILED_SequenceError, and evse was never told"
            }
            Self::NoTargetYet => {
                "a Seres does not know its battery's voltage yet; nothing is brought up, and PreCharge goes on \
                 within its time"
            }
            Self::RepeatedDelivery => "the vehicle prepares itself; the delivery begins, or ends, once",
            Self::SameRunId => "a Seres, a Tesla; a run is known by address and RunID together",
            Self::ParametersAgain => {
                "vehicles repeat it when they did not hear the confirmation; it is confirmed again and the run goes on"
            }
            Self::SilentAboutAttenuation => {
                "the report is repeated twice, and who asks to be matched all the same is (EVerest 1014)"
            }
            Self::DeafUntilReplugged => {
                "an Ioniq PHEV; the pilot starts it anew twice, then it is left alone and evse says so"
            }
            Self::OldTls => {
                "vehicles of ISO 15118-2 pick ECDHE-ECDSA-AES128-CBC-SHA256 and may trust one root alone; \
                 they are shown a chain below that root"
            }
            Self::StandaloneSignature => {
                "Josev signs 209 bytes where others sign 210; over either the contract's key is proved"
            }
        }
    }

    pub(crate) fn note(self, message: &'static str) {
        tracing::debug!(message, deviation = ?self, reason = self.reason(), "tolerated");
    }
}
