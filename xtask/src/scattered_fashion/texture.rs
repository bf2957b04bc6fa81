//! Backgrounds: smooth noise, in grey levels.

use vgg_tensor::Draw;

/// Sides of the cells of noise, in pixels: from blots to grain.
const CELLS: [usize; 4] = [32, 16, 8, 3];

/// The mean level, from – to, and how far from it noise may go.
const MEAN: [f32; 2] = [40.0, 150.0];
const AMPLITUDE: f32 = 70.0;

/// A square of `side` × `side` levels, by the random words of `draw` from block `first` on.
///
/// Levels are random at the corners of cells, and linear between them. Cells of several sizes are added, each
/// with a random weight.
pub(super) fn texture(side: usize, draw: Draw, first: u32) -> Vec<u8> {
    let [mean, ..] = draw.block(first).map(Draw::uniform_from);
    let weights = draw.block(first + 1).map(Draw::uniform_from);
    let sum: f32 = weights.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    let mut levels = vec![MEAN[0] + (MEAN[1] - MEAN[0]) * mean; side * side];
    // Where the corners' numbers begin.
    let mut index = 4 * u64::from(first + 2);
    for (cell, weight) in CELLS.into_iter().zip(weights) {
        let corners = side / cell + 2;
        let scale = 2.0 * AMPLITUDE * weight / sum;
        let lattice: Vec<f32> = (index..index + (corners * corners) as u64)
            .map(|index| scale * (draw.uniform(index) - 0.5))
            .collect();
        index += lattice.len() as u64;
        let at = |i: usize| (i / cell, (i % cell) as f32 / cell as f32);
        for (y, row) in levels.chunks_exact_mut(side).enumerate() {
            let (top, down) = at(y);
            let above = &lattice[top * corners..][..corners];
            let below = &lattice[(top + 1) * corners..][..corners];
            for (x, level) in row.iter_mut().enumerate() {
                let (left, across) = at(x);
                let between = |row: &[f32]| row[left] + (row[left + 1] - row[left]) * across;
                let [above, below] = [between(above), between(below)];
                *level += above + (below - above) * down;
            }
        }
    }
    levels.into_iter().map(|level| level.round().clamp(0.0, 255.0) as u8).collect()
}
