//! Digests as text.

/// Bytes as two lower-case hexadecimal digits each, as digests are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_a_byte() {
        assert_eq!(hex(&[0, 10, 0xC5, 255]), "000ac5ff");
    }
}
