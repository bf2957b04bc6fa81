//! From gradients to new parameters.

use vgg_tensor::{BufferId, Command, In, InOut, Out, Pass};

use super::builder::{Builder, Place};
use crate::Recipe;

/// Adds the gradients of a micro-batch, `share` of its batch, to those of the micro-batches before,
/// if it is not the first. Returns the sums.
pub(super) fn accumulate(
    builder: &mut Builder<'_>,
    gradients: Vec<Option<BufferId>>,
    share: f32,
    is_first: bool,
) -> Vec<Option<BufferId>> {
    let mut sum = |(i, gradient): (usize, Option<BufferId>)| {
        let (x, y) = (In(gradient?), builder.at(Place::Sum(0, i)));
        let (content, alpha) = (builder.plan.params[i], share);
        let command = match is_first {
            true => Command::Scale { content, alpha, x, y: Out(y) },
            false => Command::Blend { content, alpha, x, beta: 1.0, y: InOut(y) },
        };
        builder.push(Pass::Update, "gradients", command);
        Some(y)
    };
    gradients.into_iter().enumerate().map(&mut sum).collect()
}

/// Clips gradients, applies them, and takes the new weights into their EMA, as a recipe says.
pub(super) fn update(builder: &mut Builder<'_>, recipe: &Recipe, gradients: Vec<Option<BufferId>>) {
    let plan = builder.plan;
    let (params, trained) = (&plan.params, plan.trained());
    let settings = recipe.settings(&plan.vgg);
    if let Some(max_norm) = recipe.clip_norm {
        let all = params.iter().zip(&gradients);
        let gradients = all.filter_map(|(content, g)| Some((*content, InOut((*g)?)))).collect();
        builder.push(Pass::Update, "gradients", Command::ClipGradients { max_norm, gradients });
    }
    for (i, gradient) in gradients.iter().enumerate() {
        let Some(dweight) = gradient.map(In) else { continue };
        let weight = InOut(builder.at(Place::Param(i)));
        let optimizer = builder.optimizer(settings[i], i);
        let command = Command::Step { optimizer, content: params[i], weight, dweight };
        builder.push(Pass::Update, plan.layer_of_param(i), command);
    }
    if let Some(decay) = recipe.ema_decay {
        let mut blend = |content, from, to| {
            let (x, y) = (In(builder.at(from)), InOut(builder.at(to)));
            let command = Command::Blend { content, alpha: 1.0 - decay, x, beta: decay, y };
            builder.push(Pass::Update, "ema", command);
        };
        for (i, content) in params.iter().enumerate().filter(|(i, _)| trained[*i]) {
            blend(*content, Place::Param(i), Place::Ema(i));
        }
        for (i, content) in plan.state.iter().enumerate() {
            blend(*content, Place::State(i), Place::EmaState(i));
        }
    }
}
