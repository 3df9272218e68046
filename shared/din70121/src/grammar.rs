//! From a declaration of the schema to the events of its grammar (EXI 1.0 §8.5.4, bit-packed,
//! not strict).
//!
//! A type is a sequence of *particles*: `T` stands for exactly one element, `Option<T>` for at
//! most one, `Vec<T>` for one or more. Where the schema names the head of a substitution group,
//! one particle has several *branches*, an event code each, in the order of their names. The
//! arithmetic of the codes is that of `iso15118::exi::seq`; here its tables are computed, at
//! compile time, from the declarations alone.

use alloc::vec::Vec;
use core::fmt;

use iso15118::exi::{Decoder, Encoder, ExiError, ExiResult, SeqWriter, Shape, ValueCtx, bit_width};
use serde::Serialize;
use serde::ser::SerializeMap;

/// What stands between the start and the end of an element, the end included.
pub(crate) trait Content: Sized + fmt::Debug + Serialize {
    /// How many elements of the schema may stand in this one's place.
    const BRANCHES: u64 = 1;

    /// Which of them it is.
    fn branch(&self) -> u64 {
        0
    }

    /// The element's name, if that is not its particle's.
    fn name(&self) -> Option<&'static str> {
        None
    }

    /// Writes; `context` is the partition of the string table that the element's name owns.
    fn encode(&self, e: &mut Encoder<'_>, context: ValueCtx) -> ExiResult<()>;

    /// Reads what [`Self::encode`] writes.
    fn decode(d: &mut Decoder<'_>, branch: u64, context: ValueCtx) -> ExiResult<Self>;

    /// Any value that can be written.
    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self>;

    #[cfg(test)]
    fn arbitrary_option() -> proptest::strategy::BoxedStrategy<Option<Self>>
    where
        Self: 'static,
    {
        use proptest::strategy::Strategy as _;
        proptest::option::of(Self::arbitrary()).boxed()
    }
}

/// One place in a sequence.
pub(crate) trait Particle: Sized {
    const OCCURS: Occurs;
    /// What has been read so far.
    type Slot: Default;

    fn write(&self, place: Place, w: &mut SeqWriter, e: &mut Encoder<'_>) -> ExiResult<()>;
    fn read(slot: &mut Self::Slot, place: Place, branch: u64, d: &mut Decoder<'_>) -> ExiResult<()>;
    fn take(slot: Self::Slot) -> ExiResult<Self>;
    fn serialize<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error>;
    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self>;
}

/// Where a particle stands: its index in the sequence, and its name's string table partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) item: usize,
    pub(crate) context: ValueCtx,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Occurs {
    branches: u64,
    min: u32,
    max: u32,
}

fn write_one<T: Content>(
    content: &T,
    count: u32,
    place: Place,
    w: &mut SeqWriter,
    e: &mut Encoder<'_>,
) -> ExiResult<()> {
    w.start_branch(e, place.item, count, content.branch())?;
    content.encode(e, place.context)
}

impl<T: Content + 'static> Particle for T {
    const OCCURS: Occurs = Occurs { branches: T::BRANCHES, min: 1, max: 1 };
    type Slot = Option<T>;

    fn write(&self, place: Place, w: &mut SeqWriter, e: &mut Encoder<'_>) -> ExiResult<()> {
        write_one(self, 0, place, w, e)?;
        w.finish(place.item, 1);
        Ok(())
    }

    fn read(slot: &mut Option<T>, place: Place, branch: u64, d: &mut Decoder<'_>) -> ExiResult<()> {
        *slot = Some(T::decode(d, branch, place.context)?);
        Ok(())
    }

    fn take(slot: Option<T>) -> ExiResult<Self> {
        slot.ok_or(ExiError::MissingElement)
    }

    fn serialize<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry(self.name().unwrap_or(name), self)
    }

    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
        T::arbitrary()
    }
}

impl<T: Content + 'static> Particle for Option<T> {
    const OCCURS: Occurs = Occurs { branches: T::BRANCHES, min: 0, max: 1 };
    type Slot = Self;

    fn write(&self, place: Place, w: &mut SeqWriter, e: &mut Encoder<'_>) -> ExiResult<()> {
        self.as_ref().map_or(Ok(()), |content| content.write(place, w, e))
    }

    fn read(slot: &mut Self, place: Place, branch: u64, d: &mut Decoder<'_>) -> ExiResult<()> {
        T::read(slot, place, branch, d)
    }

    fn take(slot: Self) -> ExiResult<Self> {
        Ok(slot)
    }

    fn serialize<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
        self.as_ref().map_or(Ok(()), |content| Particle::serialize(content, name, map))
    }

    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
        T::arbitrary_option()
    }
}

