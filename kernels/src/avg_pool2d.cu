// Average pooling to maps of a given size, and its gradient.
//
// x: [n, h, w, c], y: [n, y_h, y_w, c]. Output i along a side is the mean of the inputs from
// floor(i * from / to) to before ceil((i + 1) * from / to), as in PyTorch. Sides are at most 65535,
// so that these products fit into 32 bits.

#include "common.cuh"
#include "group.cuh"

// What output i of `to` along a side is the mean of; with the sides exchanged, the outputs that an
// input is part of.
struct Window {
    u32 first, end;

    __device__ Window(u32 i, u32 from, u32 to) {
        first = i * from / to;
        end = ((i + 1) * from + to - 1) / to;
    }

    __device__ u32 len() const { return end - first; }
};

template <class T>
__device__ inline void forward(const T* x, T* y, u64 n, u32 h, u32 w, u32 c, u32 y_h, u32 y_w) {
    const u64 groups = n * y_h * y_w * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const Place place(group.pixel, y_h, y_w);
        const Window rows(place.row, h, y_h), columns(place.column, w, y_w);
        Channels sums = {};
        for (u32 r = rows.first; r < rows.end; r++) {
            for (u32 s = columns.first; s < columns.end; s++) {
                const u64 at = ((place.image * h + r) * w + s) * c + group.first;
                const Channels v = load<GROUP>(x + at, group.len);
#pragma unroll
                for (int k = 0; k < GROUP; k++) sums.at[k] += v.at[k];
            }
        }
        const float area = (float)rows.len() * (float)columns.len();
#pragma unroll
        for (int k = 0; k < GROUP; k++) sums.at[k] = __fdiv_rn(sums.at[k], area);
        store<GROUP>(y + group.pixel * c + group.first, group.len, sums);
    }
}

// Each input asks the windows it is in for its share, in row-major order: no two threads add to the
// same place.
template <class T>
__device__ inline void backward(const T* dy, T* dx, u64 n, u32 h, u32 w, u32 c, u32 y_h,
                                u32 y_w) {
    const u64 groups = n * h * w * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const Place place(group.pixel, h, w);
        const Window rows(place.row, y_h, h), columns(place.column, y_w, w);
        Channels sums = {};
        for (u32 r = rows.first; r < rows.end; r++) {
            const float height = (float)Window(r, h, y_h).len();
            for (u32 s = columns.first; s < columns.end; s++) {
                const float area = height * (float)Window(s, w, y_w).len();
                const u64 at = ((place.image * y_h + r) * y_w + s) * c + group.first;
                const Channels v = load<GROUP>(dy + at, group.len);
#pragma unroll
                for (int k = 0; k < GROUP; k++) sums.at[k] += __fdiv_rn(v.at[k], area);
            }
        }
        store<GROUP>(dx + group.pixel * c + group.first, group.len, sums);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL avg_pool2d_forward_##NAME(const T* x, T* y, u64 n, u32 h, u32 w, u32 c, u32 y_h,        \
                                     u32 y_w) {                                                    \
        forward(x, y, n, h, w, c, y_h, y_w);                                                       \
    }                                                                                              \
    KERNEL avg_pool2d_backward_##NAME(const T* dy, T* dx, u64 n, u32 h, u32 w, u32 c, u32 y_h,     \
                                      u32 y_w) {                                                   \
        backward(dy, dx, n, h, w, c, y_h, y_w);                                                    \
    }
FOR_EACH_TYPE(ENTRY)
