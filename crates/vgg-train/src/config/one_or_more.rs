//! Keys whose value is a list, or a number alone.

use std::fmt::Formatter;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, IntoDeserializer as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a list, or a number alone as a list of one.
pub(super) fn one_or_more<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Numbers<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Numbers<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number or a list of numbers")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vec<T>, E> {
            T::deserialize(number.into_deserializer()).map(|number| vec![number])
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Vec<T>, E> {
            T::deserialize(number.into_deserializer()).map(|number| vec![number])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }

    deserializer.deserialize_any(Numbers(PhantomData))
}
