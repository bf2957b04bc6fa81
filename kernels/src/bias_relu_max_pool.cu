// Bias, ReLU and a 2×2 max-pool of a convolution's sums, and the gradient.
//
// x: [n, h, w, c], y: [n, h / 2, w / 2, c], bias: [c]; an odd last row or column is dropped.
// aux: [n, h / 2, w / 2, ceil(c / 8)] words; see group.cuh.
// The first of equal sums wins, in row-major order. Sums are compared with their bias and rounded as
// they are stored: rounding may make equal what was not.

#include "common.cuh"
#include "group.cuh"

template <class T>
__device__ inline void forward(const T* x, const float* bias, T* y, u32* aux, u64 n, u32 h, u32 w,
                               u32 c) {
    const u32 y_h = h / 2, y_w = w / 2;
    const u64 groups = n * y_h * y_w * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const Place place(group.pixel, y_h, y_w);
        const u64 corner = (place.image * h + 2 * place.row) * w + 2 * place.column;
        const Channels added = load<GROUP>(bias + group.first, group.len);
        Pool pool;
#pragma unroll
        for (u32 in_window = 0; in_window < 4; in_window++) {
            const u64 pixel = corner + (u64)(in_window / 2) * w + in_window % 2;
            Channels sums = load<GROUP>(x + pixel * c + group.first, group.len);
#pragma unroll
            for (int k = 0; k < GROUP; k++) sums.at[k] = round_to<T>(sums.at[k] + added.at[k]);
            pool.take(in_window, sums);
        }
        const u32 word = pool.decide();
        store<GROUP>(y + group.pixel * c + group.first, group.len, pool.largest);
        if (aux) aux[i] = word;
    }
}

// A thread writes all of a window, zeros included, and the dropped row or column counts as windows
// that are cut off: each place is written once.
template <class T>
__device__ inline void backward(const T* dy, const u32* aux, T* dx, u64 n, u32 h, u32 w, u32 c) {
    const u32 y_h = h / 2, y_w = w / 2;
    const u32 windows_h = (h + 1) / 2, windows_w = (w + 1) / 2;
    const u64 groups = n * windows_h * windows_w * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const Place place(group.pixel, windows_h, windows_w);
        Channels gradient = {};
        u32 word = 0;
        if (place.row < y_h && place.column < y_w) {
            const u64 pixel = (place.image * y_h + place.row) * y_w + place.column;
            gradient = load<GROUP>(dy + pixel * c + group.first, group.len);
            word = aux[pixel * groups_of(c) + group.first / GROUP];
        }
#pragma unroll
        for (u32 in_window = 0; in_window < 4; in_window++) {
            const u32 row = 2 * place.row + in_window / 2;
            const u32 column = 2 * place.column + in_window % 2;
            if (row >= h || column >= w) continue;
            Channels part;
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                const bool won = pool_alive(word, k) && pool_winner(word, k) == in_window;
                part.at[k] = won ? gradient.at[k] : 0.0f;
            }
            const u64 pixel = (place.image * h + row) * w + column;
            store<GROUP>(dx + pixel * c + group.first, group.len, part);
        }
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL bias_relu_max_pool_forward_##NAME(const T* x, const float* bias, T* y, u32* aux, u64 n, \
                                             u32 h, u32 w, u32 c) {                                \
        forward(x, bias, y, aux, n, h, w, c);                                                      \
    }                                                                                              \
    KERNEL relu_max_pool_backward_##NAME(const T* dy, const u32* aux, T* dx, u64 n, u32 h, u32 w,  \
                                         u32 c) {                                                  \
        backward(dy, aux, dx, n, h, w, c);                                                         \
    }
FOR_EACH_TYPE(ENTRY)