impl<T: Content + 'static> Particle for Vec<T> {
    const OCCURS: Occurs = Occurs { branches: T::BRANCHES, min: 1, max: u32::MAX };
    type Slot = Self;

    fn write(&self, place: Place, w: &mut SeqWriter, e: &mut Encoder<'_>) -> ExiResult<()> {
        let mut count = 0;
        for content in self {
            write_one(content, count, place, w, e)?;
            count += 1;
        }
        if count == 0 {
            return Err(ExiError::MissingElement);
        }
        w.finish(place.item, count);
        Ok(())
    }

    fn read(slot: &mut Self, place: Place, branch: u64, d: &mut Decoder<'_>) -> ExiResult<()> {
        slot.push(T::decode(d, branch, place.context)?);
        Ok(())
    }

    fn take(slot: Self) -> ExiResult<Self> {
        if slot.is_empty() { Err(ExiError::MissingElement) } else { Ok(slot) }
    }

    fn serialize<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry(name, self)
    }

    #[cfg(test)]
    fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::strategy::Strategy as _;
        proptest::collection::vec(<T as Content>::arbitrary(), 1..4).boxed()
    }
}

/// As many particles as the longest sequence has.
const LONGEST: usize = 10;

/// The tables of a [`Shape`], in arrays that are long enough for any sequence.
pub(crate) struct Tables {
    len: usize,
    codes_before: [u64; LONGEST + 1],
    width: [u32; LONGEST + 1],
    repeat_width: [u32; LONGEST],
    min: [u32; LONGEST],
    max: [u32; LONGEST],
}

impl Tables {
    pub(crate) const fn new(items: &[Occurs]) -> Self {
        let mut tables = Self {
            len: items.len(),
            codes_before: [0; LONGEST + 1],
            width: [0; LONGEST + 1],
            repeat_width: [0; LONGEST],
            min: [0; LONGEST],
            max: [0; LONGEST],
        };
        let mut at = 0;
        while at < items.len() {
            tables.codes_before[at + 1] = tables.codes_before[at] + items[at].branches;
            tables.width[at] = event_width(events(items, at));
            if items[at].max > 1 {
                tables.repeat_width[at] = event_width(items[at].branches + events(items, at + 1));
            }
            tables.min[at] = items[at].min;
            tables.max[at] = items[at].max;
            at += 1;
        }
        tables.width[at] = event_width(events(items, at));
        tables
    }

    pub(crate) const fn shape(&'static self) -> Shape {
        Shape {
            prod_before: self.codes_before.split_at(self.len + 1).0,
            width: self.width.split_at(self.len + 1).0,
            repeat_width: self.repeat_width.split_at(self.len).0,
            min: self.min.split_at(self.len).0,
            max: self.max.split_at(self.len).0,
        }
    }
}

/// How many events may come at `items[from]`: each up to the first that must come, else the end.
const fn events(items: &[Occurs], from: usize) -> u64 {
    let mut count = 0;
    let mut at = from;
    while at < items.len() {
        count += items[at].branches;
        if items[at].min > 0 {
            return count;
        }
        at += 1;
    }
    count + 1
}

/// Grammars that are not strict keep one code more: for what the schema does not know.
const fn event_width(events: u64) -> u32 {
    bit_width(events + 1)
}

/// The string table partition of an element's or an attribute's name: a hash of it. That they
/// differ for all names which hold strings is tested.
pub(crate) const fn context(name: &str) -> ValueCtx {
    let mut hash = 0x811c_9dc5_u32;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name.as_bytes()[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    ValueCtx(hash)
}

/// A complex type: `"ElementName" field: Type`, in the schema's order; the doc comment names it.
macro_rules! sequence {
    ($(#[$attribute:meta])* $name:ident { $($(#[$doc:meta])* $element:literal $field:ident: $type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $(#[doc = concat!("`", $element, "`.")] $(#[$doc])* pub $field: $type,)*
        }

        #[allow(dead_code, unused_imports, reason = "a sequence may be empty")]
        const _: () = {
            use crate::grammar::{Content, Particle, Place, Tables, context};
            use iso15118::exi::{Decoder, Encoder, ExiResult, SeqReader, SeqWriter, Shape, Step, ValueCtx};

            #[allow(non_camel_case_types)]
            enum Item { $($field,)* }

            const TABLES: &Tables = &Tables::new(&[$(<$type as Particle>::OCCURS,)*]);
            const SHAPE: Shape = TABLES.shape();

            impl Content for $name {
                fn encode(&self, e: &mut Encoder<'_>, _: ValueCtx) -> ExiResult<()> {
                    let mut w = SeqWriter::new(SHAPE);
                    $(
                        let place = Place { item: Item::$field as usize, context: const { context($element) } };
                        Particle::write(&self.$field, place, &mut w, e)?;
                    )*
                    w.end(e)
                }

                fn decode(d: &mut Decoder<'_>, _: u64, _: ValueCtx) -> ExiResult<Self> {
                    $(let mut $field = <$type as Particle>::Slot::default();)*
                    let mut r = SeqReader::new(SHAPE);
                    #[allow(unused_variables)]
                    while let Step::Item { index: item, branch, .. } = r.next(d)? {
                        $(if item == Item::$field as usize {
                            let place = Place { item, context: const { context($element) } };
                            <$type as Particle>::read(&mut $field, place, branch, d)?;
                        })*
                    }
                    Ok(Self { $($field: <$type as Particle>::take($field)?,)* })
                }

                #[cfg(test)]
                fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
                    use proptest::strategy::Strategy as _;
                    (proptest::strategy::Just(()), $(<$type as Particle>::arbitrary(),)*)
                        .prop_map(|((), $($field,)*)| Self { $($field,)* })
                        .boxed()
                }
            }

            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                    use serde::ser::SerializeMap as _;
                    #[allow(unused_mut)]
                    let mut map = s.serialize_map(None)?;
                    $(Particle::serialize(&self.$field, $element, &mut map)?;)*
                    map.end()
                }
            }
        };
    };
}
pub(crate) use sequence;

