// The loss of boxes, its gradient, and how good the boxes are.
//
// predicted, dpredicted: [n, boxes] of boxes, a box being four numbers, its centre across and down, its
// width and height; targets: [n] (of u32), which box of an image counts, or NO_BOX if none does, behind that
// the true boxes, [n] (of four floats), and the divisor (of float); metrics: [3].
// dpredicted = (predicted - true) / divisor where a box counts, times the loss scale, if there is one, and
// else 0.
//
// A thread takes a box for the gradient. Sums of what is reported are f64, and one block takes them in a
// fixed order.

#include "common.cuh"

enum : u32 { BOX = 4, NO_BOX = 0xffffffff, WARP = 32, WARPS = BLOCK / WARP, ALL_LANES = 0xffffffff };

__device__ inline float target_of(const u32* targets, u64 n, u64 image, u32 k) {
    return __uint_as_float(targets[n + image * BOX + k]);
}

template <class T>
__device__ inline void backward(const T* predicted, const u32* targets, T* dpredicted, u64 n,
                                u32 boxes, const float* loss_scale) {
    const double scale = loss_scale ? *loss_scale : 1.0;
    const double divisor = (double)__uint_as_float(targets[(1 + BOX) * n]);
    for (u64 i = first_index(); i < n * boxes; i += index_stride()) {
        const u64 image = i / boxes;
        const bool counts = targets[image] == (u32)(i % boxes);
#pragma unroll
        for (u32 k = 0; k < BOX; k++) {
            float gradient = 0.0f;
            if (counts) {
                const double own = to_float(predicted[BOX * i + k]);
                const double difference = own - (double)target_of(targets, n, image, k);
                gradient = (float)(difference / divisor * scale);
            }
            dpredicted[BOX * i + k] = from_float<T>(gradient);
        }
    }
}

// How far two intervals overlap, by their middles and lengths.
__device__ inline float overlap(float a, float a_len, float b, float b_len) {
    const float from = fmaxf(a - 0.5f * a_len, b - 0.5f * b_len);
    return fmaxf(fminf(a + 0.5f * a_len, b + 0.5f * b_len) - from, 0.0f);
}

template <class N> __device__ inline N warp_sum(N x) {
#pragma unroll
    for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(ALL_LANES, x, lanes);
    return x;
}

template <class T>
__device__ inline void add_up(const T* predicted, const u32* targets, float* metrics, u64 n,
                              u32 boxes) {
    __shared__ double sums[3][WARPS];
    double loss = 0.0, iou_sum = 0.0;
    float right = 0.0f;
    for (u64 i = threadIdx.x; i < n; i += BLOCK) {
        if (targets[i] == NO_BOX) continue;
        float own[BOX], target[BOX];
#pragma unroll
        for (u32 k = 0; k < BOX; k++) {
            // A box that does not exist shows as a loss of NaN.
            const u64 at = (i * boxes + targets[i]) * BOX + k;
            own[k] = targets[i] < boxes ? to_float(predicted[at]) : __int_as_float(0x7fc00000);
            target[k] = target_of(targets, n, i, k);
            const double difference = (double)own[k] - (double)target[k];
            loss += 0.5 * difference * difference;
        }
        const float both = overlap(own[0], own[2], target[0], target[2]) *
                            overlap(own[1], own[3], target[1], target[3]);
        const float iou = both / (own[2] * own[3] + target[2] * target[3] - both);
        // A box without an area, or of what is no number, has nothing in common with any.
        if (own[2] > 0.0f && own[3] > 0.0f && iou > 0.0f) {
            right += iou > 0.5f;
            iou_sum += (double)iou;
        }
    }
    loss = warp_sum(loss);
    right = warp_sum(right);
    iou_sum = warp_sum(iou_sum);
    if (threadIdx.x % WARP == 0) {
        sums[0][threadIdx.x / WARP] = loss;
        sums[1][threadIdx.x / WARP] = (double)right;
        sums[2][threadIdx.x / WARP] = iou_sum;
    }
    __syncthreads();
    if (threadIdx.x < 3) {
        double sum = sums[threadIdx.x][0];
        for (u32 warp = 1; warp < WARPS; warp++) sum += sums[threadIdx.x][warp];
        metrics[threadIdx.x] = (float)sum;
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL euclidean_loss_backward_##NAME(const T* predicted, const u32* targets, T* dpredicted,  \
                                          u64 n, u32 boxes, const float* loss_scale) {            \
        backward(predicted, targets, dpredicted, n, boxes, loss_scale);                           \
    }                                                                                             \
    KERNEL euclidean_loss_metrics_##NAME(const T* predicted, const u32* targets, float* metrics,  \
                                         u64 n, u32 boxes) {                                      \
        add_up(predicted, targets, metrics, n, boxes);                                            \
    }
FOR_EACH_TYPE(ENTRY)
