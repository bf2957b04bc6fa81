use image::RgbImage;
use vgg_tensor::spec::{PrepareImages, Taps};

use super::*;
use crate::image_folder::{OpenOptions, TRAIN, class_names};
use crate::{Batch, Dataset, Decoding, ImageFolder, Loader};

const MOMENT: Moment = Moment { seed: 5, epoch: 3 };

fn one([c, h, w]: [usize; 3], pixels: Vec<u8>) -> Images {
    Dataset::new([c, h, w], pixels, vec![0], vec!["a".into()]).unwrap().into()
}

/// `n` images of `c×h×w`, all different.
fn noise(n: usize, [c, h, w]: [usize; 3]) -> Images {
    let len = n * c * h * w;
    let pixels = (0..len as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8);
    let labels = (0..n as u32).map(|i| i % 2).collect();
    let classes = ["a", "b"].map(String::from).to_vec();
    Dataset::new([c, h, w], pixels.collect(), labels, classes).unwrap().into()
}

fn apply(transform: &Transform, images: &Images, i: usize) -> Vec<u8> {
    let mut out = vec![1; transform.shape().iter().product()];
    transform.apply(images, i, MOMENT, &mut out).unwrap();
    out
}

/// One axis of the picture by the weights that resizing on a device has.
fn resized(pixels: &[u8], from: usize, stride: usize, to: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for block in pixels.chunks(from * stride) {
        for Taps { first, weights } in PrepareImages::taps(from, to) {
            for column in 0..stride {
                let at = |i: usize| i32::from(block[(first + i) * stride + column]);
                let sum: i32 = weights.iter().enumerate().map(|(i, weight)| weight * at(i)).sum();
                out.push(((sum + Taps::HALF) >> Taps::BITS).clamp(0, 255) as u8);
            }
        }
    }
    out
}

#[test]
fn a_crop_is_part_of_the_scaled_picture() {
    for ([h, w], short_side) in
        [([90, 121], 40), ([121, 90], 40), ([31, 17], 64), ([1, 1], 32), ([2, 500], 33)]
    {
        for c in [1, 3] {
            let images = noise(1, [c, h, w]);
            let size = rescale::scaled_size([h, w], short_side);
            assert_eq!(size.into_iter().min(), Some(short_side));
            let across = resized(&images.picture(0).unwrap().pixels, w, c, size[1]);
            let expected = resized(&across, h, size[1] * c, size[0]);
            let window = [short_side.min(28), 28];
            for corner in [[0, 0], [size[0] - window[0], size[1] - window[1]], [3, 2]] {
                let picture = images.picture(0).unwrap();
                let sampled = Sampled::from(picture).scaled_to(size);
                let actual = rescale::window(&sampled, corner, window).into_picture();
                for (i, pixel) in actual.pixels.iter().enumerate() {
                    let (y, x) = (i / c / 28 + corner[0], i / c % 28 + corner[1]);
                    let expected = expected[(y * size[1] + x) * c + i % c];
                    assert_eq!(*pixel, expected, "{h}×{w}");
                }
            }
        }
    }
}

#[test]
fn the_centre_is_where_torchvision_cuts() {
    // int(round(rest / 2)) in Python, which rounds a half to even.
    let expected = [0, 0, 1, 2, 2, 2, 3, 4, 4];
    assert_eq!(std::array::from_fn(place::centered), expected);
}

#[test]
fn a_grid_reaches_from_corner_to_corner() {
    let grid = |rest, n| place::grid(rest, n).collect::<Vec<_>>();
    let rows = [0, 8, 16, 24, 32].map(|top| [0, 29, 59, 88, 117].map(|left| [top, left]));
    assert_eq!(grid([32, 117], 5), rows.concat());
    assert_eq!(grid([0, 3], 2), [[0, 0], [0, 3], [0, 0], [0, 3]]);
    assert_eq!(grid([3, 1], 1), [[2, 0]], "the centre");
}

