// From one type of numbers to another: x, y: [len].

#include "common.cuh"

template <class From, class To>
__device__ inline void convert(const From* x, To* y, u64 len, float factor) {
    const u64 groups = (len + 7) / 8;
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const u64 rest = len - 8 * i;
        const u32 count = rest < 8 ? (u32)rest : 8;
        Values<8> v = load<8>(x + 8 * i, count);
#pragma unroll
        for (int k = 0; k < 8; k++) v.at[k] *= factor;
        store<8>(y + 8 * i, count, v);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL widen_##NAME(const T* x, float* y, u64 len, const float* loss_scale) {                  \
        convert(x, y, len, unscale(loss_scale));                                                   \
    }                                                                                              \
    KERNEL narrow_##NAME(const float* x, T* y, u64 len) { convert(x, y, len, 1.0f); }
ENTRY(bf16, bf16)
ENTRY(f16, f16)

KERNEL f16_to_bf16(const f16* x, bf16* y, u64 len) { convert(x, y, len, 1.0f); }
