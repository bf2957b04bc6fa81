//! Colours that are turned: red becomes green, green blue and blue red in a third of a turn.

use super::levels::planes;
use crate::simd::dispatched;

/// Turns the hue of `pixels`, `[c, h, w]`, by a share of a turn; grey images stay as they are.
///
/// The numbers are torchvision's, in `f32` and in its order, to the same bits.
pub(super) fn turn(by: f64, [c, ..]: [usize; 3], pixels: &mut [u8]) {
    if c == 3 {
        turn_colors(by as f32, pixels);
    }
}

dispatched! {
fn turn_colors(by: f32, pixels: &mut [u8]) {
    let [red, green, blue] = planes(pixels);
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        [*red, *green, *blue] = turned(by, [*red, *green, *blue]);
    }
}
}

#[inline(always)]
fn turned(by: f32, rgb: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = rgb.map(|level| f32::from(level) / 255.0);
    let most = r.max(g).max(b);
    let range = most - r.min(g).min(b);
    if range == 0.0 {
        return rgb.map(|_| (most * 255.999) as i32 as u8);
    }
    let [from_r, from_g, from_b] = [r, g, b].map(|x| (most - x) / range);
    let sixths = if most == r {
        from_b - from_g
    } else if most == g {
        2.0 + from_r - from_b
    } else {
        4.0 + from_g - from_r
    };
    let hue = below_1(sixths / 6.0 + 1.0);
    let sixths = below_1(hue + by) * 6.0;
    let sector = sixths.floor();
    let (saturation, within) = (range / most, sixths - sector);
    let least = (most * (1.0 - saturation)).clamp(0.0, 1.0);
    let falling = (most * (1.0 - saturation * within)).clamp(0.0, 1.0);
    let rising = (most * (1.0 - saturation * (1.0 - within))).clamp(0.0, 1.0);
    let rgb = match sector as i32 {
        1 => [falling, most, least],
        2 => [least, most, rising],
        3 => [least, falling, most],
        4 => [rising, least, most],
        5 => [most, least, falling],
        _ => [most, rising, least],
    };
    rgb.map(|x| (x * 255.999) as i32 as u8)
}

/// What is beyond whole numbers.
#[inline(always)]
fn below_1(x: f32) -> f32 {
    x - x.floor()
}
