// Bias and ReLU of a layer's sums, and the gradients.
//
// x, y: [pixels, c], bias: [c], aux: [pixels, ceil(c / 8)] bytes, bit k % 8 for channel k. db: [rows, c];
// see column.cuh.
// A sum, rounded as it is stored, that is not above zero, NaN included, becomes zero, and so does its
// gradient.

#include "common.cuh"
#include "column.cuh"

// Pixels that a thread has on their way at a time: from each of 1,024 threads of a multiprocessor,
// half of them, 34 bytes, more than its share of what memory has under way.
enum : u32 { AHEAD = 2 };

template <bool RELU, class T>
__device__ inline void forward(const T* x, const float* bias, T* y, u8* aux, u64 pixels, u32 c,
                               u64 pixels_per_block, u32 lanes) {
    const Column column(pixels, c, pixels_per_block, lanes);
    const u32 groups = groups_of(c);
    const Channels added = load<GROUP>(bias + column.first, column.len);
    for (u64 pixel = column.begin; pixel < column.end; pixel += AHEAD * column.stride) {
        Packed<GROUP, T> sums[AHEAD];
#pragma unroll
        for (u32 i = 0; i < AHEAD; i++) {
            const u64 at = pixel + i * column.stride;
            if (at >= column.end) continue;
            sums[i] = load_packed<GROUP>(x + at * c + column.first, column.len);
        }
#pragma unroll
        for (u32 i = 0; i < AHEAD; i++) {
            const u64 at = pixel + i * column.stride;
            if (at >= column.end) continue;
            u32 bits = 0;
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                const T sum = from_float<T>(to_float(sums[i].at[k]) + added.at[k]);
                const bool alive = !RELU || to_float(sum) > 0.0f;
                sums[i].at[k] = alive ? sum : T{};
                bits |= (u32)alive << k;
            }
            store_packed<GROUP>(y + at * c + column.first, column.len, sums[i]);
            if (RELU && aux) aux[at * groups + column.first / GROUP] = (u8)bits;
        }
    }
}

// The gradient of the sums and, unless db is null, its sum, the bias's gradient, on the way: dy is
// read once, and a thread keeps to its channels, so that no index is divided. Numbers go from dy to
// dx as they are stored.
template <class T>
__device__ inline void backward(const T* dy, const u8* aux, T* dx, float* db, u64 pixels, u32 c,
                                u64 pixels_per_block, u32 lanes, const float* loss_scale) {
    const Column column(pixels, c, pixels_per_block, lanes);
    const u32 groups = groups_of(c);
    Channels sums = {};
    for (u64 pixel = column.begin; pixel < column.end; pixel += AHEAD * column.stride) {
        Packed<GROUP, T> gradients[AHEAD];
        u32 bits[AHEAD];
#pragma unroll
        for (u32 i = 0; i < AHEAD; i++) {
            const u64 at = pixel + i * column.stride;
            if (at >= column.end) continue;
            gradients[i] = load_packed<GROUP>(dy + at * c + column.first, column.len);
            bits[i] = aux[at * groups + column.first / GROUP];
        }
#pragma unroll
        for (u32 i = 0; i < AHEAD; i++) {
            const u64 at = pixel + i * column.stride;
            if (at >= column.end) continue;
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                T& gradient = gradients[i].at[k];
                gradient = bits[i] >> k & 1 ? gradient : T{};
                sums.at[k] += to_float(gradient);
            }
            store_packed<GROUP>(dx + at * c + column.first, column.len, gradients[i]);
        }
    }
    if (db) store_sums(column, sums, db, c, lanes, loss_scale);
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL bias_forward_##NAME(const T* x, const float* bias, T* y, u64 pixels, u32 c,             \
                               u64 pixels_per_block, u32 lanes) {                                  \
        forward<false>(x, bias, y, (u8*)0, pixels, c, pixels_per_block, lanes);                    \
    }                                                                                              \
    KERNEL bias_relu_forward_##NAME(const T* x, const float* bias, T* y, u8* aux, u64 pixels,      \
                                    u32 c, u64 pixels_per_block, u32 lanes) {                      \
        forward<true>(x, bias, y, aux, pixels, c, pixels_per_block, lanes);                        \
    }                                                                                              \
    KERNEL bias_relu_backward_##NAME(const T* dy, const u8* aux, T* dx, float* db, u64 pixels,     \
                                     u32 c, u64 pixels_per_block, u32 lanes,                       \
                                     const float* loss_scale) {                                    \
        backward(dy, aux, dx, db, pixels, c, pixels_per_block, lanes, loss_scale);                 \
    }
FOR_EACH_TYPE(ENTRY)
