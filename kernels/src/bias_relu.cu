// Bias and ReLU of a layer's sums, and the gradient.
//
// x, y: [pixels, c], bias: [c], aux: [pixels, ceil(c / 8)] bytes, bit k % 8 for channel k.
// A sum, rounded as it is stored, that is not above zero, NaN included, becomes zero, and so does its
// gradient.

#include "common.cuh"
#include "group.cuh"

template <bool RELU, class T>
__device__ inline void forward(const T* x, const float* bias, T* y, u8* aux, u64 pixels, u32 c) {
    const u64 groups = pixels * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const u64 at = group.pixel * c + group.first;
        Channels sums = load<GROUP>(x + at, group.len);
        const Channels added = load<GROUP>(bias + group.first, group.len);
        u32 bits = 0;
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const float sum = round_to<T>(sums.at[k] + added.at[k]);
            const bool alive = !RELU || sum > 0.0f;
            sums.at[k] = alive ? sum : 0.0f;
            bits |= (u32)alive << k;
        }
        store<GROUP>(y + at, group.len, sums);
        if (RELU && aux) aux[i] = (u8)bits;
    }
}

template <class T>
__device__ inline void backward(const T* dy, const u8* aux, T* dx, u64 pixels, u32 c) {
    const u64 groups = pixels * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const u64 at = group.pixel * c + group.first;
        Channels gradient = load<GROUP>(dy + at, group.len);
        const u32 bits = aux[i];
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            if (!(bits >> k & 1)) gradient.at[k] = 0.0f;
        }
        store<GROUP>(dx + at, group.len, gradient);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL bias_forward_##NAME(const T* x, const float* bias, T* y, u64 pixels, u32 c) {           \
        forward<false>(x, bias, y, (u8*)0, pixels, c);                                             \
    }                                                                                              \
    KERNEL bias_relu_forward_##NAME(const T* x, const float* bias, T* y, u8* aux, u64 pixels,      \
                                    u32 c) {                                                       \
        forward<true>(x, bias, y, aux, pixels, c);                                                 \
    }                                                                                              \
    KERNEL relu_backward_##NAME(const T* dy, const u8* aux, T* dx, u64 pixels, u32 c) {            \
        backward(dy, aux, dx, pixels, c);                                                          \
    }
FOR_EACH_TYPE(ENTRY)
