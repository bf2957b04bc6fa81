//! Pointers from C.

use std::ffi::{CStr, c_char};

/// A handle, as C sees it: a number in place of a pointer, so that a stale one is found, not followed.
pub(crate) type Handle = usize;

/// Where a result goes.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Writes it, or says that there is nowhere to.
    pub(crate) fn put(self, value: T) -> Option<()> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: it comes from a caller who, by the C interface, gives a place for a `T` or null.
        unsafe { self.0.write(value) };
        Some(())
    }

    /// Writes several, which the caller has room for.
    pub(crate) fn put_all(self, values: impl IntoIterator<Item = T>) -> Option<()> {
        if self.0.is_null() {
            return None;
        }
        for (i, value) in values.into_iter().enumerate() {
            // SAFETY: as above, for as many as the caller said.
            unsafe { self.0.add(i).write(value) };
        }
        Some(())
    }
}

/// Memory of the host.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Host(*mut u8);

// SAFETY: it is an address; those who use it say when.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }

    /// A copy of its first bytes.
    pub(crate) fn read(self, len: usize) -> Vec<u8> {
        // SAFETY: a caller of a copy gives as many bytes, until the copy is done.
        unsafe { std::slice::from_raw_parts(self.0, len) }.to_vec()
    }

    /// Writes its first bytes.
    pub(crate) fn write(self, bytes: &[u8]) {
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0, bytes.len()) };
    }

    /// The `f32` there: a scalar of a product. Nothing for null.
    pub(crate) fn f32(self) -> Option<f32> {
        if self.0.is_null() {
            return None;
        }
        Some(f32::from_ne_bytes(self.read(4).try_into().ok()?))
    }

    /// The pointers there, of a kernel's parameters, each to as many bytes as `sizes` has.
    pub(crate) fn parameters(self, sizes: &[usize]) -> Vec<Vec<u8>> {
        let pointers = self.0.cast::<Host>();
        // SAFETY: a launch comes with a pointer for each of the kernel's parameters.
        let pointers = (0..sizes.len()).map(|i| unsafe { pointers.add(i).read_unaligned() });
        pointers.zip(sizes).map(|(pointer, size)| pointer.read(*size)).collect()
    }
}

/// A string from C. Nothing for null or other than UTF-8.
pub(crate) fn string(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the C interface has strings end with a zero.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().ok().map(str::to_owned)
}
