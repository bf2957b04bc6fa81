//! The reference backend's memory.

use vgg_tensor::Content;

use crate::Real;

/// Bytes of memory that a number takes, in whatever type the reference computes.
pub(super) const NUMBER: usize = 4;

/// Numbers in PyTorch's order, or bytes.
///
/// What was allocated as bytes holds whichever was written last. There is nothing then where the
/// other kind was: numbers that are NaN, bytes that mean nothing.
#[derive(Clone, Debug)]
pub struct Buffer<T> {
    allocated: Content,
    held: Held<T>,
}

#[derive(Clone, Debug)]
enum Held<T> {
    Numbers(Vec<T>),
    Bytes(Vec<u8>),
}

impl<T: Real> Buffer<T> {
    /// A buffer of zeros.
    pub fn zeros(content: Content) -> Self {
        let held = match content {
            Content::Bytes(len) => Held::Bytes(vec![0; len]),
            _ => Held::Numbers(vec![T::default(); content.len()]),
        };
        Self { allocated: content, held }
    }

    /// The first `len` numbers.
    ///
    /// # Panics
    /// If it has fewer, or holds bytes.
    #[track_caller]
    pub fn numbers(&self, len: usize) -> &[T] {
        match &self.held {
            Held::Numbers(numbers) => &numbers[..len],
            Held::Bytes(_) => panic!("a buffer of bytes where one of numbers is needed"),
        }
    }

    /// The first `len` numbers, to be written.
    ///
    /// # Panics
    /// If there is no room for them.
    #[track_caller]
    pub fn numbers_mut(&mut self, len: usize) -> &mut [T] {
        if let Held::Bytes(bytes) = &self.held {
            self.held = Held::Numbers(vec![T::from(f32::NAN); bytes.len() / NUMBER]);
        }
        match &mut self.held {
            Held::Numbers(numbers) => &mut numbers[..len],
            Held::Bytes(_) => unreachable!("it was made to hold numbers"),
        }
    }

    /// The first `len` bytes.
    ///
    /// # Panics
    /// If it has fewer, or holds numbers.
    #[track_caller]
    pub fn bytes(&self, len: usize) -> &[u8] {
        match &self.held {
            Held::Bytes(bytes) => &bytes[..len],
            Held::Numbers(_) => panic!("a buffer of numbers where one of bytes is needed"),
        }
    }

    /// The first `len` bytes, to be written.
    ///
    /// # Panics
    /// If it has fewer, or was allocated for numbers.
    #[track_caller]
    pub fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        if let (Held::Numbers(_), Content::Bytes(room)) = (&self.held, self.allocated) {
            self.held = Held::Bytes(vec![0xFF; room]);
        }
        match &mut self.held {
            Held::Bytes(bytes) => &mut bytes[..len],
            Held::Numbers(_) => panic!("a buffer of numbers where one of bytes is needed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_numbers_and_bytes_again() {
        let mut buffer = Buffer::<f64>::zeros(Content::Bytes(11));
        assert!(buffer.numbers_mut(2).iter().all(|x| x.is_nan()));
        buffer.numbers_mut(2).fill(1.5);
        assert_eq!(buffer.numbers(2), [1.5; 2]);
        assert_eq!(buffer.bytes_mut(11), [0xFF; 11]);
        assert_eq!(buffer.bytes(11), [0xFF; 11]);
    }

    #[test]
    #[should_panic = "out of range"]
    fn a_number_takes_four_bytes() {
        Buffer::<f64>::zeros(Content::Bytes(11)).numbers_mut(3);
    }

    #[test]
    #[should_panic = "a buffer of bytes where one of numbers is needed"]
    fn bytes_are_not_read_as_numbers() {
        Buffer::<f32>::zeros(Content::Bytes(8)).numbers(1);
    }

    #[test]
    #[should_panic = "a buffer of numbers where one of bytes is needed"]
    fn numbers_are_not_read_as_bytes() {
        let mut buffer = Buffer::<f32>::zeros(Content::Bytes(8));
        buffer.numbers_mut(1);
        buffer.bytes(1);
    }

    #[test]
    #[should_panic = "a buffer of numbers where one of bytes is needed"]
    fn what_was_allocated_for_numbers_takes_no_bytes() {
        Buffer::<f32>::zeros(Content::Vector(2)).bytes_mut(1);
    }
}
