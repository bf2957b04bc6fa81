//! Protocol buffers, as far as writing them goes: ONNX's files and TensorBoard's are made of them.
//!
//! A message is its fields one after another: a tag of number and wire type, then a value. A
//! program that generates code from a schema would bring hundreds of types for the ten that a file
//! takes.
//!
//! ```
//! use vgg_tensor::protobuf::Message;
//! let point = Message::default().int(1, 150).text(2, "a");
//! assert_eq!(point.bytes(), [0x08, 0x96, 0x01, 0x12, 0x01, b'a']);
//! ```

/// A message, made of fields by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
}

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    /// With a whole number.
    #[must_use]
    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.tag(field, VARINT);
        self.varint(value as u64);
        self
    }

    /// With several whole numbers.
    #[must_use]
    pub fn ints(self, field: u64, values: impl IntoIterator<Item = i64>) -> Self {
        values.into_iter().fold(self, |message, value| message.int(field, value))
    }

    /// With a number of 32 bits.
    #[must_use]
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.tag(field, FIXED_32);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// With a number of 64 bits.
    #[must_use]
    pub fn double(mut self, field: u64, value: f64) -> Self {
        self.tag(field, FIXED_64);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// With a string.
    #[must_use]
    pub fn text(self, field: u64, value: &str) -> Self {
        self.delimited(field, value.as_bytes())
    }

    /// With bytes.
    #[must_use]
    pub fn raw(self, field: u64, value: &[u8]) -> Self {
        self.delimited(field, value)
    }

    /// With another message.
    #[must_use]
    pub fn message(self, field: u64, value: Message) -> Self {
        self.delimited(field, &value.bytes)
    }

    fn delimited(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.open(field, value.len() as u64);
        message.bytes.extend(value);
        message
    }

    /// With the beginning of a field whose `len` bytes follow elsewhere.
    #[must_use]
    pub fn open(mut self, field: u64, len: u64) -> Self {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(len);
        self
    }

    /// With the fields of another message.
    #[must_use]
    pub fn then(mut self, other: Message) -> Self {
        self.bytes.extend(other.bytes);
        self
    }

    /// Bytes of its fields.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its fields, as they are written.
    pub fn bytes(&self) -> &[u8] {
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
        assert_eq!(Message::default().double(1, 1.0).bytes(), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        let minus_two = Message::default().int(1, -2);
        assert_eq!(minus_two.bytes(), b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }
}
