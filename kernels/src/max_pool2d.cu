// Max-pooling as a layer of its own, and its gradient.
//
// x: [n, h, w, c], y: [n, (h - kernel) / stride + 1, (w - kernel) / stride + 1, c].
// aux: a byte an output, the winner's place in its window in row-major order; the first of equals
// wins. A kernel is at most 16, so that a place fits into a byte.

#include "common.cuh"
#include "group.cuh"

__device__ inline u32 pooled(u32 side, u32 kernel, u32 stride) {
    return (side - kernel) / stride + 1;
}

// Places in windows, of a group: a byte each.
struct Places {
    u32 at[GROUP];
};

__device__ inline Places load_places(const u8* p, u32 len) {
    Places places;
    if (len == GROUP && aligned(p, 8)) {
        const uint2 bytes = *(const uint2*)p;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            places.at[k] = bytes.x >> (8 * k) & 255;
            places.at[k + 4] = bytes.y >> (8 * k) & 255;
        }
    } else {
#pragma unroll
        for (int k = 0; k < GROUP; k++) places.at[k] = k < len ? p[k] : 0;
    }
    return places;
}

__device__ inline void store_places(u8* p, u32 len, const Places& places) {
    if (len == GROUP && aligned(p, 8)) {
        uint2 bytes = make_uint2(0, 0);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            bytes.x |= places.at[k] << (8 * k);
            bytes.y |= places.at[k + 4] << (8 * k);
        }
        *(uint2*)p = bytes;
    } else {
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            if (k < len) p[k] = (u8)places.at[k];
        }
    }
}

template <class T>
__device__ inline void forward(const T* x, T* y, u8* aux, u64 n, u32 h, u32 w, u32 c, u32 kernel,
                               u32 stride) {
    const u32 y_h = pooled(h, kernel, stride), y_w = pooled(w, kernel, stride);
    const u64 groups = n * y_h * y_w * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const Place place(group.pixel, y_h, y_w);
        const u64 row = place.image * h + (u64)place.row * stride;
        const T* corner = x + (row * w + (u64)place.column * stride) * c + group.first;
        Channels largest = load<GROUP>(corner, group.len);
        Places winners = {};
        u32 in_window = 0;
        for (u32 r = 0; r < kernel; r++) {
            for (u32 s = 0; s < kernel; s++, in_window++) {
                const Channels v = load<GROUP>(corner + ((u64)r * w + s) * c, group.len);
#pragma unroll
                for (int k = 0; k < GROUP; k++) {
                    const bool wins = v.at[k] > largest.at[k];
                    largest.at[k] = wins ? v.at[k] : largest.at[k];
                    winners.at[k] = wins ? in_window : winners.at[k];
                }
            }
        }
        const u64 at = group.pixel * c + group.first;
        store<GROUP>(y + at, group.len, largest);
        if (aux) store_places(aux + at, group.len, winners);
    }
}

// Each input asks the windows it is in whether it won, in row-major order: no two threads add to
// the same place.
template <class T>
__device__ inline void backward(const T* dy, const u8* aux, T* dx, u64 n, u32 h, u32 w, u32 c,
                                u32 kernel, u32 stride) {
    const u32 y_h = pooled(h, kernel, stride), y_w = pooled(w, kernel, stride);
    const u64 groups = n * h * w * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const Place place(group.pixel, h, w);
        const u32 row = place.row, column = place.column;
        const u32 first_row = row < kernel ? 0 : (row - kernel) / stride + 1;
        const u32 first_column = column < kernel ? 0 : (column - kernel) / stride + 1;
        const u32 end_row = min_u32(row / stride + 1, y_h);
        const u32 end_column = min_u32(column / stride + 1, y_w);
        Channels sums = {};
        for (u32 r = first_row; r < end_row; r++) {
            for (u32 s = first_column; s < end_column; s++) {
                const u32 in_window = (row - r * stride) * kernel + column - s * stride;
                const u64 at = ((place.image * y_h + r) * y_w + s) * c + group.first;
                const Channels gradient = load<GROUP>(dy + at, group.len);
                const Places winners = load_places(aux + at, group.len);
#pragma unroll
                for (int k = 0; k < GROUP; k++) {
                    if (winners.at[k] == in_window) sums.at[k] += gradient.at[k];
                }
            }
        }
        store<GROUP>(dx + group.pixel * c + group.first, group.len, sums);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL max_pool2d_forward_##NAME(const T* x, T* y, u8* aux, u64 n, u32 h, u32 w, u32 c,        \
                                     u32 kernel, u32 stride) {                                     \
        forward(x, y, aux, n, h, w, c, kernel, stride);                                            \
    }                                                                                              \
    KERNEL max_pool2d_backward_##NAME(const T* dy, const u8* aux, T* dx, u64 n, u32 h, u32 w,      \
                                      u32 c, u32 kernel, u32 stride) {                             \
        backward(dy, aux, dx, n, h, w, c, kernel, stride);                                         \
    }
FOR_EACH_TYPE(ENTRY)
