//! The messages of OCPP, checked. The only module that names `ocpp-types`.
//!
//! What comes in is decoded into that crate's types: unknown properties are passed over, anything
//! else that departs from the schemas is answered with the CALLERROR of its version. What goes out
//! is built as JSON by the version's folder and held against the same types before it leaves.

mod check;
mod strict;

use ocpp_types::validate::{ConstraintClass, Validate};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use check::{call as check_call, is_known, request as check_request, response as check_response};
/// Types of 1.6 with its security extension.
pub use ocpp_types::v16;
/// Types of 2.0.1.
pub mod v201 {
    pub use ocpp_types::v201::*;

    /// `data` may be anything.
    pub type DataTransferRequest = ocpp_types::v201::DataTransferRequest<serde_json::Value>;
    /// `data` may be anything.
    pub type DataTransferResponse = ocpp_types::v201::DataTransferResponse<serde_json::Value>;
}

use strict::Strict;

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

/// Checks an answer of ours that has its type, and writes it as JSON.
///
/// # Errors
/// A CALLERROR in its place.
pub fn write<T: Serialize + Validate>(answer: &T) -> Result<String, Refusal> {
    let what = std::any::type_name::<T>();
    answer.validate().map_err(|error| could_not_be_made(what, &error))?;
    serde_json::to_string(answer).map_err(|error| could_not_be_made(what, &error))
}

/// What goes out in the place of an answer of ours that is not what the schema wants.
pub(crate) fn could_not_be_made(what: &str, error: &dyn std::error::Error) -> Refusal {
    tracing::error!(what, %error, "an answer of ours is not what the schema wants");
    debug_assert!(false, "{what}: {error}");
    Refusal::new(ErrorCode::InternalError, "the answer could not be made")
}

/// Decodes and checks a payload.
///
/// # Errors
/// What it departs in from the schema.
pub fn decode<T: DeserializeOwned + Validate>(payload: &str) -> Result<T, Refusal> {
    let written: Value = serde_json::from_str(payload)
        .map_err(|error| Refusal::new(ErrorCode::FormatViolation, error.to_string()))?;
    read(&written)
}

/// The same of what is no text any more, or not yet.
fn read<T: DeserializeOwned + Validate>(written: &Value) -> Result<T, Refusal> {
    if !written.is_object() {
        return Err(Refusal::new(ErrorCode::FormatViolation, "the payload is no object"));
    }
    let message = T::deserialize(Strict(written))
        .map_err(|departure| Refusal::new(departure.code, departure.to_string()))?;
    message.validate().map_err(|error| {
        let code = match error.kind().constraint_class() {
            ConstraintClass::Occurrence => ErrorCode::OccurrenceConstraintViolation,
            ConstraintClass::Property => ErrorCode::PropertyConstraintViolation,
        };
        Refusal::new(code, error.to_string())
    })?;
    Ok(message)
}
