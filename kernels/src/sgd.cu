// Stochastic gradient descent, in place.
//
// weight, dweight, velocity: [len]. g = dweight + weight_decay · weight; with a velocity,
// velocity = momentum · velocity + g, and then g = velocity, or g + momentum · velocity if `nesterov`
// is not zero; at last weight -= lr · g. Each of these is one fused multiply-add, as on the CPU:
// the same bits come of it. Weights and velocities are f32 whatever the gradient is.

#include "common.cuh"

template <class T>
__device__ inline void step(float* weight, const T* dweight, float* velocity, u64 len, float lr,
                            float momentum, float weight_decay, u32 nesterov) {
    const u64 quads = (len + 3) / 4;
    for (u64 i = first_index(); i < quads; i += index_stride()) {
        const u64 rest = len - 4 * i;
        const u32 count = rest < 4 ? (u32)rest : 4;
        Values<4> w = load<4>(weight + 4 * i, count);
        Values<4> g = load<4>(dweight + 4 * i, count);
#pragma unroll
        for (int k = 0; k < 4; k++) g.at[k] = __fmaf_rn(weight_decay, w.at[k], g.at[k]);
        if (velocity) {
            Values<4> v = load<4>(velocity + 4 * i, count);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                v.at[k] = __fmaf_rn(momentum, v.at[k], g.at[k]);
                g.at[k] = nesterov ? __fmaf_rn(momentum, v.at[k], g.at[k]) : v.at[k];
            }
            store<4>(velocity + 4 * i, count, v);
        }
#pragma unroll
        for (int k = 0; k < 4; k++) w.at[k] = __fmaf_rn(-lr, g.at[k], w.at[k]);
        store<4>(weight + 4 * i, count, w);
    }
}

KERNEL sgd_f32(float* weight, const float* dweight, float* velocity, u64 len, float lr,
               float momentum, float weight_decay, u32 nesterov) {
    step(weight, dweight, velocity, len, lr, momentum, weight_decay, nesterov);
}
