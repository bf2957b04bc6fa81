//! A rectangle around an object.

use vgg_tensor::{Error, Result};

use super::Affine;

/// A rectangle that is not empty, its sides along the axes, in pixels of an image.
///
/// Coordinates are continuous: (0, 0) is the top left corner of the top left pixel, pixel `i` reaches from
/// `i` to `i + 1`, and the whole of an image of `h` × `w` pixels is the box from (0, 0) to (`w`, `h`). So a
/// width is `x1 - x0`, with nothing added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundingBox {
    corners: [f64; 4],
}

impl BoundingBox {
    /// The box of these corners, `[x0, y0, x1, y1]`: left, top, right and bottom.
    ///
    /// # Errors
    /// [`Error::Shape`] when a coordinate is not finite, corners are swapped or the box is empty, with the
    /// coordinates.
    ///
    /// ```
    /// use vgg_data::boxes::BoundingBox;
    ///
    /// assert_eq!(BoundingBox::new([1.0, 2.0, 4.0, 4.0])?.area(), 6.0);
    /// let error = BoundingBox::new([4.0, 2.0, 1.0, 4.0]).unwrap_err();
    /// assert_eq!(error.to_string(), "corners are swapped: its left is 4 and its right is 1");
    /// # Ok::<(), vgg_tensor::Error>(())
    /// ```
    pub fn new(corners: [f64; 4]) -> Result<Self> {
        let [x0, y0, x1, y1] = corners;
        if let Some(wrong) = corners.iter().find(|corner| !corner.is_finite()) {
            return Err(Error::Shape(format!("{wrong} is no coordinate")));
        }
        for (from, to, [first, last], side) in
            [(x0, x1, ["left", "right"], "width"), (y0, y1, ["top", "bottom"], "height")]
        {
            if from > to {
                let message =
                    format!("corners are swapped: its {first} is {from} and its {last} is {to}");
                return Err(Error::Shape(message));
            }
            if from == to {
                let message = format!("the box is empty: it has no {side}, from {from} to {to}");
                return Err(Error::Shape(message));
            }
        }
        Ok(Self { corners })
    }

    /// The whole of an image of `h` × `w` pixels.
    ///
    /// # Panics
    /// When a side is 0.
    pub fn whole([h, w]: [usize; 2]) -> Self {
        assert!(h.min(w) > 0, "an image of {h}×{w}");
        Self { corners: [0.0, 0.0, w as f64, h as f64] }
    }

    /// Left, top, right and bottom.
    pub fn corners(&self) -> [f64; 4] {
        self.corners
    }

    /// The width in pixels.
    pub fn width(&self) -> f64 {
        self.corners[2] - self.corners[0]
    }

    /// The height in pixels.
    pub fn height(&self) -> f64 {
        self.corners[3] - self.corners[1]
    }

    /// The area in pixels.
    pub fn area(&self) -> f64 {
        self.width() * self.height()
    }

    /// Whether no part of `other` is outside of this one.
    pub fn contains(&self, other: &Self) -> bool {
        let ([x0, y0, x1, y1], [left, top, right, bottom]) = (self.corners, other.corners);
        x0 <= left && y0 <= top && right <= x1 && bottom <= y1
    }

