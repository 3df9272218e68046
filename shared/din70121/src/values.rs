//! Simple types: what an element or an attribute holds, as characters in XML, as bits here.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use iso15118::exi::seq::SIMPLE_WIDTH;
use iso15118::exi::{Decoder, Encoder, ExiError, ExiResult, Lengths, ValueCtx};
use serde::{Serialize, Serializer};

use crate::grammar::Content;

/// A value without elements in it.
pub(crate) trait Simple: Sized + fmt::Debug + Serialize {
    fn write(&self, e: &mut Encoder<'_>, context: ValueCtx) -> ExiResult<()>;
    fn read(d: &mut Decoder<'_>, context: ValueCtx) -> ExiResult<Self>;
    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self>;
}

/// In an element it stands between an event that says so and the element's end.
impl<T: Simple + 'static> Content for T {
    fn encode(&self, e: &mut Encoder<'_>, context: ValueCtx) -> ExiResult<()> {
        e.event(0, SIMPLE_WIDTH)?;
        self.write(e, context)?;
        e.event(0, SIMPLE_WIDTH)
    }

    fn decode(d: &mut Decoder<'_>, _: u64, context: ValueCtx) -> ExiResult<Self> {
        d.expect_event(0, SIMPLE_WIDTH)?;
        let value = T::read(d, context)?;
        d.expect_event(0, SIMPLE_WIDTH)?;
        Ok(value)
    }

    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
        T::arbitrary()
    }
}

/// An attribute: its value follows its event, and no other event follows that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Attribute<T>(pub T);

impl<T: Simple + 'static> Content for Attribute<T> {
    fn encode(&self, e: &mut Encoder<'_>, context: ValueCtx) -> ExiResult<()> {
        self.0.write(e, context)
    }

    fn decode(d: &mut Decoder<'_>, _: u64, context: ValueCtx) -> ExiResult<Self> {
        T::read(d, context).map(Self)
    }

    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::strategy::Strategy as _;
        T::arbitrary().prop_map(Self).boxed()
    }
}

/// Content that DC charging excludes. There is no value of it: only its absence can be
/// written, and a message that holds it is refused ([`ExiError::UnsupportedOption`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum NotModelled {}

impl Content for NotModelled {
    fn encode(&self, _: &mut Encoder<'_>, _: ValueCtx) -> ExiResult<()> {
        match *self {}
    }

    fn decode(_: &mut Decoder<'_>, _: u64, _: ValueCtx) -> ExiResult<Self> {
        Err(ExiError::UnsupportedOption)
    }

    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
        unreachable!("there is no value of it")
    }

    #[cfg(test)]
    fn arbitrary_option() -> proptest::strategy::BoxedStrategy<Option<Self>> {
        use proptest::strategy::Strategy as _;
        proptest::strategy::Just(None).boxed()
    }
}

macro_rules! simple {
    ($($type:ty: |$e:ident, $value:ident| $write:expr, |$d:ident| $read:expr, $arbitrary:expr;)+) => {
        $(impl Simple for $type {
            fn write(&self, $e: &mut Encoder<'_>, _: ValueCtx) -> ExiResult<()> {
                let $value = self;
                $write
            }

            fn read($d: &mut Decoder<'_>, _: ValueCtx) -> ExiResult<Self> {
                $read
            }

            #[cfg(test)]
            fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
                use proptest::prelude::*;
                $arbitrary.boxed()
            }
        })+
    };
}

