//! Config errors in the user's words: what was found, what is expected, and where.

use std::ops::Range;

use toml::de::DeTable;

use super::nearest::nearest;
use super::overrides::Override;
use crate::failure::{Code, Failure};

/// A message, and what to do about it.
type Problem = (String, Option<String>);

/// An error at `span` of the file, with the line itself below the message.
pub(super) fn in_file(
    path: &str,
    text: &str,
    span: Option<Range<usize>>,
    (message, help): Problem,
) -> Failure {
    let message = match span {
        None => format!("{path}: {message}"),
        Some(span) => {
            let start = span.start.min(text.len());
            let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
            let line = text[line_start..].lines().next().unwrap_or_default();
            let number = text[..line_start].matches('\n').count() + 1;
            let indent = text[line_start..start].chars().count();
            let marked = text.get(start..span.end.min(line_start + line.len())).unwrap_or_default();
            let (gutter, marks) = (" ".repeat(number.to_string().len()), marked.chars().count());
            let carets = "^".repeat(marks.max(1));
            format!(
                "{path}:{number}: {message}\n{gutter} |\n{number} | {line}\n{gutter} | {:indent$}{carets}",
                ""
            )
        }
    };
    Failure { code: Code::Usage, message, help }
}

/// An error of a value that did not come from the file.
pub(super) fn in_override(set: &Override, (message, help): Problem) -> Failure {
    Failure { code: Code::Usage, message: format!("{}: {message}", set.origin), help }
}

/// Where the value of `key` stands in the file.
pub(super) fn locate(text: &str, key: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut path = key.split('.');
    let first = document.get_ref().get(path.next()?)?;
    let value = path.try_fold(first, |value, key| value.get_ref().get(key))?;
    Some(value.span())
}

/// TOML's whole numbers have 64 bits, with a sign.
const TOO_LARGE: &str = "whole numbers go up to 9223372036854775807";

/// Puts serde's message into the words of someone who writes a config.
///
/// Serde reports through text alone; the forms below are those of its derive macros, and the tests
/// of [`mod@super::load`] hold them.
pub(super) fn deserialize_problem(message: &str) -> Problem {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, Some((key, known))) = (message.starts_with("unknown field"), quoted.split_first())
    {
        return (format!("unknown key `{key}`"), Some(suggest(key, known)));
    }
    if let (true, Some((value, known))) =
        (message.starts_with("unknown variant"), quoted.split_first())
    {
        return (format!("unknown value \"{value}\""), Some(suggest(value, known)));
    }
    let parts = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    let too_large = |found: &str| {
        let number = found.starts_with("integer").then(|| found.split('`').nth(1)).flatten();
        number.and_then(|n| n.parse().ok()).is_some_and(|n: i128| n > i64::MAX.into())
    };
    match parts {
        _ if message.starts_with("u64 value was too large") => (TOO_LARGE.into(), None),
        Some((found, _)) if too_large(found) => (TOO_LARGE.into(), None),
        Some((found, expected)) => {
            (format!("expected {}, found {}", plain_type(expected), plain_found(found)), None)
        }
        None => (message.trim_end().replace('\n', ", "), None),
    }
}

/// Rust's names of types are not the user's.
fn plain_type(expected: &str) -> &str {
    match expected {
        "u64" | "usize" | "u32" => "a whole number from 0 on",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list, as in [0.5]",
        "path string" => "a string",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

fn plain_found(found: &str) -> String {
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    match kind {
        "string" => format!("the string {value}"),
        "integer" | "floating" => format!("the number {}", quoted_or(value)),
        "boolean" => quoted_or(value).to_owned(),
        "sequence" => "a list".into(),
        "map" => "a table".into(),
        _ => found.to_owned(),
    }
}

/// What stands between backticks, or all of it.
fn quoted_or(text: &str) -> &str {
    text.split('`').nth(1).unwrap_or(text)
}

/// The nearest of the known words, or all of them where none is near.
fn suggest(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("it can be {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near_or_complete() {
        assert_eq!(suggest("batchsize", &["epochs", "batch_size"]), "did you mean `batch_size`?");
        assert_eq!(suggest("zzz", &["lr", "momentum"]), "it can be lr, momentum");
    }
}
