//! Decoded instructions: what the parser makes and the executor runs.
//!
//! Names are gone: a register is an index into the frame, a label an index into the code.

use crate::types::{Space, Type};

/// Index of a register in its function's frame.
pub(crate) type Reg = u32;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operand {
    Reg(Reg),
    Imm(u64),
    /// Address of a variable in the frame's local memory.
    Local(u32),
    /// Address of a variable in the frame's parameters.
    Param(u32),
    Special(Special),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NwarpId,
    LaneMask(LaneMask),
    Clock,
    /// First address behind the static shared variables: that of `extern __shared__`.
    DynamicShared,
    DynamicSharedBytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneMask {
    Eq,
    Le,
    Lt,
    Ge,
    Gt,
}

#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub(crate) line: u32,
    /// Execute only if the predicate differs from the flag: `@p` is `(p, false)`, `@!p` is `(p, true)`.
    pub(crate) guard: Option<(Reg, bool)>,
    pub(crate) op: Op,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Nop,
    Mov {
        ty: Type,
        d: Reg,
        a: Operand,
    },
    /// `mov.b64 d, {a, b}`: first part in the lowest bits.
    Pack {
        part_bits: u32,
        d: Reg,
        parts: Vec<Operand>,
    },
    Unpack {
        part_bits: u32,
        d: Vec<Option<Reg>>,
        a: Operand,
    },
    Compute {
        f: Function,
        ty: Type,
        mode: Mode,
        d: Reg,
        args: [Operand; 4],
    },
    Convert {
        to: Type,
        from: Type,
        mode: Mode,
        d: Reg,
        a: Operand,
    },
    /// `cvt.rn.f16x2.f32 d, a, b`: `a` into the upper half.
    ConvertPair {
        to: Type,
        mode: Mode,
        d: Reg,
        a: Operand,
        b: Operand,
    },
    /// `setp.cmp.bool.type p|q, a, b, c`
    SetPredicate {
        test: Test,
        p: Option<Reg>,
        q: Option<Reg>,
        a: Operand,
        b: Operand,
        with: Option<With>,
    },
    /// `set.cmp.bool.dtype.type d, a, b, c`
    SetValue {
        test: Test,
        to: Type,
        d: Reg,
        a: Operand,
        b: Operand,
        with: Option<With>,
    },
    Select {
        ty: Type,
        d: Reg,
        a: Operand,
        b: Operand,
        p: Operand,
    },
    SelectBySign {
        ty: Type,
        sign: Type,
        ftz: bool,
        d: Reg,
        a: Operand,
        b: Operand,
        c: Operand,
    },
    Load {
        space: Space,
        ty: Type,
        d: Vec<Option<Reg>>,
        address: Address,
    },
    Store {
        space: Space,
        ty: Type,
        values: Vec<Operand>,
        address: Address,
    },
    Atomic {
        space: Space,
        op: Atomic,
        ty: Type,
        d: Option<Reg>,
        address: Address,
        b: Operand,
        c: Operand,
    },
    /// Between an address of `space` and a generic one.
    ToGeneric {
        space: Space,
        d: Reg,
        a: Operand,
    },
    FromGeneric {
        space: Space,
        d: Reg,
        a: Operand,
    },
    IsSpace {
        space: Space,
        p: Reg,
        a: Operand,
    },
    Branch {
        target: u32,
    },
    BranchIndexed {
        index: Operand,
        targets: Vec<u32>,
    },
    Call {
        function: usize,
        arguments: Vec<Copy>,
        returns: Vec<Copy>,
    },
    /// Leaves the function; in a kernel, the thread ends.
    Return,
    Exit,
    Trap,
    ActiveMask {
        d: Reg,
    },
    Barrier(Barrier),
    /// What all threads of a mask do together.
    Warp {
        op: WarpOp,
        d: Option<Reg>,
        p: Option<Reg>,
        a: Operand,
        b: Operand,
        c: Operand,
        mask: Operand,
    },
    /// What a whole warp does together: `d = a · b + c` of small matrices.
    MatrixMultiply(Box<MatrixMultiply>),
}

