//! Protocol buffers, as far as writing them goes.
//!
//! A message is its fields one after another: a tag of number and wire type, then a value. A
//! program that generates code from ONNX's schema would bring hundreds of types for the ten that a
//! VGG takes.

/// A message.
#[derive(Debug, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    /// With a whole number.
    pub(super) fn int(mut self, field: u64, value: i64) -> Self {
        self.tag(field, VARINT);
        self.varint(value as u64);
        self
    }

    /// With several whole numbers.
    pub(super) fn ints(self, field: u64, values: impl IntoIterator<Item = i64>) -> Self {
        values.into_iter().fold(self, |message, value| message.int(field, value))
    }

    pub(super) fn float(mut self, field: u64, value: f32) -> Self {
        self.tag(field, FIXED_32);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn text(self, field: u64, value: &str) -> Self {
        self.delimited(field, value.as_bytes())
    }

    pub(super) fn raw(self, field: u64, value: &[u8]) -> Self {
        self.delimited(field, value)
    }

    pub(super) fn message(self, field: u64, value: Message) -> Self {
        self.delimited(field, &value.bytes)
    }

    fn delimited(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.open(field, value.len() as u64);
        message.bytes.extend(value);
        message
    }

    /// With the beginning of a field whose `len` bytes follow elsewhere.
    pub(super) fn open(mut self, field: u64, len: u64) -> Self {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(len);
        self
    }

    /// With the fields of another message.
    pub(super) fn then(mut self, other: Message) -> Self {
        self.bytes.extend(other.bytes);
        self
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn tag(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of protocol buffers' own documentation.
    #[test]
    fn documented_encodings() {
        assert_eq!(Message::default().int(1, 150).bytes(), [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing");
        assert_eq!(text.bytes(), b"\x12\x07testing");
        let inner = Message::default().int(1, 150);
        let outer = Message::default().message(3, inner);
        assert_eq!(outer.bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::default().float(2, 1.0).bytes(), [0x15, 0, 0, 0x80, 0x3f]);
        let minus_two = Message::default().int(1, -2);
        assert_eq!(minus_two.bytes(), b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }
}
