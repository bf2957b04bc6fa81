// What gradients and weights go through besides the optimiser.

#include "common.cuh"

// y = alpha · x + beta · y, of which a weight keeps a copy as T. With beta = 0, y is not read.
template <class T>
__device__ inline void blend(const float* x, float* y, T* copy, u64 len, float alpha, float beta) {
    const u64 quads = (len + 3) / 4;
    for (u64 i = first_index(); i < quads; i += index_stride()) {
        const u64 rest = len - 4 * i;
        const u32 count = rest < 4 ? (u32)rest : 4;
        const Values<4> from = load<4>(x + 4 * i, count);
        Values<4> to = {};
        if (beta != 0.0f) to = load<4>(y + 4 * i, count);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            to.at[k] = __fmaf_rn(alpha, from.at[k], __fmul_rn(beta, to.at[k]));
        }
        store<4>(y + 4 * i, count, to);
        if (copy) store<4>(copy + 4 * i, count, to);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL blend_##NAME(const float* x, float* y, T* copy, u64 len, float alpha, float beta) {     \
        blend(x, y, copy, len, alpha, beta);                                                       \
    }
FOR_EACH_TYPE(ENTRY)

// All threads of a block have the sum over its threads, in a fixed order.
__device__ inline double block_sum(double x) {
    __shared__ double shared[BLOCK];
    shared[threadIdx.x] = x;
    __syncthreads();
    for (u32 half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    return shared[0];
}

// sums[block]: the squares of what the block's threads come past.
KERNEL sum_squares(const float* x, double* sums, u64 len) {
    double sum = 0.0;
    const u64 quads = (len + 3) / 4;
    for (u64 i = first_index(); i < quads; i += index_stride()) {
        const u64 rest = len - 4 * i;
        const Values<4> v = load<4>(x + 4 * i, rest < 4 ? (u32)rest : 4);
        float squares = 0.0f;
#pragma unroll
        for (int k = 0; k < 4; k++) squares += v.at[k] * v.at[k];
        sum += (double)squares;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// What gradients are multiplied by to limit their norm, given their squares' sums. One block.
KERNEL clip_factor(const double* sums, u64 count, float max_norm, float* factor) {
    double sum = 0.0;
    for (u64 i = threadIdx.x; i < count; i += BLOCK) sum += sums[i];
    const double norm = sqrt(block_sum(sum));
    if (threadIdx.x > 0) return;
    const bool clips = norm > (double)max_norm && norm <= 1.7976931348623157e308; // NaN is not
    *factor = clips ? (float)((double)max_norm / (norm + 1e-6)) : 1.0f;
}

KERNEL clip(float* x, u64 len, const float* factor) {
    const float by = *factor;
    if (by == 1.0f) return;
    const u64 quads = (len + 3) / 4;
    for (u64 i = first_index(); i < quads; i += index_stride()) {
        const u64 rest = len - 4 * i;
        const u32 count = rest < 4 ? (u32)rest : 4;
        Values<4> v = load<4>(x + 4 * i, count);
#pragma unroll
        for (int k = 0; k < 4; k++) v.at[k] *= by;
        store<4>(x + 4 * i, count, v);
    }
}
