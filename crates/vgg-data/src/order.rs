//! Which of some images, and in which order.

use std::collections::BTreeMap;

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

/// As many numbers below `labels.len()` as there are labels, each drawn for itself: a class that has
/// labels, all of them alike, and then one of its images. So an image is drawn with a probability that
/// is the inverse of its class's frequency, as by PyTorch's `WeightedRandomSampler`.
///
/// Of the draws of `draw`, those at 2`i` and 2`i` + 1 make number `i`.
pub(crate) fn class_balanced(labels: &[u32], draw: Draw) -> Vec<u32> {
    let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (i, label) in labels.iter().enumerate() {
        classes.entry(*label).or_default().push(i as u32);
    }
    let classes: Vec<Vec<u32>> = classes.into_values().collect();
    let below = |len: usize, index: u64| (u64::from(draw.bits(index)) * len as u64) >> 32;
    let number = |i: u64| {
        let class = &classes[below(classes.len(), 2 * i) as usize];
        class[below(class.len(), 2 * i + 1) as usize]
    };
    (0..labels.len() as u64).map(number).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_drawn_alike_and_so_are_the_images_of_each() {
        // Of 600 images 500, 90 and 10; no image is of class 2.
        let labels: Vec<u32> =
            (0..600).map(|i| [0, 1, 3][(i >= 500) as usize + (i >= 590) as usize]).collect();
        const EPOCHS: u64 = 100;
        let mut images = vec![0_u32; labels.len()];
        for step in 0..EPOCHS {
            let order = class_balanced(&labels, Draw { seed: 7, stream: 1, step });
            assert_eq!(order.len(), labels.len());
            order.iter().for_each(|i| images[*i as usize] += 1);
        }
        let classes = [0..500, 500..590, 590..600].map(|range| images[range].iter().sum::<u32>());
        // Of 60,000 draws 20,000 are expected, with a standard deviation of 115.
        assert!(classes.iter().all(|n| n.abs_diff(20_000) < 600), "{classes:?}");
        // Of each image of the last class 2,000, with one of 44.
        assert!(images[590..].iter().all(|n| n.abs_diff(2_000) < 220), "{:?}", &images[590..]);
        assert!(images[..500].iter().all(|n| n.abs_diff(40) < 40));
        assert_eq!(class_balanced(&[], Draw { seed: 7, stream: 1, step: 0 }), [0_u32; 0]);
    }
}
