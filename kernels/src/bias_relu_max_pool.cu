// Bias, ReLU and a 2×2 max-pool of a convolution's sums, and the gradients.
//
// x: [n, h, w, c], y: [n, h / 2, w / 2, c], bias: [c]; an odd last row or column is dropped.
// aux: [n, h / 2, w / 2, ceil(c / 8)] words; see group.cuh. db: [rows, c]; see column.cuh.
// The first of equal sums wins, in row-major order. Sums are compared with their bias and rounded as
// they are stored: rounding may make equal what was not.

#include "common.cuh"
#include "column.cuh"

template <class T>
__device__ inline Channels with_bias(const Packed<GROUP, T>& sums, const Channels& bias) {
    Channels rounded;
#pragma unroll
    for (int k = 0; k < GROUP; k++) rounded.at[k] = round_to<T>(to_float(sums.at[k]) + bias.at[k]);
    return rounded;
}

template <class T>
__device__ inline void forward(const T* x, const float* bias, T* y, u32* aux, u64 n, u32 h, u32 w,
                               u32 c, u64 pixels_per_block, u32 lanes) {
    const u32 y_h = h / 2, y_w = w / 2;
    const Column column(n * y_h * y_w, c, pixels_per_block, lanes);
    const u32 groups = groups_of(c);
    const Channels added = load<GROUP>(bias + column.first, column.len);
    const Place step(column.stride, y_h, y_w);
    Place place(column.begin, y_h, y_w);
    for (u64 pixel = column.begin; pixel < column.end; pixel += column.stride) {
        const u64 corner = (place.image * h + 2 * place.row) * w + 2 * place.column;
        Pool pool;
#pragma unroll
        for (u32 row = 0; row < 2; row++) {
            // Both on their way before the first is waited for.
            const T* from = x + (corner + (u64)row * w) * c + column.first;
            const Packed<GROUP, T> left = load_packed<GROUP>(from, column.len);
            const Packed<GROUP, T> right = load_packed<GROUP>(from + c, column.len);
            pool.take(2 * row, with_bias(left, added));
            pool.take(2 * row + 1, with_bias(right, added));
        }
        const u32 word = pool.decide();
        Packed<GROUP, T> pooled;
#pragma unroll
        for (int k = 0; k < GROUP; k++) pooled.at[k] = exact<T>(pool.largest.at[k]);
        store_packed<GROUP>(y + pixel * c + column.first, column.len, pooled);
        if (aux) aux[pixel * groups + column.first / GROUP] = word;
        place.advance(step, y_h, y_w);
    }
}

// The gradient of the sums and, unless db is null, its sum, the bias's gradient, on the way: dy is
// read once.
// A thread writes all of a window, zeros included, and the dropped row or column counts as windows
// that are cut off: each place is written once. Numbers go from dy to dx as they are stored. A thread
// keeps to its channels and goes on by the same number of windows each time: no index is divided.
template <class T>
__device__ inline void backward(const T* dy, const u32* aux, T* dx, float* db, u64 n, u32 h, u32 w,
                                u32 c, u64 windows_per_block, u32 lanes, const float* loss_scale) {
    const u32 y_h = h / 2, y_w = w / 2;
    const u32 windows_h = h - y_h, windows_w = w - y_w;
    const Column column(n * windows_h * windows_w, c, windows_per_block, lanes);
    const u32 groups = groups_of(c);
    const Place step(column.stride, windows_h, windows_w);
    Place place(column.begin, windows_h, windows_w);
    Channels sums = {};
    for (u64 window = column.begin; window < column.end; window += column.stride) {
        Packed<GROUP, T> gradient = {};
        u32 word = 0;
        if (place.row < y_h && place.column < y_w) {
            const u64 pixel = (place.image * y_h + place.row) * y_w + place.column;
            gradient = load_packed<GROUP>(dy + pixel * c + column.first, column.len);
            word = aux[pixel * groups + column.first / GROUP];
        }
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            gradient.at[k] = pool_alive(word, k) ? gradient.at[k] : T{};
            sums.at[k] += to_float(gradient.at[k]);
        }
#pragma unroll
        for (u32 in_window = 0; in_window < 4; in_window++) {
            const u32 row = 2 * place.row + in_window / 2;
            const u32 col = 2 * place.column + in_window % 2;
            if (row >= h || col >= w) continue;
            Packed<GROUP, T> part;
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                part.at[k] = pool_winner(word, k) == in_window ? gradient.at[k] : T{};
            }
            const u64 pixel = (place.image * h + row) * w + col;
            store_packed<GROUP>(dx + pixel * c + column.first, column.len, part);
        }
        place.advance(step, windows_h, windows_w);
    }
    if (db) store_sums(column, sums, db, c, lanes, loss_scale);
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL bias_relu_max_pool_forward_##NAME(const T* x, const float* bias, T* y, u32* aux, u64 n, \
                                             u32 h, u32 w, u32 c, u64 pixels_per_block,            \
                                             u32 lanes) {                                          \
        forward(x, bias, y, aux, n, h, w, c, pixels_per_block, lanes);                             \
    }                                                                                              \
    KERNEL bias_relu_max_pool_backward_##NAME(const T* dy, const u32* aux, T* dx, float* db,       \
                                              u64 n, u32 h, u32 w, u32 c, u64 windows_per_block,   \
                                              u32 lanes, const float* loss_scale) {                \
        backward(dy, aux, dx, db, n, h, w, c, windows_per_block, lanes, loss_scale);               \
    }
FOR_EACH_TYPE(ENTRY)
