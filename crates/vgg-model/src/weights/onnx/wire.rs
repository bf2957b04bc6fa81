//! The fields of a protocol buffer in a file, read by place.

use std::ops::Range;

use vgg_tensor::Result;

use crate::weights::source::Source;

/// Bytes that are read at once.
const WINDOW: u64 = 1 << 14;
/// A whole number takes up to so many bytes.
const MAX_VARINT: usize = 10;
/// Dimensions of a tensor, inputs of an operator and the like are not more.
const MOST: usize = 64;
/// A name or other text has fewer bytes.
const MAX_TEXT: u64 = 1 << 20;

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(u64),
    Float(f32),
    /// A number of 64 bits, of which no field that is read here is one.
    Double,
    /// A text, a message or packed numbers: the bytes in the file.
    Bytes(Range<u64>),
}

impl Value {
    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value as i64),
            _ => None,
        }
    }

    pub(super) fn float(&self) -> Option<f32> {
        match self {
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> Option<Range<u64>> {
        match self {
            Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

/// The fields of the message that is these bytes of the file, each with its number.
pub(super) struct Fields<'a> {
    source: &'a Source,
    /// What is left of the message.
    rest: Range<u64>,
    /// Bytes from the beginning of `rest` on.
    window: Vec<u8>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(source: &'a Source, message: Range<u64>) -> Self {
        Self { source, rest: message, window: vec![] }
    }

    fn damaged<T>(&self) -> Result<T> {
        Err(self.source.error(format!("damaged or cut short at byte {}", self.rest.start)))
    }

    /// Leaves out so many bytes.
    fn skip(&mut self, len: u64) {
        self.rest.start += len;
        let in_window = self.window.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        self.window.drain(..in_window);
    }

    /// Sees to it that the window has `len` bytes, or all that are left.
    fn look(&mut self, len: usize) -> Result<()> {
        let left = self.rest.end - self.rest.start;
        if self.window.len() < len && (self.window.len() as u64) < left {
            self.window = self.source.bytes(self.rest.start, left.min(WINDOW))?;
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64> {
        self.look(MAX_VARINT)?;
        let mut value = 0;
        for (i, byte) in self.window.iter().take(MAX_VARINT).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.skip(i as u64 + 1);
                return Ok(value);
            }
        }
        self.damaged()
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.look(N)?;
        let Some(bytes) = self.window.first_chunk::<N>().copied() else { return self.damaged() };
        self.skip(N as u64);
        Ok(bytes)
    }

    fn read(&mut self) -> Result<(u64, Value)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Int(self.varint()?),
            1 => {
                self.fixed::<8>()?;
                Value::Double
            }
            2 => {
                let len = self.varint()?;
                if len > self.rest.end - self.rest.start {
                    return self.damaged();
                }
                let start = self.rest.start;
                self.skip(len);
                Value::Bytes(start..start + len)
            }
            5 => Value::Float(f32::from_le_bytes(self.fixed()?)),
            _ => return self.damaged(),
        };
        Ok((tag >> 3, value))
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<(u64, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest.start = self.rest.end;
        }
        Some(field)
    }
}

/// The text that is these bytes.
pub(super) fn text(source: &Source, bytes: Range<u64>) -> Result<String> {
    let len = bytes.end - bytes.start;
    if len > MAX_TEXT {
        return Err(source.error(format!("a text in it has {len} bytes: damaged")));
    }
    let bytes = source.bytes(bytes.start, len)?;
    String::from_utf8(bytes).map_err(|_| source.error("a name in it is no text: damaged"))
}

/// Appends whole numbers, one in each field or packed into one.
pub(super) fn ints(source: &Source, value: &Value, to: &mut Vec<i64>) -> Result<()> {
    match value {
        Value::Int(value) => to.push(*value as i64),
        Value::Bytes(bytes) => {
            let mut fields = Fields::new(source, bytes.clone());
            while !fields.rest.is_empty() && to.len() <= MOST {
                to.push(fields.varint()? as i64);
            }
        }
        _ => return Err(source.error("a list of numbers in it is none: damaged")),
    }
    few(source, to)
}

/// Passes if a list is one that an operator or a tensor may have.
pub(super) fn few<T>(source: &Source, list: &[T]) -> Result<()> {
    match list.len() {
        0..=MOST => Ok(()),
        _ => Err(source.error("a list in it has more entries than any of a VGG")),
    }
}
