//! Names in one normal form.
//!
//! An é can be one code point or an e and an accent: Linux and Windows hand a name on as it was
//! typed, mostly composed (NFC), and file systems and archives of a Mac decompose it. Both look the
//! same and are the same name here, as Unicode Standard Annex 15 has it.

use std::borrow::Cow;
use std::collections::HashMap;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// `name` with its characters composed (NFC).
pub fn composed(name: &str) -> Cow<'_, str> {
    match is_nfc_quick(name.chars()) {
        IsNormalized::Yes => name.into(),
        _ => name.nfc().collect::<String>().into(),
    }
}

/// Whether two lists have the same names in the same order.
///
/// ```
/// let [one, other] = ["caf\u{e9}", "cafe\u{301}"].map(|name| [name.to_owned()]);
/// assert!(one != other && vgg_data::names::same(&one, &other));
/// ```
pub fn same(some: &[String], others: &[String]) -> bool {
    some.iter().map(|name| composed(name)).eq(others.iter().map(|name| composed(name)))
}

/// Pairs of names that differ in case, or in how their words are divided, alone: two spellings of one
/// name, most likely.
///
/// ```
/// let names = ["Golden Retriever", "golden_retriever", "poodle"].map(String::from);
/// let alike: Vec<_> = vgg_data::names::alike(&names).collect();
/// assert_eq!(alike, [("Golden Retriever", "golden_retriever")]);
/// ```
pub fn alike(names: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let mut first = HashMap::new();
    names.iter().filter_map(move |name| {
        let words = composed(name).to_lowercase().replace(['_', '-'], " ");
        let known = *first.entry(words).or_insert(name);
        (known != name).then_some((known.as_str(), name.as_str()))
    })
}
