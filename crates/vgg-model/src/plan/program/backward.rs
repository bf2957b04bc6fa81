//! From the commands of the forward pass to their gradients.

use vgg_tensor::{BufferId, Command, Content, In, InOut, Out, Pass, WeightGradient};

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
) -> Vec<Option<BufferId>> {
    let applied = recipe.filter(|recipe| recipe.applies_at_once());
    let gradients = vec![None; trained.len()];
    let mut backward = Backward { builder, applied, trained, gradients, dy: dlogits };
    // Nobody asks for the gradient of what the first layer takes: images, or what frozen layers make
    // of them.
    backward.through(tape, false);
    backward.gradients
}

/// The backward pass through the layers of a tape to what the first of them takes, whose gradient it
/// returns. Gradients of parameters are not computed.
pub(super) fn input_gradient(
    builder: &mut Builder<'_>,
    tape: &Tape,
    dlogits: BufferId,
) -> BufferId {
    let trained = &vec![false; builder.plan.params.len()];
    let gradients = Vec::new();
    let mut backward = Backward { builder, applied: None, trained, gradients, dy: dlogits };
    backward.through(tape, true);
    backward.dy
}

/// A backward pass so far.
struct Backward<'b, 'a> {
    builder: &'b mut Builder<'a>,
    /// How gradients of fully connected weights are applied, if they are.
    applied: Option<&'b Recipe>,
    trained: &'b [bool],
    gradients: Vec<Option<BufferId>>,
    /// Where the last gradient of an output is.
    dy: BufferId,
}

impl Backward<'_, '_> {
    /// The gradients of all commands. That of what the first one takes is left in `dy` if it is
    /// `wanted`.
    fn through(&mut self, tape: &Tape, wanted: bool) {
        for (i, (layer, command)) in tape.commands.iter().enumerate().rev() {
            let gradient = self.command(command, wanted || i > 0);
            self.builder.push(Pass::Backward, layer, gradient);
        }
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
            Command::Linear { spec, weight, aux, .. } if self.is_frozen(weight) => {
                let dx = self.dx(Content::Maps(spec.x()));
                Command::LinearInputBackward { spec, weight, dy, aux: kept(aux), dx }
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
            | Command::GatherShards { .. }
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
            Some(recipe) => {
                let settings = recipe.settings(&self.builder.plan.vgg)[i];
                let optimizer = self.builder.optimizer(settings, i);
                WeightGradient::Applied { optimizer, weight: InOut(weight.0) }
            }
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

/// What the forward pass left.
fn kept(aux: Option<Out>) -> In {
    In(aux.expect("what is on a tape is kept").0)
}
