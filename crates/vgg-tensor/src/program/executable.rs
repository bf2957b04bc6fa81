//! A program with its buffers.

use std::collections::HashMap;
use std::slice::IterMut;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Access, Operand, Program, Role, operands, wrong};
use crate::{BufferId, Command, Content, Error, In, InOut, Operands, Out, Result};

/// Device memory that its owner and the programs that use it hold together.
pub type Shared<Buffer> = Arc<RwLock<Buffer>>;

/// A command with the buffers in their places.
pub type Bound<'a, Buffer> = Command<&'a Buffer, &'a mut Buffer, &'a mut Buffer>;

/// A program and the memory it runs in, which it holds: what is run again is what was compiled.
///
/// It is all that a backend needs which goes through the commands one by one.
#[derive(Debug)]
pub struct Executable<Buffer> {
    program: Program,
    buffers: Vec<Shared<Buffer>>,
    /// Of each command, the memories that it touches, and whether it writes there.
    touched: Vec<Vec<(usize, bool)>>,
}

impl<Buffer> Executable<Buffer> {
    /// A program in `buffers`, one for each of its own. Several of these may be the same memory, if
    /// no command finds in it what another one left there.
    ///
    /// # Errors
    /// [`Error::Program`] if one does, naming it: a bug of who planned the memory.
    ///
    /// # Panics
    /// If there are not as many buffers as the program has.
    pub fn new(program: &Program, buffers: Vec<Shared<Buffer>>) -> Result<Self> {
        assert_eq!(program.buffers().len(), buffers.len(), "a program's buffers");
        let mut memories = HashMap::new();
        let mut memory = |buffer: &Shared<Buffer>| {
            let next = memories.len();
            *memories.entry(Arc::as_ptr(buffer).cast::<()>()).or_insert(next)
        };
        let memories: Vec<usize> = buffers.iter().map(&mut memory).collect();
        check_sharing(program, &memories)?;
        let access = |of: Operand| (memories[of.buffer.0], of.access != Access::Read);
        let touched = |command| operands(command).into_iter().map(access).collect();
        let touched = program.commands().map(touched).collect();
        Ok(Self { program: program.clone(), buffers, touched })
    }

    /// What it computes.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Calls `run` with each command in order, and its buffers in their places. The first error ends
    /// it.
    ///
    /// # Errors
    /// That of `run`.
    ///
    /// # Panics
    /// If somebody else uses one of its buffers.
    pub fn run(&self, mut run: impl FnMut(Bound<'_, Buffer>) -> Result<()>) -> Result<()> {
        (0..self.program.instructions.len()).try_for_each(|at| self.run_one(at, &mut run))
    }

    /// As [`Executable::run`], of command `at` alone: for whoever carries out several at a time, which have
    /// to be [apart](Executable::are_apart).
    ///
    /// # Errors
    /// That of `run`.
    ///
    /// # Panics
    /// If somebody else uses one of its buffers.
    pub fn run_one(
        &self,
        at: usize,
        run: impl FnOnce(Bound<'_, Buffer>) -> Result<()>,
    ) -> Result<()> {
        let command = &self.program.instructions[at].command;
        let mut guards: Vec<_> = operands(command)
            .into_iter()
            .map(|operand| Guard::lock(&self.buffers[operand.buffer.0], operand.access))
            .collect();
        run(command.clone().map(&mut Bind(guards.iter_mut())))
    }

    /// Whether two commands may be carried out at the same time: neither writes where the other one reads or
    /// writes.
    pub fn are_apart(&self, a: usize, b: usize) -> bool {
        let meet = |x: &(usize, bool), y: &(usize, bool)| x.0 == y.0 && (x.1 || y.1);
        !self.touched[a].iter().any(|x| self.touched[b].iter().any(|y| meet(x, y)))
    }
}

/// Checks that each command finds in memory what it looks for, where `memories[i]` says which memory
/// buffer `i` is in: by going through the program and noting whose numbers are where.
///
/// # Errors
/// [`Error::Program`], naming the command and the buffers.
pub fn check_sharing(program: &Program, memories: &[usize]) -> Result<()> {
    let is_given = |id: usize| matches!(program.buffers()[id].role, Role::Input | Role::State);
    let is_left = |id: usize| matches!(program.buffers()[id].role, Role::State | Role::Output);
    // Of each memory, the buffer whose numbers are in it.
    let mut holder: HashMap<usize, usize> = HashMap::new();
    for id in (0..memories.len()).filter(|id| is_given(*id)) {
        if let Some(other) = holder.insert(memories[id], id) {
            let message = format!("buffers {other} and {id} are given in the same memory");
            return Err(Error::Program(message));
        }
    }
    for (at, instruction) in program.instructions().iter().enumerate() {
        let operands = operands(&instruction.command);
        let ids = || operands.iter().map(|operand| operand.buffer.0);
        for (i, id) in ids().enumerate() {
            let shares = |other: &usize| *other != id && memories[*other] == memories[id];
            if let Some(other) = ids().skip(i + 1).find(shares) {
                let problem = format!("buffers {id} and {other} are in the same memory");
                return Err(wrong(at, instruction, &problem));
            }
        }
        for Operand { buffer: BufferId(id), access, .. } in &operands {
            let holder = holder.entry(memories[*id]).or_insert(*id);
            if *access != Access::Write && holder != id {
                let problem = format!("buffer {holder} is where buffer {id} was");
                return Err(wrong(at, instruction, &problem));
            }
            *holder = *id;
        }
    }
    match (0..memories.len()).find(|id| is_left(*id) && holder[&memories[*id]] != *id) {
        Some(id) => Err(Error::Program(format!("in the end buffer {id} is overwritten"))),
        None => Ok(()),
    }
}

/// A buffer while a command uses it.
enum Guard<'a, Buffer> {
    Read(RwLockReadGuard<'a, Buffer>),
    Write(RwLockWriteGuard<'a, Buffer>),
}

impl<'a, Buffer> Guard<'a, Buffer> {
    fn lock(buffer: &'a RwLock<Buffer>, access: Access) -> Self {
        const FREE: &str = "a program's buffers are its own while it runs";
        match access {
            Access::Read => Self::Read(buffer.try_read().expect(FREE)),
            Access::Write | Access::InPlace => Self::Write(buffer.try_write().expect(FREE)),
        }
    }

    fn read(&self) -> &Buffer {
        match self {
            Self::Read(guard) => guard,
            Self::Write(guard) => guard,
        }
    }

    fn write(&mut self) -> &mut Buffer {
        match self {
            Self::Write(guard) => guard,
            Self::Read(_) => unreachable!("what is written was locked to be written"),
        }
    }
}

/// Puts buffers into a command, in the order of its operands.
struct Bind<'a, 'g, Buffer>(IterMut<'a, Guard<'g, Buffer>>);

impl<'a, 'g, Buffer> Bind<'a, 'g, Buffer> {
    fn next(&mut self) -> &'a mut Guard<'g, Buffer> {
        self.0.next().expect("a guard an operand")
    }
}

impl<'a, Buffer> Operands<In, Out, InOut> for Bind<'a, '_, Buffer> {
    type In = &'a Buffer;
    type Out = &'a mut Buffer;
    type InOut = &'a mut Buffer;

    fn input(&mut self, _: In, _: Content) -> &'a Buffer {
        self.next().read()
    }

    fn output(&mut self, _: Out, _: Content) -> &'a mut Buffer {
        self.next().write()
    }

    fn in_place(&mut self, _: InOut, _: Content) -> &'a mut Buffer {
        self.next().write()
    }
}

#[cfg(test)]
mod tests;
