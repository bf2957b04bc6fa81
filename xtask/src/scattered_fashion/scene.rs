//! A garment at a random place on a background.

use anyhow::{Context, Result};
use image::{GrayImage, imageops};
use vgg_data::fashion_mnist;
use vgg_tensor::Draw;

use super::texture::texture;

/// How large an image of Fashion-MNIST becomes, as a share of the canvas, from – to.
const SIZE: [f32; 2] = [0.35, 0.85];

/// The level from which on a garment hides the background half, and is in its box. The levels of
/// Fashion-MNIST are 0 where there is no garment.
const HALF: u8 = 32;

/// A canvas, and where the garment is.
#[derive(Debug, PartialEq)]
pub(super) struct Scene {
    pub canvas: GrayImage,
    /// The left, top, right and bottom of its pixels; right and bottom are the first that it has not.
    pub corners: [u32; 4],
}

/// An image of Fashion-MNIST, `[28, 28]`, on a canvas of `side` × `side` pixels, at the size and place that
/// `draw` says and in front of its texture.
pub(super) fn scene(pixels: &[u8], side: u32, draw: Draw) -> Result<Scene> {
    let [size, x, y, _] = draw.block(0).map(Draw::uniform_from);
    let garment = enlarged(pixels, (side as f32 * (SIZE[0] + (SIZE[1] - SIZE[0]) * size)) as u32)?;
    let rest = side - garment.width();
    // A uniform number is below 1.
    let [x, y] = [x, y].map(|at| (at * (rest + 1) as f32) as u32);
    let background = texture(side as usize, draw, 1);
    let background = GrayImage::from_raw(side, side, background).context("a texture")?;
    put(&garment, background, [x, y])
}

fn enlarged(pixels: &[u8], side: u32) -> Result<GrayImage> {
    let own = fashion_mnist::SIDE as u32;
    let image = GrayImage::from_raw(own, own, pixels.to_vec()).context("an image of 28×28")?;
    Ok(imageops::resize(&image, side, side, imageops::FilterType::Triangle))
}

/// Puts a garment in front of a canvas, with soft edges.
fn put(garment: &GrayImage, mut canvas: GrayImage, [left, top]: [u32; 2]) -> Result<Scene> {
    let mut corners = [u32::MAX, u32::MAX, 0, 0];
    for (x, y, level) in garment.enumerate_pixels() {
        let level = u32::from(level.0[0]);
        let opacity = (level * 128 / u32::from(HALF)).min(255);
        let (x, y) = (left + x, top + y);
        let out = &mut canvas.get_pixel_mut(x, y).0[0];
        *out = ((level * opacity + u32::from(*out) * (255 - opacity) + 127) / 255) as u8;
        if level >= u32::from(HALF) {
            let [x0, y0, x1, y1] = corners;
            corners = [x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)];
        }
    }
    (corners[0] < corners[2]).then_some(Scene { canvas, corners }).context("an empty garment")
}

#[cfg(test)]
mod tests {
    use vgg_data::sample;

    use super::*;

    #[test]
    fn the_box_is_around_what_is_seen() {
        let images = sample::load(fashion_mnist::Split::Test).unwrap();
        for i in 0..50 {
            let garment = enlarged(images.image(i), 40 + i as u32).unwrap();
            let Scene { canvas, corners } = put(&garment, GrayImage::new(96, 96), [3, 5]).unwrap();
            let mut expected = [u32::MAX, u32::MAX, 0, 0];
            // In front of black, HALF is half as bright.
            for (x, y, _) in canvas.enumerate_pixels().filter(|(.., level)| level.0[0] >= HALF / 2)
            {
                let [x0, y0, x1, y1] = expected;
                expected = [x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)];
            }
            assert_eq!(corners, expected);
        }
    }

    #[test]
    fn places_and_sizes_are_anywhere() {
        let images = sample::load(fashion_mnist::Split::Train).unwrap();
        let of = |seed, step| scene(images.image(0), 96, Draw { seed, stream: 0, step }).unwrap();
        assert_eq!(of(1, 2), of(1, 2));
        assert!(of(1, 2) != of(2, 2) && of(1, 2) != of(1, 3));
        let scenes: Vec<_> = (0..300).map(|step| of(1, step).corners).collect();
        let range = |number: &dyn Fn(&[u32; 4]) -> u32| {
            let numbers = || scenes.iter().map(number);
            [numbers().min().unwrap(), numbers().max().unwrap()]
        };
        for axis in 0..2 {
            let ([nearest, _], [_, farthest]) = (range(&|it| it[axis]), range(&|it| it[axis + 2]));
            assert!(nearest < 12 && farthest > 84 && farthest <= 96, "{nearest} {farthest}");
        }
        let [least, most] = range(&|it| it[3] - it[1]);
        assert!((24..40).contains(&least) && (60..=81).contains(&most), "{least} {most}");
    }

    #[test]
    fn backgrounds_have_a_texture() {
        for step in 0..20 {
            let levels = texture(96, Draw { seed: 0, stream: 0, step }, 1);
            let mean = levels.iter().map(|level| f64::from(*level)).sum::<f64>() / 9216.0;
            let of = |level: &u8| (f64::from(*level) - mean).powi(2);
            let deviation = (levels.iter().map(of).sum::<f64>() / 9216.0).sqrt();
            assert!(
                (15.0..185.0).contains(&mean) && (4.0..45.0).contains(&deviation),
                "{mean} {deviation}"
            );
        }
    }
}
