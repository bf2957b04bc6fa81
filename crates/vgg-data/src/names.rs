//! Names in one normal form.
//!
//! An é can be one code point or an e and an accent: Linux and Windows hand a name on as it was
//! typed, mostly composed (NFC), and file systems and archives of a Mac decompose it. Both look the
//! same and are the same name here, as Unicode Standard Annex 15 has it.

use std::borrow::Cow;

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