    /// What both have, if they have an area in common.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (a, b) = (self.corners, other.corners);
        let [x0, y0] = [a[0].max(b[0]), a[1].max(b[1])];
        let [x1, y1] = [a[2].min(b[2]), a[3].min(b[3])];
        (x0 < x1 && y0 < y1).then_some(Self { corners: [x0, y0, x1, y1] })
    }

    /// Intersection over union: the area that both have by the area that one of them has, from 0 to 1.
    pub fn iou(&self, other: &Self) -> f64 {
        let both = self.intersection(other).map_or(0.0, |both| both.area());
        both / (self.area() + other.area() - both)
    }

    /// Centre across and down, width and height, as shares of an image of `h` × `w` pixels: of its width
    /// across, of its height down. The whole of it is ½, ½, 1, 1.
    ///
    /// So a network is to say where an object is in what it is shown, whatever size that has. Source: Simonyan
    /// and Zisserman 2014, appendix A, which has the four numbers and leaves their unit open.
    pub fn relative_to(&self, [h, w]: [usize; 2]) -> [f32; 4] {
        let ([x0, y0, x1, y1], [h, w]) = (self.corners, [h as f64, w as f64]);
        let numbers = [(x0 + x1) / 2.0 / w, (y0 + y1) / 2.0 / h, (x1 - x0) / w, (y1 - y0) / h];
        numbers.map(|number| number as f32)
    }

    /// The box of such numbers, which may go beyond the image.
    ///
    /// # Errors
    /// [`Error::Shape`] when they are not finite, or a side is not above 0.
    pub fn of_relative(numbers: [f32; 4], [h, w]: [usize; 2]) -> Result<Self> {
        let ([x, y, across, down], [h, w]) = (numbers.map(f64::from), [h as f64, w as f64]);
        let corners = [x - across / 2.0, y - down / 2.0, x + across / 2.0, y + down / 2.0];
        Self::new([corners[0] * w, corners[1] * h, corners[2] * w, corners[3] * h])
    }

    /// Where the box goes. A mirrored axis swaps its sides.
    #[must_use]
    pub fn mapped(&self, map: Affine) -> Self {
        let [x0, y0, x1, y1] = self.corners;
        let ([top, left], [bottom, right]) = (map.apply([y0, x0]), map.apply([y1, x1]));
        Self { corners: [left.min(right), top.min(bottom), left.max(right), top.max(bottom)] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(corners: [f64; 4]) -> BoundingBox {
        BoundingBox::new(corners).unwrap()
    }

    #[test]
    fn what_is_no_box_is_refused() {
        let error = |corners| BoundingBox::new(corners).unwrap_err().to_string();
        assert_eq!(error([0.0, f64::NAN, 1.0, 1.0]), "NaN is no coordinate");
        assert_eq!(error([0.0, 0.0, f64::INFINITY, 1.0]), "inf is no coordinate");
        let swapped = "corners are swapped: its top is 3 and its bottom is 2.5";
        assert_eq!(error([0.0, 3.0, 1.0, 2.5]), swapped);
        assert_eq!(error([1.0, 3.0, 1.0, 4.0]), "the box is empty: it has no width, from 1 to 1");
        assert_eq!(error([0.0, 3.0, 1.0, 3.0]), "the box is empty: it has no height, from 3 to 3");
    }

    #[test]
    fn intersection_over_union() {
        let a = of([0.0, 0.0, 2.0, 2.0]);
        assert_eq!(a.iou(&a), 1.0);
        assert_eq!(a.iou(&of([1.0, 1.0, 3.0, 3.0])), 1.0 / 7.0);
        assert_eq!(a.intersection(&of([2.0, 0.0, 3.0, 2.0])), None, "they touch");
        assert_eq!(a.iou(&of([5.0, 0.0, 6.0, 2.0])), 0.0);
        assert!(a.contains(&of([0.0, 1.0, 2.0, 2.0])) && !a.contains(&of([0.0, 1.0, 2.0, 2.1])));
    }

    #[test]
    fn numbers_relative_to_an_image() {
        assert_eq!(BoundingBox::whole([30, 40]).relative_to([30, 40]), [0.5, 0.5, 1.0, 1.0]);
        let part = of([10.0, 15.0, 20.0, 30.0]);
        assert_eq!(part.relative_to([30, 40]), [0.375, 0.75, 0.25, 0.5]);
        assert_eq!(BoundingBox::of_relative([0.375, 0.75, 0.25, 0.5], [30, 40]).unwrap(), part);
        let error = |numbers| BoundingBox::of_relative(numbers, [30, 40]).unwrap_err().to_string();
        assert!(error([0.5, 0.5, -0.5, 1.0]).starts_with("corners are swapped"));
        assert!(error([0.5, 0.5, 0.5, 0.0]).starts_with("the box is empty"));
        assert_eq!(error([0.5, f32::NAN, 0.5, 0.5]), "NaN is no coordinate");
    }

    fn boxes() -> impl Strategy<Value = BoundingBox> {
        (0_i32..20, 0_i32..20, 1_i32..20, 1_i32..20)
            .prop_map(|(x, y, w, h)| of([x, y, x + w, y + h].map(f64::from)))
    }

    proptest! {
        /// Pixels are counted.
        #[test]
        fn areas_are_those_of_the_pixels(a in boxes(), b in boxes()) {
            let is_in = |of: &BoundingBox, x: i32, y: i32| {
                of.contains(&BoundingBox { corners: [x, y, x + 1, y + 1].map(f64::from) })
            };
            let pixels = || (0..40).flat_map(|y| (0..40).map(move |x| (x, y)));
            let both = pixels().filter(|&(x, y)| is_in(&a, x, y) && is_in(&b, x, y)).count() as f64;
            let any = pixels().filter(|&(x, y)| is_in(&a, x, y) || is_in(&b, x, y)).count() as f64;
            prop_assert_eq!(a.intersection(&b).map_or(0.0, |common| common.area()), both);
            prop_assert_eq!(a.iou(&b), both / any);
        }

        #[test]
        fn a_mirrored_box_is_a_box(a in boxes()) {
            let mirrored = a.mapped(Affine::new([1.0, -1.0], [0.0, 40.0]));
            let [x0, y0, x1, y1] = a.corners();
            prop_assert_eq!(mirrored.corners(), [40.0 - x1, y0, 40.0 - x0, y1]);
        }
    }
}
