//! Shades for shares, on white and on dark pages.

/// A hue: on white it darkens with the share, on a dark page it brightens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hue {
    pub class: &'static str,
    /// Of a share of 1 on white.
    pub colour: &'static str,
    on_white: [u8; 3],
    /// On a dark page; `dark.css` has it, too.
    on_dark: [u8; 3],
    /// In images of pixels, which are the same on both.
    pub on_both: [u8; 3],
}

/// Blue and orange, as the colour-blind tell them apart.
pub(super) const RIGHT: Hue = Hue {
    class: "right",
    colour: "#00508f",
    on_white: [0x00, 0x50, 0x8f],
    on_dark: [0x6c, 0xbc, 0xff],
    on_both: [0x2b, 0x83, 0xc6],
};
pub(super) const WRONG: Hue = Hue {
    class: "wrong",
    colour: "#b34700",
    on_white: [0xb3, 0x47, 0x00],
    on_dark: [0xff, 0x9a, 0x52],
    on_both: [0xd9, 0x66, 0x1f],
};

const WHITE: [u8; 3] = [255; 3];
const DARK: [u8; 3] = [0x16, 0x18, 0x1d];

/// How opaque a hue is for a share: by a power below 1, so that rare mistakes are seen.
pub(super) fn opacity(share: f64) -> f64 {
    share.clamp(0.0, 1.0).powf(0.4)
}

impl Hue {
    /// The colour of text on a shade, on white; and its class, by which it is another on dark pages.
    pub(super) fn ink(self, opacity: f64) -> (&'static str, &'static str) {
        let needs_black = |colour, below| luminance(mixed(colour, below, opacity)) > 0.179;
        let on_white = if needs_black(self.on_white, WHITE) { "#000000" } else { "#ffffff" };
        let on_dark = if needs_black(self.on_dark, DARK) { "ink-black" } else { "ink-white" };
        (on_white, on_dark)
    }
}

/// A colour over another one.
fn mixed(colour: [u8; 3], below: [u8; 3], opacity: f64) -> [f64; 3] {
    let mixed = |i: usize| opacity * f64::from(colour[i]) + (1.0 - opacity) * f64::from(below[i]);
    [0, 1, 2].map(mixed)
}

/// As WCAG 2 defines it: 0.179 is as far from black as from white.
fn luminance(colour: [f64; 3]) -> f64 {
    let linear = colour.map(|value| match value / 255.0 {
        value if value <= 0.04045 => value / 12.92,
        value => ((value + 0.055) / 1.055).powf(2.4),
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::picture::DARK as STYLE;

    fn contrast(a: f64, b: f64) -> f64 {
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_is_legible_on_every_shade() {
        for (hue, percent) in
            [RIGHT, WRONG].into_iter().flat_map(|hue| (0..=100).map(move |p| (hue, p)))
        {
            let opacity = opacity(f64::from(percent) / 100.0);
            let (on_white, on_dark) = hue.ink(opacity);
            for (colour, below, is_black) in [
                (hue.on_white, WHITE, on_white == "#000000"),
                (hue.on_dark, DARK, on_dark == "ink-black"),
            ] {
                let ink = if is_black { 0.0 } else { 1.0 };
                let contrast = contrast(luminance(mixed(colour, below, opacity)), ink);
                assert!(contrast > 4.5, "{} at {percent} %: {contrast}", hue.class);
            }
        }
    }

    #[test]
    fn more_is_stronger() {
        for hue in [RIGHT, WRONG] {
            let of = |share: f64| luminance(mixed(hue.on_white, WHITE, opacity(share)));
            assert!([0.0, 0.01, 0.1, 0.5, 1.0].map(of).is_sorted_by(|a, b| a > b));
        }
    }

    #[test]
    fn the_style_sheet_has_the_same_colours() {
        let hex = |rgb: [u8; 3]| rgb.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert!(STYLE.contains(&format!(".bg {{ fill: #{} }}", hex(DARK))));
        for hue in [RIGHT, WRONG] {
            assert_eq!(hue.colour, format!("#{}", hex(hue.on_white)));
            let rule = format!(".{} {{ color: #{} }}", hue.class, hex(hue.on_dark));
            assert!(STYLE.contains(&rule), "{rule}");
        }
    }
}
