//! Pillow's resizes, to the byte.

use vgg_tensor::spec::{Normalize, PrepareImages};
use vgg_tensor::{Backend, Content, Result, Shape};
use vgg_testkit::compare::assert_close;

use super::golden;

pub(super) fn check_all<B: Backend>(make: impl Fn() -> B, _error: f64) -> Result<()> {
    let (golden, mut backend) = (golden("resize"), make());
    for set in ["fashion.", "noise.", "checks."] {
        let source = format!("{set}source");
        for size in golden.names(set).filter(|name| *name != "source") {
            let target = format!("{set}{size}");
            let to = golden.shape(&target);
            // Of the largest size, only the first image is kept.
            let from = Shape { n: to.n, ..golden.shape(&source) };
            let op = PrepareImages::new(from, to.h, to.w)?;
            let mut pixels = backend.alloc(Content::Bytes(from.len()))?;
            backend.upload_bytes(&golden.bytes(&source)[..from.len()], &mut pixels)?;
            let mut x = backend.alloc(Content::Maps(to))?;
            backend.prepare_images(&op, &Normalize::identity(to.c), &pixels, &mut x)?;
            let mut actual = vec![f32::NAN; to.len()];
            backend.download(Content::Maps(to), &x, &mut actual)?;
            let number = |byte: &u8| f32::from(*byte) / 255.0;
            let expected: Vec<f32> = golden.bytes(&target).iter().map(number).collect();
            assert_close(&target, &actual, &expected, 0.0);
        }
    }
    Ok(())
}