/// A gradient that is not scaled: a pixel tells where it is from.
#[test]
fn a_picture_has_the_views_of_a_grid_with_their_mirror_images() {
    let pixels = (0..6 * 10).collect();
    let images = one([1, 6, 10], pixels);
    let transform = Transform::scaled([1, 4, 4], [6, 6]).unwrap().grid(3).mirrored();
    assert_eq!(transform.views(), 18);
    let mut out = vec![0; 18 * 16];
    transform.apply(&images, 0, MOMENT, &mut out).unwrap();
    let firsts: Vec<_> = out.chunks(32).map(|views| views[0]).collect();
    assert_eq!(firsts, [0, 3, 6, 10, 13, 16, 20, 23, 26]);
    for views in out.chunks(32) {
        let (view, mirror) = views.split_at(16);
        let expected = |i: usize| views[0] + (i / 4 * 10 + i % 4) as u8;
        assert!((0..16).all(|i| view[i] == expected(i) && mirror[i] == expected(i ^ 3)));
    }
    // A loader's batch has the views of its images, one after another.
    let loader = Loader::new(images, transform, 2, 1).unwrap();
    assert_eq!(batches(&loader, 0, 0)[0].pixels, out);
}

/// A gradient that is not scaled, as above.
#[test]
fn crops_move_over_the_picture_with_zeros_beyond_it() {
    let picture: Vec<u8> = (1..=5 * 8).collect();
    let at = |y: isize, x: isize| match (0..5).contains(&y) && (0..8).contains(&x) {
        true => picture[(8 * y + x) as usize],
        false => 0,
    };
    let images = one([1, 5, 8], picture.clone());
    let crops = Transform::scaled([1, 4, 4], [5, 5]).unwrap().shifted(2).unwrap().mirrored();
    let whole = Transform::resized([1, 5, 8]).shifted(2).unwrap();
    let moves = [-2, 0, 2].map(|down| [-2, 0, 2].map(|right| [down, right])).concat();
    let away: Vec<_> = moves.into_iter().filter(|by| *by != [0, 0]).collect();
    let moves = [vec![[0, 0]], away].concat();

    let view = |[top, left]: [isize; 2], [h, w]: [isize; 2]| {
        (0..h).flat_map(|y| (0..w).map(move |x| at(top + y, left + x))).collect::<Vec<_>>()
    };
    let mut out = vec![1; crops.views() * 16];
    crops.apply(&images, 0, MOMENT, &mut out).unwrap();
    assert_eq!(out.len(), 18 * 16);
    for (views, [down, right]) in out.chunks(32).zip(&moves) {
        // The centre, where torchvision cuts.
        let expected = view([*down, 2 + right], [4, 4]);
        let mirror: Vec<_> = (0..16).map(|i| expected[i ^ 3]).collect();
        assert_eq!(views, [expected, mirror].concat());
    }
    let mut out = vec![1; whole.views() * 40];
    whole.apply(&images, 0, MOMENT, &mut out).unwrap();
    for (out, by) in out.chunks(40).zip(&moves) {
        assert_eq!(out, view(*by, [5, 8]));
    }
    let error = Transform::resized([1, 5, 8]).shifted(5).unwrap_err();
    assert_eq!(error.to_string(), "a shift by 5 pixels leaves nothing of 5×8");
}

#[test]
fn whole_pictures_are_resized() {
    let images = noise(2, [3, 20, 31]);
    let size = rescale::scaled_size([20, 31], 16);
    assert_eq!(size, [16, 24]);
    let whole = Transform::resized([3, size[0], size[1]]);
    let corner = Transform::scaled([3, 16, 16], [16, 16]).unwrap().grid(2);
    let (whole, mut crops) = (apply(&whole, &images, 1), vec![0; 4 * 3 * 16 * 16]);
    corner.apply(&images, 1, MOMENT, &mut crops).unwrap();
    let rows = whole.chunks(24).map(|row| &row[8..]);
    assert_eq!(rows.collect::<Vec<_>>().concat(), crops[3 * 16 * 16..][..3 * 16 * 16]);
}

#[test]
fn pixels_are_mirrored_and_shifted() {
    let picture = View::new(&[1, 2, 3, 4, 5, 6], [2, 3], 1);
    let check = |flip, shift, expected: [u8; 6]| {
        let mut out = [9; 6];
        place::place(picture, flip, shift, &mut out);
        assert_eq!(out, expected);
    };
    check(false, [0, 0], [1, 2, 3, 4, 5, 6]);
    check(true, [0, 0], [3, 2, 1, 6, 5, 4]);
    check(false, [1, 0], [0, 0, 0, 1, 2, 3]);
    check(true, [0, -1], [2, 1, 0, 5, 4, 0]);
    check(false, [-2, 5], [0; 6]);
}

