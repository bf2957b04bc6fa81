//! Where a view of a picture is from.

use super::resized_crop::Part;
use crate::boxes::{Affine, BoundingBox};

/// Where a view of a picture is from, in whole pixels: a part of the picture is scaled, a crop is cut from
/// that at a corner, mirrored left to right or not, and shifted.
///
/// The pixels of a view are computed by this value, and boxes go [where it says](Self::map), so that a box
/// stays around its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Of the picture, in its own pixels.
    pub(super) part: Part,
    /// The height and width that the part is scaled to.
    pub(super) scaled: [usize; 2],
    /// The top left corner of the crop in the scaled part; outside of it are zeros.
    pub(super) corner: [isize; 2],
    /// The crop's height and width.
    pub(super) size: [usize; 2],
    /// Whether the crop is mirrored left to right.
    pub(super) mirrored: bool,
    /// How far it is moved then, down and to the right; what comes in are zeros.
    pub(super) shift: [isize; 2],
}

impl Crop {
    /// The height and width of the view.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// From the picture's own pixels to the view's.
    pub fn map(&self) -> Affine {
        let factor = |axis: usize| self.scaled[axis] as f64 / self.part.size[axis] as f64;
        let scale = [factor(0), factor(1)];
        let offset = [0, 1]
            .map(|axis| -(self.part.corner[axis] as f64) * scale[axis] - self.corner[axis] as f64);
        let cut = Affine::new(scale, offset);
        let mirror = match self.mirrored {
            true => Affine::new([1.0, -1.0], [0.0, self.size[1] as f64]),
            false => Affine::identity(),
        };
        cut.then(mirror).then(Affine::new([1.0; 2], self.shift.map(|by| by as f64)))
    }

    /// Where a box of the picture is in the view, in its pixels: the part that is seen, which is clipped at
    /// the edges of the view and of the picture. None if less than `least` of its area is seen, from 0
    /// (whatever is seen counts) to 1 (all must be seen), or nothing.
    pub fn place(&self, bounds: &BoundingBox, least: f64) -> Option<BoundingBox> {
        let whole = bounds.mapped(self.map());
        let seen = whole.intersection(&self.window()?)?;
        (seen.area() >= least * whole.area()).then_some(seen)
    }

