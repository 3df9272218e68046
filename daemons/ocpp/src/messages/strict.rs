//! Reads JSON into the types of `ocpp-types` as OCPP's schemas mean it, and says which of OCPP-J's
//! codes fits what is wrong.
//!
//! serde alone is more generous than a schema: it takes an array for an object and null for a field
//! that is left out, and what it says of an error is words. Unknown fields are passed over here too.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use crate::rpc::ErrorCode;

/// The most characters of a vendor's name in `customData`.
const VENDOR_MAX: usize = 255;

/// What a payload departs in.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) code: ErrorCode,
    what: String,
    /// From the field outwards.
    path: Vec<String>,
    /// A length of whatever is being read, not of something inside it.
    own_length: bool,
}

impl Departure {
    fn new(code: ErrorCode, what: String) -> Self {
        Self { code, what, path: Vec::new(), own_length: false }
    }

    fn within(mut self, field: &str) -> Self {
        self.path.push(field.to_owned());
        self.own_length = false;
        self
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for field in self.path.iter().rev() {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for Departure {}

impl serde::de::Error for Departure {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::new(ErrorCode::PropertyConstraintViolation, what.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let what = format!("{unexpected} where {expected} is wanted");
        Self::new(ErrorCode::TypeConstraintViolation, what)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let what = format!("a length of {length} where {expected} is wanted");
        Self { own_length: true, ..Self::new(ErrorCode::PropertyConstraintViolation, what) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(ErrorCode::OccurrenceConstraintViolation, format!("{field} is missing"))
    }
}

/// A value of a message.
pub(super) struct Strict<'de>(pub(super) &'de Value);

impl<'de> Strict<'de> {
    fn unexpected(&self) -> Unexpected<'de> {
        match self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(_) => Unexpected::Other("a number"),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = Departure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Departure> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => {
                if let Some(integer) = number.as_i64() {
                    visitor.visit_i64(integer)
                } else if let Some(integer) = number.as_u64() {
                    visitor.visit_u64(integer)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => {
                let read = visitor.visit_seq(Items { items: items.iter(), next: 0 });
                read.map_err(|mut departure| {
                    // As long as the array itself is meant, how often something is there.
                    if departure.own_length {
                        departure.code = ErrorCode::OccurrenceConstraintViolation;
                    }
                    departure
                })
            }
            Value::Object(fields) => visitor.visit_map(Fields { fields: fields.iter(), value: None }),
        }
    }

    // Null is not the same as a field that is left out: whatever the field is says so.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Departure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Departure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Departure> {
        let Value::Object(fields) = self.0 else {
            return Err(Departure::invalid_type(self.unexpected(), &"an object"));
        };
        if let Some(custom) = fields.get("customData") {
            check_custom_data(custom).map_err(|departure| departure.within("customData"))?;
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Departure> {
        let Value::String(word) = self.0 else {
            return Err(Departure::invalid_type(self.unexpected(), &"a word"));
        };
        visitor.visit_enum(Word(word))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// `customData` says whose it is; what else is in it is the vendor's (2.0.1 part 2, CustomDataType).
/// 1.6 has none, where it is an unknown field that is harmless in this form.
fn check_custom_data(custom: &Value) -> Result<(), Departure> {
    let Value::Object(fields) = custom else {
        return Err(Departure::invalid_type(Strict(custom).unexpected(), &"an object"));
    };
    match fields.get("vendorId") {
        None => Err(Departure::missing_field("vendorId")),
        Some(Value::String(vendor)) if vendor.chars().count() <= VENDOR_MAX => Ok(()),
        Some(Value::String(vendor)) => {
            Err(Departure::invalid_length(vendor.chars().count(), &"at most 255").within("vendorId"))
        }
        Some(other) => {
            Err(Departure::invalid_type(Strict(other).unexpected(), &"a string").within("vendorId"))
        }
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Value>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Departure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Departure> {
        let Some(item) = self.items.next() else { return Ok(None) };
        self.next += 1;
        seed.deserialize(Strict(item))
            .map(Some)
            .map_err(|departure| departure.within(&format!("[{}]", self.next - 1)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'de> {
    fields: serde_json::map::Iter<'de>,
    value: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Departure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Departure> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some((name, value));
        let name: StrDeserializer<'_, Departure> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Departure> {
        let (name, value) = self.value.take().expect("serde asks for a value after its key");
        seed.deserialize(Strict(value)).map_err(|departure| departure.within(name))
    }
}

/// A word of an enumeration.
struct Word<'de>(&'de str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Departure;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Departure> {
        let word: StrDeserializer<'_, Departure> = self.0.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'de> {
    type Error = Departure;

    fn unit_variant(self) -> Result<(), Departure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Departure> {
        Err(Departure::custom("no word of OCPP carries a value"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, _visitor: V) -> Result<V::Value, Departure> {
        Err(Departure::custom("no word of OCPP carries a value"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Departure> {
        Err(Departure::custom("no word of OCPP carries a value"))
    }
}
