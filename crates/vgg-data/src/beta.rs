//! Random numbers of the beta distribution.

use vgg_tensor::Draw;

use crate::Moment;

/// Attempts after which a number is a half: at `alpha` 1 one in two succeeds, below it more.
pub(crate) const ATTEMPTS: u32 = 32;

/// The number that batch number `index` has of the beta distribution with both parameters `alpha`, by
/// Jöhnk's method. It takes as many random streams as there are [`ATTEMPTS`].
pub(crate) fn share(alpha: f64, moment: Moment, stream: u32, index: usize) -> f32 {
    let share = (0..ATTEMPTS).find_map(|attempt| {
        let draw = Draw { seed: moment.seed, stream: stream + attempt, step: moment.epoch };
        let [u, v, ..] = draw.block(index as u32).map(Draw::uniform_from);
        let [x, y] = [u, v].map(|u| f64::from(u).powf(1.0 / alpha));
        (x + y > 0.0 && x + y <= 1.0).then(|| (x / (x + y)) as f32)
    });
    share.unwrap_or(0.5)
}
