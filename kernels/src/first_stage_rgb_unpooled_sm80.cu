// The first convolution of a network whose images have three channels, where no pool follows, on tensor
// cores (first_stage_mma.cuh).

#include "first_stage_mma.cuh"
#include "unpooled_mma.cuh"

#define ENTRY(T, NAME)                                                                            \
    KERNEL first_stage_rgb_unpooled_forward_##NAME(const T* x, const T* weight,                   \
                                                   const float* bias, T* y, u8* aux, u32 relu,    \
                                                   u64 n, u32 h, u32 w, u32 c,                    \
                                                   u32 tiles_per_warp) {                          \
        const Unpooled<T> output = {y, aux, relu != 0};                                           \
        forward<3, 2>(x, weight, bias, output, n, h, w, c, tiles_per_warp);                       \
    }                                                                                             \
    KERNEL first_stage_rgb_unpooled_backward_##NAME(const T* x, const T* dy, const u8* aux,       \
                                                    float* dweight, float* db, u64 n, u32 h,      \
                                                    u32 w, u32 c, u32 tiles_per_warp) {           \
        const UnpooledGradients<T> gradients = {dy, aux};                                         \
        backward<3, 1>(x, gradients, dweight, db, n, h, w, c, tiles_per_warp);                    \
    }
ENTRY(bf16, bf16)
ENTRY(f16, f16)