/// A substitution group of so many elements: `code "ElementName" Variant(Type)`. A code that is
/// not listed is the group's head, which is abstract: no valid message holds it.
macro_rules! substitution_group {
    ($(#[$attribute:meta])* $name:ident of $branches:literal { $($code:literal $element:literal $variant:ident($type:ty),)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $element, "`.")] $variant($type),)*
        }

        const _: () = {
            use crate::grammar::{Content, context};
            use iso15118::exi::{Decoder, Encoder, ExiError, ExiResult, ValueCtx};

            impl Content for $name {
                const BRANCHES: u64 = $branches;

                fn branch(&self) -> u64 {
                    match self { $(Self::$variant(_) => $code,)* }
                }

                fn name(&self) -> Option<&'static str> {
                    Some(self.element())
                }

                fn encode(&self, e: &mut Encoder<'_>, _: ValueCtx) -> ExiResult<()> {
                    match self { $(Self::$variant(content) => content.encode(e, const { context($element) }),)* }
                }

                fn decode(d: &mut Decoder<'_>, branch: u64, _: ValueCtx) -> ExiResult<Self> {
                    match branch {
                        $($code => <$type>::decode(d, 0, const { context($element) }).map(Self::$variant),)*
                        _ => Err(ExiError::UnsupportedOption),
                    }
                }

                #[cfg(test)]
                fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
                    use proptest::strategy::Strategy as _;
                    proptest::strategy::Union::new([
                        $(<$type as Content>::arbitrary().prop_map(Self::$variant).boxed(),)*
                    ])
                    .boxed()
                }
            }

            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                    match self { $(Self::$variant(content) => content.serialize(s),)* }
                }
            }
        };

        impl $name {
            /// The element's name.
            #[must_use]
            pub const fn element(&self) -> &'static str {
                match self { $(Self::$variant(_) => $element,)* }
            }
        }
    };
}
pub(crate) use substitution_group;

/// An enumeration, its values in the schema's order: their indices are what is written.
macro_rules! enumeration {
    ($(#[$attribute:meta])* $name:ident { $first:ident $first_text:literal, $($variant:ident $text:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $name {
            #[doc = concat!("`", $first_text, "`.")] #[default] $first,
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
        }

        impl $name {
            const ALL: &[Self] = &[Self::$first, $(Self::$variant,)*];

            /// The value's text in the schema.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { Self::$first => $first_text, $(Self::$variant => $text,)* }
            }
        }

        const _: () = {
            use crate::values::Simple;
            use iso15118::exi::{Decoder, Encoder, ExiError, ExiResult, ValueCtx, bit_width};

            const WIDTH: u32 = bit_width($name::ALL.len() as u64);

            impl Simple for $name {
                fn write(&self, e: &mut Encoder<'_>, _: ValueCtx) -> ExiResult<()> {
                    e.nbit(*self as u64, WIDTH)
                }

                fn read(d: &mut Decoder<'_>, _: ValueCtx) -> ExiResult<Self> {
                    let index = usize::try_from(d.nbit(WIDTH)?).map_err(|_| ExiError::UnknownEnumValue)?;
                    Self::ALL.get(index).copied().ok_or(ExiError::UnknownEnumValue)
                }

                #[cfg(test)]
                fn arbitrary() -> proptest::strategy::BoxedStrategy<Self> {
                    use proptest::strategy::Strategy as _;
                    proptest::sample::select(Self::ALL).boxed()
                }
            }
        };

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.text())
            }
        }
    };
}
pub(crate) use enumeration;
