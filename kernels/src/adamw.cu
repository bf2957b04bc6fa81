// Adam with decoupled weight decay; see updates.cuh.
//
// With r = rate · lr and t the steps so far, this one included: weight -= r · weight_decay · weight;
// mean, which is what is kept `first`, += (1 − beta1) · (dweight − mean); square, the `second`,
// += (1 − beta2) · (dweight² − square); weight -= r / (1 − beta1ᵗ) · mean / (√square / √(1 − beta2ᵗ) +
// eps). The operations are those of the CPU, each rounded as there: the same bits come of it.

#include "updates.cuh"

struct AdamW {
    float lr, to_mean, to_square, eps;
    float mean_correction, root_scale;

    __device__ Values<4> operator()(const Update& update, const Numbers& numbers) const {
        const float r = update.rate * lr;
        const float minus_lr = -__fdiv_rn(r, mean_correction);
        const float minus_decay = -(r * update.weight_decay);
        const Values<4> old_mean = numbers.load_kept(update.first);
        const Values<4> old_square = numbers.load_kept(update.second);
        Values<4> mean, square, w = numbers.w;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const float g = numbers.g.at[k];
            mean.at[k] = toward(to_mean, old_mean.at[k], g);
            square.at[k] = toward(to_square, old_square.at[k], __fmul_rn(g, g));
            const float root = __fmaf_rn(__fsqrt_rn(square.at[k]), root_scale, eps);
            w.at[k] = __fmaf_rn(minus_decay, w.at[k], w.at[k]);
            w.at[k] = __fmaf_rn(minus_lr, __fdiv_rn(mean.at[k], root), w.at[k]);
        }
        numbers.store_kept(update.first, old_mean, mean);
        numbers.store_kept(update.second, old_square, square);
        return w;
    }

    // An average that takes a new number in.
    __device__ static float toward(float share, float old, float next) {
        return __fmaf_rn(share, __fsub_rn(next, old), old);
    }
};

// xⁿ, by the multiplications of vgg_tensor::spec::AdamW::corrections.
__device__ inline double power(double x, u64 n) {
    double y = 1.0;
    for (; n > 0; n /= 2) {
        if (n % 2 == 1) y = __dmul_rn(y, x);
        x = __dmul_rn(x, x);
    }
    return y;
}

// The rate and the step, which is from 0, are read from memory, so that a recorded launch can be
// replayed with others. `skipped`, where gradients are scaled, is how many steps overflowed: they do
// not count.
#define ENTRY(T, NAME)                                                                            \
    KERNEL adamw_##NAME(const __grid_constant__ Updates updates, u32 count, u32* overflowed,       \
                        const float* lr, const u64* step, const u32* skipped, double beta1,        \
                        double beta2, float eps) {                                                 \
        __shared__ float corrections[2];                                                           \
        const u64 left_out = skipped ? *skipped : 0;                                               \
        const u64 t = left_out < *step ? *step - left_out + 1 : 1;                                 \
        if (threadIdx.x < 2) {                                                                     \
            const double beta = threadIdx.x == 0 ? beta1 : beta2;                                  \
            corrections[threadIdx.x] = (float)__dsub_rn(1.0, power(beta, t));                      \
        }                                                                                          \
        __syncthreads();                                                                           \
        const float to_mean = (float)__dsub_rn(1.0, beta1);                                        \
        const float to_square = (float)__dsub_rn(1.0, beta2);                                      \
        const float root_scale = __frcp_rn(__fsqrt_rn(corrections[1]));                            \
        const AdamW adamw{*lr, to_mean, to_square, eps, corrections[0], root_scale};               \
        steps<T>(adamw, updates, count, overflowed);                                               \
    }
FOR_EACH_TYPE(ENTRY)
