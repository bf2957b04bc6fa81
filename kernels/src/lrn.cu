// Local response normalisation across channels, and its gradient.
//
// x, y: [pixels, c]. With d_i = k + alpha · Σ x_j² over the channels j from i - 2 to i + 2 that exist,
// y_i = x_i · d_i^-beta and
// dx_i = dy_i · d_i^-beta - 2 · alpha · beta · x_i · Σ_j dy_j · x_j · d_j^(-beta - 1).
//
// The constants are Krizhevsky's (2012). Operations and their order are the CPU's, so that the bits
// are the same; beta = 3/4 is two square roots.

#include "common.cuh"
#include "group.cuh"

// Channels on either side that are in a channel's window.
enum : int { REACH = 2, WINDOW = 2 * REACH + 1 };
// Channels on either side that a gradient depends on: its windows' windows. A vector of four.
enum : int { HALO = 2 * REACH };

// A group with its neighbours: channel k of the group is at [HALO + k]. What is not there is zero.
struct Wide {
    float at[GROUP + 2 * HALO];
};

template <class T> __device__ inline Wide load_wide(const T* pixel, const Group& group, u32 c) {
    const u32 end = group.first + group.len;
    Values<HALO> before = {}, after = {};
    if (group.first > 0) before = load<HALO>(pixel + group.first - HALO, HALO);
    if (end < c) after = load<HALO>(pixel + end, min_u32(c - end, HALO));
    const Channels middle = load<GROUP>(pixel + group.first, group.len);
    Wide wide;
#pragma unroll
    for (int k = 0; k < HALO; k++) {
        wide.at[k] = before.at[k];
        wide.at[HALO + GROUP + k] = after.at[k];
    }
#pragma unroll
    for (int k = 0; k < GROUP; k++) wide.at[HALO + k] = middle.at[k];
    return wide;
}

// The sum of the window that begins at `first`.
__device__ inline float window_sum(const float* first) {
    float sum = first[0];
#pragma unroll
    for (int k = 1; k < WINDOW; k++) sum = __fadd_rn(sum, first[k]);
    return sum;
}

// 1 / d and d^-beta.
struct Powers {
    float inverse, power;

    __device__ Powers(float squares) {
        inverse = __fdiv_rn(1.0f, __fmaf_rn(1e-4f, squares, 2.0f));
        const float root = __fsqrt_rn(inverse);
        power = __fmul_rn(root, __fsqrt_rn(root));
    }
};

__device__ inline Wide squares_of(const Wide& x) {
    Wide squares;
#pragma unroll
    for (int k = 0; k < GROUP + 2 * HALO; k++) squares.at[k] = __fmul_rn(x.at[k], x.at[k]);
    return squares;
}

template <class T> __device__ inline void forward(const T* x, T* y, u64 pixels, u32 c) {
    const u64 groups = pixels * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const Wide wide = load_wide(x + group.pixel * c, group, c);
        const Wide squares = squares_of(wide);
        Channels out;
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const Powers powers(window_sum(squares.at + HALO + k - REACH));
            out.at[k] = __fmul_rn(wide.at[HALO + k], powers.power);
        }
        store<GROUP>(y + group.pixel * c + group.first, group.len, out);
    }
}

template <class T>
__device__ inline void backward(const T* x, const T* dy, T* dx, u64 pixels, u32 c) {
    constexpr float FACTOR = -2.0f * 1e-4f * 0.75f;
    const u64 groups = pixels * groups_of(c);
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        const Wide wide = load_wide(x + group.pixel * c, group, c);
        const Wide gradient = load_wide(dy + group.pixel * c, group, c);
        const Wide squares = squares_of(wide);
        // What reaches an input directly, and through the windows of itself and its neighbours.
        Channels direct;
        Wide through;
#pragma unroll
        for (int k = HALO - REACH; k < HALO + GROUP + REACH; k++) {
            const Powers powers(window_sum(squares.at + k - REACH));
            const float own = __fmul_rn(gradient.at[k], powers.power);
            through.at[k] = __fmul_rn(__fmul_rn(own, wide.at[k]), powers.inverse);
            if (k >= HALO && k < HALO + GROUP) direct.at[k - HALO] = own;
        }
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const float neighbours = window_sum(through.at + HALO + k - REACH);
            const float weight = __fmul_rn(FACTOR, wide.at[HALO + k]);
            direct.at[k] = __fmaf_rn(weight, neighbours, direct.at[k]);
        }
        store<GROUP>(dx + group.pixel * c + group.first, group.len, direct);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL lrn_forward_##NAME(const T* x, T* y, u64 pixels, u32 c) { forward(x, y, pixels, c); }   \
    KERNEL lrn_backward_##NAME(const T* x, const T* dy, T* dx, u64 pixels, u32 c) {                \
        backward(x, dy, dx, pixels, c);                                                            \
    }
FOR_EACH_TYPE(ENTRY)
