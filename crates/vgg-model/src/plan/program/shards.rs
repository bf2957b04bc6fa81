//! A training step whose batch is cut into shards, some of which other ranks may compute.
//!
//! Each shard is a program, up to its gradients, which it adds to those of the shards before in the order
//! of the [`Tree`]. What follows is a program of its own: a rank without a shard of a short batch has that
//! one alone, and a device can record the others, which wait for nobody.

use std::ops::Range;

use vgg_tensor::ranks::{Shards, Tree};
use vgg_tensor::spec::BatchNorm2d;
use vgg_tensor::{
    BufferId, Command, Content, In, InOut, Out, Pass, Result, ShardSum, WeightGradient,
};

use super::backward::{Backward, Part};
use super::builder::{Builder, Place};
use super::{backward, forward, loss, update as apply};
use crate::{Recipe, streams};

/// Images of a batch that pass through the network by themselves, on whichever rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shard {
    /// Its place in the batch, from 0.
    pub(crate) index: usize,
    /// Images of the whole batch.
    pub(crate) batch: usize,
    /// Shards of the batch that have images.
    pub(crate) present: usize,
    /// Whether its labels come with other classes.
    pub(crate) is_mixed: bool,
    /// Whether its program begins what ranks exchange: the last one of a rank's.
    pub(crate) begins: bool,
}

/// Sums of each gradient that a rank has at once, at most.
pub(crate) fn sums(shards: Shards) -> usize {
    let tree = Tree::new(shards.count(), shards.count());
    let (mut now, mut most) = (0, 0);
    for (_, additions) in tree.additions(shards.own()) {
        now = now + 1 - additions;
        most = now.max(most);
    }
    most
}

/// Forward, backward, and the sums over this and the shards before.
pub(super) fn shard(
    builder: &mut Builder<'_>,
    recipe: &Recipe,
    shard: Shard,
    seed: u64,
) -> Result<()> {
    let (plan, index) = (builder.plan, shard.index);
    let draw = |dropout| (seed, streams::of_micro_batch(streams::dropout(dropout), index as u32));
    // What a statistic of zero becomes is what the shard adds to it.
    for (i, content) in plan.state.iter().copied().enumerate() {
        let (x, y) =
            (In(builder.at(Place::State(i))), Out(builder.at(Place::ShardState(index, i))));
        builder.push(Pass::Forward, "statistics", Command::Scale { content, alpha: 0.0, x, y });
    }
    let trained = plan.trained();
    let tape = forward::train(builder, &trained, draw, |i| Place::ShardState(index, i))?;
    let (spec, metrics) = (plan.loss(shard.is_mixed), Place::ShardMetrics(index));
    let dlogits = loss(builder, tape.logits, spec, metrics);
    // The fully connected layers' gradients, nearly all of the numbers, are exchanged beside what is left.
    let (below, linear) = tape.commands.split_at(tape.first_linear());
    let part = Part { batch: shard.batch, first: index * plan.full };
    let mut backward = Backward::of_part(builder, recipe, &trained, dlogits, part);
    backward.through(linear, !below.is_empty())?;
    let gradients = backward.take_gradients();
    add_up(backward.builder, recipe.shards, shard, gradients);
    if shard.begins {
        exchange_linear(backward.builder, recipe.shards, shard.batch, shard.present)?;
    }
    backward.through(below, false)?;
    let gradients = backward.take_gradients();
    add_up(backward.builder, recipe.shards, shard, gradients);
    Ok(())
}

/// Puts a shard's gradients onto the stack of sums, and adds up those that make a whole subtree.
fn add_up(
    builder: &mut Builder<'_>,
    shards: Shards,
    shard: Shard,
    gradients: Vec<Option<BufferId>>,
) {
    let plan = builder.plan;
    let (mut height, mut additions) = (0, 0);
    for (leaf, count) in Tree::new(shards.count(), shard.present).additions(shards.own()) {
        if leaf == shard.index {
            additions = count;
            break;
        }
        height = height + 1 - count;
    }
    // Its images' share of the batch's mean.
    let alpha = plan.batch as f32 / shard.batch as f32;
    for (i, gradient) in gradients.into_iter().enumerate() {
        let Some(gradient) = gradient else { continue };
        let content = plan.params[i];
        // What is added at once needs no place on the stack.
        let leaf = match additions {
            0 => builder.at(Place::Sum(height, i)),
            _ => builder.temporary(content),
        };
        let command = Command::Scale { content, alpha, x: In(gradient), y: Out(leaf) };
        builder.push(Pass::Update, "gradients", command);
        let mut right = leaf;
        for addition in 0..additions {
            let left = builder.at(Place::Sum(height - 1 - addition, i));
            let (x, y) = (In(right), InOut(left));
            let command = Command::Blend { content, alpha: 1.0, x, beta: 1.0, y };
            builder.push(Pass::Update, "gradients", command);
            right = left;
        }
    }
}

