//! Which of some images, and in which order.

use vgg_tensor::Draw;

/// The numbers `0..len` in random order: the Fisher–Yates shuffle.
///
/// A number below `k` is the high word of a 32-bit draw times `k`. Its bias, below `k` · 2⁻³², is
/// far below what any number of epochs could show.
pub(crate) fn shuffled(len: usize, draw: Draw) -> Vec<u32> {
    let mut order: Vec<u32> = (0..len as u32).collect();
    for i in (1..len).rev() {
        let j = (u64::from(draw.bits(i as u64)) * (i as u64 + 1)) >> 32;
        order.swap(i, j as usize);
    }
    order
}

/// Which `n` of the images with these labels: as far as possible the same number of every class, of
/// each class the first ones, in stored order.
pub(crate) fn balanced(labels: &[u32], classes: usize, n: usize) -> Vec<usize> {
    // The first image of every class, then the second of every class, and so on.
    let mut seen = vec![0_usize; classes];
    let mut ranked: Vec<(usize, u32, usize)> = Vec::with_capacity(labels.len());
    for (i, &label) in labels.iter().enumerate() {
        ranked.push((seen[label as usize], label, i));
        seen[label as usize] += 1;
    }
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.iter().take(n).map(|&(_, _, i)| i).collect();
    chosen.sort_unstable();
    chosen
}
