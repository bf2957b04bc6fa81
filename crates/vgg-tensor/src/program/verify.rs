//! Whether a program makes sense: found out once, before it runs.

use super::{Access, BufferSpec, Operand, Program, Role, operands, wrong};
use crate::ranks::Tree;
use crate::{Command, Content, Error, Optimizer, Result, Shape, WeightGradient};

/// See [`Program::new`].
pub(super) fn check(program: &Program) -> Result<()> {
    let given = |role| matches!(role, Role::Input | Role::State);
    let start = |role| if given(role) { Held::Used } else { Held::Nothing };
    let mut held: Vec<Held> = program.buffers.iter().map(|buffer| start(buffer.role)).collect();
    let mut touched = vec![false; program.buffers.len()];
    for (at, instruction) in program.instructions.iter().enumerate() {
        let operands = operands(&instruction.command);
        if let Some(problem) = overlap(&operands) {
            return Err(wrong(at, instruction, &problem));
        }
        for operand in &operands {
            let place = operand.buffer.0;
            let Some(buffer) = program.buffers.get(place) else {
                return Err(wrong(at, instruction, &format!("there is no buffer {place}")));
            };
            if !fits(operand.content, buffer) {
                let Operand { content, .. } = operand;
                let problem = format!("buffer {place} holds {:?}, not {content:?}", buffer.content);
                return Err(wrong(at, instruction, &problem));
            }
            held[place] = held[place]
                .then(buffer.role, operand.access, at)
                .map_err(|problem| wrong(at, instruction, &format!("buffer {place} {problem}")))?;
            touched[place] = true;
        }
        check_update(&instruction.command).map_err(|problem| wrong(at, instruction, problem))?;
        check_exchange(&instruction.command).map_err(|problem| wrong(at, instruction, problem))?;
        check_trainable(&instruction.command)?;
    }
    for (place, (buffer, held)) in program.buffers.iter().zip(&held).enumerate() {
        match held {
            Held::Unread(at) if buffer.role == Role::Temporary => {
                let problem = format!("buffer {place} is computed, and nobody reads it");
                return Err(wrong(*at, &program.instructions[*at], &problem));
            }
            _ if !touched[place] => {
                let message = format!("buffer {place}, {buffer:?}: no command touches it");
                return Err(Error::Program(message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is in a buffer.
#[derive(Clone, Copy)]
enum Held {
    /// Nothing that may be read.
    Nothing,
    /// What a command wrote and none has read.
    Unread(usize),
    /// What was given, or has been read.
    Used,
}

impl Held {
    /// After command `at` touched it.
    fn then(self, role: Role, access: Access, at: usize) -> Result<Self, String> {
        let (reads, writes) = match access {
            Access::Read => (true, false),
            Access::Write => (false, true),
            Access::InPlace => (true, true),
        };
        match self {
            _ if reads && role == Role::Discarded => Err("is discarded, and read".into()),
            _ if writes && role == Role::Input => Err("is an input, and written".into()),
            Self::Nothing if reads => Err("is read, but not written before".into()),
            Self::Unread(before) if !reads && role != Role::Discarded => {
                Err(format!("is overwritten, and nobody has read what command {before} wrote"))
            }
            _ => Ok(if writes { Self::Unread(at) } else { Self::Used }),
        }
    }
}

/// What is wrong if a command writes a buffer that it touches otherwise, too.
fn overlap(operands: &[Operand]) -> Option<String> {
    operands.iter().enumerate().find_map(|(i, a)| {
        let writes = |operand: &Operand| operand.access != Access::Read;
        let same = |b: &&Operand| a.buffer == b.buffer && (writes(a) || writes(b));
        let place = operands[i + 1..].iter().find(same)?.buffer.0;
        Some(format!("buffer {place} is written, and another operand, too"))
    })
}

/// Whether a buffer holds `content`. Maps of one length are one buffer's, as where they are flattened
/// for a fully connected layer; of bytes that are given, as labels, a part may be taken.
fn fits(content: Content, buffer: &BufferSpec) -> bool {
    match (content, buffer.content) {
        (Content::Maps(shape), Content::Maps(held)) => shape.len() == held.len(),
        (Content::Bytes(len), Content::Bytes(held)) if buffer.role == Role::Input => len <= held,
        (content, held) => content == held,
    }
}

fn check_update(command: &Command) -> Result<(), &'static str> {
    match command {
        Command::Step { optimizer: Optimizer::Sgd { spec, velocity }, .. }
        | Command::LinearBackward {
            weight: WeightGradient::Applied { optimizer: Optimizer::Sgd { spec, velocity }, .. },
            ..
        } if (spec.momentum != 0.0) != velocity.is_some() => {
            Err("there is a velocity exactly where there is momentum")
        }
        _ => Ok(()),
    }
}

fn check_exchange(command: &Command) -> Result<(), &'static str> {
    match command {
        Command::GatherShards { shards, present, .. }
        | Command::SumShards { shards, present, .. }
            if *present > shards.count() =>
        {
            Err("more shards are present than there are")
        }
        Command::LinearFactors { spec, first, rows, .. } if first + spec.x().n > *rows => {
            Err("rows of a part are rows of the whole")
        }
        Command::GatherRows { batch, maps, .. } => {
            let rows = |(shape, _): &(Shape, _)| shape.n;
            let alike = maps.iter().map(rows).all(|n| n == rows(&maps[0]) && n <= *batch);
            if alike { Ok(()) } else { Err("maps have a row for each image of a batch") }
        }
        Command::GatherShards { shards, present, own, others } => {
            let contents = || own.iter().map(|of| of.0).chain(others.iter().map(|of| of.0));
            let each = contents().count().checked_div(*present).unwrap_or(0);
            let mine = shards.own().filter(|shard| shard < present).count();
            let mut shard = contents().take(each).cycle();
            let alike = contents().all(|content| Some(content) == shard.next());
            let counted = [own.len(), others.len()] == [mine, present - mine].map(|n| n * each);
            let vectors = contents().all(|content| matches!(content, Content::Vector(_)));
            if alike && counted && vectors {
                Ok(())
            } else {
                Err("each shard has as many vectors, as long as another's")
            }
        }
        Command::SumShards { shards, present, sums } => {
            let nodes = Tree::new(shards.count(), *present).cover(shards.own()).len();
            match sums.iter().all(|sum| 1 + sum.others.len() == nodes.max(1)) {
                true => Ok(()),
                false => Err("a rank has a sum for each of its subtrees"),
            }
        }
        _ => Ok(()),
    }
}

fn check_trainable(command: &Command) -> Result<()> {
    match command {
        Command::LinearBackward { spec, .. } => spec.weight().check_trainable(),
        Command::LinearInputBackward { spec, .. } => spec.weight().check_differentiable(),
        Command::Step { content, .. }
        | Command::Scale { content, .. }
        | Command::Blend { content, .. } => content.check_trainable(),
        Command::ClipGradients { gradients, .. } => {
            gradients.iter().try_for_each(|(content, _)| content.check_trainable())
        }
        Command::SumShards { sums, .. } => {
            sums.iter().try_for_each(|sum| sum.content.check_trainable())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
