//! Where points go, along each axis.

/// A map of the plane that takes each axis to itself: a factor and an offset along each. A scaling, a crop,
/// a mirror image and a shift are such maps, and so is what they come to one after another.
///
/// Coordinates are continuous, in pixels: pixel `i` reaches from `i` to `i + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Down and across.
    axes: [Axis; 2],
}

/// From `x` to `scale · x + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    /// Not 0; negative where the axis is mirrored.
    scale: f64,
    offset: f64,
}

impl Affine {
    /// Each point stays where it is.
    pub fn identity() -> Self {
        Self::new([1.0; 2], [0.0; 2])
    }

    /// Points are multiplied by `scale` and moved by `offset`, both down and across.
    ///
    /// # Panics
    /// When a number is not finite, or a scale is 0.
    pub fn new(scale: [f64; 2], offset: [f64; 2]) -> Self {
        let axis = |axis: usize| {
            let (scale, offset) = (scale[axis], offset[axis]);
            let is_map = scale.is_finite() && scale != 0.0 && offset.is_finite();
            assert!(is_map, "a map by a factor of {scale} and an offset of {offset}");
            Axis { scale, offset }
        };
        Self { axes: [axis(0), axis(1)] }
    }

    /// `next` after this one.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let axis = |axis: usize| {
            let (first, next) = (self.axes[axis], next.axes[axis]);
            Axis { scale: first.scale * next.scale, offset: next.apply(first.offset) }
        };
        Self { axes: [axis(0), axis(1)] }
    }

    /// The map back.
    #[must_use]
    pub fn inverse(self) -> Self {
        let back = |Axis { scale, offset }| Axis { scale: 1.0 / scale, offset: -offset / scale };
        Self { axes: self.axes.map(back) }
    }

    /// Where a point goes, down and across.
    pub fn apply(self, point: [f64; 2]) -> [f64; 2] {
        [self.axes[0].apply(point[0]), self.axes[1].apply(point[1])]
    }
}

impl Axis {
    fn apply(self, x: f64) -> f64 {
        self.scale * x + self.offset
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn maps() -> impl Strategy<Value = Affine> {
        let scale = prop_oneof![0.1..10.0, -10.0..-0.1];
        let axis = || (scale.clone(), -100.0..100.0);
        (axis(), axis()).prop_map(|(y, x)| Affine::new([y.0, x.0], [y.1, x.1]))
    }

    fn are_near(a: [f64; 2], b: [f64; 2]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-8)
    }

    proptest! {
        #[test]
        fn one_after_another_and_back(
            first in maps(),
            next in maps(),
            point in [-50.0..50.0, -50.0..50.0],
        ) {
            let both = first.then(next);
            prop_assert!(are_near(both.apply(point), next.apply(first.apply(point))));
            prop_assert!(are_near(first.inverse().apply(first.apply(point)), point));
        }
    }
}
