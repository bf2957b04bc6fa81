//! Buffers and commands that are put together into a program.

use std::collections::HashMap;

use vgg_tensor::spec::Linear;
use vgg_tensor::{
    BufferId, BufferSpec, Command, Content, InOut, Instruction, Optimizer, Pass, Program, Result,
    Role, Shape,
};

use super::NetworkProgram;
use crate::optimizer::Moment;
use crate::plan::Plan;

/// What a buffer of a program is to the network that runs it: with what memory it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The batch's bytes.
    Pixels,
    /// What the network is to say of the batch.
    Targets,
    /// What the loss reports.
    Metrics,
    /// What an evaluated network gives.
    Logits,
    /// Their gradient, where it is given.
    LogitsGradient,
    /// The last convolution's maps, activated, where they are asked for.
    Maps,
    /// Their gradient.
    MapsGradient,
    /// A parameter, by its place in [`crate::Vgg::params`].
    Param(usize),
    /// What the optimiser keeps of a parameter.
    Moment(Moment, usize),
    /// A parameter's gradient, where it is asked for.
    Gradient(usize),
    /// A sum of a parameter's gradients over micro-batches or shards: by its place on the stack of such
    /// sums, and the parameter.
    Sum(usize, usize),
    /// What a fully connected layer takes, by its weight, of all images of a batch, where the weight's
    /// gradient is computed of that.
    FactorInputs(usize),
    /// The gradients of its sums.
    FactorSums(usize),
    /// What a layer without ReLU keeps: nothing.
    NoAux,
    /// A parameter's EMA.
    Ema(usize),
    /// A running statistic, by its place in [`crate::Vgg::state`].
    State(usize),
    /// What the loss reports of a shard.
    ShardMetrics(usize),
    /// What a shard adds to a running statistic: by the shard, and the statistic.
    ShardState(usize, usize),
    /// A running statistic's EMA.
    EmaState(usize),
    /// One that no other program knows of.
    Own,
}

/// A program that is being made.
pub(super) struct Builder<'a> {
    pub(super) plan: &'a Plan,
    buffers: Vec<BufferSpec>,
    places: Vec<Place>,
    known: HashMap<Place, BufferId>,
    instructions: Vec<Instruction>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let (buffers, places) = (Vec::new(), Vec::new());
        Self { plan, buffers, places, known: HashMap::new(), instructions: Vec::new() }
    }

    /// The buffer that is known to other programs as `place`.
    pub(super) fn at(&mut self, place: Place) -> BufferId {
        self.at_holding(place, self.plan.content(place))
    }

    /// As [`Builder::at`], of a place that holds less than it has room for.
    pub(super) fn at_holding(&mut self, place: Place, content: Content) -> BufferId {
        if let Some(known) = self.known.get(&place) {
            return *known;
        }
        let role = match place {
            Place::Pixels | Place::Targets => Role::Input,
            Place::Metrics
            | Place::Logits
            | Place::Maps
            | Place::MapsGradient
            | Place::Gradient(_) => Role::Output,
            Place::Own => panic!("nobody else knows it"),
            _ => Role::State,
        };
        let buffer = self.add(content, role, place);
        self.known.insert(place, buffer);
        buffer
    }

    /// Where the factors of a weight's gradient are.
    pub(super) fn factors(&mut self, i: usize, spec: &Linear) -> [BufferId; 2] {
        let x = self.at_holding(Place::FactorInputs(i), Content::Maps(spec.x()));
        [x, self.at_holding(Place::FactorSums(i), Content::Maps(spec.y()))]
    }

    /// Maps of its own.
    pub(super) fn maps(&mut self, shape: Shape) -> BufferId {
        self.temporary(Content::Maps(shape))
    }

    /// A buffer of its own.
    pub(super) fn temporary(&mut self, content: Content) -> BufferId {
        self.add(content, Role::Temporary, Place::Own)
    }

    /// A buffer for what a command computes besides.
    pub(super) fn discarded(&mut self, content: Content) -> BufferId {
        self.add(content, Role::Discarded, Place::Own)
    }

    fn add(&mut self, content: Content, role: Role, place: Place) -> BufferId {
        self.buffers.push(BufferSpec { content, role });
        self.places.push(place);
        BufferId(self.places.len() - 1)
    }

    /// Makes a buffer of its own one that others look for.
    pub(super) fn keep(&mut self, buffer: BufferId, place: Place) {
        self.buffers[buffer.0].role = Role::Output;
        self.places[buffer.0] = place;
    }

    /// An optimiser's step on a parameter, with where it keeps what it keeps.
    pub(super) fn optimizer(&mut self, settings: Optimizer<Moment>, i: usize) -> Optimizer {
        settings.map(|moment| InOut(self.at(Place::Moment(moment, i))))
    }

    /// Which place a buffer has.
    pub(super) fn place(&self, buffer: BufferId) -> Place {
        self.places[buffer.0]
    }

    /// The next command.
    pub(super) fn push(&mut self, pass: Pass, layer: &str, command: Command) {
        self.instructions.push(Instruction { pass, layer: layer.into(), command });
    }

    pub(super) fn finish(self) -> Result<NetworkProgram> {
        let program = Program::new(self.buffers, self.instructions)?;
        Ok(NetworkProgram { program, places: self.places })
    }
}