    /// The box of which most is seen, of several the first, as numbers relative to the view: what a network
    /// is trained by that locates. None where less than `least` of each is seen, as [`Crop::place`] has it.
    pub fn target<'a>(
        &self,
        boxes: impl Iterator<Item = &'a BoundingBox>,
        least: f64,
    ) -> Option<[f32; 4]> {
        let seen = boxes.filter_map(|bounds| self.place(bounds, least));
        let most = seen.reduce(|best, next| if next.area() > best.area() { next } else { best });
        most.map(|bounds| bounds.relative_to(self.size))
    }

    /// Where the crop's corner is in what begins at `from` in the scaled part.
    pub(super) fn corner_from(&self, from: [usize; 2]) -> [isize; 2] {
        [0, 1].map(|axis| self.corner[axis] - from[axis] as isize)
    }

    /// The part of the view that the crop is in, once it is shifted.
    fn window(&self) -> Option<BoundingBox> {
        let view = BoundingBox::whole(self.size);
        view.intersection(&view.mapped(Affine::new([1.0; 2], self.shift.map(|by| by as f64))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transform::chance::Chance;
    use crate::transform::{Augment, ResizedCrop, Transform};
    use crate::{Dataset, Images, Moment};

    /// An image whose pixels are bright in a range of rows or columns, and else black.
    fn band([h, w]: [usize; 2], axis: usize, bright: [usize; 2]) -> Images {
        let is_bright = |p: usize| (bright[0]..bright[1]).contains(&[p / w, p % w][axis]);
        let pixels = (0..h * w).map(|p| if is_bright(p) { 255 } else { 0 }).collect();
        Dataset::new([1, h, w], pixels, vec![0], vec!["a".into()]).unwrap().into()
    }

    /// The size of an image, and a box in it of at least 12 pixels a side: more than the filter sees.
    fn image() -> impl Strategy<Value = ([usize; 2], [[usize; 2]; 2])> {
        let side = || {
            (16..60_usize).prop_flat_map(|side| {
                let range =
                    (0..side - 11).prop_flat_map(move |from| (Just(from), from + 12..=side));
                (Just(side), range)
            })
        };
        (side(), side()).prop_map(|((h, (top, bottom)), (w, (left, right)))| {
            ([h, w], [[top, bottom], [left, right]])
        })
    }

    /// Each way to scale, with each way to cut and to move.
    fn transforms() -> impl Strategy<Value = Transform> {
        let shape = (8..=16_usize, 8..=16_usize).prop_map(|(h, w)| [1, h, w]);
        (
            shape,
            0..4,
            16..80_usize,
            (any::<bool>(), any::<bool>(), any::<bool>()),
            1..4_usize,
            0..5_usize,
        )
            .prop_map(
                |(shape, kind, short_side, (random_crop, flip, mirrored), grid, by)| {
                    let transform = match kind {
                        0 => Transform::scaled(shape, [short_side, short_side + 9]).unwrap(),
                        1 => Transform::scaled(shape, [short_side; 2])
                            .unwrap()
                            .grid(grid)
                            .shifted(by)
                            .unwrap(),
                        2 => Transform::resized_crop(
                            shape,
                            ResizedCrop { scale: [0.5, 1.0], ..Default::default() },
                        )
                        .unwrap(),
                        _ => Transform::resized(shape).shifted(by).unwrap(),
                    };
                    let transform = if mirrored { transform.mirrored() } else { transform };
                    transform
                        .with(Augment { random_crop, flip, pad_crop: by, ..Augment::default() })
                        .unwrap()
                },
            )
    }

    /// How far from an edge of a box in the view its brightness may be anything. Bytes and weights are
    /// rounded, a hundredth of a source pixel or so, and where the filter is cut off at the edge of what is
    /// scaled, it is no longer symmetric.
    fn blurs(crop: &Crop, corners: [f64; 4]) -> [f64; 4] {
        let blurs: [f64; 4] = std::array::from_fn(|edge| {
            let axis = 1 - edge % 2;
            let [from, size] = [crop.part.corner[axis], crop.part.size[axis]].map(|n| n as f64);
            let factor = crop.scaled[axis] as f64 / size;
            let from_edge = (corners[edge] - from).abs().min((from + size - corners[edge]).abs());
            if from_edge < 2.0 * (1.0 / factor).max(1.0) {
                0.5 * factor.max(1.0)
            } else {
                0.02 * factor.max(1.0)
            }
        });
        let [x0, y0, x1, y1] = blurs;
        if crop.mirrored { [x1, y0, x0, y1] } else { blurs }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        /// The columns and the rows of a box are drawn into an image each. As the filter is symmetric, an
        /// edge is where it is half as bright.
        #[test]
        fn a_box_goes_with_its_pixels(
            (own, [rows, columns]) in image(),
            transform in transforms(),
            seed in any::<u64>(),
        ) {
            let moment = Moment { seed, epoch: 1 };
            let [_, h, w] = transform.shape();
            let views = [(0, rows), (1, columns)].map(|(axis, bright)| {
                let mut out = vec![7; transform.views() * h * w];
                transform.apply(&band(own, axis, bright), 0, moment, &mut out).unwrap();
                out
            });
            let corners = [columns[0], rows[0], columns[1], rows[1]].map(|corner| corner as f64);
            let bounds = BoundingBox::new(corners).unwrap();
            let crops = transform.crops_by_chance(own, Chance::new(moment, 0));
            prop_assert_eq!(crops.len(), transform.views());
            for (view, crop) in crops.iter().enumerate() {
                let placed = crop.place(&bounds, 0.0).map(|placed| placed.corners());
                for p in 0..h * w {
                    let center = [(p % w) as f64 + 0.5, (p / w) as f64 + 0.5];
                    // Along each edge, how far inside of it.
                    let inside = placed.map(|[x0, y0, x1, y1]| {
                        [center[0] - x0, center[1] - y0, x1 - center[0], y1 - center[1]]
                    });
                    let is_inside = inside.is_some_and(|inside| inside.iter().all(|d| *d > 0.0));
                    let is_clear = inside.is_none_or(|inside| {
                        let blurs = blurs(crop, corners);
                        inside.iter().zip(blurs).all(|(inside, blur)| inside.abs() > blur)
                    });
                    let level = views.each_ref().map(|views| views[view * h * w + p]);
                    if is_clear {
                        let is_bright = level.into_iter().min() >= Some(128);
                        prop_assert_eq!(is_bright, is_inside, "{:?} {:?} {:?}", crop, placed, center);
                    }
                }
            }
        }

        /// To the view and back.
        #[test]
        fn maps_go_back((own, [rows, columns]) in image(), transform in transforms(), seed in any::<u64>()) {
            let corners = [columns[0], rows[0], columns[1], rows[1]].map(|corner| corner as f64);
            let bounds = BoundingBox::new(corners).unwrap();
            for crop in transform.crops_by_chance(own, Chance::new(Moment { seed, epoch: 0 }, 3)) {
                let back = bounds.mapped(crop.map()).mapped(crop.map().inverse()).corners();
                prop_assert!(back.iter().zip(corners).all(|(a, b)| (a - b).abs() < 1e-9), "{:?}", back);
            }
        }
    }

    /// Of a picture of 10 × 20, the left half, twice as large, less a frame of 2, mirrored and moved.
    const CROP: Crop = Crop {
        part: Part { corner: [0, 10], size: [10, 10] },
        scaled: [20, 20],
        corner: [2, 2],
        size: [16, 16],
        mirrored: true,
        shift: [0, 3],
    };

    #[test]
    fn each_step_is_in_the_map() {
        let placed = |corners| CROP.place(&BoundingBox::new(corners).unwrap(), 0.0);
        // 12 to 13 is 4 to 6 of the scaled part, 2 to 4 of the crop, 12 to 14 of its mirror image.
        assert_eq!(placed([12.0, 2.0, 13.0, 4.0]).unwrap().corners(), [15.0, 2.0, 16.0, 6.0]);
        assert_eq!(placed([0.0, 0.0, 10.0, 10.0]), None, "the other half");
        // The crop begins at 3 and ends beyond the view.
        assert_eq!(placed([10.0, 0.0, 20.0, 10.0]).unwrap().corners(), [3.0, 0.0, 16.0, 16.0]);
    }

    #[test]
    fn what_is_hardly_seen_is_dropped() {
        // 4 of 20 pixels are cut off on the left of the picture, 3 of the shift.
        let bounds = BoundingBox::new([10.0, 1.0, 20.0, 9.0]).unwrap();
        assert_eq!(CROP.place(&bounds, 13.0 / 20.0).unwrap().width(), 13.0);
        assert_eq!(CROP.place(&bounds, 13.1 / 20.0), None);
        let away = Crop { shift: [0, 16], ..CROP };
        assert_eq!(away.place(&bounds, 0.0), None, "nothing is seen");
    }
}
