//! A network's programs: what is computed for a batch, made of its layers.
//!
//! `forward` makes commands of layers, `backward` makes their gradients of these commands, `update`
//! makes new parameters of the gradients. Everything is known before anything runs.

mod backward;
mod builder;
mod forward;
mod shards;
mod update;

use vgg_tensor::{BufferId, Command, In, Out, Pass, Program, Result};

use builder::Builder;
pub(crate) use builder::Place;
pub(crate) use shards::{Shard, sums};

use crate::loss::Loss;
use crate::plan::{Mode, Plan};
use crate::{Recipe, streams};

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// The logits of images.
    Logits(Weights),
    /// Running statistics of the EMA, which images move as in a training step.
    Measurement {
        /// Whether they begin as those of the weights of the last step.
        is_first: bool,
    },
    /// A training step, or a micro-batch's part in it.
    Step(MicroBatch),
    /// A shard's part in a training step, up to its gradients.
    Shard(Shard),
    /// What follows the shards in a training step: what ranks exchange, and the update.
    Update {
        /// Images of the batch.
        batch: usize,
        /// Whether the last shard's program began the exchange.
        begun: bool,
    },
    /// The loss and the gradients of all parameters, without an update.
    Gradients {
        /// Whether labels come with other classes.
        is_mixed: bool,
    },
    /// The logits, and the last convolution's maps with their gradient by a given one of the logits.
    GradCam,
}

/// Which of a trainer's weights a network has that is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Weights {
    /// Those of the last step.
    Last,
    /// Their average (EMA).
    Ema,
}

/// Images of a batch that pass through the network by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MicroBatch {
    /// Its place in the batch, from 0.
    pub(crate) index: usize,
    /// Images of the whole batch.
    pub(crate) batch: usize,
    /// Whether the update follows it.
    pub(crate) is_last: bool,
    /// Whether its labels come with other classes.
    pub(crate) is_mixed: bool,
}

/// A program, and what its buffers are to the network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NetworkProgram {
    pub(crate) program: Program,
    /// Of each of its buffers.
    pub(crate) places: Vec<Place>,
}

impl NetworkProgram {
    /// What a plan computes for some work. `seed` is dropout's.
    pub(crate) fn new(plan: &Plan, work: Work, seed: u64) -> Result<Self> {
        let mut builder = Builder::new(plan);
        match work {
            Work::Logits(weights) => {
                let tape = forward::evaluate(&mut builder, weights, plan.vgg.layers().len())?;
                builder.keep(tape.logits, Place::Logits);
            }
            Work::Measurement { is_first } => {
                for (i, content) in plan.state.iter().enumerate().filter(|_| is_first) {
                    let [x, y] = [Place::State(i), Place::EmaState(i)].map(|it| builder.at(it));
                    let command =
                        Command::Scale { content: *content, alpha: 1.0, x: In(x), y: Out(y) };
                    builder.push(Pass::Forward, "ema", command);
                }
                let tape = forward::measure(&mut builder)?;
                builder.keep(tape.logits, Place::Logits);
            }
            Work::Step(micro_batch) => step(&mut builder, training(plan), micro_batch, seed)?,
            Work::Shard(shard) => shards::shard(&mut builder, training(plan), shard, seed)?,
            Work::Update { batch, begun } => {
                shards::update(&mut builder, training(plan), batch, begun)?;
            }
            Work::Gradients { is_mixed } => {
                let trained = vec![true; plan.params.len()];
                let draw = |dropout| (seed, streams::dropout(dropout));
                let tape = forward::train(&mut builder, &trained, draw, Place::State)?;
                let dlogits = loss(&mut builder, tape.logits, plan.loss(is_mixed), Place::Metrics);
                let gradients = backward::gradients(&mut builder, None, &trained, &tape, dlogits)?;
                for (i, gradient) in gradients.into_iter().enumerate() {
                    let gradient = gradient.expect("each parameter is one of a layer");
                    builder.keep(gradient, Place::Gradient(i));
                }
            }
            Work::GradCam => {
                let after_maps = plan.vgg.after_last_maps()?;
                let tape = forward::evaluate(&mut builder, Weights::Last, after_maps)?;
                let dlogits = builder.at(Place::LogitsGradient);
                let gradient = backward::input_gradient(&mut builder, &tape, dlogits)?;
                builder.keep(tape.logits, Place::Logits);
                builder.keep(tape.x, Place::Maps);
                builder.keep(gradient, Place::MapsGradient);
            }
        }
        builder.finish()
    }
}

/// Forward, backward, and what becomes of the gradients.
fn step(
    builder: &mut Builder<'_>,
    recipe: &Recipe,
    micro_batch: MicroBatch,
    seed: u64,
) -> Result<()> {
    let plan = builder.plan;
    let draw = |dropout| {
        (seed, streams::of_micro_batch(streams::dropout(dropout), micro_batch.index as u32))
    };
    let trained = plan.trained();
    let tape = forward::train(builder, &trained, draw, Place::State)?;
    let dlogits = loss(builder, tape.logits, plan.loss(micro_batch.is_mixed), Place::Metrics);
    let mut gradients = backward::gradients(builder, Some(recipe), &trained, &tape, dlogits)?;
    if recipe.micro_batches > 1 {
        let share = plan.batch as f32 / micro_batch.batch as f32;
        gradients = update::accumulate(builder, gradients, share, micro_batch.index == 0);
    }
    if micro_batch.is_last {
        update::update(builder, recipe, gradients);
    }
    Ok(())
}

/// The loss of the logits, which is reported in `metrics`, and their gradient, which it returns.
fn loss(builder: &mut Builder<'_>, logits: BufferId, loss: Loss, metrics: Place) -> BufferId {
    let dlogits = builder.maps(loss.outputs());
    let (targets, metrics) = (builder.at(Place::Targets), builder.at(metrics));
    let command = loss.command(In(logits), In(targets), Out(metrics), Out(dlogits));
    builder.push(Pass::Loss, "logits", command);
    dlogits
}

/// The recipe of a plan that trains.
fn training(plan: &Plan) -> &Recipe {
    match &plan.mode {
        Mode::Train(recipe) => recipe,
        Mode::Infer { .. } => panic!("the plan is one for training"),
    }
}

#[cfg(test)]
mod tests;