/// `mma.sync.m16n8k…`: `a` of 16 rows, `b` of 8 columns, spread over the registers of a warp
/// (`execute/matrix.rs`); `c` and `d` are `f32`.
#[derive(Debug, Clone)]
pub(crate) struct MatrixMultiply {
    pub(crate) factors: Factors,
    pub(crate) d: [Reg; 4],
    /// Twice as many as `b` has.
    pub(crate) a: Vec<Operand>,
    pub(crate) b: Vec<Operand>,
    pub(crate) c: [Operand; 4],
}

/// What the factors of a matrix product are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Factors {
    F16,
    Bf16,
    /// `f32` without the last 13 bits.
    Tf32,
}

impl Factors {
    /// Numbers in a register.
    pub(crate) fn of_register(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::Tf32 => 1,
        }
    }
}

/// Bytes that a call moves between the parameters of caller and callee.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copy {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) bytes: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    pub(crate) base: Operand,
    pub(crate) offset: i64,
}

/// Functions of up to four operands of one type (their meaning: `execute/arith.rs`, `float.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Add,
    Sub,
    MulLo,
    MulHi,
    MulWide,
    MadLo,
    MadHi,
    MadWide,
    Mul24,
    Mad24,
    Fma,
    Div,
    Rem,
    Neg,
    Abs,
    Min,
    Max,
    Sad,
    And,
    Or,
    Xor,
    Not,
    Cnot,
    Shl,
    Shr,
    Bfe,
    Bfi,
    /// Funnel shifts; the flag: clamp the amount to 32 instead of wrapping it.
    ShfLeft(bool),
    ShfRight(bool),
    Prmt(Permute),
    Lop3,
    Popc,
    Clz,
    Brev,
    Bfind(bool),
    Copysign,
    TestFinite,
    TestInfinite,
    TestNumber,
    TestNan,
    TestNormal,
    TestSubnormal,
    Rcp,
    Sqrt,
    Rsqrt,
    Ex2,
    Lg2,
    Sin,
    Cos,
    Tanh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permute {
    Index,
    F4e,
    B4e,
    Rc8,
    Ecl,
    Ecr,
    Rc16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Rounding {
    #[default]
    Nearest,
    /// To nearest, ties away from zero (`.rna`).
    Away,
    Zero,
    Down,
    Up,
}

/// Modifiers of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mode {
    pub(crate) rounding: Rounding,
    /// A float is rounded to an integer (`.rni` and friends).
    pub(crate) to_integer: bool,
    pub(crate) ftz: bool,
    pub(crate) sat: bool,
    /// `.NaN` of min and max: NaN wins.
    pub(crate) nan: bool,
    /// `.relu`: negative results and NaN become 0.
    pub(crate) relu: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Test {
    pub(crate) compare: Compare,
    pub(crate) ty: Type,
    pub(crate) ftz: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// The unordered ones: true if an operand is NaN.
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    /// Neither is NaN; at least one is.
    Num,
    Nan,
}

/// How the result of a comparison is combined with a predicate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct With {
    pub(crate) op: Bool,
    pub(crate) p: Reg,
    pub(crate) negate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bool {
    And,
    Or,
    Xor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Atomic {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exch,
    Cas,
    Inc,
    Dec,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Barrier {
    pub(crate) id: Operand,
    /// Threads that take part; all of the block without it.
    pub(crate) count: Option<Operand>,
    pub(crate) kind: BarrierKind,
    /// All threads of a warp must come by this instruction.
    pub(crate) aligned: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum BarrierKind {
    Sync,
    Arrive,
    /// `bar.red.popc/and/or d, a, {b,} p`
    Popc {
        d: Reg,
        p: Reg,
        negate: bool,
    },
    All {
        d: Reg,
        p: Reg,
        negate: bool,
    },
    Any {
        d: Reg,
        p: Reg,
        negate: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WarpOp {
    /// `bar.warp.sync`, the only one of these that orders memory.
    Sync,
    ShuffleUp,
    ShuffleDown,
    ShuffleButterfly,
    ShuffleIndex,
    /// The flag: the predicate is negated.
    VoteAll(bool),
    VoteAny(bool),
    VoteUni(bool),
    VoteBallot(bool),
    /// `redux.sync`
    Reduce(Function, Type),
    MatchAny(Type),
}
