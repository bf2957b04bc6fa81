// An optimiser's step, in place, of many tensors in one launch.
//
// Of each tensor, weight, dweight, first, second, copy: [len]; what the optimiser keeps is `first` and
// `second`, as it says. All of it is float; `copy`, if there is one, receives the weight as T.
//
// Where gradients are scaled they may overflow. Then `overflowed` is there: an element whose gradient
// is not finite is left as it is, and *overflowed set.

#pragma once

#include "common.cuh"

// A tensor, as vgg_kernels::Update has it.
struct Update {
    float* weight;
    const float* dweight;
    float* first;
    float* second;
    void* copy;
    u64 len;
    float rate, weight_decay;
};

// Those of a launch are among its parameters: nobody has to keep a table of them in memory. There is
// room for 4,096 bytes.
enum : u32 { UPDATES = 64 };
struct Updates {
    Update at[UPDATES];
};

// Numbers that a block takes at a time.
enum : u32 { PIECE = 4 * BLOCK };

// Four numbers of a tensor, or fewer at its end, on their way through an optimiser.
struct Numbers {
    u64 first;
    u32 count;
    Values<4> w, g;
    bool applies[4];

    // What is kept of them.
    __device__ Values<4> load_kept(const float* kept) const { return load<4>(kept + first, count); }

    // Stores what is kept of them: `next` of those that apply, `old` of the others.
    __device__ void store_kept(float* kept, Values<4> old, const Values<4>& next) const {
#pragma unroll
        for (int k = 0; k < 4; k++) old.at[k] = applies[k] ? next.at[k] : old.at[k];
        store<4>(kept + first, count, old);
    }
};

// Updates numbers as `optimizer(update, numbers)` does, which gives their new weights.
template <class T, class Optimizer>
__device__ inline void step(const Optimizer& optimizer, const Update& update, u64 first,
                            u32* overflowed) {
    constexpr float LARGEST = 3.402823466e+38f;
    const u64 rest = update.len - first;
    Numbers numbers;
    numbers.first = first;
    numbers.count = rest < 4 ? (u32)rest : 4;
    numbers.w = load<4>(update.weight + first, numbers.count);
    numbers.g = load<4>(update.dweight + first, numbers.count);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        numbers.applies[k] = !overflowed || fabsf(numbers.g.at[k]) <= LARGEST; // NaN is not
        if (!numbers.applies[k]) *overflowed = 1;
    }
    const Values<4> next = optimizer(update, numbers);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (numbers.applies[k]) numbers.w.at[k] = next.at[k];
    }
    store<4>(update.weight + first, numbers.count, numbers.w);
    if (update.copy) store<4>((T*)update.copy + first, numbers.count, numbers.w);
}

// The pieces of all tensors are one row, of which a block takes every gridDim.x-th.
template <class T, class Optimizer>
__device__ inline void steps(const Optimizer& optimizer, const Updates& updates, u32 count,
                             u32* overflowed) {
    u64 piece = blockIdx.x;
    for (u32 i = 0; i < count; i++) {
        const Update& update = updates.at[i];
        const u64 pieces = (update.len + PIECE - 1) / PIECE;
        for (; piece < pieces; piece += gridDim.x) {
            const u64 first = piece * PIECE + 4 * threadIdx.x;
            if (first < update.len) step<T>(optimizer, update, first, overflowed);
        }
        piece -= pieces;
    }
}
