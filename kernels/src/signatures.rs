// Generated from src/*.cu by `cargo xtask build-kernels`; do not edit.
//! All kernels with their parameters, by modules.

use crate::kernel::kernels;
use crate::{Address, Updates};

kernels! {
    // adamw.cu
    Adamw = "adamw_T" {
        updates: Updates,
        count: u32,
        overflowed: Address,
        lr: Address,
        step: Address,
        skipped: Address,
        beta1: f64,
        beta2: f64,
        eps: f32,
    }
    // avg_pool2d.cu
    AvgPool2dForward = "avg_pool2d_forward_T" {
        x: Address,
        y: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        y_h: u32,
        y_w: u32,
    }
    AvgPool2dBackward = "avg_pool2d_backward_T" {
        dy: Address,
        dx: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        y_h: u32,
        y_w: u32,
    }
    // batch_norm2d.cu
    BatchNorm2dCombine = "batch_norm2d_combine" {
        partial: Address,
        rows: u64,
        pixels: u64,
        pixels_per_block: u64,
        c: u32,
        lanes: u32,
        running_mean: Address,
        running_var: Address,
        saved: Address,
    }
    BatchNorm2dRunning = "batch_norm2d_running" {
        running_mean: Address,
        running_var: Address,
        saved: Address,
        c: u32,
    }
    BatchNorm2dGradients = "batch_norm2d_gradients" {
        partial: Address,
        rows: u64,
        c: u32,
        lanes: u32,
        saved: Address,
        sums: Address,
        dweight: Address,
        dbias: Address,
        loss_scale: Address,
    }
    BatchNorm2dStatistics = "batch_norm2d_statistics_T" {
        x: Address,
        partial: Address,
        pixels: u64,
        c: u32,
        pixels_per_block: u64,
        lanes: u32,
    }
    BatchNorm2dReluForward = "batch_norm2d_relu_forward_T" {
        x: Address,
        saved: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        pixels: u64,
        c: u32,
    }
    BatchNorm2dReluMaxPoolForward = "batch_norm2d_relu_max_pool_forward_T" {
        x: Address,
        saved: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
    }
    BatchNorm2dReluSums = "batch_norm2d_relu_sums_T" {
        x: Address,
        dy: Address,
        aux: Address,
        saved: Address,
        partial: Address,
        pixels: u64,
        c: u32,
        pixels_per_block: u64,
        lanes: u32,
    }
    BatchNorm2dReluMaxPoolSums = "batch_norm2d_relu_max_pool_sums_T" {
        x: Address,
        dy: Address,
        aux: Address,
        saved: Address,
        partial: Address,
        pixels: u64,
        h: u32,
        w: u32,
        c: u32,
        pixels_per_block: u64,
        lanes: u32,
    }
    BatchNorm2dReluBackward = "batch_norm2d_relu_backward_T" {
        x: Address,
        dy: Address,
        aux: Address,
        saved: Address,
        weight: Address,
        sums: Address,
        dx: Address,
        pixels: u64,
        c: u32,
    }
    BatchNorm2dReluMaxPoolBackward = "batch_norm2d_relu_max_pool_backward_T" {
        x: Address,
        dy: Address,
        aux: Address,
        saved: Address,
        weight: Address,
        sums: Address,
        dx: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
    }
    // bias_gradient.cu
    BiasGradient = "bias_gradient_T" {
        dy: Address,
        db: Address,
        pixels: u64,
        c: u32,
        pixels_per_block: u64,
        lanes: u32,
        loss_scale: Address,
    }
    // bias_relu.cu
    BiasForward = "bias_forward_T" {
        x: Address,
        bias: Address,
        y: Address,
        pixels: u64,
        c: u32,
        pixels_per_block: u64,
        lanes: u32,
    }
    BiasReluForward = "bias_relu_forward_T" {
        x: Address,
        bias: Address,
        y: Address,
        aux: Address,
        pixels: u64,
        c: u32,
        pixels_per_block: u64,
        lanes: u32,
    }
    BiasReluBackward = "bias_relu_backward_T" {
        dy: Address,
        aux: Address,
        dx: Address,
        db: Address,
        pixels: u64,
        c: u32,
        pixels_per_block: u64,
        lanes: u32,
        loss_scale: Address,
    }
    // bias_relu_max_pool.cu
    BiasReluMaxPoolForward = "bias_relu_max_pool_forward_T" {
        x: Address,
        bias: Address,
        y: Address,
        aux: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        pixels_per_block: u64,
        lanes: u32,
    }
    BiasReluMaxPoolBackward = "bias_relu_max_pool_backward_T" {
        dy: Address,
        aux: Address,
        dx: Address,
        db: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        windows_per_block: u64,
        lanes: u32,
        loss_scale: Address,
    }
    // convert.cu
    Widen = "widen_T" {
        x: Address,
        y: Address,
        len: u64,
        loss_scale: Address,
    }
    Narrow = "narrow_T" {
        x: Address,
        y: Address,
        len: u64,
    }
    F16ToBf16 = "f16_to_bf16" {
        x: Address,
        y: Address,
        len: u64,
    }
    // dropout.cu
    Dropout = "dropout_T" {
        x: Address,
        len: u64,
        p: f32,
        seed: u64,
        stream: u32,
        step: Address,
    }
    // euclidean_loss.cu
    EuclideanLossBackward = "euclidean_loss_backward_T" {
        predicted: Address,
        targets: Address,
        dpredicted: Address,
        n: u64,
        boxes: u32,
        loss_scale: Address,
    }
    EuclideanLossMetrics = "euclidean_loss_metrics_T" {
        predicted: Address,
        targets: Address,
        metrics: Address,
        n: u64,
        boxes: u32,
    }
    // few_channels_sm80.cu
    FewChannelsForward = "few_channels_forward_T" {
        x: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        n: u64,
        h: u32,
        w: u32,
        c_in: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    FewChannelsBackwardData = "few_channels_backward_data_T" {
        dy: Address,
        aux: Address,
        weight: Address,
        dx: Address,
        n: u64,
        h: u32,
        w: u32,
        c_in: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    FewChannelsBackwardWeight = "few_channels_backward_weight_T" {
        x: Address,
        dy: Address,
        aux: Address,
        dweight: Address,
        db: Address,
        n: u64,
        h: u32,
        w: u32,
        c_in: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    // few_channels_unpooled_sm80.cu
    FewChannelsUnpooledForward = "few_channels_unpooled_forward_T" {
        x: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        relu: u32,
        n: u64,
        h: u32,
        w: u32,
        c_in: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    FewChannelsUnpooledBackwardData = "few_channels_unpooled_backward_data_T" {
        dy: Address,
        aux: Address,
        weight: Address,
        dx: Address,
        n: u64,
        h: u32,
        w: u32,
        c_in: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    FewChannelsUnpooledBackwardWeight = "few_channels_unpooled_backward_weight_T" {
        x: Address,
        dy: Address,
        aux: Address,
        dweight: Address,
        db: Address,
        n: u64,
        h: u32,
        w: u32,
        c_in: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    // first_stage.cu
    FirstStageForward = "first_stage_forward_T" {
        x: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
    }
    FirstStageBackward = "first_stage_backward_T" {
        x: Address,
        dy: Address,
        aux: Address,
        dweight: Address,
        db: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        pixels_per_block: u64,
    }
    // first_stage_rgb_sm80.cu
    FirstStageRgbForward = "first_stage_rgb_forward_T" {
        x: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    FirstStageRgbBackward = "first_stage_rgb_backward_T" {
        x: Address,
        dy: Address,
        aux: Address,
        dweight: Address,
        db: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    // first_stage_rgb_unpooled_sm80.cu
    FirstStageRgbUnpooledForward = "first_stage_rgb_unpooled_forward_T" {
        x: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        relu: u32,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    FirstStageRgbUnpooledBackward = "first_stage_rgb_unpooled_backward_T" {
        x: Address,
        dy: Address,
        aux: Address,
        dweight: Address,
        db: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    // first_stage_sm80.cu
    FirstStageMmaForward = "first_stage_mma_forward_T" {
        x: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    FirstStageMmaBackward = "first_stage_mma_backward_T" {
        x: Address,
        dy: Address,
        aux: Address,
        dweight: Address,
        db: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    // first_stage_unpooled_sm80.cu
    FirstStageUnpooledForward = "first_stage_unpooled_forward_T" {
        x: Address,
        weight: Address,
        bias: Address,
        y: Address,
        aux: Address,
        relu: u32,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    FirstStageUnpooledBackward = "first_stage_unpooled_backward_T" {
        x: Address,
        dy: Address,
        aux: Address,
        dweight: Address,
        db: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        tiles_per_warp: u32,
    }
    // linear_factors.cu
    LinearFactors = "linear_factors_T" {
        dy: Address,
        aux: Address,
        dsums: Address,
        pixels: u64,
        c: u32,
        alpha: f32,
    }
    // loss_scale.cu
    UpdateLossScale = "update_loss_scale" {
        scale: Address,
        good_steps: Address,
        overflowed: Address,
        skipped: Address,
    }
    // lrn.cu
    LrnForward = "lrn_forward_T" {
        x: Address,
        y: Address,
        pixels: u64,
        c: u32,
    }
    LrnBackward = "lrn_backward_T" {
        x: Address,
        dy: Address,
        dx: Address,
        pixels: u64,
        c: u32,
    }
    // max_pool2d.cu
    MaxPool2dForward = "max_pool2d_forward_T" {
        x: Address,
        y: Address,
        aux: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        kernel: u32,
        stride: u32,
    }
    MaxPool2dBackward = "max_pool2d_backward_T" {
        dy: Address,
        aux: Address,
        dx: Address,
        n: u64,
        h: u32,
        w: u32,
        c: u32,
        kernel: u32,
        stride: u32,
    }
    // prepare_images.cu
    PrepareImages = "prepare_images_T" {
        pixels: Address,
        row_firsts: Address,
        row_weights: Address,
        row_taps: u32,
        column_firsts: Address,
        column_weights: Address,
        column_taps: u32,
        numbers: Address,
        x: Address,
        n: u64,
        c: u32,
        from_h: u32,
        from_w: u32,
        h: u32,
        w: u32,
        rows_per_block: u32,
    }
    // sgd.cu
    Sgd = "sgd_T" {
        updates: Updates,
        count: u32,
        overflowed: Address,
        lr: Address,
        momentum: f32,
        nesterov: u32,
    }
    // sigmoid.cu
    SigmoidForward = "sigmoid_forward_T" {
        x: Address,
        len: u64,
    }
    SigmoidBackward = "sigmoid_backward_T" {
        y: Address,
        dy: Address,
        len: u64,
    }
    // softmax_cross_entropy.cu
    SoftmaxCrossEntropy = "softmax_cross_entropy_T" {
        logits: Address,
        labels: Address,
        images: Address,
        dlogits: Address,
        n: u64,
        classes: u32,
        mixed: u32,
        weighted: u32,
        smoothing: f32,
        loss_scale: Address,
    }
    SoftmaxCrossEntropyMetrics = "softmax_cross_entropy_metrics" {
        images: Address,
        metrics: Address,
        n: u64,
    }
    // sum_rows.cu
    SumRows = "sum_rows" {
        x: Address,
        y: Address,
        rows: u64,
        c: u32,
        loss_scale: Address,
    }
    // update.cu
    Blend = "blend_T" {
        x: Address,
        y: Address,
        copy: Address,
        len: u64,
        alpha: f32,
        beta: f32,
    }
    SumSquares = "sum_squares" {
        x: Address,
        sums: Address,
        len: u64,
    }
    ClipFactor = "clip_factor" {
        sums: Address,
        count: u64,
        max_norm: f32,
        factor: Address,
    }
    Clip = "clip" {
        x: Address,
        len: u64,
        factor: Address,
    }
}
