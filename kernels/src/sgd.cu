// Stochastic gradient descent; see updates.cuh.
//
// g = dweight + weight_decay · weight; with a velocity, which is what is kept `first`, velocity =
// momentum · velocity + g, and then g = velocity, or g + momentum · velocity if `nesterov` is not zero;
// at last weight -= (rate · lr) · g. Each of these is one fused multiply-add, as on the CPU: the same
// bits come of it.

#include "updates.cuh"

struct Sgd {
    float lr, momentum;
    bool nesterov;

    __device__ Values<4> operator()(const Update& update, const Numbers& numbers) const {
        Values<4> w = numbers.w, g = numbers.g;
#pragma unroll
        for (int k = 0; k < 4; k++) g.at[k] = __fmaf_rn(update.weight_decay, w.at[k], g.at[k]);
        if (update.first) {
            const Values<4> old = numbers.load_kept(update.first);
            Values<4> v;
#pragma unroll
            for (int k = 0; k < 4; k++) {
                v.at[k] = __fmaf_rn(momentum, old.at[k], g.at[k]);
                g.at[k] = nesterov ? __fmaf_rn(momentum, v.at[k], g.at[k]) : v.at[k];
            }
            numbers.store_kept(update.first, old, v);
        }
        const float minus_lr = -(update.rate * lr);
#pragma unroll
        for (int k = 0; k < 4; k++) w.at[k] = __fmaf_rn(minus_lr, g.at[k], w.at[k]);
        return w;
    }
};

// The rate is read from memory, so that a recorded launch can be replayed with another one.
#define ENTRY(T, NAME)                                                                            \
    KERNEL sgd_##NAME(const __grid_constant__ Updates updates, u32 count, u32* overflowed,         \
                      const float* lr, float momentum, u32 nesterov) {                             \
        steps<T>(Sgd{*lr, momentum, nesterov != 0}, updates, count, overflowed);                   \
    }
FOR_EACH_TYPE(ENTRY)
