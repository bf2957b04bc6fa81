//! A parsed module, its kernels, and the memory that belongs to it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::instruction::Instruction;

/// Unused bytes between two variables, so that running past one is seen.
const GUARD_BYTES: u64 = 16;

/// A parsed PTX module. Its `.global` variables keep their values from launch to launch.
#[derive(Debug)]
pub struct Module {
    target: Option<i32>,
    pub(crate) functions: Vec<Function>,
    pub(crate) constants: Image,
    pub(crate) shared: Vec<SharedVariable>,
    globals: Mutex<Image>,
}

impl Module {
    pub(crate) fn new(
        target: Option<i32>,
        functions: Vec<Function>,
        constants: Image,
        globals: Image,
        shared: Vec<SharedVariable>,
    ) -> Self {
        Self { target, functions, constants, shared, globals: Mutex::new(globals) }
    }

    /// The architecture that it takes, if it names one: 80 for `sm_80`.
    pub fn target(&self) -> Option<i32> {
        self.target
    }

    /// The kernel (`.entry`) of this name.
    pub fn kernel(&self, name: &str) -> Option<Kernel<'_>> {
        let function = self.functions.iter().position(|f| f.entry && f.name == name)?;
        Some(Kernel { module: self, function })
    }

    /// Names of all kernels, in the order of the text.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().filter(|f| f.entry).map(|f| f.name.as_str())
    }

    /// A launch that failed leaves valid bytes behind, so a poisoned lock is of no concern.
    pub(crate) fn globals(&self) -> MutexGuard<'_, Image> {
        self.globals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One kernel of a module.
#[derive(Debug, Clone, Copy)]
pub struct Kernel<'a> {
    pub(crate) module: &'a Module,
    pub(crate) function: usize,
}

impl Kernel<'_> {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.module.functions[self.function].name
    }

    /// Size of the parameters, laid out as a C struct of them.
    pub fn param_bytes(&self) -> usize {
        self.formals().last().map_or(0, |last| (last.offset + last.bytes) as usize)
    }

    /// Offset and size in bytes of each parameter.
    pub fn params(&self) -> impl Iterator<Item = (usize, usize)> {
        self.formals().iter().map(|formal| (formal.offset as usize, formal.bytes as usize))
    }

    /// Shared memory of the kernel's variables, without the launch's.
    pub fn static_shared_bytes(&self) -> usize {
        let mine = |v: &&SharedVariable| v.owner.is_none_or(|owner| owner == self.function);
        self.module.shared.iter().filter(mine).map(|v| v.bytes as usize).sum()
    }

    fn formals(&self) -> &[Slot] {
        &self.module.functions[self.function].formals
    }
}

/// A kernel or a device function.
#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: u32,
    pub(crate) entry: bool,
    pub(crate) code: Vec<Instruction>,
    pub(crate) registers: u32,
    pub(crate) local: Layout,
    pub(crate) param: Layout,
    pub(crate) formals: Vec<Slot>,
    pub(crate) returns: Vec<Slot>,
    /// The most threads a block may have (`__launch_bounds__`).
    pub(crate) max_threads: Option<u64>,
}

/// Where a variable lies in its space.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
}

/// Packs variables by their alignment.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) bytes: u32,
}

impl Layout {
    pub(crate) fn add(&mut self, bytes: u32, align: u32) -> Slot {
        let offset = self.bytes.next_multiple_of(align);
        self.bytes = offset.saturating_add(bytes);
        Slot { offset, bytes }
    }
}

/// A `.shared` variable; with an owner, only that kernel has it.
#[derive(Debug)]
pub(crate) struct SharedVariable {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) owner: Option<usize>,
}

impl SharedVariable {
    /// The first free address behind `variables`.
    pub(crate) fn end(variables: &[Self]) -> u64 {
        variables.last().map_or(0, |v| v.offset + v.bytes + GUARD_BYTES)
    }
}

/// The bytes of a module's constant or global variables.
#[derive(Debug)]
pub(crate) struct Image {
    base: u64,
    bytes: Vec<u8>,
    /// Begin and end of each variable, ascending.
    variables: Vec<(u64, u64)>,
}

impl Image {
    pub(crate) fn new(base: u64) -> Self {
        Self { base, bytes: Vec::new(), variables: Vec::new() }
    }

    /// Adds a variable and returns its address.
    pub(crate) fn add(&mut self, init: &[u8], align: u64) -> u64 {
        let begin = (self.bytes.len() as u64 + GUARD_BYTES).next_multiple_of(align);
        self.bytes.resize(begin as usize, 0);
        self.bytes.extend(init);
        self.variables.push((begin, begin + init.len() as u64));
        self.base + begin
    }

    /// The bytes at an address, if one variable holds them all.
    pub(crate) fn at(&mut self, address: u64, len: usize) -> Option<&mut [u8]> {
        let range = self.range(address, len)?;
        self.bytes.get_mut(range)
    }

    pub(crate) fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        self.bytes.get(self.range(address, len)?)
    }

    fn range(&self, address: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let begin = address.checked_sub(self.base)?;
        let end = begin.checked_add(len as u64)?;
        let after = self.variables.partition_point(|&(b, _)| b <= begin);
        let (_, variable_end) = *self.variables.get(after.checked_sub(1)?)?;
        (end <= variable_end).then_some(begin as usize..end as usize)
    }
}
