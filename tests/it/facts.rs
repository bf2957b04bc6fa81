//! Numbers that are known beforehand.

use vgg_model::{Arch, Input, Mode, ParamSpec, Plan, SgdConfig, Vgg, VggConfig, WeightType};
use vgg_tensor::Result;

/// The VGG-11 of Dive into Deep Learning's small (`width` 0.25) or full size, on grey images.
fn vgg11(width: f64, side: usize) -> Result<Vgg> {
    of_the_book(Arch::Vgg11, width, side)
}

/// A network for Dive into Deep Learning's grey images of ten classes.
fn of_the_book(arch: Arch, width: f64, side: usize) -> Result<Vgg> {
    let input = [1, side, side];
    Vgg::new(&VggConfig { arch, width, input, classes: 10, ..VggConfig::default() })
}

const PAPER: [Arch; 6] =
    [Arch::Vgg11, Arch::Vgg11Lrn, Arch::Vgg13, Arch::Vgg16C, Arch::Vgg16, Arch::Vgg19];

/// Prints a row of the table, for whoever asks with `--nocapture`.
#[expect(clippy::print_stdout, reason = "the table")]
fn row(vgg: &Vgg) {
    let VggConfig { arch, input, width, batch_norm, classes, .. } = vgg.config();
    let name = format!("{arch}{}", if *batch_norm { " with batch norm" } else { "" });
    let what = format!("{input:?} × {width}, {classes} classes");
    println!("{name:24} {what:34} {:>11} parameters {:>14} MACs", vgg.param_count(), vgg.macs());
}

/// Parameters of each layer: weight and bias.
fn layers(vgg: &Vgg) -> Vec<usize> {
    vgg.params().chunks(2).map(|pair| pair.iter().map(|spec| spec.content.len()).sum()).collect()
}

fn count(vgg: &Vgg, of: impl Fn(&ParamSpec) -> bool) -> usize {
    vgg.params().iter().filter(|spec| of(spec)).map(|spec| spec.content.len()).sum()
}

/// Table 2 of the paper has these in millions. torchvision publishes A, B, D and E, with batch
/// normalisation and without, and their multiply-adds.
#[test]
fn the_papers_networks() -> Result<()> {
    // Convolutions' parameters; all; all with batch normalisations; convolutions' multiply-adds.
    let facts = [
        (9_220_480, 132_863_336, 132_868_840, 7_485_456_384),
        (9_220_480, 132_863_336, 132_868_840, 7_485_456_384),
        (9_404_992, 133_047_848, 133_053_736, 11_184_832_512),
        (9_996_096, 133_638_952, 133_647_400, 11_647_254_528),
        (14_714_688, 138_357_544, 138_365_992, 15_346_630_656),
        (20_024_384, 143_667_240, 143_678_248, 19_508_428_800),
    ];
    for (arch, (convs, plain, normed, conv_macs)) in PAPER.into_iter().zip(facts) {
        let plain_one = VggConfig { arch, ..VggConfig::default() };
        let (arch, vgg) = (&plain_one.arch, Vgg::new(&plain_one)?);
        let with_norms = Vgg::new(&VggConfig { batch_norm: true, ..plain_one.clone() })?;
        row(&vgg);
        row(&with_norms);
        assert_eq!(count(&vgg, |spec| spec.name.starts_with("features")), convs, "{arch}");
        for (layer, parameters) in [
            ("classifier.0", 102_764_544),
            ("classifier.3", 16_781_312),
            ("classifier.6", 4_097_000),
        ] {
            assert_eq!(count(&vgg, |spec| spec.name.starts_with(layer)), parameters, "{arch}");
        }
        assert_eq!((vgg.param_count(), with_norms.param_count()), (plain, normed), "{arch}");
        for vgg in [vgg, with_norms] {
            assert_eq!(vgg.macs(), conv_macs + 123_633_664, "{arch}");
        }
    }
    Ok(())
}

