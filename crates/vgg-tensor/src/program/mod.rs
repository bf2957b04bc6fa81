//! A list of commands over a list of buffers: what is computed, as a value.
//!
//! Whoever makes a program says once what is computed; all else reads it: a backend compiles it,
//! memory is planned by when its buffers are needed, summaries and profiles name its commands.

mod executable;
mod verify;

use crate::{BufferId, Command, Content, Error, In, InOut, Operands, Out, Result};

pub use executable::{Bound, Executable, Shared, check_sharing};

/// What a buffer is to a program, and so when it must hold what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Given before each run, and read: pixels, labels.
    Input,
    /// Written in each run, and read by others afterwards: logits, metrics.
    Output,
    /// Kept from run to run, and shared with other programs: parameters, velocities, sums.
    State,
    /// Needed from its first command to its last alone: activations, gradients.
    Temporary,
    /// Written because a command computes it besides, and read by nobody: a frozen weight's gradient.
    Discarded,
}

/// A buffer of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferSpec {
    /// What it holds.
    pub content: Content,
    /// What it is to the program.
    pub role: Role,
}

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// To and from the device: no part of a program.
    Transfer,
    /// From images to logits.
    Forward,
    /// From logits to the loss and their gradient.
    Loss,
    /// From the logits' gradient to the parameters'.
    Backward,
    /// From gradients to new parameters.
    Update,
}

/// A command in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// The part of the step it belongs to.
    pub pass: Pass,
    /// The layer it belongs to, by its torchvision name, or what it does for all of them.
    pub layer: String,
    /// What is computed.
    pub command: Command,
}

/// What may differ from one run of a program to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scalars {
    /// The learning rate.
    pub lr: f32,
    /// The training step: [`crate::Draw::step`] of dropout.
    pub step: u64,
}

/// Commands in their order, over buffers.
///
/// ```
/// use vgg_tensor::spec::Lrn;
/// use vgg_tensor::{
///     BufferId, BufferSpec, Command, Content, In, Instruction, Out, Pass, Program, Role, Shape,
/// };
/// let maps = Shape::new(2, 8, 5, 5);
/// let buffer = |role| BufferSpec { content: Content::Maps(maps), role };
/// let lrn = |x, y| Instruction {
///     pass: Pass::Forward,
///     layer: "norm".into(),
///     command: Command::Lrn { spec: Lrn::new(maps).unwrap(), x: In(x), y: Out(y) },
/// };
/// let (x, y) = (BufferId(0), BufferId(1));
/// let buffers = vec![buffer(Role::Input), buffer(Role::Output)];
/// assert!(Program::new(buffers.clone(), vec![lrn(x, y)]).is_ok());
/// // It is read before it is written.
/// let error = Program::new(buffers, vec![lrn(y, x)]).unwrap_err();
/// assert!(error.to_string().contains("not written before"));
/// # Ok::<(), vgg_tensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    buffers: Vec<BufferSpec>,
    instructions: Vec<Instruction>,
}

impl Program {
    /// A program that has been verified: in each command what is written is apart from what is read,
    /// or changed in place; nothing is read before it is written or given; buffers hold what their
    /// commands say; everything that is computed is used, or declared as discarded.
    ///
    /// # Errors
    /// [`Error::Program`], naming the command and the buffer: a bug of the caller.
    /// [`Error::Shape`] for the gradient or the update of a weight that is stored for inference
    /// ([`crate::spec::WeightType`]).
    pub fn new(buffers: Vec<BufferSpec>, instructions: Vec<Instruction>) -> Result<Self> {
        let program = Self { buffers, instructions };
        verify::check(&program)?;
        Ok(program)
    }

    /// Its buffers.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// Its commands, in their order.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Its commands without their places.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.instructions.iter().map(|instruction| &instruction.command)
    }

    /// Whether it waits for other ranks.
    pub fn exchanges(&self) -> bool {
        self.commands().any(Command::exchanges)
    }

    /// Of each buffer, the first and the last command that touches it; nothing for a buffer that none
    /// touches.
    pub fn lifetimes(&self) -> Vec<Option<(usize, usize)>> {
        let mut lifetimes = vec![None; self.buffers.len()];
        for (at, command) in self.commands().enumerate() {
            for operand in operands(command) {
                let lifetime = &mut lifetimes[operand.buffer.0];
                *lifetime = Some((lifetime.map_or(at, |(first, _)| first), at));
            }
        }
        lifetimes
    }

    /// Each command as a program of its own on the same buffers: for whoever wants to see them one by
    /// one. Beside each program are its buffers' places in this one.
    pub fn one_by_one(&self) -> impl Iterator<Item = (Program, Vec<BufferId>)> {
        self.instructions.iter().map(|instruction| self.alone(instruction))
    }

    fn alone(&self, instruction: &Instruction) -> (Program, Vec<BufferId>) {
        let (mut buffers, mut places) = (Vec::new(), Vec::new());
        let mut renamed = Renamed(|id: BufferId, role| {
            // What is read may be read twice.
            let known = places.iter().position(|place| *place == id);
            BufferId(known.unwrap_or_else(|| {
                places.push(id);
                buffers.push(BufferSpec { role, ..self.buffers[id.0] });
                places.len() - 1
            }))
        });
        let command = instruction.command.clone().map(&mut renamed);
        let instructions = vec![Instruction { command, ..instruction.clone() }];
        // Its command was verified in this program.
        (Program { buffers, instructions }, places)
    }
}

/// An operand's access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    InPlace,
}

/// An operand of a command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operand {
    pub(crate) buffer: BufferId,
    pub(crate) access: Access,
    /// What the command says that it holds.
    pub(crate) content: Content,
}

/// A command's operands, in the order of its signature.
pub(crate) fn operands(command: &Command) -> Vec<Operand> {
    let mut list = Listed(Vec::new());
    command.clone().map(&mut list);
    list.0
}

struct Listed(Vec<Operand>);

impl Operands<In, Out, InOut> for Listed {
    type In = ();
    type Out = ();
    type InOut = ();

    fn input(&mut self, In(buffer): In, content: Content) {
        self.0.push(Operand { buffer, access: Access::Read, content });
    }

    fn output(&mut self, Out(buffer): Out, content: Content) {
        self.0.push(Operand { buffer, access: Access::Write, content });
    }

    fn in_place(&mut self, InOut(buffer): InOut, content: Content) {
        self.0.push(Operand { buffer, access: Access::InPlace, content });
    }
}

/// Operands by other indices, which a function gives them.
struct Renamed<F>(F);

impl<F: FnMut(BufferId, Role) -> BufferId> Operands<In, Out, InOut> for Renamed<F> {
    type In = In;
    type Out = Out;
    type InOut = InOut;

    fn input(&mut self, In(buffer): In, _: Content) -> In {
        In(self.0(buffer, Role::Input))
    }

    fn output(&mut self, Out(buffer): Out, _: Content) -> Out {
        Out(self.0(buffer, Role::Output))
    }

    fn in_place(&mut self, InOut(buffer): InOut, _: Content) -> InOut {
        InOut(self.0(buffer, Role::State))
    }
}

/// A bug of whoever made a program.
fn wrong(at: usize, instruction: &Instruction, problem: &str) -> Error {
    let Instruction { layer, command, .. } = instruction;
    Error::Program(format!("command {at} ({layer}, {command}): {problem}"))
}

#[cfg(test)]
mod tests;
