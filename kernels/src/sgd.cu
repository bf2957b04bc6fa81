// Stochastic gradient descent, in place.
//
// weight, dweight, velocity, copy: [len]. g = dweight + weight_decay · weight; with a velocity,
// velocity = momentum · velocity + g, and then g = velocity, or g + momentum · velocity if `nesterov`
// is not zero; at last weight -= (rate · lr) · g. Each of these is one fused multiply-add, as on the CPU:
// the same bits come of it. All of it is float; `copy`, if there is one, receives the weight as T.
//
// Where gradients are scaled they may overflow. Then `overflowed` is there: an element whose gradient
// is not finite is left as it is, and *overflowed set.

#include "common.cuh"

template <class T>
__device__ inline void step(float* weight, const float* dweight, float* velocity, T* copy,
                            u32* overflowed, u64 len, float lr, float momentum,
                            float weight_decay, u32 nesterov) {
    constexpr float LARGEST = 3.402823466e+38f;
    const u64 quads = (len + 3) / 4;
    for (u64 i = first_index(); i < quads; i += index_stride()) {
        const u64 rest = len - 4 * i;
        const u32 count = rest < 4 ? (u32)rest : 4;
        Values<4> w = load<4>(weight + 4 * i, count);
        Values<4> g = load<4>(dweight + 4 * i, count);
        bool applies[4];
#pragma unroll
        for (int k = 0; k < 4; k++) {
            applies[k] = !overflowed || fabsf(g.at[k]) <= LARGEST; // NaN is not
            if (!applies[k]) *overflowed = 1;
            g.at[k] = __fmaf_rn(weight_decay, w.at[k], g.at[k]);
        }
        if (velocity) {
            Values<4> v = load<4>(velocity + 4 * i, count);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const float next = __fmaf_rn(momentum, v.at[k], g.at[k]);
                g.at[k] = nesterov ? __fmaf_rn(momentum, next, g.at[k]) : next;
                if (applies[k]) v.at[k] = next;
            }
            store<4>(velocity + 4 * i, count, v);
        }
#pragma unroll
        for (int k = 0; k < 4; k++) {
            if (applies[k]) w.at[k] = __fmaf_rn(-lr, g.at[k], w.at[k]);
        }
        store<4>(weight + 4 * i, count, w);
        if (copy) store<4>(copy + 4 * i, count, w);
    }
}

// The rate is read from memory, so that a recorded launch can be replayed with another one.
#define ENTRY(T, NAME)                                                                            \
    KERNEL sgd_##NAME(float* weight, const float* dweight, float* velocity, T* copy,               \
                      u32* overflowed, u64 len, const float* lr, float rate,                       \
                      float momentum, float weight_decay, u32 nesterov) {                          \
        step(weight, dweight, velocity, copy, overflowed, len, rate * *lr, momentum, weight_decay, \
             nesterov);                                                                            \
    }
FOR_EACH_TYPE(ENTRY)