/// The book's VGG is `width` 0.25.
#[test]
fn the_papers_networks_on_the_books_images() -> Result<()> {
    // Parameters and multiply-adds at full width, and at a quarter of it.
    let facts = [
        (Arch::Vgg11, 128_806_154, 7_547_232_256, 43_093_322, 512_155_648),
        (Arch::Vgg13, 128_990_666, 11_246_608_384, 43_104_890, 743_366_656),
        (Arch::Vgg16C, 129_581_770, 11_709_030_400, 43_142_074, 772_268_032),
        (Arch::Vgg16, 134_300_362, 15_408_406_528, 43_436_986, 1_003_479_040),
        (Arch::Vgg19, 139_610_058, 19_570_204_672, 43_769_082, 1_263_591_424),
    ];
    for (arch, full_count, full_macs, small_count, small_macs) in facts {
        let small = of_the_book(arch, 0.25, 224)?;
        let arch = &small.config().arch;
        let full = of_the_book(arch.clone(), 1.0, 224)?;
        row(&full);
        row(&small);
        assert_eq!((full.param_count(), full.macs()), (full_count, full_macs), "{arch}");
        assert_eq!((small.param_count(), small.macs()), (small_count, small_macs), "{arch}");
    }
    let small = vgg11(0.25, 224)?;
    let convs = [160, 4_640, 18_496, 36_928, 73_856, 147_584, 147_584, 147_584];
    assert_eq!(layers(&small), [&convs[..], &[25_694_208, 16_781_312, 40_970]].concat());
    let smaller = vgg11(0.25, 96)?;
    row(&smaller);
    assert_eq!((smaller.param_count(), smaller.macs()), (22_121_802, 107_798_528));
    Ok(())
}

#[test]
fn the_books_older_networks() -> Result<()> {
    let alexnet = of_the_book(Arch::AlexNet, 1.0, 224)?;
    row(&alexnet);
    let facts = [11_712, 614_656, 885_120, 1_327_488, 884_992, 26_218_496, 16_781_312, 40_970];
    assert_eq!(layers(&alexnet), facts);
    assert_eq!((alexnet.param_count(), alexnet.macs()), (46_764_746, 938_146_176));
    let lenet = of_the_book(Arch::LeNet, 1.0, 28)?;
    row(&lenet);
    assert_eq!(layers(&lenet), [156, 2_416, 48_120, 10_164, 850]);
    assert_eq!((lenet.param_count(), lenet.macs()), (61_706, 416_520));
    Ok(())
}

/// The small network on batches of 128, counted by hand.
#[test]
fn plan_sizes() -> Result<()> {
    let (small, input) = (vgg11(0.25, 224)?, Input::unnormalized(1, 28, 28));
    let bytes = |mode| Plan::new(&small, &input, 128, mode).map(|plan| plan.bytes());
    let params = 4 * 43_093_322;
    // The fully connected weights among them.
    let linear = 4 * 4096 * (128 * 7 * 7 + 4096 + 10);
    let (pixels, labels, logits) = (128 * 28 * 28, 4 * 128, 4 * 128 * 10);
    // What is kept besides parameters: logits, and the three numbers of the metrics.
    let results = logits + 3 * 4;
    // Images, and what each convolution leaves after its pool.
    let convs = [
        224 * 224,
        16 * 112 * 112,
        32 * 56 * 56,
        64 * 56 * 56,
        64 * 28 * 28,
        128 * 28 * 28,
        128 * 14 * 14,
        128 * 14 * 14,
        128 * 7 * 7,
    ]
    .map(|numbers: u64| 4 * 128 * numbers);

    // Without training, a layer needs its input and its output alone.
    let widest = convs.windows(2).map(|pair| pair[0] + pair[1]).max().expect("there are layers");
    let infer = |linear_weights| bytes(Mode::Infer { linear_weights });
    let activations = widest + results;
    assert_eq!(infer(WeightType::F32)?, params + activations);
    assert_eq!(infer(WeightType::F16)?, params - linear / 2 + activations);

    // In training, what the layers leave is there until the loss is known.
    let maps = convs.iter().sum::<u64>() + 4 * 128 * (4096 + 4096) + logits;
    // Four bits for each output that was pooled, one for each that was not.
    let pooled = 16 * 112 * 112 + 32 * 56 * 56 + 64 * 28 * 28 + 128 * 14 * 14 + 128 * 7 * 7;
    let bare = 64 * 56 * 56 + 128 * 28 * 28 + 128 * 14 * 14 + 4096 + 4096;
    let forward = maps + 128 * (4 * pooled + bare) / 8;
    let at_the_loss = params + results + forward + labels + logits;
    // Gradients are made in the memory of what is not needed any more, if it is large enough. They
    // would need as much if each parameter's, unless it is applied at once, had its own, and those of
    // activations alternated between two.
    let apart = params + results + forward + labels + pixels + (params - linear) + widest;
    let sgd = SgdConfig::plain(0.1);
    let training = bytes(Mode::Train(sgd.into()))?;
    assert!((at_the_loss..apart).contains(&training), "{at_the_loss} {training} {apart}");
    let momentum = SgdConfig { momentum: 0.9, ..sgd };
    assert_eq!(bytes(Mode::Train(momentum.into()))?, training + params);
    Ok(())
}
