// The loss: softmax, cross-entropy with the target, its gradient, and correct classes.
//
// logits, dlogits: [n, classes], labels: [n], images: [n] pairs (loss, rank), metrics: [3]. A target
// is the true class, or, if `mixed` is not zero, in part another class: labels is [3, n] then, with
// the other classes and their shares (of float). Of that it is 1 - smoothing, and of every class
// smoothing / classes. If `weighted` is not zero, the weights of the classes and the divisor (of float)
// are behind all that, [classes + 1], and each class's part of a target is times its weight.
// dlogits = (whole * softmax(logits) - target) / divisor, times the loss scale, if there is one, where
// `whole` is the sum of a target's parts. Without weights it is 1, and the divisor n. A rank is
// how many classes are ahead of the true one, at most 5; of equal logits the lower class is ahead,
// and NaN is ahead of everything, but as the true class's has rank 5, so that a network that has blown
// up does not look accurate.
//
// A warp takes an image. The numbers are few, so that exponentials and sums are f64, as on the CPU.
// Sums are taken in a fixed order.

#include "common.cuh"

enum : u32 { WARP = 32, WARPS = BLOCK / WARP, ALL_LANES = 0xffffffff };

// After log2(WARP) exchanges all lanes have the same sum, to the bit: addition commutes.
template <class N> __device__ inline N warp_sum(N x) {
#pragma unroll
    for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(ALL_LANES, x, lanes);
    return x;
}

__device__ inline float warp_max(float x) {
#pragma unroll
    for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) {
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, lanes));
    }
    return x;
}

// A class that does not exist shows as a loss of NaN.
template <class T> __device__ inline float logit(const T* logits, u32 class_, u32 classes) {
    return class_ < classes ? to_float(logits[class_]) : __int_as_float(0x7fc00000);
}

template <class T>
__device__ inline void forward_backward(const T* all_logits, const u32* labels, float2* images,
                                        T* all_dlogits, u64 n, u32 classes, u32 mixed,
                                        u32 weighted, float smoothing, const float* loss_scale) {
    const double scale = loss_scale ? *loss_scale : 1.0;
    const u32 lane = threadIdx.x % WARP;
    const u32* weights = labels + (mixed ? 3 : 1) * n;
    const double divisor = weighted ? (double)__uint_as_float(weights[classes]) : (double)n;
    const auto weight = [=](u32 class_) -> float {
        return weighted && class_ < classes ? __uint_as_float(weights[class_]) : 1.0f;
    };
    float weights_sum = 0.0f;
    for (u32 class_ = lane; weighted && class_ < classes; class_ += WARP) {
        weights_sum += weight(class_);
    }
    const float mean_weight = warp_sum(weights_sum) / (float)classes;
    for (u64 i = first_index() / WARP; i < n; i += (u64)gridDim.x * WARPS) {
        const T* logits = all_logits + i * classes;
        const u32 label = labels[i], other = mixed ? labels[n + i] : label;
        const double share = mixed ? __uint_as_float(labels[2 * n + i]) : 0.0f;
        const float true_logit = logit(logits, label, classes);

        // Subtracting the maximum keeps the exponentials finite and changes nothing else.
        float max = __int_as_float(0xff800000);
        u32 ahead = 0;
        for (u32 class_ = lane; class_ < classes; class_ += WARP) {
            const float x = to_float(logits[class_]);
            max = fmaxf(max, x);
            const bool behind = x < true_logit || (x == true_logit && class_ > label);
            ahead += class_ != label && !behind;
        }
        max = warp_max(max);
        const u32 sum_ahead = warp_sum(ahead);
        const u32 rank = true_logit != true_logit ? 5 : min_u32(sum_ahead, 5);

        // All of the target: without weights 1, to the last bit.
        double whole = 1.0;
        if (weighted) {
            whole = (1.0 - share) * weight(label) + share * weight(other);
            whole = (1.0 - smoothing) * whole + smoothing * mean_weight;
        }
        double sum = 0.0, below_max = 0.0;
        for (u32 class_ = lane; class_ < classes; class_ += WARP) {
            const double x = to_float(logits[class_]) - max;
            sum += exp(x);
            below_max += weight(class_) * x;
        }
        sum = warp_sum(sum);
        below_max = warp_sum(below_max);

        if (lane == 0) {
            double expected = weight(label) * (double)(true_logit - max);
            if (share != 0.0) {
                const double other_logit = logit(logits, other, classes) - max;
                expected = (1.0 - share) * expected + share * (weight(other) * other_logit);
            }
            if (smoothing != 0.0f) {
                const double mean = below_max / (double)classes;
                expected = (1.0 - smoothing) * expected + smoothing * mean;
            }
            const double loss = (whole * log(sum) - expected) * ((double)n / divisor);
            images[i] = make_float2((float)loss, (float)rank);
        }
        // dlogits may be the logits, of which the first lane reads those of two classes.
        __syncwarp();
        for (u32 class_ = lane; class_ < classes; class_ += WARP) {
            const double softmax = exp((double)(to_float(logits[class_]) - max)) / sum;
            double target = class_ == label ? 1.0 - share : 0.0;
            target += class_ == other ? share : 0.0;
            target = weight(class_) * ((1.0 - smoothing) * target + smoothing / (double)classes);
            const float gradient = (float)((whole * softmax - target) / divisor * scale);
            all_dlogits[i * classes + class_] = from_float<T>(gradient);
        }
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL softmax_cross_entropy_##NAME(const T* logits, const u32* labels, float2* images,       \
                                        T* dlogits, u64 n, u32 classes, u32 mixed, u32 weighted,  \
                                        float smoothing, const float* loss_scale) {               \
        forward_backward(logits, labels, images, dlogits, n, classes, mixed, weighted, smoothing, \
                         loss_scale);                                                             \
    }
FOR_EACH_TYPE(ENTRY)

// metrics = (sum of losses, images of rank 0, images of rank below 5), by one block.
KERNEL softmax_cross_entropy_metrics(const float2* images, float* metrics, u64 n) {
    __shared__ double losses[WARPS];
    __shared__ u64 firsts[WARPS], fives[WARPS];
    double loss = 0.0;
    u64 first = 0, five = 0;
    for (u64 i = threadIdx.x; i < n; i += BLOCK) {
        const float2 image = images[i];
        loss += (double)image.x;
        first += image.y < 1.0f;
        five += image.y < 5.0f;
    }
    loss = warp_sum(loss);
    first = warp_sum(first);
    five = warp_sum(five);
    if (threadIdx.x % WARP == 0) {
        losses[threadIdx.x / WARP] = loss;
        firsts[threadIdx.x / WARP] = first;
        fives[threadIdx.x / WARP] = five;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (u32 warp = 1; warp < WARPS; warp++) {
            loss += losses[warp];
            first += firsts[warp];
            five += fives[warp];
        }
        metrics[0] = (float)loss;
        metrics[1] = (float)first;
        metrics[2] = (float)five;
    }
}
