// The first stage of a network whose images have one channel: a 3×3 convolution with one zero on
// each side, bias, ReLU and a 2×2 max-pool; and the gradients of its weight and bias.
//
// x: [n, h, w], weight: [c, 3, 3], bias: [c], y: [n, h / 2, w / 2, c]; an odd last row or column of
// sums is dropped. aux: [n, h / 2, w / 2, ceil(c / 8)] words; see group.cuh.
//
// One input channel leaves tensor cores idle, and the sums are a VGG's largest maps by far. Here
// they stay in registers, forward and backward: a pooling window's sums need a window of 4×4 inputs.

#include "common.cuh"
#include "group.cuh"

enum : u32 { TAPS = 9, WARPS = BLOCK / 32 };

// What the four sums of a pooling window need of the input, zeros outside of it.
struct Window {
    float at[4][4];

    template <class T> __device__ Window(const T* x, Place pooled, u32 h, u32 w) {
        const u32 top = 2 * pooled.row, left = 2 * pooled.column;
        const T* corner = x + (pooled.image * h + top) * w + left;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            // Rows and columns before the first wrap to numbers that are too large.
            const bool row_inside = top + r - 1 < h;
#pragma unroll
            for (int s = 0; s < 4; s++) {
                const bool inside = row_inside && left + s - 1 < w;
                const long long offset = (long long)(r - 1) * w + s - 1;
                at[r][s] = inside ? to_float(corner[offset]) : 0.0f;
            }
        }
    }

    // What sum `in_window` of the pooling window, in row-major order, takes for a tap.
    __device__ float input(u32 in_window, u32 tap) const {
        return at[in_window / 2 + tap / 3][in_window % 2 + tap % 3];
    }
};

// Filters that a block keeps at a time: the taps, the bias, and zeros to make whole vectors.
enum : u32 { FILTERS = 64, BIAS = TAPS, FILTER = 12 };
struct alignas(16) Filter {
    float at[FILTER];
};

template <class T>
__device__ inline void forward(const T* x, const T* weight, const float* bias, T* y, u32* aux, u64 n,
                               u32 h, u32 w, u32 c) {
    __shared__ Filter filters[FILTERS];
    const u32 y_h = h / 2, y_w = w / 2;
    const u64 pixels = n * y_h * y_w;
    for (u32 begin = 0; begin < c; begin += FILTERS) {
        const u32 count = min_u32(c - begin, FILTERS);
        __syncthreads();
        for (u32 i = threadIdx.x; i < count * FILTER; i += BLOCK) {
            const u32 k = i / FILTER, at = i % FILTER;
            const u64 channel = begin + k;
            float number = 0.0f;
            if (at < TAPS) number = to_float(weight[channel * TAPS + at]);
            if (at == BIAS) number = bias[channel];
            filters[k].at[at] = number;
        }
        __syncthreads();
        for (u64 pixel = first_index(); pixel < pixels; pixel += index_stride()) {
            const Window window(x, Place(pixel, y_h, y_w), h, w);
            for (u32 first = 0; first < count; first += GROUP) {
                const u32 len = min_u32(count - first, GROUP);
                Channels pooled = {};
                u32 word = 0;
#pragma unroll
                for (int k = 0; k < GROUP; k++) {
                    if (k >= len) break;
                    const Filter filter = filters[first + k];
                    float largest = 0.0f;
                    u32 winner = 0;
#pragma unroll
                    for (u32 in_window = 0; in_window < 4; in_window++) {
                        float sum = 0.0f;
#pragma unroll
                        for (u32 tap = 0; tap < TAPS; tap++) {
                            sum += window.input(in_window, tap) * filter.at[tap];
                        }
                        sum = round_to<T>(sum + filter.at[BIAS]);
                        const bool wins = in_window == 0 || sum > largest;
                        largest = wins ? sum : largest;
                        winner = wins ? in_window : winner;
                    }
                    const bool alive = largest > 0.0f;
                    pooled.at[k] = alive ? largest : 0.0f;
                    word |= pool_bits(winner, alive) << (4 * k);
                }
                store<GROUP>(y + pixel * c + begin + first, len, pooled);
                if (aux) aux[pixel * groups_of(c) + (begin + first) / GROUP] = word;
            }
        }
    }
}

// Block (x, y) adds up the gradients of group x over `pixels_per_block` pooled pixels, into row y of
// dweight: [gridDim.y, c, 3, 3] and db: [gridDim.y, c]. The order of all additions depends on the
// arguments alone.
template <class T>
__device__ inline void backward(const T* x, const T* dy, const u32* aux, float* dweight, float* db,
                                u64 n, u32 h, u32 w, u32 c, u64 pixels_per_block) {
    // Of each warp, the taps of each channel and after them its bias.
    __shared__ float shared[WARPS][GROUP * (TAPS + 1)];
    const u32 y_h = h / 2, y_w = w / 2;
    const u32 first = blockIdx.x * GROUP, len = min_u32(c - first, GROUP);
    const u64 pixels = n * y_h * y_w;
    const u64 begin = blockIdx.y * pixels_per_block;
    const u64 rest = pixels - begin;
    const u64 end = begin + (rest < pixels_per_block ? rest : pixels_per_block);

    float sums[GROUP * (TAPS + 1)] = {};
    for (u64 pixel = begin + threadIdx.x; pixel < end; pixel += BLOCK) {
        const Window window(x, Place(pixel, y_h, y_w), h, w);
        const Channels gradient = load<GROUP>(dy + pixel * c + first, len);
        const u32 word = aux[pixel * groups_of(c) + blockIdx.x];
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const float alive = pool_alive(word, k) ? gradient.at[k] : 0.0f;
#pragma unroll
            for (u32 in_window = 0; in_window < 4; in_window++) {
                // As multiply-adds of zeros, three of four times: cheaper than to look up inputs.
                const float part = pool_winner(word, k) == in_window ? alive : 0.0f;
#pragma unroll
                for (u32 tap = 0; tap < TAPS; tap++) {
                    sums[k * (TAPS + 1) + tap] += part * window.input(in_window, tap);
                }
            }
            sums[k * (TAPS + 1) + BIAS] += alive;
        }
    }
#pragma unroll
    for (u32 i = 0; i < GROUP * (TAPS + 1); i++) {
        for (u32 distance = 16; distance > 0; distance /= 2) {
            sums[i] += __shfl_xor_sync(0xffffffff, sums[i], distance);
        }
        if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32][i] = sums[i];
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < len * (TAPS + 1); i += BLOCK) {
        float sum = 0.0f;
        for (u32 warp = 0; warp < WARPS; warp++) sum += shared[warp][i];
        const u32 channel = first + i / (TAPS + 1), tap = i % (TAPS + 1);
        const u64 at = (u64)blockIdx.y * c + channel;
        if (tap < TAPS) dweight[at * TAPS + tap] = sum;
        else db[at] = sum;
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL first_stage_forward_##NAME(const T* x, const T* weight, const float* bias, T* y,        \
                                      u32* aux, u64 n, u32 h, u32 w, u32 c) {                      \
        forward(x, weight, bias, y, aux, n, h, w, c);                                              \
    }                                                                                              \
    KERNEL first_stage_backward_##NAME(const T* x, const T* dy, const u32* aux, float* dweight,    \
                                       float* db, u64 n, u32 h, u32 w, u32 c,                      \
                                       u64 pixels_per_block) {                                     \
        backward(x, dy, aux, dweight, db, n, h, w, c, pixels_per_block);                           \
    }
FOR_EACH_TYPE(ENTRY)
