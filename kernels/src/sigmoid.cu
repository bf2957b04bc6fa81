// The logistic sigmoid in place, and its gradient.
//
// x, y, dy: [len], in any order. y = 1 / (1 + exp(-x)); dx = dy * y * (1 - y).

#include "common.cuh"

template <class T> __device__ inline void forward(T* x, u64 len) {
    const u64 quads = (len + 3) / 4;
    for (u64 i = first_index(); i < quads; i += index_stride()) {
        const u64 rest = len - 4 * i;
        const u32 count = rest < 4 ? (u32)rest : 4;
        Values<4> v = load<4>(x + 4 * i, count);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            // Of the smaller exponential, which cannot overflow.
            const float e = expf(-fabsf(v.at[k]));
            v.at[k] = __fdiv_rn(v.at[k] < 0.0f ? e : 1.0f, __fadd_rn(1.0f, e));
        }
        store<4>(x + 4 * i, count, v);
    }
}

template <class T> __device__ inline void backward(const T* y, T* dy, u64 len) {
    const u64 quads = (len + 3) / 4;
    for (u64 i = first_index(); i < quads; i += index_stride()) {
        const u64 rest = len - 4 * i;
        const u32 count = rest < 4 ? (u32)rest : 4;
        const Values<4> out = load<4>(y + 4 * i, count);
        Values<4> v = load<4>(dy + 4 * i, count);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            v.at[k] = __fmul_rn(v.at[k], __fmul_rn(out.at[k], __fsub_rn(1.0f, out.at[k])));
        }
        store<4>(dy + 4 * i, count, v);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL sigmoid_forward_##NAME(T* x, u64 len) { forward(x, len); }                              \
    KERNEL sigmoid_backward_##NAME(const T* y, T* dy, u64 len) { backward(y, dy, len); }
FOR_EACH_TYPE(ENTRY)
