//! What commands have for buffers in a program.

/// Which buffer of a program: an index into [`crate::Program::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// A buffer that a command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct In(pub BufferId);

/// A buffer that a command overwrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Out(pub BufferId);

/// A buffer that a command changes in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InOut(pub BufferId);
