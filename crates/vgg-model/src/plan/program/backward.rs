//! From the commands of the forward pass to their gradients.

use std::mem::replace;

use vgg_tensor::{BufferId, Command, Content, In, InOut, Out, Pass, Result, WeightGradient};

use super::builder::{Builder, Place};
use super::forward::Tape;
use crate::Recipe;

/// The backward pass through the layers of a tape. Returns the gradients of the parameters that are
/// `trained`, but for those which a `recipe` applies as they are computed.
pub(super) fn gradients(
    builder: &mut Builder<'_>,
    recipe: Option<&Recipe>,
    trained: &[bool],
    tape: &Tape,
    dlogits: BufferId,
) -> Result<Vec<Option<BufferId>>> {
    let mut backward = Backward::new(builder, recipe, trained, dlogits);
    // Nobody asks for the gradient of what the first layer takes: images, or what frozen layers make
    // of them.
    backward.through(&tape.commands, false)?;
    Ok(backward.gradients)
}

/// The backward pass through the layers of a tape to what the first of them takes, whose gradient it
/// returns. Gradients of parameters are not computed.
pub(super) fn input_gradient(
    builder: &mut Builder<'_>,
    tape: &Tape,
    dlogits: BufferId,
) -> Result<BufferId> {
    let trained = &vec![false; builder.plan.params.len()];
    let mut backward = Backward::new(builder, None, trained, dlogits);
    backward.through(&tape.commands, true)?;
    Ok(backward.dy)
}

/// Images of a batch.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Of the whole batch.
    pub(super) batch: usize,
    /// The first one.
    pub(super) first: usize,
}

/// A backward pass so far.
pub(super) struct Backward<'b, 'a> {
    pub(super) builder: &'b mut Builder<'a>,
    /// How gradients of fully connected weights are applied, if they are.
    applied: Option<&'b Recipe>,
    trained: &'b [bool],
    /// Which images of a batch these are, where some gradients are computed of the whole batch.
    part: Option<Part>,
    /// Of each parameter, once it is computed.
    gradients: Vec<Option<BufferId>>,
    /// Where the last gradient of an output is.
    dy: BufferId,
}

impl<'b, 'a> Backward<'b, 'a> {
    /// One that begins at the logits.
    pub(super) fn new(
        builder: &'b mut Builder<'a>,
        recipe: Option<&'b Recipe>,
        trained: &'b [bool],
        dlogits: BufferId,
    ) -> Self {
        let applied = recipe.filter(|recipe| recipe.applies_at_once());
        let gradients = vec![None; trained.len()];
        Self { builder, applied, trained, part: None, gradients, dy: dlogits }
    }

    /// The same of a part of a batch.
    pub(super) fn of_part(
        builder: &'b mut Builder<'a>,
        recipe: &'b Recipe,
        trained: &'b [bool],
        dlogits: BufferId,
        part: Part,
    ) -> Self {
        Self { part: Some(part), ..Self::new(builder, Some(recipe), trained, dlogits) }
    }

    /// The gradients of some commands of a tape, from the last one on. That of what the first one takes is
    /// left in `dy` if it is `wanted`.
    pub(super) fn through(&mut self, commands: &[(String, Command)], wanted: bool) -> Result<()> {
        for (i, (layer, command)) in commands.iter().enumerate().rev() {
            let wanted = wanted || i > 0;
            if let Some(factors) = self.factors(command)? {
                self.builder.push(Pass::Backward, layer, factors);
                let gradient = wanted.then(|| self.input_gradient(command));
                gradient.into_iter().for_each(|it| self.builder.push(Pass::Backward, layer, it));
                continue;
            }
            let gradient = self.command(command, wanted);
            self.builder.push(Pass::Backward, layer, gradient);
        }
        Ok(())
    }

    /// What is kept of a fully connected layer whose weight's gradient is computed of the whole batch.
    fn factors(&mut self, command: &Command) -> Result<Option<Command>> {
        let (Command::Linear { spec, x, weight, aux, .. }, Some(part)) = (command, self.part)
        else {
            return Ok(None);
        };
        let i = self.param(*weight);
        let Some(whole) = self.builder.plan.factors(i, part.batch)? else { return Ok(None) };
        let [xs, dsums] = self.builder.factors(i, &whole).map(InOut);
        Ok(Some(Command::LinearFactors {
            spec: *spec,
            first: part.first,
            rows: part.batch,
            // Its images' share of the batch's mean.
            alpha: spec.x().n as f32 / part.batch as f32,
            x: *x,
            dy: In(self.dy),
            aux: kept(*aux),
            xs,
            dsums,
        }))
    }

    /// The input's gradient alone, of a fully connected layer.
    fn input_gradient(&mut self, command: &Command) -> Command {
        let Command::Linear { spec, weight, aux, .. } = *command else {
            unreachable!("{command} has other gradients")
        };
        let dy = In(self.dy);
        let dx = self.dx(Content::Maps(spec.x()));
        Command::LinearInputBackward { spec, weight, dy, aux: kept(aux), dx }
    }

    /// The gradients of parameters that were computed since it was asked last.
    pub(super) fn take_gradients(&mut self) -> Vec<Option<BufferId>> {
        let none = vec![None; self.gradients.len()];
        replace(&mut self.gradients, none)
    }

