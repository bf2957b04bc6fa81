// Bias and ReLU of a layer's sums, and the gradients.
//
// x, y: [pixels, c], bias: [c], aux: [pixels, ceil(c / 8)] bytes, bit k % 8 for channel k. db: [rows, c];
// see column.cuh.
// A sum, rounded as it is stored, that is not above zero, NaN included, becomes zero, and so does its
// gradient.

#include "common.cuh"
#include "column.cuh"

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

// Pixels of which a thread has the gradients on their way at a time: with half of the device's
// threads, for which Columns::new in vgg-cuda asks, that is 34 bytes of each of 1,024, more than
// a multiprocessor's share of what memory has under way.
enum : u32 { AHEAD = 2 };

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
    KERNEL bias_forward_##NAME(const T* x, const float* bias, T* y, u64 pixels, u32 c) {           \
        forward<false>(x, bias, y, (u8*)0, pixels, c);                                             \
    }                                                                                              \
    KERNEL bias_relu_forward_##NAME(const T* x, const float* bias, T* y, u8* aux, u64 pixels,      \
                                    u32 c) {                                                       \
        forward<true>(x, bias, y, aux, pixels, c);                                                 \
    }                                                                                              \
    KERNEL bias_relu_backward_##NAME(const T* dy, const u8* aux, T* dx, float* db, u64 pixels,     \
                                     u32 c, u64 pixels_per_block, u32 lanes,                       \
                                     const float* loss_scale) {                                    \
        backward(dy, aux, dx, db, pixels, c, pixels_per_block, lanes, loss_scale);                 \
    }
FOR_EACH_TYPE(ENTRY)
