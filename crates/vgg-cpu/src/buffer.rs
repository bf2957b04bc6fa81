//! Memory of the CPU backend.

use std::fmt;
use std::mem::take;
use std::sync::{Mutex, OnceLock};

use memmap2::MmapMut;
use vgg_tensor::{Error, Result};

use crate::format::Format;

/// Numbers in a cache line.
pub(crate) const LINE: usize = 16;

/// A vector of numbers (or bytes) in pages of its own, huge ones where the system has them: sweeps
/// over hundreds of megabytes would otherwise spend much of their time on address translation.
#[derive(Default)]
pub(crate) struct AlignedVec(Option<MmapMut>);

impl AlignedVec {
    /// Bytes that room for `len` numbers takes.
    pub(crate) fn bytes_for(len: usize) -> usize {
        const PAGE: usize = 4096;
        (len.max(1) * size_of::<f32>()).next_multiple_of(PAGE)
    }

    /// Room for at least `len` numbers, all zero. Pages are only touched when they are first used.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let bytes = Self::bytes_for(len);
        let map =
            MmapMut::map_anon(bytes).map_err(|_| Error::OutOfMemory { bytes: bytes as u64 })?;
        #[cfg(target_os = "linux")]
        if let Err(error) = map.advise(memmap2::Advice::HugePage) {
            log::debug!("no huge pages: {error}");
        }
        Ok(Self(Some(map)))
    }

    /// Makes room for at least `len` numbers. What it held is lost if it has to grow.
    pub(crate) fn reserve(&mut self, len: usize) -> Result<()> {
        if self.as_f32().len() < len {
            self.0 = None;
            *self = Self::zeroed(len)?;
        }
        Ok(())
    }

    /// Numbers that pieces of the given lengths take together, for [`AlignedVec::split`].
    pub(crate) fn len_of<const N: usize>(lens: [usize; N]) -> usize {
        lens.iter().map(|len| len.next_multiple_of(LINE)).sum()
    }

    /// Cuts the memory into pieces of the given lengths, each starting at a cache line.
    ///
    /// # Panics
    /// If there is less than [`AlignedVec::len_of`] them.
    pub(crate) fn split<const N: usize>(&mut self, lens: [usize; N]) -> [&mut [f32]; N] {
        let mut rest = self.as_f32_mut();
        lens.map(|len| {
            let piece = rest.split_off_mut(..len.next_multiple_of(LINE));
            &mut piece.expect("room was made for all pieces")[..len]
        })
    }

    pub(crate) fn as_f32(&self) -> &[f32] {
        self.0.as_deref().map(bytemuck::cast_slice).unwrap_or_default()
    }

    pub(crate) fn as_f32_mut(&mut self) -> &mut [f32] {
        self.0.as_deref_mut().map(bytemuck::cast_slice_mut).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

/// A buffer of [`crate::Cpu`].
///
/// Weights are needed in other forms, too (transformed, packed). Such a form is derived when it is
/// first asked for, and kept until the buffer is next written.
pub struct Buffer {
    data: AlignedVec,
    derived: [OnceLock<AlignedVec>; 2],
    /// Memory of derived forms that became stale, to be used again.
    stale: [Mutex<AlignedVec>; 2],
}

/// Which derived form of a weight.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// As the forward pass needs it.
    Forward,
    /// As the backward pass needs it.
    Backward,
}