    /// The gradient of one command, which leaves the gradient of its input in `dy` if it is `wanted`.
    fn command(&mut self, command: &Command, wanted: bool) -> Command {
        let dy = In(self.dy);
        match *command {
            Command::Conv2d { spec, x, weight, aux, .. } => {
                let [dweight, dbias] = self.gradients_of(weight);
                let (aux, dx) = (kept(aux), wanted.then(|| self.dx(Content::Maps(spec.x()))));
                Command::Conv2dBackward { spec, x, weight, dy, aux, dweight, dbias, dx }
            }
            Command::BatchNorm2d { spec, x, weight, saved, aux, .. } => {
                let [dweight, dbias] = self.gradients_of(weight);
                let ([saved, aux], dx) = (
                    [In(saved.0), In(aux.0)],
                    self.dx_or_discarded(Content::Maps(spec.x()), wanted),
                );
                Command::BatchNorm2dBackward { spec, x, weight, saved, dy, aux, dweight, dbias, dx }
            }
            Command::Linear { weight, .. } if self.is_frozen(weight) => {
                self.input_gradient(command)
            }
            Command::Linear { spec, x, weight, aux, .. } => {
                let (weight, dbias) = self.weight_gradient(weight);
                let (aux, dx) = (kept(aux), wanted.then(|| self.dx(Content::Maps(spec.x()))));
                Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx }
            }
            Command::Lrn { spec, x, .. } => {
                let dx = self.dx(Content::Maps(spec.x()));
                Command::LrnBackward { spec, x, dy, dx }
            }
            Command::MaxPool2d { spec, aux, .. } => {
                let dx = self.dx(Content::Maps(spec.x()));
                Command::MaxPool2dBackward { spec, dy, aux: kept(aux), dx }
            }
            Command::AvgPool2d { spec, .. } => {
                let dx = self.dx(Content::Maps(spec.x()));
                Command::AvgPool2dBackward { spec, dy, dx }
            }
            // In place: what was changed is the output, and the gradient stays where it is.
            Command::Sigmoid { shape, x } => {
                Command::SigmoidBackward { shape, y: In(x.0), dy: InOut(self.dy) }
            }
            Command::Dropout { shape, p, seed, stream, .. } => {
                Command::Dropout { shape, p, seed, stream, x: InOut(self.dy) }
            }
            Command::PrepareImages { .. }
            | Command::BatchNorm2dInference { .. }
            | Command::Conv2dBackward { .. }
            | Command::MaxPool2dBackward { .. }
            | Command::AvgPool2dBackward { .. }
            | Command::LrnBackward { .. }
            | Command::BatchNorm2dBackward { .. }
            | Command::SigmoidBackward { .. }
            | Command::LinearBackward { .. }
            | Command::LinearInputBackward { .. }
            | Command::SoftmaxCrossEntropy { .. }
            | Command::EuclideanLoss { .. }
            | Command::Step { .. }
            | Command::Scale { .. }
            | Command::Blend { .. }
            | Command::ClipGradients { .. }
            | Command::LinearFactors { .. }
            | Command::GatherShards { .. }
            | Command::GatherRows { .. }
            | Command::SumShards { .. } => {
                unreachable!("a layer with a backward pass is no {command}")
            }
        }
    }

    /// Where the input's gradient goes.
    fn dx(&mut self, content: Content) -> Out {
        self.dy = self.builder.temporary(content);
        Out(self.dy)
    }

    /// The same for a command that computes it in any case.
    fn dx_or_discarded(&mut self, content: Content, wanted: bool) -> Out {
        if wanted { self.dx(content) } else { Out(self.builder.discarded(content)) }
    }

    /// Where the gradients of a weight and its bias go.
    fn gradients_of(&mut self, weight: In) -> [Out; 2] {
        let first = self.param(weight);
        [self.gradient(first), self.gradient(first + 1)]
    }

    /// Whether neither a weight nor its bias is trained.
    fn is_frozen(&self, weight: In) -> bool {
        let first = self.param(weight);
        !self.trained[first] && !self.trained[first + 1]
    }

    /// Where a parameter's gradient goes. A frozen one's is computed besides, and nobody reads it.
    fn gradient(&mut self, i: usize) -> Out {
        let content = self.builder.plan.params[i];
        if !self.trained[i] {
            return Out(self.builder.discarded(content));
        }
        let gradient = self.builder.temporary(content);
        self.gradients[i] = Some(gradient);
        Out(gradient)
    }

    /// What becomes of the gradient of a fully connected layer's weight, and where its bias's goes.
    fn weight_gradient(&mut self, weight: In) -> (WeightGradient, Out) {
        let i = self.param(weight);
        let gradient = match self.applied.filter(|_| self.trained[i]) {
            None => WeightGradient::Stored { weight, dweight: self.gradient(i) },
            Some(recipe) => applied(self.builder, recipe, i),
        };
        (gradient, self.gradient(i + 1))
    }

    /// Which parameter a weight is.
    fn param(&self, weight: In) -> usize {
        match self.builder.place(weight.0) {
            Place::Param(i) => i,
            place => unreachable!("a layer's weight is a parameter, not {place:?}"),
        }
    }
}

/// A weight's gradient that the optimiser takes as it is computed.
pub(super) fn applied(builder: &mut Builder<'_>, recipe: &Recipe, i: usize) -> WeightGradient {
    let settings = recipe.settings(&builder.plan.vgg)[i];
    let optimizer = builder.optimizer(settings, i);
    WeightGradient::Applied { optimizer, weight: InOut(builder.at(Place::Param(i))) }
}

/// What the forward pass left.
fn kept(aux: Option<Out>) -> In {
    In(aux.expect("what is on a tape is kept").0)
}