/// What ranks exchange, as far as it has not begun before, and the update.
pub(super) fn update(
    builder: &mut Builder<'_>,
    recipe: &Recipe,
    batch: usize,
    begun: bool,
) -> Result<()> {
    let (plan, shards) = (builder.plan, recipe.shards);
    let present = shards.present(plan.full * shards.count(), batch);
    if shards.ranks() > 1 {
        if !begun {
            exchange_linear(builder, shards, batch, present)?;
        }
        gather(builder, shards, present);
        sum(builder, shards, present, false);
    }
    for shard in 0..present {
        for (i, content) in plan.state.iter().copied().enumerate() {
            let (x, y) = (builder.at(Place::ShardState(shard, i)), builder.at(Place::State(i)));
            let (x, beta, y) = (In(x), 1.0 - BatchNorm2d::MOMENTUM, InOut(y));
            let command = Command::Blend { content, alpha: 1.0, x, beta, y };
            builder.push(Pass::Update, "statistics", command);
        }
    }
    let trained = plan.trained();
    let added = |i: &usize| trained[*i] && !plan.is_of_factors(*i);
    let mut gradients = vec![None; trained.len()];
    (0..trained.len()).filter(added).for_each(|i| {
        gradients[i] = Some(builder.at(Place::Sum(0, i)));
    });
    for i in 0..trained.len() {
        multiply(builder, recipe, &mut gradients, i, batch)?;
    }
    apply::update(builder, recipe, gradients);
    Ok(())
}

/// The gradients of a weight and its bias over `n` images, where they are a product of factors: as in a
/// backward pass, they are applied if nobody needs them as a whole.
fn multiply(
    builder: &mut Builder<'_>,
    recipe: &Recipe,
    gradients: &mut [Option<BufferId>],
    i: usize,
    n: usize,
) -> Result<()> {
    let plan = builder.plan;
    let Some(spec) = plan.factors(i, n)? else { return Ok(()) };
    let [x, dy] = builder.factors(i, &spec).map(In);
    let weight = builder.at(Place::Param(i));
    let weight = match recipe.clip_norm {
        None => backward::applied(builder, recipe, i),
        Some(_) => {
            let dweight = builder.temporary(plan.params[i]);
            gradients[i] = Some(dweight);
            WeightGradient::Stored { weight: In(weight), dweight: Out(dweight) }
        }
    };
    let dbias = match plan.trained()[i + 1] {
        true => *gradients[i + 1].insert(builder.temporary(plan.params[i + 1])),
        false => builder.discarded(plan.params[i + 1]),
    };
    let (aux, dbias) = (In(builder.at(Place::NoAux)), Out(dbias));
    let command = Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx: None };
    builder.push(Pass::Update, plan.layer_of_param(i), command);
    Ok(())
}

/// What ranks exchange of fully connected layers in a batch of `n` images: factors and sums.
fn exchange_linear(
    builder: &mut Builder<'_>,
    shards: Shards,
    n: usize,
    present: usize,
) -> Result<()> {
    let (plan, mut maps) = (builder.plan, Vec::new());
    for i in 0..plan.params.len() {
        let Some(spec) = plan.factors(i, n)? else { continue };
        let [x, dsums] = builder.factors(i, &spec).map(InOut);
        maps.extend([(spec.x(), x), (spec.y(), dsums)]);
    }
    if !maps.is_empty() {
        let batch = plan.full * shards.count();
        builder.push(Pass::Update, "gradients", Command::GatherRows { shards, batch, maps });
    }
    sum(builder, shards, present, true);
    Ok(())
}

/// What is reported of the shards, and what they add to statistics, from and to all ranks.
fn gather(builder: &mut Builder<'_>, shards: Shards, present: usize) {
    let plan = builder.plan;
    let mut of = |shard: usize| -> Vec<(Content, BufferId)> {
        let states = (0..plan.state.len()).map(|i| Place::ShardState(shard, i));
        let places = [Place::ShardMetrics(shard)].into_iter().chain(states);
        places.map(|place| (plan.content(place), builder.at(place))).collect()
    };
    let is_own = |shard: &usize| shards.own().contains(shard);
    let own = (0..present).filter(is_own).flat_map(&mut of).map(|(content, x)| (content, In(x)));
    let own = own.collect();
    let others = (0..present).filter(|shard| !is_own(shard)).flat_map(&mut of);
    let others = others.map(|(content, y)| (content, Out(y))).collect();
    let command = Command::GatherShards { shards, present, own, others };
    builder.push(Pass::Update, "shards", command);
}

/// The sums over all shards, in the places of each rank's first ones: of fully connected layers' gradients,
/// or of all others.
fn sum(builder: &mut Builder<'_>, shards: Shards, present: usize, linear: bool) {
    let plan = builder.plan;
    let nodes: Vec<Range<usize>> = Tree::new(shards.count(), present).cover(shards.own());
    let trained = plan.trained();
    let mut sum = |i: usize| ShardSum {
        content: plan.params[i],
        first: InOut(builder.at(Place::Sum(0, i))),
        others: (1..nodes.len()).map(|node| In(builder.at(Place::Sum(node, i)))).collect(),
    };
    let added = |i: &usize| trained[*i] && !plan.is_of_factors(*i);
    let summed = (0..trained.len()).filter(|i| added(i) && plan.is_linear(*i) == linear);
    let sums: Vec<_> = summed.map(&mut sum).collect();
    if !sums.is_empty() {
        builder.push(Pass::Update, "gradients", Command::SumShards { shards, present, sums });
    }
}
