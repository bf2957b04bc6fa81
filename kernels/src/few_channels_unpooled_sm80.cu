// Convolutions of few channels without a pool behind them, on tensor cores (few_channels_mma.cuh).

#include "few_channels_mma.cuh"
#include "unpooled_mma.cuh"

#define ENTRY(T, NAME)                                                                            \
    KERNEL few_channels_unpooled_forward_##NAME(const T* x, const T* weight, const float* bias,   \
                                                T* y, u8* aux, u32 relu, u64 n, u32 h, u32 w,     \
                                                u32 c_in, u32 c, u32 tiles_per_warp) {            \
        const Unpooled<T> output = {y, aux, relu != 0};                                           \
        forward(x, weight, bias, output, n, h, w, c_in, c, tiles_per_warp);                       \
    }                                                                                             \
    KERNEL few_channels_unpooled_backward_data_##NAME(const T* dy, const u8* aux,                 \
                                                      const T* weight, T* dx, u64 n, u32 h,       \
                                                      u32 w, u32 c_in, u32 c,                     \
                                                      u32 tiles_per_warp) {                       \
        const UnpooledGradients<T> gradients = {dy, aux};                                         \
        backward_data(gradients, weight, dx, n, h, w, c_in, c, tiles_per_warp);                   \
    }                                                                                             \
    KERNEL few_channels_unpooled_backward_weight_##NAME(const T* x, const T* dy, const u8* aux,   \
                                                        float* dweight, float* db, u64 n, u32 h,  \
                                                        u32 w, u32 c_in, u32 c,                   \
                                                        u32 tiles_per_warp) {                     \
        const UnpooledGradients<T> gradients = {dy, aux};                                         \
        backward_weight(x, gradients, dweight, db, n, h, w, c_in, c, tiles_per_warp);             \
    }
ENTRY(bf16, bf16)
ENTRY(f16, f16)
