//! The fundamental types and state spaces of PTX.

/// A type suffix such as `.u32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Pred,
    B8,
    B16,
    B32,
    B64,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    F32,
    F64,
}

impl Type {
    /// The type of a suffix without its dot.
    pub(crate) fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "pred" => Self::Pred,
            "b8" => Self::B8,
            "b16" => Self::B16,
            "b32" => Self::B32,
            "b64" => Self::B64,
            "u8" => Self::U8,
            "u16" => Self::U16,
            "u32" => Self::U32,
            "u64" => Self::U64,
            "s8" => Self::S8,
            "s16" => Self::S16,
            "s32" => Self::S32,
            "s64" => Self::S64,
            "f16" => Self::F16,
            "f16x2" => Self::F16x2,
            "bf16" => Self::Bf16,
            "bf16x2" => Self::Bf16x2,
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => return None,
        })
    }

    /// Size in memory.
    #[inline]
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Pred | Self::B8 | Self::U8 | Self::S8 => 1,
            Self::B16 | Self::U16 | Self::S16 | Self::F16 | Self::Bf16 => 2,
            Self::B32 | Self::U32 | Self::S32 | Self::F32 | Self::F16x2 | Self::Bf16x2 => 4,
            Self::B64 | Self::U64 | Self::S64 | Self::F64 => 8,
        }
    }

    #[inline]
    pub(crate) fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }

    #[inline]
    pub(crate) fn is_signed(self) -> bool {
        matches!(self, Self::S8 | Self::S16 | Self::S32 | Self::S64)
    }

    #[inline]
    pub(crate) fn is_float(self) -> bool {
        self.is_half() || matches!(self, Self::F32 | Self::F64)
    }

    /// The 16-bit floats, packed or not.
    #[inline]
    pub(crate) fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16) || self.is_packed()
    }

    /// Two 16-bit floats in 32 bits.
    pub(crate) fn is_packed(self) -> bool {
        matches!(self, Self::F16x2 | Self::Bf16x2)
    }

    /// The bits of a register that belong to this type.
    #[inline]
    pub(crate) fn truncate(self, value: u64) -> u64 {
        match self.bytes() {
            1 => value as u8 as u64,
            2 => value as u16 as u64,
            4 => value as u32 as u64,
            _ => value,
        }
    }

    /// The register's value as this integer type, extended to 64 bits by its sign if it has one.
    #[inline]
    pub(crate) fn extend(self, value: u64) -> u64 {
        match self {
            Self::S8 => value as i8 as i64 as u64,
            Self::S16 => value as i16 as i64 as u64,
            Self::S32 => value as i32 as i64 as u64,
            _ => self.truncate(value),
        }
    }

    /// The register's value as this integer type.
    #[inline]
    pub(crate) fn integer(self, value: u64) -> i128 {
        let value = self.extend(value);
        if self.is_signed() { i128::from(value as i64) } else { i128::from(value) }
    }
}

/// Where an address points. Addresses of `shared`, `local` and `param` count from 0; `cvta` adds
/// their window to make a generic address. `global` and `const` addresses are generic already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Const,
    Shared,
    Local,
    Param,
}

const WINDOW_BITS: u32 = 58;

impl Space {
    pub(crate) fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "global" => Self::Global,
            "const" => Self::Const,
            "shared" | "shared::cta" => Self::Shared,
            "local" => Self::Local,
            "param" | "param::entry" | "param::func" => Self::Param,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Global => "global",
            Self::Const => "const",
            Self::Shared => "shared",
            Self::Local => "local",
            Self::Param => "param",
        }
    }

    /// Where the space begins among generic addresses: 0 where both are the same.
    pub(crate) fn window(self) -> u64 {
        match self {
            Self::Generic | Self::Global | Self::Const => 0,
            Self::Shared => 1 << WINDOW_BITS,
            Self::Local => 2 << WINDOW_BITS,
            Self::Param => 3 << WINDOW_BITS,
        }
    }

    /// First address of the module's constants, and of its global variables.
    pub(crate) const CONSTANTS: u64 = 4 << WINDOW_BITS;
    pub(crate) const GLOBALS: u64 = 5 << WINDOW_BITS;

    /// The space that a generic address belongs to, and the address there.
    #[inline]
    pub(crate) fn of_generic(address: u64) -> (Self, u64) {
        let offset = address & ((1 << WINDOW_BITS) - 1);
        match address >> WINDOW_BITS {
            1 => (Self::Shared, offset),
            2 => (Self::Local, offset),
            3 => (Self::Param, offset),
            4 => (Self::Const, address),
            _ => (Self::Global, address),
        }
    }
}
