//! A kernel with its arguments.

use std::ffi::c_void;

/// An address in device memory: any pointer of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Address(pub u64);

impl Address {
    /// No memory, where a kernel takes it for "none".
    pub const NULL: Self = Self(0);

    /// As libraries take it.
    pub fn as_ptr(self) -> *const c_void {
        std::ptr::without_provenance(self.0 as usize)
    }

    /// The address so many bytes further.
    pub const fn add(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// A tensor that an optimiser updates: [`crate::SGD`] and [`crate::ADAMW`] say what is where.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the modules say it")]
pub struct Update {
    pub weight: Address,
    pub dweight: Address,
    pub first: Address,
    pub second: Address,
    pub copy: Address,
    pub len: u64,
    pub rate: f32,
    pub weight_decay: f32,
}

/// The tensors of a launch, those that count first.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Updates([Update; Self::MOST]);

impl Updates {
    /// The most of a launch.
    pub const MOST: usize = 64;

    /// Those, and empty ones behind them.
    ///
    /// # Panics
    /// If they are more than [`Updates::MOST`].
    pub fn new(updates: &[Update]) -> Self {
        let none = Update {
            weight: Address::NULL,
            dweight: Address::NULL,
            first: Address::NULL,
            second: Address::NULL,
            copy: Address::NULL,
            len: 0,
            rate: 0.0,
            weight_decay: 0.0,
        };
        let mut all = [none; Self::MOST];
        all[..updates.len()].copy_from_slice(updates);
        Self(all)
    }
}

/// A kernel with its arguments, which have the names and the types of its parameters.
pub trait Kernel {
    /// Its name. One that ends with `_T` exists for several types.
    const NAME: &'static str;

    /// Calls `launch` with a pointer to each argument, in the order of the parameters. The pointers are
    /// valid for the call; nobody writes through them.
    fn with_pointers<R>(&self, launch: impl FnOnce(&mut [*mut c_void]) -> R) -> R;
}

/// Kernels: `Name = "name_T" { parameter: Type, … }`.
macro_rules! kernels {
    ($($kernel:ident = $name:literal { $($parameter:ident: $type:ty,)* })*) => {$(
        #[doc = concat!("`", $name, "`.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $kernel {
            $(#[doc = concat!("Parameter `", stringify!($parameter), "` of the kernel.")]
            pub $parameter: $type,)*
        }

        impl $crate::Kernel for $kernel {
            const NAME: &'static str = $name;

            fn with_pointers<R>(
                &self,
                launch: impl FnOnce(&mut [*mut std::ffi::c_void]) -> R,
            ) -> R {
                launch(&mut [$((&raw const self.$parameter).cast_mut().cast()),*])
            }
        }
    )*};
}
pub(crate) use kernels;
