// The first stage of a network whose images have three channels, on tensor cores (first_stage_mma.cuh).

#include "first_stage_mma.cuh"
#include "pooled_mma.cuh"

#define ENTRY(T, NAME)                                                                            \
    KERNEL first_stage_rgb_forward_##NAME(const T* x, const T* weight, const float* bias, T* y,   \
                                          u32* aux, u64 n, u32 h, u32 w, u32 c,                   \
                                          u32 tiles_per_warp) {                                   \
        const Pooled<T> output = {y, aux};                                                        \
        forward<3, 2>(x, weight, bias, output, n, h, w, c, tiles_per_warp);                       \
    }                                                                                             \
    KERNEL first_stage_rgb_backward_##NAME(const T* x, const T* dy, const u32* aux,               \
                                           float* dweight, float* db, u64 n, u32 h, u32 w, u32 c, \
                                           u32 tiles_per_warp) {                                  \
        const PooledGradients<T> gradients = {dy, aux};                                           \
        backward<3, 1>(x, gradients, dweight, db, n, h, w, c, tiles_per_warp);                    \
    }
ENTRY(bf16, bf16)
ENTRY(f16, f16)
