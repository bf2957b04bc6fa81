//! Boxes of many windows that become one.
//!
//! The greedy procedure of Sermanet et al., "OverFeat: Integrated recognition, localization and detection
//! using convolutional networks" (2014), section 4.3: the two boxes that match best become one, and so on,
//! until none match; the box is the answer to which most of the class's scores went. OverFeat adds the
//! distance of centres, in pixels, to an area that two boxes have in common, and leaves the threshold
//! open. Here both terms are shares, so that they can be added and do not depend on how large images are.

use vgg_data::boxes::BoundingBox;

/// Boxes of a larger [`distance`] stay apart, if nothing else is asked for: their centres are further from each
/// other, as a share of their side, than what they have in common is of their union.
pub(crate) const THRESHOLD: f64 = 1.0;

/// A box of a window, and how much speaks for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    pub bounds: BoundingBox,
    /// The class's score in the window, or the sum of those of windows whose boxes were merged.
    pub score: f64,
}

/// The box for which most speaks once those whose [`distance`] is below `threshold` are merged; nothing if there
/// is none.
///
/// Boxes that become one are averaged by their scores, and so is a box that comes to it later.
pub(crate) fn merged(mut boxes: Vec<Scored>, threshold: f64) -> Option<Scored> {
    boxes.retain(|it| it.score > 0.0);
    while let Some([a, b]) = nearest(&boxes, threshold) {
        // The later one first, so that the other stays in its place.
        let (b, a) = (boxes.remove(b), &mut boxes[a]);
        *a = average(a, &b);
    }
    // The first of equals.
    boxes.into_iter().reduce(|best, next| if next.score > best.score { next } else { best })
}

/// The places of the two boxes of the least distance, the first one first, if it is below `threshold`.
fn nearest(boxes: &[Scored], threshold: f64) -> Option<[usize; 2]> {
    let mut best = (threshold, None);
    for b in 1..boxes.len() {
        for a in 0..b {
            let distance = distance(&boxes[a].bounds, &boxes[b].bounds);
            if distance < best.0 {
                best = (distance, Some([a, b]));
            }
        }
    }
    best.1
}

/// How far apart the centres of two boxes are, as a share of their mean side, plus what they do not have in
/// common, as a share of their union. Zero if they are the same.
fn distance(a: &BoundingBox, b: &BoundingBox) -> f64 {
    let centre = |of: &BoundingBox| {
        let [x0, y0, x1, y1] = of.corners();
        [(x0 + x1) / 2.0, (y0 + y1) / 2.0]
    };
    let ([ax, ay], [bx, by]) = (centre(a), centre(b));
    let side = ((a.area() + b.area()) / 2.0).sqrt();
    (ax - bx).hypot(ay - by) / side + (1.0 - a.iou(b))
}

/// The mean of two boxes' coordinates by their scores.
fn average(a: &Scored, b: &Scored) -> Scored {
    let score = a.score + b.score;
    let (of_a, of_b) = (a.bounds.corners(), b.bounds.corners());
    let mean = |i: usize| (a.score * of_a[i] + b.score * of_b[i]) / score;
    // Rounding may leave nothing of boxes that are hardly anything.
    match BoundingBox::new([0, 1, 2, 3].map(mean)) {
        Ok(bounds) => Scored { bounds, score },
        Err(_) => Scored { bounds: a.bounds, score },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(corners: [f64; 4], score: f64) -> Scored {
        Scored { bounds: BoundingBox::new(corners).unwrap(), score }
    }

    #[test]
    fn boxes_that_match_are_averaged_by_their_scores() {
        assert_eq!(merged(vec![], THRESHOLD), None);
        assert_eq!(merged(vec![of([0.0, 0.0, 1.0, 1.0], 0.0)], THRESHOLD), None);
        let near = [of([0.0, 0.0, 100.0, 100.0], 0.25), of([4.0, 0.0, 104.0, 100.0], 0.75)];
        assert_eq!(merged(near.to_vec(), THRESHOLD), Some(of([3.0, 0.0, 103.0, 100.0], 1.0)));
        // One that is far from both stays apart, and has less.
        let far = of([300.0, 0.0, 400.0, 100.0], 0.875);
        let all = [near[0], far, near[1]];
        assert_eq!(merged(all.to_vec(), THRESHOLD).unwrap().score, 1.0);
        // And more, if it has more than both.
        let most = Scored { score: 2.0, ..far };
        assert_eq!(merged(vec![near[0], most, near[1]], THRESHOLD), Some(most));
        // All stay apart where none is near enough: the first one that has most is left.
        assert_eq!(
            merged(vec![near[0], near[1], far, of([0.0, 0.0, 1.0, 1.0], 0.875)], 0.0),
            Some(far)
        );
    }

    #[test]
    fn the_best_match_is_merged_first() {
        // The middle one matches both sides, the right one better.
        let boxes = [0.0, 38.0, 70.0].map(|x| of([x, 0.0, x + 100.0, 100.0], 1.0));
        assert_eq!(nearest(&boxes, THRESHOLD), Some([1, 2]));
        let reversed: Vec<Scored> = boxes.into_iter().rev().collect();
        assert_eq!(nearest(&reversed, THRESHOLD), Some([0, 1]));
        // Their mean is too far from the left one then.
        assert_eq!(merged(boxes.to_vec(), THRESHOLD).unwrap(), of([54.0, 0.0, 154.0, 100.0], 2.0));
    }

    #[test]
    fn larger_images_have_the_same_distances() {
        let of_scale = |scale: f64| {
            let at = |x: f64| of([x * scale, 0.0, (x + 10.0) * scale, 8.0 * scale], 1.0).bounds;
            distance(&at(0.0), &at(2.0))
        };
        assert!((of_scale(1.0) - of_scale(100.0)).abs() < 1e-12);
    }
}
