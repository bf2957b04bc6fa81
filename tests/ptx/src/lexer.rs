//! Text → tokens.
//!
//! A dot belongs to its word: `ld.global.f32`, `%tid.x` and `.reg` are one token each, because PTX
//! gives them meaning only as a whole.

use crate::ParseError;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    /// An integer, or the bits of a float written as `0f…` or `0d…`.
    Number(u64),
    /// A string, or a decimal fraction: a version, and nothing that compilers write as a value.
    Text(&'a str),
    Punct(char),
}

/// Each token with its line.
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token<'_>, u32)>, ParseError> {
    let bytes = text.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"_$.%:".contains(&b);
    let mut out = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < bytes.len() {
        let start = i;
        match bytes[i] {
            b'\n' => {
                line += 1;
                i += 1;
            }
            b if b.is_ascii_whitespace() || b == 0 => i += 1,
            b'/' if bytes.get(i + 1) == Some(&b'/') => {
                i += bytes[i..].iter().position(|&b| b == b'\n').unwrap_or(bytes.len() - i);
            }
            b'/' if bytes.get(i + 1) == Some(&b'*') => {
                let len = text[i..]
                    .find("*/")
                    .ok_or_else(|| ParseError::new(line, "comment without an end"))?;
                line += text[i..i + len].matches('\n').count() as u32;
                i += len + 2;
            }
            b'"' => {
                let len = text[i + 1..]
                    .find('"')
                    .ok_or_else(|| ParseError::new(line, "string without an end"))?;
                out.push((Token::Text(&text[i + 1..i + 1 + len]), line));
                i += len + 2;
            }
            b'0'..=b'9' => {
                while i < bytes.len() && (bytes[i].is_ascii_alphanumeric() || bytes[i] == b'.') {
                    i += 1;
                }
                let word = &text[start..i];
                if word.contains('.') {
                    out.push((Token::Text(word), line));
                    continue;
                }
                let value = number(word).ok_or_else(|| {
                    ParseError::new(line, format!("`{word}` is not an integer, 0f… or 0d…"))
                })?;
                out.push((Token::Number(value), line));
            }
            b if is_word(b) && b != b':' => {
                while i < bytes.len() && is_word(bytes[i]) {
                    // `shared::cta` is a word, `label:` is not.
                    if bytes[i] == b':' {
                        if bytes.get(i + 1) != Some(&b':') {
                            break;
                        }
                        i += 1;
                    }
                    i += 1;
                }
                out.push((Token::Word(&text[start..i]), line));
            }
            b if b",;:{}[]()<>=+-|!@".contains(&b) => {
                out.push((Token::Punct(b as char), line));
                i += 1;
            }
            _ => {
                let c = text[i..].chars().next().unwrap_or('?');
                return Err(ParseError::new(line, format!("unexpected character {c:?}")));
            }
        }
    }
    Ok(out)
}

fn number(word: &str) -> Option<u64> {
    let word = word.strip_suffix('U').unwrap_or(word);
    let prefixed = |radix| u64::from_str_radix(word.get(2..)?, radix).ok();
    match word.get(..2) {
        Some("0f" | "0F") if word.len() == 10 => prefixed(16),
        Some("0d" | "0D") if word.len() == 18 => prefixed(16),
        Some("0x" | "0X") => prefixed(16),
        Some("0b" | "0B") => prefixed(2),
        Some(octal) if octal.starts_with('0') => u64::from_str_radix(word, 8).ok(),
        _ => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Token, tokens};

    #[test]
    fn words_numbers_and_lines() {
        let got = tokens("@!%p1 bra $L_1; // no\n/* \n */ $L_1: ld.shared::cta.f32 %f<3>, 0f3F800000, 0x1F, 017, 4U").unwrap();
        let words: Vec<_> = got.iter().map(|(token, _)| *token).collect();
        use Token::{Number, Punct, Word};
        assert_eq!(
            words,
            [
                Punct('@'),
                Punct('!'),
                Word("%p1"),
                Word("bra"),
                Word("$L_1"),
                Punct(';'),
                Word("$L_1"),
                Punct(':'),
                Word("ld.shared::cta.f32"),
                Word("%f"),
                Punct('<'),
                Number(3),
                Punct('>'),
                Punct(','),
                Number(0x3F80_0000),
                Punct(','),
                Number(31),
                Punct(','),
                Number(15),
                Punct(','),
                Number(4),
            ]
        );
        assert_eq!(got[5].1, 1);
        assert_eq!(got[6].1, 3);
    }

    #[test]
    fn errors_have_lines() {
        assert_eq!(
            tokens("a\nb #").unwrap_err().to_string(),
            "PTX line 2: unexpected character '#'"
        );
        assert_eq!(tokens("\n\n12z").unwrap_err().line, 3);
        assert_eq!(tokens("/* x").unwrap_err().message, "comment without an end");
    }
}
