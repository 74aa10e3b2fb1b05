//! A deserializer that takes no array for an object, and knows where it is.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::Marks;
use super::access::{Elements, Members};

pub struct Shaped<'m, D> {
    inner: D,
    at: String,
    marks: &'m Marks,
}

impl<'m, D> Shaped<'m, D> {
    /// Of the whole input.
    pub const fn new(inner: D, marks: &'m Marks) -> Self {
        Self::at(inner, String::new(), marks)
    }

    pub(super) const fn at(inner: D, at: String, marks: &'m Marks) -> Self {
        Self { inner, at, marks }
    }
}

/// Whether an array may be read: serde's own structs take one for their fields in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Array {
    Taken,
    Refused,
}

/// A visitor whose parts are shaped, too.
struct Shaping<'m, V> {
    visitor: V,
    at: String,
    marks: &'m Marks,
    array: Array,
}

/// A value of a part.
pub(super) struct ShapedSeed<'m, S> {
    pub seed: S,
    pub at: String,
    pub marks: &'m Marks,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for ShapedSeed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let Self { seed, at, marks } = self;
        let outcome = seed.deserialize(Shaped::at(deserializer, at.clone(), marks));
        outcome.inspect_err(|_| marks.fail(&at))
    }
}

macro_rules! shaped {
    ($($method:ident($($argument:ident: $type:ty),*) $array:ident;)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let Self { inner, at, marks } = self;
            inner.$method($($argument,)* Shaping { visitor, at, marks, array: Array::$array })
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Shaped<'_, D> {
    type Error = D::Error;

    shaped! {
        deserialize_any() Taken;
        deserialize_bool() Taken;
        deserialize_i8() Taken;
        deserialize_i16() Taken;
        deserialize_i32() Taken;
        deserialize_i64() Taken;
        deserialize_i128() Taken;
        deserialize_u8() Taken;
        deserialize_u16() Taken;
        deserialize_u32() Taken;
        deserialize_u64() Taken;
        deserialize_u128() Taken;
        deserialize_f32() Taken;
        deserialize_f64() Taken;
        deserialize_char() Taken;
        deserialize_str() Taken;
        deserialize_string() Taken;
        deserialize_bytes() Taken;
        deserialize_byte_buf() Taken;
        deserialize_option() Taken;
        deserialize_unit() Taken;
        deserialize_unit_struct(name: &'static str) Taken;
        deserialize_newtype_struct(name: &'static str) Taken;
        deserialize_seq() Taken;
        deserialize_tuple(length: usize) Taken;
        deserialize_tuple_struct(name: &'static str, length: usize) Taken;
        deserialize_map() Taken;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) Refused;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) Taken;
        deserialize_identifier() Taken;
        deserialize_ignored_any() Taken;
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visited {
    ($($method:ident($($argument:ident: $type:ty)?);)*) => {
        $(fn $method<E: Error>(self, $($argument: $type)?) -> Result<V::Value, E> {
            self.visitor.$method($($argument)?)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Shaping<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.array {
            Array::Taken => self.visitor.expecting(f),
            Array::Refused => f.write_str("an object"),
        }
    }

    visited! {
        visit_bool(value: bool);
        visit_i8(value: i8);
        visit_i16(value: i16);
        visit_i32(value: i32);
        visit_i64(value: i64);
        visit_i128(value: i128);
        visit_u8(value: u8);
        visit_u16(value: u16);
        visit_u32(value: u32);
        visit_u64(value: u64);
        visit_u128(value: u128);
        visit_f32(value: f32);
        visit_f64(value: f64);
        visit_char(value: char);
        visit_str(value: &str);
        visit_borrowed_str(value: &'de str);
        visit_string(value: String);
        visit_bytes(value: &[u8]);
        visit_borrowed_bytes(value: &'de [u8]);
        visit_byte_buf(value: Vec<u8>);
        visit_none();
        visit_unit();
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Shaped::at(deserializer, self.at, self.marks))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Shaped::at(deserializer, self.at, self.marks))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        match self.array {
            Array::Taken => self.visitor.visit_seq(Elements::new(access, self.at, self.marks)),
            Array::Refused => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(match self.array {
            Array::Taken => Members::of_map(access, self.at, self.marks),
            Array::Refused => Members::of_struct(access, self.at, self.marks),
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(access)
    }
}
