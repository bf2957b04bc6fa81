//! Words of a command line, in commands that a message suggests.

use std::ffi::OsStr;

/// A path or a value as one word, which a shell takes as it is: quoted where it has to be. What is no text
/// has marks in the places of what cannot be shown.
pub(crate) fn word(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    // What parts the folders of a path on Windows is what quotes elsewhere.
    let others = if cfg!(windows) { "_-./=:,@%+\\" } else { "_-./=:,@%+" };
    let plain = |c: char| c.is_alphanumeric() || others.contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.into_owned(),
        false => quoted(&word),
    }
}

fn quoted(word: &str) -> String {
    match cfg!(windows) {
        true => format!("\"{word}\""),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_part_or_change_them() {
        for plain in ["runs/a-1", "/tmp/x_2/best.safetensors", "lr=0.05", "Überblick/été"] {
            assert_eq!(word(plain), plain);
        }
        assert_eq!(word("my run/a-1"), "'my run/a-1'");
        assert_eq!(word("it's"), r"'it'\''s'");
        for special in ["~", "a*b", "$HOME", "a;b", "a(1)", "a&b", "!x", "", "a\\b", "a\nb", "#a"] {
            assert_eq!(word(special), format!("'{special}'"));
        }
    }
}
