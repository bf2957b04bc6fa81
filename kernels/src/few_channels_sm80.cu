// Convolutions of few channels before a 2×2 max-pool, on tensor cores (few_channels_mma.cuh).

#include "few_channels_mma.cuh"
#include "pooled_mma.cuh"

#define ENTRY(T, NAME)                                                                            \
    KERNEL few_channels_forward_##NAME(const T* x, const T* weight, const float* bias, T* y,      \
                                       u32* aux, u64 n, u32 h, u32 w, u32 c_in, u32 c,            \
                                       u32 tiles_per_warp) {                                      \
        const Pooled<T> output = {y, aux};                                                        \
        forward(x, weight, bias, output, n, h, w, c_in, c, tiles_per_warp);                       \
    }                                                                                             \
    KERNEL few_channels_backward_data_##NAME(const T* dy, const u32* aux, const T* weight, T* dx, \
                                             u64 n, u32 h, u32 w, u32 c_in, u32 c,                \
                                             u32 tiles_per_warp) {                                \
        const PooledGradients<T> gradients = {dy, aux};                                           \
        backward_data(gradients, weight, dx, n, h, w, c_in, c, tiles_per_warp);                   \
    }                                                                                             \
    KERNEL few_channels_backward_weight_##NAME(const T* x, const T* dy, const u32* aux,           \
                                               float* dweight, float* db, u64 n, u32 h, u32 w,    \
                                               u32 c_in, u32 c, u32 tiles_per_warp) {             \
        const PooledGradients<T> gradients = {dy, aux};                                           \
        backward_weight(x, gradients, dweight, db, n, h, w, c_in, c, tiles_per_warp);             \
    }
ENTRY(bf16, bf16)
ENTRY(f16, f16)
