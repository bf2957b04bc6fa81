//! Numbers that are known beforehand.

use vgg_model::{Input, Mode, Plan, Training, Vgg, VggConfig, WeightType};
use vgg_tensor::Result;

/// The VGG-11 of Dive into Deep Learning's small (`width` 0.25) or full size, on grey images.
fn vgg11(width: f64, side: usize) -> Result<Vgg> {
    let input = [1, side, side];
    Vgg::new(&VggConfig { width, input, classes: 10, ..VggConfig::default() })
}

#[test]
fn parameters_and_multiply_adds() -> Result<()> {
    let small = vgg11(0.25, 224)?;
    assert_eq!(small.param_count(), 43_093_322);
    assert_eq!(small.macs(), 512_155_648);
    assert_eq!(vgg11(0.25, 96)?.param_count(), 22_121_802);
    assert_eq!(vgg11(1.0, 224)?.param_count(), 128_806_154);
    // torchvision publishes this one.
    let imagenet = Vgg::new(&VggConfig::default())?;
    assert_eq!(imagenet.param_count(), 132_863_336);
    assert_eq!(imagenet.macs(), 7_609_090_048);
    Ok(())
}

/// The small network in training on batches of 128: each buffer, counted by hand.
#[test]
fn plan_sizes() -> Result<()> {
    let (small, input) = (vgg11(0.25, 224)?, Input::unnormalized(1, 28, 28));
    let bytes = |mode| Plan::new(&small, &input, 128, mode).map(|plan| plan.bytes());
    let params = 4 * 43_093_322;
    // The fully connected weights among them.
    let linear = 4 * 4096 * (128 * 7 * 7 + 4096 + 10);
    // Pixels, labels, and the three numbers of the metrics.
    let small_ones = 128 * 28 * 28 + 128 * 4 + 3 * 4;
    // Images, what each convolution leaves after its pool, what each linear layer leaves.
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
    ];
    let maps = 4 * 128 * (convs.iter().sum::<u64>() + 4096 + 4096 + 10);
    // Four bits for each output that was pooled, one for each that was not.
    let pooled = 16 * 112 * 112 + 32 * 56 * 56 + 64 * 28 * 28 + 128 * 14 * 14 + 128 * 7 * 7;
    let bare = 64 * 56 * 56 + 128 * 28 * 28 + 128 * 14 * 14 + 4096 + 4096;
    let aux = 128 * (4 * pooled + bare) / 8;
    // Gradients alternate between two buffers, each as large as the largest of every other map.
    let pair = 4 * 128 * (16 * 112 * 112 + 32 * 56 * 56);

    // Each parameter and its gradient, except where the gradient is applied as it is computed.
    let training = params + (params - linear) + small_ones + maps + aux;
    assert_eq!(bytes(Mode::Train(Training::default()))?, training + pair);
    assert_eq!(
        bytes(Mode::Train(Training { momentum: true, ..Training::default() }))?,
        training + pair + params
    );
    // Without training, activations alternate too.
    let infer = |linear_weights| bytes(Mode::Infer { linear_weights });
    assert_eq!(infer(WeightType::F32)?, params + small_ones + pair);
    assert_eq!(infer(WeightType::F16)?, params - linear / 2 + small_ones + pair);
    Ok(())
}
