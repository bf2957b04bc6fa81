//! Keys that a JSON object has twice, which readers resolve as they like: two of them could see
//! different tensors in one file.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

/// The first key that the object `json` has twice, shortened to be printed.
pub(super) fn repeated_key(json: &[u8]) -> Option<String> {
    let mut repeated = None;
    // What is no object has no keys; that it is none, others tell.
    let _ = serde_json::Deserializer::from_slice(json).deserialize_map(Keys(&mut repeated));
    repeated
}

struct Keys<'a>(&'a mut Option<String>);

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
            if let Some(key) = seen.replace(key) {
                *self.0 = Some(key.chars().take(80).collect());
                return Err(A::Error::custom("a key is there twice"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_the_object_itself_count() {
        let repeated = |json: &str| repeated_key(json.as_bytes());
        assert_eq!(repeated(r#"{"a":{"b":1},"c":{"b":[2]}}"#), None);
        assert_eq!(repeated(r#"{"a":{"b":1},"c":2,"\u0061":3}"#), Some("a".into()));
        assert_eq!(repeated("[1]"), None);
    }
}
