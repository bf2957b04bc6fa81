//! Commands that run by themselves, on buffers with something in them.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use vgg_tensor::{
    Backend, BufferId, BufferSpec, Command, Content, In, InOut, Instruction, Operands, Out, Pass,
    Program, Result, Role, Shape, Shared,
};

/// Buffers that commands share, each of which is made when a command is the first to need it: of
/// numbers that are always the same, activations and gradients between −1 and 1, all else between
/// −0.1 and 0.1; of bytes, zeros.
pub(super) struct Buffers<B: Backend>(HashMap<BufferId, Shared<B::Buffer>>);

impl<B: Backend> Buffers<B> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// A buffer of these bytes.
    pub(super) fn put(&mut self, backend: &mut B, id: BufferId, bytes: &[u8]) -> Result<()> {
        let mut buffer = backend.alloc(Content::Bytes(bytes.len()))?;
        backend.upload_bytes(bytes, &mut buffer)?;
        self.0.insert(id, Arc::new(RwLock::new(buffer)));
        Ok(())
    }

    /// Makes a command ready to run by itself.
    pub(super) fn compile(&mut self, backend: &mut B, command: &Command) -> Result<B::Executable> {
        let mut alone = Alone::default();
        let command = command.clone().map(&mut alone);
        let mut buffers = Vec::new();
        for (id, BufferSpec { content, .. }) in alone.ids.iter().zip(&alone.specs) {
            if !self.0.contains_key(id) {
                let buffer = filled(backend, *content)?;
                self.0.insert(*id, Arc::new(RwLock::new(buffer)));
            }
            buffers.push(self.0[id].clone());
        }
        let instruction = Instruction { pass: Pass::Forward, layer: "bench".into(), command };
        backend.compile(&Program::new(alone.specs, vec![instruction])?, buffers)
    }
}

/// Bytes that a command moves at least: inputs are read once, and outputs written once.
pub(super) fn moved(backend: &impl Backend, command: &Command) -> u64 {
    let mut alone = Alone::default();
    command.clone().map(&mut alone);
    let moved = alone.specs.iter().map(|BufferSpec { content, role }| {
        let bytes = match content {
            Content::Maps(_) => backend.bytes(*content),
            _ => content.bytes() as u64,
        };
        if *role == Role::State { 2 * bytes } else { bytes }
    });
    moved.sum()
}

fn filled<B: Backend>(backend: &mut B, content: Content) -> Result<B::Buffer> {
    let mut buffer = backend.alloc(content)?;
    let (scale, content) = match content {
        Content::Bytes(_) => return Ok(buffer),
        // Which number is where does not matter, and flat maps need no transposing.
        Content::Maps(shape) => (1.0, Content::Maps(Shape::flat(shape.n, shape.features()))),
        other => (0.1, other),
    };
    let numbers: Vec<f32> =
        (0..content.len()).map(|i| scale * ((i * 7919 % 997) as f32 / 498.0 - 1.0)).collect();
    backend.upload(content, &numbers, &mut buffer)?;
    Ok(buffer)
}

/// A command's operands as the buffers of a program that it alone is.
#[derive(Default)]
struct Alone {
    specs: Vec<BufferSpec>,
    /// What they were before.
    ids: Vec<BufferId>,
}

impl Alone {
    fn add(&mut self, id: BufferId, content: Content, role: Role) -> BufferId {
        self.specs.push(BufferSpec { content, role });
        self.ids.push(id);
        BufferId(self.specs.len() - 1)
    }
}

impl Operands<In, Out, InOut> for Alone {
    type In = In;
    type Out = Out;
    type InOut = InOut;

    fn input(&mut self, In(id): In, content: Content) -> In {
        In(self.add(id, content, Role::Input))
    }

    fn output(&mut self, Out(id): Out, content: Content) -> Out {
        Out(self.add(id, content, Role::Output))
    }

    fn in_place(&mut self, InOut(id): InOut, content: Content) -> InOut {
        InOut(self.add(id, content, Role::State))
    }
}

#[cfg(test)]
mod tests {
    use vgg_cpu::{Config, Cpu};
    use vgg_tensor::Scalars;

    use super::*;

    #[test]
    fn commands_share_buffers_and_say_what_they_move() -> Result<()> {
        let content = Content::Vector(5);
        let (x, y) = (BufferId(7), BufferId(3));
        let scale = |alpha, x, y| Command::Scale { content, alpha, x: In(x), y: Out(y) };
        let blend = Command::Blend { content, alpha: 1.0, x: In(x), beta: 1.0, y: InOut(y) };
        let (mut cpu, mut buffers) = (Cpu::new(Config::default())?, Buffers::new());
        assert_eq!(moved(&cpu, &scale(1.0, x, y)), 2 * 4 * 5);
        assert_eq!(moved(&cpu, &blend), 3 * 4 * 5);
        for command in [scale(3.0, x, y), blend] {
            let mut command = buffers.compile(&mut cpu, &command)?;
            cpu.run(&mut command, Scalars::default())?;
        }
        let mut numbers = |id| -> Result<_> {
            let mut numbers = [0.0; 5];
            let buffer = buffers.0[&id].read().expect("nobody writes");
            cpu.download(content, &buffer, &mut numbers)?;
            Ok(numbers)
        };
        let (x, y) = (numbers(x)?, numbers(y)?);
        assert!(x.iter().all(|x| x.abs() <= 0.1) && x.iter().any(|x| x.abs() > 0.05), "{x:?}");
        assert_eq!(y, x.map(|x| 3.0 * x + x));
        Ok(())
    }
}
