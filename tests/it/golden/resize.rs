//! Pillow's resizes, to the byte.

use vgg_tensor::spec::{Normalize, PrepareImages};
use vgg_tensor::{Backend, Command, Content, Result, Shape};
use vgg_testkit::compare::assert_close;
use vgg_testkit::conformance::Bench;

use super::golden;

pub(super) fn check_all<B: Backend>(make: impl Fn() -> B, _error: f64) -> Result<()> {
    let (golden, mut backend) = (golden("resize"), make());
    let mut bench = Bench::new(&mut backend);
    for set in ["fashion.", "noise.", "checks."] {
        let source = format!("{set}source");
        for size in golden.names(set).filter(|name| *name != "source") {
            let target = format!("{set}{size}");
            let to = golden.shape(&target);
            // Of the largest size, only the first image is kept.
            let from = Shape { n: to.n, ..golden.shape(&source) };
            let spec = PrepareImages::new(from, to.h, to.w)?;
            let pixels = &bench.uploaded_bytes(&golden.bytes(&source)[..from.len()])?;
            let x = &bench.poisoned(Content::Maps(to))?;
            let normalize = Normalize::identity(to.c);
            bench.run(Command::PrepareImages { spec, normalize, pixels, x })?;
            let actual = bench.downloaded(x)?;
            let number = |byte: &u8| f32::from(*byte) / 255.0;
            let expected: Vec<f32> = golden.bytes(&target).iter().map(number).collect();
            assert_close(&target, &actual, &expected, 0.0);
        }
    }
    Ok(())
}
