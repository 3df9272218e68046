//! Why a call is refused, in the spelling of its version.

/// How a version writes its errors, and which it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OCPP 1.6J.
    V16,
    /// OCPP 2.0.1 and 2.1.
    V2,
}

/// The codes of a CALLERROR (1.6J 4.2.3, 2.0.1 part 4 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The payload is syntactically wrong, or not of the action's form.
    FormatViolation,
    /// Anything that no other code says.
    GenericError,
    /// The receiver failed.
    InternalError,
    /// The first element of the message is no number of a message that is known. 2.x alone.
    MessageTypeNotSupported,
    /// The action is not known.
    NotImplemented,
    /// The action is known, and not supported.
    NotSupported,
    /// A field is missing, or there too often.
    OccurrenceConstraintViolation,
    /// A field's value is not one that is allowed.
    PropertyConstraintViolation,
    /// The payload is incomplete, or not allowed here.
    ProtocolError,
    /// The message is no call. 2.x alone.
    RpcFrameworkError,
    /// Security forbids it.
    SecurityError,
    /// A field is of another type.
    TypeConstraintViolation,
}

impl ErrorCode {
    const ALL: [Self; 12] = [
        Self::FormatViolation,
        Self::GenericError,
        Self::InternalError,
        Self::MessageTypeNotSupported,
        Self::NotImplemented,
        Self::NotSupported,
        Self::OccurrenceConstraintViolation,
        Self::PropertyConstraintViolation,
        Self::ProtocolError,
        Self::RpcFrameworkError,
        Self::SecurityError,
        Self::TypeConstraintViolation,
    ];

    /// The code as a version writes it. What 1.6 has no code for becomes the nearest that it has.
    #[must_use]
    pub const fn as_str(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::FormatViolation, Dialect::V2) => "FormatViolation",
            (Self::FormatViolation | Self::RpcFrameworkError, Dialect::V16) => "FormationViolation",
            (Self::GenericError, _) | (Self::MessageTypeNotSupported, Dialect::V16) => "GenericError",
            (Self::InternalError, _) => "InternalError",
            (Self::MessageTypeNotSupported, Dialect::V2) => "MessageTypeNotSupported",
            (Self::NotImplemented, _) => "NotImplemented",
            (Self::NotSupported, _) => "NotSupported",
            (Self::OccurrenceConstraintViolation, Dialect::V2) => "OccurrenceConstraintViolation",
            // One r, as that version's own text has it.
            (Self::OccurrenceConstraintViolation, Dialect::V16) => "OccurenceConstraintViolation",
            (Self::PropertyConstraintViolation, _) => "PropertyConstraintViolation",
            (Self::ProtocolError, _) => "ProtocolError",
            (Self::RpcFrameworkError, Dialect::V2) => "RpcFrameworkError",
            (Self::SecurityError, _) => "SecurityError",
            (Self::TypeConstraintViolation, _) => "TypeConstraintViolation",
        }
    }

    /// The code that a peer wrote, in either spelling, whatever its version. `None`: one that
    /// neither has.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // V2 first: it has a spelling for each code.
        [Dialect::V2, Dialect::V16]
            .into_iter()
            .find_map(|dialect| Self::ALL.into_iter().find(|code| code.as_str(dialect) == text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_written_where_they_belong_and_read_everywhere() {
        let occurrence = ErrorCode::OccurrenceConstraintViolation;
        assert_eq!(occurrence.as_str(Dialect::V16), "OccurenceConstraintViolation");
        assert_eq!(occurrence.as_str(Dialect::V2), "OccurrenceConstraintViolation");
        assert_eq!(ErrorCode::FormatViolation.as_str(Dialect::V16), "FormationViolation");
        assert_eq!(ErrorCode::FormatViolation.as_str(Dialect::V2), "FormatViolation");
        for text in ["OccurenceConstraintViolation", "OccurrenceConstraintViolation"] {
            assert_eq!(ErrorCode::parse(text), Some(occurrence));
        }
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str(Dialect::V2)), Some(code));
        }
        assert_eq!(ErrorCode::parse("FormationViolation"), Some(ErrorCode::FormatViolation));
        assert_eq!(ErrorCode::parse("Formation"), None);
    }
}
