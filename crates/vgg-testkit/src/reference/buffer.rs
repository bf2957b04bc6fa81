//! The reference backend's memory.

/// Numbers in PyTorch's order, or bytes.
#[derive(Clone, Debug)]
pub enum Buffer<T> {
    /// What every content but bytes is kept as.
    Numbers(Vec<T>),
    /// Pixels, labels, `aux`.
    Bytes(Vec<u8>),
}

impl<T> Buffer<T> {
    /// The first `len` numbers.
    ///
    /// # Panics
    /// If it has fewer, or holds bytes.
    #[track_caller]
    pub fn numbers(&self, len: usize) -> &[T] {
        match self {
            Self::Numbers(numbers) => &numbers[..len],
            Self::Bytes(_) => panic!("a buffer of bytes where one of numbers is needed"),
        }
    }

    /// The first `len` numbers, to be written.
    ///
    /// # Panics
    /// If it has fewer, or holds bytes.
    #[track_caller]
    pub fn numbers_mut(&mut self, len: usize) -> &mut [T] {
        match self {
            Self::Numbers(numbers) => &mut numbers[..len],
            Self::Bytes(_) => panic!("a buffer of bytes where one of numbers is needed"),
        }
    }

    /// The first `len` bytes.
    ///
    /// # Panics
    /// If it has fewer, or holds numbers.
    #[track_caller]
    pub fn bytes(&self, len: usize) -> &[u8] {
        match self {
            Self::Bytes(bytes) => &bytes[..len],
            Self::Numbers(_) => panic!("a buffer of numbers where one of bytes is needed"),
        }
    }

    /// The first `len` bytes, to be written.
    ///
    /// # Panics
    /// If it has fewer, or holds numbers.
    #[track_caller]
    pub fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        match self {
            Self::Bytes(bytes) => &mut bytes[..len],
            Self::Numbers(_) => panic!("a buffer of numbers where one of bytes is needed"),
        }
    }
}
