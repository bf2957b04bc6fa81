// Stochastic gradient descent, in place, of many tensors in one launch.
//
// Of each tensor, weight, dweight, velocity, copy: [len]. g = dweight + weight_decay · weight; with a
// velocity, velocity = momentum · velocity + g, and then g = velocity, or g + momentum · velocity if
// `nesterov` is not zero; at last weight -= (rate · lr) · g. Each of these is one fused multiply-add,
// as on the CPU: the same bits come of it. All of it is float; `copy`, if there is one, receives the
// weight as T.
//
// Where gradients are scaled they may overflow. Then `overflowed` is there: an element whose gradient
// is not finite is left as it is, and *overflowed set.

#include "common.cuh"

// A tensor, as vgg_kernels::Update has it.
struct Update {
    float* weight;
    const float* dweight;
    float* velocity;
    void* copy;
    u64 len;
    float rate, momentum, weight_decay;
    u32 nesterov;
};

// Those of a launch are among its parameters: nobody has to keep a table of them in memory. There is
// room for 4,096 bytes.
enum : u32 { UPDATES = 64 };
struct Updates {
    Update at[UPDATES];
};

// Numbers that a block takes at a time.
enum : u32 { PIECE = 4 * BLOCK };

// Four numbers of a tensor, or fewer at its end.
template <class T>
__device__ inline void step(const Update& update, u64 first, u32* overflowed, float lr) {
    constexpr float LARGEST = 3.402823466e+38f;
    const u64 rest = update.len - first;
    const u32 count = rest < 4 ? (u32)rest : 4;
    Values<4> w = load<4>(update.weight + first, count);
    Values<4> g = load<4>(update.dweight + first, count);
    bool applies[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        applies[k] = !overflowed || fabsf(g.at[k]) <= LARGEST; // NaN is not
        if (!applies[k]) *overflowed = 1;
        g.at[k] = __fmaf_rn(update.weight_decay, w.at[k], g.at[k]);
    }
    if (update.velocity) {
        Values<4> v = load<4>(update.velocity + first, count);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const float next = __fmaf_rn(update.momentum, v.at[k], g.at[k]);
            g.at[k] = update.nesterov ? __fmaf_rn(update.momentum, next, g.at[k]) : next;
            if (applies[k]) v.at[k] = next;
        }
        store<4>(update.velocity + first, count, v);
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (applies[k]) w.at[k] = __fmaf_rn(-lr, g.at[k], w.at[k]);
    }
    store<4>(update.weight + first, count, w);
    if (update.copy) store<4>((T*)update.copy + first, count, w);
}

// The pieces of all tensors are one row, of which a block takes every gridDim.x-th.
template <class T>
__device__ inline void steps(const Updates& updates, u32 count, u32* overflowed, float lr) {
    u64 piece = blockIdx.x;
    for (u32 i = 0; i < count; i++) {
        const Update& update = updates.at[i];
        const u64 pieces = (update.len + PIECE - 1) / PIECE;
        for (; piece < pieces; piece += gridDim.x) {
            const u64 first = piece * PIECE + 4 * threadIdx.x;
            if (first < update.len) step<T>(update, first, overflowed, update.rate * lr);
        }
        piece -= pieces;
    }
}

// The rate is read from memory, so that a recorded launch can be replayed with another one.
#define ENTRY(T, NAME)                                                                            \
    KERNEL sgd_##NAME(const __grid_constant__ Updates updates, u32 count, u32* overflowed,         \
                      const float* lr) {                                                           \
        steps<T>(updates, count, overflowed, *lr);                                                 \
    }
FOR_EACH_TYPE(ENTRY)
