//! Where trials are made: buffers with known contents, and one command at a time.

use std::sync::{Arc, RwLock};

use vgg_tensor::{
    Backend, BufferId, BufferSpec, Command, Content, In, InOut, Instruction, Operands, Out, Pass,
    Program, Result, Role, Scalars, Shape, Shared,
};

/// What memory buffers are in. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// As much as they need.
    Exact,
    /// Room for more images than there are: the last batch of an epoch is a short one.
    Spare,
    /// As [`Memory::Exact`], allocated as bytes: what is needed one after the other shares such
    /// memory.
    Bytes,
}

/// How many images fit in besides, with [`Memory::Spare`].
const SPARE: usize = 2;

/// A backend on which commands are tried one by one, each as a program of its own.
pub struct Bench<'a, B> {
    backend: &'a mut B,
    memory: Memory,
}

/// A buffer, and what it holds.
pub struct Operand<Buffer> {
    content: Content,
    buffer: Shared<Buffer>,
}

/// A command on buffers of a bench.
pub type Trying<'a, Buffer> =
    Command<&'a Operand<Buffer>, &'a Operand<Buffer>, &'a Operand<Buffer>>;

impl<'a, B: Backend> Bench<'a, B> {
    /// Buffers are as large as what they hold.
    pub fn new(backend: &'a mut B) -> Self {
        Self::with(backend, Memory::Exact)
    }

    /// Buffers are in such memory.
    pub fn with(backend: &'a mut B, memory: Memory) -> Self {
        Self { backend, memory }
    }

    /// What memory buffers are in.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// A buffer for `content` that holds NaN, or bytes that mean nothing.
    ///
    /// # Errors
    /// Those of the backend, here and below.
    pub fn poisoned(&mut self, content: Content) -> Result<Operand<B::Buffer>> {
        let room = match (self.memory, content) {
            (Memory::Bytes, _) => Content::Bytes(self.backend.bytes(content) as usize),
            (Memory::Spare, Content::Maps(shape)) => {
                Content::Maps(Shape { n: shape.n + SPARE, ..shape })
            }
            (Memory::Spare, Content::Bytes(len)) => Content::Bytes((1 + SPARE) * len),
            _ => content,
        };
        let buffer = poisoned(self.backend, room)?;
        Ok(Operand { content, buffer: Arc::new(RwLock::new(buffer)) })
    }

    /// A buffer that holds `numbers`.
    pub fn uploaded(&mut self, content: Content, numbers: &[f32]) -> Result<Operand<B::Buffer>> {
        let operand = self.poisoned(content)?;
        // In two parts, so that whatever a backend makes of weights is right for these, too.
        let (rows, row) = (content.rows(), content.len() / content.rows());
        let (first, second) = numbers.split_at(rows / 2 * row);
        let mut buffer = operand.buffer.write().expect(FREE);
        self.backend.upload_rows(content, rows / 2, second, &mut buffer)?;
        self.backend.upload_rows(content, 0, first, &mut buffer)?;
        drop(buffer);
        Ok(operand)
    }

    /// A buffer that holds `bytes`.
    pub fn uploaded_bytes(&mut self, bytes: &[u8]) -> Result<Operand<B::Buffer>> {
        let operand = self.poisoned(Content::Bytes(bytes.len()))?;
        self.backend.upload_bytes(bytes, &mut operand.buffer.write().expect(FREE))?;
        Ok(operand)
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// Also those of [`Program::new`].
    pub fn run(&mut self, command: Trying<'_, B::Buffer>) -> Result<()> {
        self.run_with(Scalars::default(), command)
    }

    /// Carries a command out that depends on the step.
    ///
    /// # Errors
    /// Also those of [`Program::new`].
    pub fn run_with(&mut self, scalars: Scalars, command: Trying<'_, B::Buffer>) -> Result<()> {
        let mut alone = Alone { specs: Vec::new(), buffers: Vec::new() };
        let command = command.map(&mut alone);
        let instruction = Instruction { pass: Pass::Forward, layer: "trial".into(), command };
        let program = Program::new(alone.specs, vec![instruction])?;
        let mut executable = self.backend.compile(&program, alone.buffers)?;
        self.backend.run(&mut executable, scalars)
    }

    /// A buffer's numbers.
    pub fn downloaded(&mut self, operand: &Operand<B::Buffer>) -> Result<Vec<f32>> {
        downloaded(self.backend, operand.content, &operand.buffer.read().expect(FREE))
    }
}

const FREE: &str = "no test panics with a buffer in its hands";

/// Makes a program of a command, and gathers its buffers.
struct Alone<Buffer> {
    specs: Vec<BufferSpec>,
    buffers: Vec<Shared<Buffer>>,
}

impl<Buffer> Alone<Buffer> {
    fn buffer(&mut self, operand: &Operand<Buffer>, role: Role) -> BufferId {
        self.specs.push(BufferSpec { content: operand.content, role });
        self.buffers.push(operand.buffer.clone());
        BufferId(self.specs.len() - 1)
    }
}

type Given<'a, Buffer> = &'a Operand<Buffer>;

impl<'a, Buffer> Operands<Given<'a, Buffer>, Given<'a, Buffer>, Given<'a, Buffer>>
    for Alone<Buffer>
{
    type In = In;
    type Out = Out;
    type InOut = InOut;

    fn input(&mut self, operand: Given<'a, Buffer>, _: Content) -> In {
        In(self.buffer(operand, Role::Input))
    }

    fn output(&mut self, operand: Given<'a, Buffer>, _: Content) -> Out {
        Out(self.buffer(operand, Role::Output))
    }

    fn in_place(&mut self, operand: Given<'a, Buffer>, _: Content) -> InOut {
        InOut(self.buffer(operand, Role::State))
    }
}

/// A buffer that holds NaN, or bytes that mean nothing.
pub(super) fn poisoned<B: Backend>(backend: &mut B, content: Content) -> Result<B::Buffer> {
    let mut buffer = backend.alloc(content)?;
    match content {
        // As numbers, these are NaN.
        Content::Bytes(len) => backend.upload_bytes(&vec![0xFF; len], &mut buffer)?,
        // As vectors, so that no number between channels or rows escapes, whatever the layout.
        Content::Maps(shape) => {
            let flat = Content::Maps(Shape::flat(shape.n, shape.features()));
            backend.upload(flat, &vec![f32::NAN; flat.len()], &mut buffer)?;
        }
        _ => backend.upload(content, &vec![f32::NAN; content.len()], &mut buffer)?,
    }
    Ok(buffer)
}

pub(super) fn downloaded<B: Backend>(
    backend: &mut B,
    content: Content,
    buffer: &B::Buffer,
) -> Result<Vec<f32>> {
    let mut numbers = vec![f32::NAN; content.len()];
    backend.download(content, buffer, &mut numbers)?;
    Ok(numbers)
}