#[test]
fn crops_and_short_sides_cover_their_ranges() {
    // Columns of a gradient that is not scaled tell where a crop begins.
    let pixels: Vec<u8> = (0..8 * 12).map(|i| (i % 12) as u8 * 20).collect();
    let images = one([1, 8, 12], pixels);
    let random = Augment { random_crop: true, flip: true, ..Augment::default() };
    let transform = Transform::scaled([1, 8, 8], [8, 8]).unwrap().with(random).unwrap();
    let (mut starts, mut mirrored) = ([0; 5], 0);
    for epoch in 0..1000 {
        let mut out = [0; 64];
        transform.apply(&images, 0, Moment { seed: 1, epoch }, &mut out).unwrap();
        mirrored += usize::from(out[0] > out[7]);
        starts[usize::from(out[0].min(out[7])) / 20] += 1;
    }
    // 200 each, ± five standard deviations of 12.6; 500 ± five of 15.8.
    assert!(starts.iter().all(|n| (137..=263).contains(n)), "{starts:?}");
    assert!((421..=579).contains(&mirrored), "{mirrored}");
    let draw = |i| 256 + Chance::new(MOMENT, i).below(chance::SCALE, 0, 257);
    let draws: Vec<_> = (0..20_000).map(draw).collect();
    assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&256), Some(&512)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let message = |transform: Result<Transform>| transform.unwrap_err().to_string();
    let small = message(Transform::scaled([3, 224, 224], [200, 300]));
    assert_eq!(small, "a crop of 224×224 is larger than a short side of 200");
    assert!(message(Transform::scaled([3, 8, 8], [9, 8])).contains("from 9 to 8"));
    let color = ColorShift { std: 0.1, values: [1.0; 3], vectors: [[1.0; 3]; 3] };
    let grey = Transform::same_size([1, 8, 8]);
    let colored = Augment { color: Some(color), ..Augment::default() };
    assert_eq!(message(grey.clone().with(colored)), "a colour shift of 1 channels, not of 3");
    let erase = Erase { probability: 0.5, fill: vec![0; 3] };
    let erased = Augment { erase: Some(erase), ..Augment::default() };
    assert_eq!(message(grey.clone().with(erased)), "3 grey levels to fill 1 channels with");
    let error = grey.apply(&noise(1, [1, 8, 9]), 0, MOMENT, &mut [0; 64]).unwrap_err();
    assert_eq!(error.to_string(), "image 0 is 1×8×9, where 1×8×8 are needed");
}

#[test]
fn a_part_that_is_cut_and_scaled_depends_on_seed_epoch_and_image_alone() {
    let images = noise(12, [3, 40, 30]);
    let transform = Transform::resized_crop([3, 16, 16], ResizedCrop::default()).unwrap();
    let loader = |threads| Loader::new(images.clone(), transform.clone(), 4, threads).unwrap();
    let of = |threads, seed, epoch, first| batches(&loader(threads).shuffled(seed), epoch, first);
    let whole = of(1, 5, 2, 0);
    assert_eq!(of(3, 5, 2, 0), whole);
    assert_eq!(of(2, 5, 2, 1), whole[1..]);
    let views = |batches: &[Batch]| {
        let all = batches.iter().flat_map(|batch| batch.pixels.chunks(3 * 16 * 16));
        all.map(<[u8]>::to_vec).collect::<std::collections::BTreeSet<_>>()
    };
    // Not one image has a view twice.
    for other in [of(1, 6, 2, 0), of(1, 5, 3, 0)] {
        assert!(views(&whole).is_disjoint(&views(&other)));
    }
}

