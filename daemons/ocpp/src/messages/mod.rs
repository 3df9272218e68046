//! The messages of OCPP, checked. The only module that names `ocpp-types`.
//!
//! What comes in is decoded into that crate's types: unknown properties are passed over, anything
//! else that departs from the schemas is answered with the CALLERROR of its version. What goes out
//! is built as JSON by the version's folder and held against the same types before it leaves.

mod check;

use ocpp_types::validate::{ConstraintClass, Validate};
use serde::de::DeserializeOwned;

pub use check::{is_known, request as check_request, response as check_response};
/// Types of 1.6 with its security extension.
pub use ocpp_types::v16;
/// Types of 2.0.1.
pub use ocpp_types::v201;

use crate::rpc::ErrorCode;

/// A refusal of a CALL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code:?}: {text}")]
pub struct Refusal {
    /// Its code.
    pub code: ErrorCode,
    /// In words, at most 255 characters.
    pub text: String,
}

impl Refusal {
    /// With its reason in words.
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        if let Some((end, _)) = text.char_indices().nth(255) {
            text.truncate(end);
        }
        Self { code, text }
    }
}

/// A message that says what it departs in from its schema.
pub trait Checked: Validate {}
impl<T: Validate> Checked for T {}

/// Decodes and checks a payload.
///
/// # Errors
/// What it departs in from the schema.
pub fn decode<T: DeserializeOwned + Validate>(payload: &str) -> Result<T, Refusal> {
    if !payload.trim_start().starts_with('{') {
        return Err(Refusal::new(ErrorCode::FormatViolation, "the payload is no object"));
    }
    let message: T = serde_json::from_str(payload)
        .map_err(|error| Refusal::new(classify(payload, &error), error.to_string()))?;
    message.validate().map_err(|error| {
        let code = match error.kind().constraint_class() {
            ConstraintClass::Occurrence => ErrorCode::OccurrenceConstraintViolation,
            ConstraintClass::Property => ErrorCode::PropertyConstraintViolation,
        };
        Refusal::new(code, error.to_string())
    })?;
    Ok(message)
}

/// serde tells its kinds of errors apart by their words alone.
fn classify(payload: &str, error: &serde_json::Error) -> ErrorCode {
    let text = error.to_string();
    if error.is_syntax() || error.is_eof() {
        // A number where a word is wanted is called a syntax error too.
        match serde_json::from_str::<serde::de::IgnoredAny>(payload) {
            Ok(_) => ErrorCode::TypeConstraintViolation,
            Err(_) => ErrorCode::FormatViolation,
        }
    } else if text.starts_with("missing field") {
        ErrorCode::OccurrenceConstraintViolation
    } else if text.starts_with("invalid type") {
        ErrorCode::TypeConstraintViolation
    } else {
        ErrorCode::PropertyConstraintViolation
    }
}
