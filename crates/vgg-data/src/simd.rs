//! Loops over pixels, compiled for newer processors, too.
//!
//! The program is built for all of an architecture, whose oldest processors cannot move bytes about in
//! a register. Whole numbers are computed with here, so that results are the same.

/// A function that is compiled for AVX2 as well, which is used where the processor has it. What its
/// body calls is, too, where it is inlined.
macro_rules! dispatched {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn portable($($arg: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($arg: $type),*) $(-> $result)? {
                portable($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                #[allow(unsafe_code)]
                return unsafe { avx2($($arg),*) };
            }
            portable($($arg),*)
        }
    };
}

/// Asks for bytes that will be read soon, on processors that can be asked.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8]) {
    /// Bytes that come from memory together.
    const CACHE_LINE: usize = 64;
    for line in bytes.chunks(CACHE_LINE) {
        prefetch_line(line.as_ptr());
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch_line(p: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: it reads nothing, and all x86-64 processors have it.
    #[allow(unsafe_code)]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn prefetch_line(p: *const u8) {
    // SAFETY: it reads nothing, and all 64-bit ARM processors have it.
    #[allow(unsafe_code)]
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{p}]",
            p = in(reg) p,
            options(readonly, nostack, preserves_flags),
        );
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(always)]
fn prefetch_line(_: *const u8) {}

pub(crate) use dispatched;