impl Buffer {
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let data = AlignedVec::zeroed(len)?;
        Ok(Self { data, derived: Default::default(), stale: Default::default() })
    }

    /// The first `len` numbers.
    pub(crate) fn f32(&self, len: usize) -> &[f32] {
        &self.data.as_f32()[..len]
    }

    /// The first `len` numbers, to be written.
    pub(crate) fn f32_mut(&mut self, len: usize) -> &mut [f32] {
        self.forget_derived();
        &mut self.data.as_f32_mut()[..len]
    }

    /// The first `len` numbers of activations, or of their gradients.
    pub(crate) fn maps<F: Format>(&self, len: usize) -> &[F::Number] {
        &bytemuck::cast_slice(self.data.as_bytes())[..len]
    }

    /// The first `len` numbers of activations, or of their gradients, to be written.
    pub(crate) fn maps_mut<F: Format>(&mut self, len: usize) -> &mut [F::Number] {
        self.forget_derived();
        &mut bytemuck::cast_slice_mut(self.data.as_bytes_mut())[..len]
    }

    /// The first `len` bytes.
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        &self.data.as_bytes()[..len]
    }

    /// The first `len` bytes, to be written.
    pub(crate) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        self.forget_derived();
        &mut self.data.as_bytes_mut()[..len]
    }

    /// A derived form of `len` numbers, made by `fill` unless it is there already.
    pub(crate) fn derived(
        &self,
        form: Form,
        len: usize,
        fill: impl FnOnce(&mut [f32]),
    ) -> Result<&[f32]> {
        let place = &self.derived[form as usize];
        let made = match place.get() {
            Some(made) => made,
            None => {
                let stale = &self.stale[form as usize];
                let mut vec = take(&mut *stale.lock().expect("no holder of this lock panics"));
                vec.reserve(len)?;
                fill(&mut vec.as_f32_mut()[..len]);
                place.get_or_init(|| vec)
            }
        };
        Ok(&made.as_f32()[..len])
    }

    fn forget_derived(&mut self) {
        for (derived, stale) in self.derived.iter_mut().zip(&mut self.stale) {
            if let Some(vec) = derived.take() {
                *stale.get_mut().expect("no holder of this lock panics") = vec;
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn data_bytes(&self) -> usize {
        self.data.as_bytes().len()
    }

    /// Bytes of derived forms, those that became stale included.
    #[cfg(test)]
    pub(crate) fn derived_bytes(&self) -> usize {
        let derived = self.derived.iter().filter_map(OnceLock::get).map(|vec| vec.as_bytes().len());
        let stale = self.stale.iter().map(|vec| vec.lock().unwrap().as_bytes().len());
        derived.chain(stale).sum()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.data.as_bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_forms_live_until_the_buffer_is_written() {
        let mut buffer = Buffer::zeroed(3).unwrap();
        buffer.f32_mut(3).copy_from_slice(&[1.0, 2.0, 3.0]);
        let double = |b: &Buffer| {
            let twice = b.f32(3).iter().map(|x| 2.0 * x).collect::<Vec<_>>();
            b.derived(Form::Forward, 3, |out| out.copy_from_slice(&twice)).unwrap().to_vec()
        };
        assert_eq!(double(&buffer), [2.0, 4.0, 6.0]);
        let untouched = buffer.derived(Form::Forward, 3, |_| panic!("made twice")).unwrap();
        assert_eq!(untouched, [2.0, 4.0, 6.0]);
        buffer.f32_mut(3)[0] = 5.0;
        assert_eq!(double(&buffer), [10.0, 4.0, 6.0]);
    }

    #[test]
    fn memory_of_derived_forms_is_used_again() {
        let mut buffer = Buffer::zeroed(3).unwrap();
        let (small, large) = (AlignedVec::bytes_for(5), AlignedVec::bytes_for(5000));
        for _ in 0..3 {
            buffer.derived(Form::Backward, 5000, |_| {}).unwrap();
            buffer.derived(Form::Forward, 5, |_| {}).unwrap();
            assert_eq!(buffer.derived_bytes(), small + large);
            buffer.forget_derived();
        }
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        assert!(matches!(Buffer::zeroed(1 << 60), Err(Error::OutOfMemory { .. })));
        let derived = Buffer::zeroed(1).unwrap();
        let derived = derived.derived(Form::Forward, 1 << 60, |_| {});
        assert!(matches!(derived, Err(Error::OutOfMemory { .. })));
    }
}