/// Each of what is drawn anew, of noise and so as good as never twice the same.
#[test]
fn what_is_drawn_depends_on_seed_epoch_and_image_alone() {
    let jitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let auto = |auto| Augment { auto: Some(auto), ..Augment::default() };
    for augment in [
        auto(AutoAugment::Rand { operations: 2, magnitude: 9 }),
        auto(AutoAugment::TrivialWide),
        Augment { jitter: Some(jitter), ..Augment::default() },
    ] {
        for c in [1, 3] {
            let images = noise(64, [c, 16, 15]);
            let transform = Transform::same_size([c, 16, 15]).with(augment.clone()).unwrap();
            let of = |threads, seed, epoch, first| {
                let loader = Loader::new(images.clone(), transform.clone(), 8, threads).unwrap();
                batches(&loader.shuffled(seed), epoch, first)
            };
            let whole = of(1, 5, 2, 0);
            assert_eq!(of(3, 5, 2, 0), whole);
            assert_eq!(of(2, 5, 2, 3), whole[3..]);
            // An image stays as it is, or becomes the same twice, now and then.
            let views = |batches: &[Batch]| {
                let all = batches.iter().flat_map(|batch| batch.pixels.chunks(c * 16 * 15));
                all.map(<[u8]>::to_vec).collect::<std::collections::BTreeSet<_>>()
            };
            for other in [of(1, 6, 2, 0), of(1, 5, 3, 0)] {
                assert!(views(&whole).intersection(&views(&other)).count() < 32);
            }
        }
    }
}

/// Everything at once.
fn everything() -> Transform {
    let color = ColorShift { std: 0.1, values: [0.2, 0.1, 0.05], vectors: [[0.6, 0.6, 0.6]; 3] };
    let augment = Augment {
        random_crop: true,
        flip: true,
        pad_crop: 2,
        auto: Some(AutoAugment::TrivialWide),
        jitter: Some(ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }),
        color: Some(color),
        erase: Some(Erase { probability: 0.5, fill: vec![1, 2, 3] }),
    };
    Transform::scaled([3, 16, 16], [16, 32]).unwrap().with(augment).unwrap()
}

fn batches(loader: &Loader, epoch: u64, first: usize) -> Vec<Batch> {
    let mut epoch = loader.epoch(epoch, first);
    std::iter::from_fn(|| epoch.next_batch().unwrap().cloned()).collect()
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let loader = |threads| {
        let images = noise(50, [3, 20, 24]);
        Loader::new(images, everything(), 8, threads).unwrap().shuffled(7)
    };
    let (one, four) = (loader(1), loader(4));
    let whole = batches(&one, 2, 0);
    assert_eq!(whole, batches(&four, 2, 0));
    assert_eq!(whole[3..], batches(&four, 2, 3));
    assert_ne!(whole, batches(&one, 3, 0));
    assert_ne!(whole, batches(&one.shuffled(8), 2, 0));
}

#[test]
fn an_image_does_not_depend_on_its_place_in_the_epoch() {
    let images = noise(10, [3, 20, 24]);
    let alone = apply(&everything(), &images, 4);
    let loader = Loader::new(images, everything(), 10, 2).unwrap().shuffled(MOMENT.seed);
    let batch = &batches(&loader, MOMENT.epoch, 0)[0];
    let found = batch.pixels.chunks(alone.len()).filter(|pixels| *pixels == alone).count();
    assert_eq!(found, 1);
}

#[test]
fn a_damaged_image_ends_the_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let train = dir.path().join(TRAIN);
    std::fs::create_dir_all(train.join("a")).unwrap();
    for name in ["0.png", "1.png", "2.png"] {
        RgbImage::new(20, 20).save(train.join("a").join(name)).unwrap();
    }
    let options = OpenOptions::of(Decoding::stored(3));
    let folder = ImageFolder::open(&train, &class_names(&train).unwrap(), &options).unwrap();
    let transform = Transform::scaled([3, 16, 16], [16, 16]).unwrap();
    let loader = Loader::new(folder.into(), transform, 1, 2).unwrap();
    std::fs::write(train.join("a/1.png"), "gone").unwrap();
    let mut epoch = loader.epoch(0, 0);
    assert!(epoch.next_batch().unwrap().is_some());
    let error = epoch.next_batch().unwrap_err().to_string();
    assert!(
        error.ends_with("a/1.png: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image"),
        "{error}"
    );
    assert!(epoch.next_batch().unwrap().is_none());
}