simple! {
    bool: |e, value| e.boolean(*value), |d| d.boolean(), any::<bool>();
    // Up to 4096 values are counted from the least, in as many bits as that takes.
    i8: |e, value| e.restricted(i64::from(*value), -128, 127),
        |d| narrow(d.restricted(-128, 127)?), any::<i8>();
    u16: |e, value| e.uint(u64::from(*value)), |d| narrow(d.uint()?), any::<u16>();
    u32: |e, value| e.uint(u64::from(*value)), |d| narrow(d.uint()?), any::<u32>();
    i16: |e, value| e.int(i64::from(*value)), |d| narrow(d.int()?), any::<i16>();
    i32: |e, value| e.int(i64::from(*value)), |d| narrow(d.int()?), any::<i32>();
    i64: |e, value| e.int(*value), |d| d.int(), any::<i64>();
    Percent: |e, value| e.restricted(i64::from(value.0), 0, 100),
        |d| narrow(d.nbit(7)?).map(Self), (0_u8..=100).prop_map(Self);
    Multiplier: |e, value| e.restricted(i64::from(value.0), -3, 3),
        |d| narrow::<i8, _>(d.nbit(3)?).map(|index| Self(index - 3)), (-3_i8..=3).prop_map(Self);
    PMax: |e, value| i16::try_from(value.0).map_err(|_| ExiError::ValueOutOfRange)
            .and_then(|watts| e.int(i64::from(watts))),
        |d| narrow(d.int()?).map(Self), any::<i16>().prop_map(|watts| Self(i32::from(watts)));
}

fn narrow<T: TryFrom<V>, V>(value: V) -> ExiResult<T> {
    T::try_from(value).map_err(|_| ExiError::IntegerOverflow)
}

/// `percentValueType`, 0 to 100. Read up to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Percent(pub u8);

/// `unitMultiplierType`: a power of ten, -3 to 3. Read up to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Multiplier(pub i8);

/// `PMaxType`, watts. The schema's type ends at 32 767; a vehicle that charges faster has no
/// other way to say so than to exceed it, so more is read, and never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct PMax(pub i32);

/// A string of at most so many characters. Read at any length.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(pub String);

impl<const MAX: usize> Simple for Text<MAX> {
    fn write(&self, e: &mut Encoder<'_>, context: ValueCtx) -> ExiResult<()> {
        e.string(context, &self.0, Lengths::max(MAX))
    }

    fn read(d: &mut Decoder<'_>, context: ValueCtx) -> ExiResult<Self> {
        d.string(context, Lengths::max(usize::MAX)).map(Self)
    }

    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        proptest::collection::vec(any::<char>(), 0..=MAX.min(12))
            .prop_map(|text| Self(text.into_iter().collect()))
            .boxed()
    }
}

/// A string that the schema does not limit.
pub type AnyText = Text<{ usize::MAX }>;

macro_rules! octets {
    ($($(#[$doc:meta])* $name:ident, $write:path;)+) => {
        $($(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Default)]
        pub struct $name<const MAX: usize>(pub Vec<u8>);

        impl<const MAX: usize> Simple for $name<MAX> {
            fn write(&self, e: &mut Encoder<'_>, _: ValueCtx) -> ExiResult<()> {
                e.binary(&self.0, Lengths::max(MAX))
            }

            fn read(d: &mut Decoder<'_>, _: ValueCtx) -> ExiResult<Self> {
                d.binary(Lengths::max(usize::MAX)).map(Self)
            }

            #[cfg(test)]
            fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
                use proptest::prelude::*;
                proptest::collection::vec(any::<u8>(), 0..=MAX.min(40)).prop_map(Self).boxed()
            }
        }

        impl<const MAX: usize> fmt::Display for $name<MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $write(&self.0, f)
            }
        }

        impl<const MAX: usize> fmt::Debug for $name<MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl<const MAX: usize> Serialize for $name<MAX> {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        })+
    };
}

octets! {
    /// `hexBinary` of at most so many bytes. Read at any length.
    HexBinary, write_hex;
    /// `base64Binary` of at most so many bytes. Read at any length.
    Base64Binary, write_base64;
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
}

fn write_base64(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - group.len()));
        for digit in 0..4 {
            let sign =
                if digit > group.len() { '=' } else { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) };
            fmt::Write::write_char(f, sign)?;
        }
    }
    Ok(())
}
