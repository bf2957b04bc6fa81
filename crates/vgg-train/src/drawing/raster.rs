//! Pictures as pixels.

use std::sync::{Arc, LazyLock};

use anyhow::{Context as _, Result};
use fontdb::{Database, ID};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{FontResolver, ImageHrefResolver, Options, Tree};

use super::picture::Picture;

/// Letters look the same on every machine.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    for font in [dejavu::sans::regular(), dejavu::sans::bold()] {
        fonts.load_font_data(font.to_vec());
    }
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// With those of the machine: for what else there is, as Chinese or emoji.
static ALL_FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::clone(&FONTS);
    fonts.load_system_fonts();
    Arc::new(fonts)
});

impl Picture {
    /// As a file in PNG, on white, `scale` pixels a px.
    ///
    /// # Errors
    /// If it is too large.
    pub(crate) fn png(&self, scale: f32) -> Result<Vec<u8>> {
        let pixels = |length: f64| (length.ceil() as f32 * scale).ceil() as u32;
        let (width, height) = (pixels(self.width), pixels(self.height));
        let too_large = || format!("a picture of {width}×{height} pixels is too large");
        let mut pixmap = Pixmap::new(width, height).with_context(too_large)?;
        let options = Options {
            fontdb: FONTS.clone(),
            font_resolver: FontResolver {
                select_fallback: Box::new(fallback),
                ..FontResolver::default()
            },
            // No picture refers to a file.
            image_href_resolver: ImageHrefResolver {
                resolve_string: Box::new(|_, _| None),
                ..ImageHrefResolver::default()
            },
            // As an attribute resvg leaves it out.
            style_sheet: Some(".coarse { image-rendering: pixelated }".into()),
            ..Options::default()
        };
        let tree = Tree::from_str(&self.on_white(), &options).context("cannot draw a picture")?;
        resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
        pixmap.encode_png().context("cannot write a picture as PNG")
    }
}

/// A font that has a character which those `used` have not.
fn fallback(character: char, used: &[ID], fonts: &mut Arc<Database>) -> Option<ID> {
    // Those known so far are there under the same numbers.
    *fonts = ALL_FONTS.clone();
    FontResolver::default_fallback_selector()(character, used, fonts)
}
