//! What vehicles do and the standards forbid, and this station takes all the same: every
//! tolerance, in one table. Each costs the station nothing; refusing it would cost a charge.

/// One deviation that is tolerated.
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
}

impl Tolerance {
    /// Who needs it, and why it is harmless.
    #[must_use]
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
                 FAILED_SequenceError keeps its plug locked for 15 s (FreeV2G 20 and 42)"
            }
        }
    }

    pub(crate) fn note(self, message: &'static str) {
        tracing::debug!(message, deviation = ?self, reason = self.reason(), "tolerated");
    }
}
