// The first stage of a network on tensor cores: a 3×3 convolution of images of C_IN channels and what follows
// it, of numbers of 16 bits, with sums of float. Ampere is the first to multiply these matrices.
//
// The four sums of a 2×2 window need 4×4 inputs of each channel, its patch: sixteen, the k of an
// mma.m16n8k16. Sum q of the window is the patch times the filter moved by (q / 2, q % 2), with zeros in the
// seven places that it does not cover, so that one patch serves four products; and backward, one patch all
// gradients, each product's going to the moved filter of its sum. The products of a warp, for a tile of
// sixteen windows beside each other, of each channel of the images:
//
//     forward   sums[q]: [windows 16, channels 8] += patch: [windows 16, 16] · filter[q]: [16, channels 8]
//     backward  dfilter[q]: [channels 16, 8 of 16] += dy[q]: [channels 16, windows 16] · patch: [windows 16, 8 of 16]
//
// where dy[q] is the gradient of sum q: pooled_mma.cuh and unpooled_mma.cuh say which sums have one, and what
// becomes of the sums.
// mma.cuh says what a lane has of them. It has neighbouring channels, forward two of each of four
// products, backward of each of two, or of half as many products where there are few channels. Then what
// follows needs no other lane but for a byte of bits.
//
// Forward, a product of a warp makes four sums a lane, and pooling and coding these takes some ten
// instructions for every four; backward, three products take factors of four words, each two
// instructions. These are the bottlenecks of one channel, where c = 64 about as narrow as reading or writing
// the pooled maps. Of three channels it is the products, 24 forward a tile and 16 channels. Without a pool
// it is memory: y is four times as large.

#pragma once

#include "mma.cuh"

enum : u32 { TAPS = 9, PATCH = 16 };

// What a lane needs of the inputs of a tile: row r and column s of the patch of its window `i`, and
// what is below and to the right of that. Zeros surround the inputs.
template <class T, u32 C_IN> struct Inputs {
    const T* at;
    u32 top, left, h, w;

    template <class Tile>
    __device__ Inputs(const T* x, const Tile& tile, u32 i, u32 r, u32 s) : h(tile.h), w(tile.w) {
        // Rows and columns before the first wrap to numbers that are too large.
        top = 2 * tile.row + r - 1;
        left = 2 * (tile.column + i) + s - 1;
        at = x + C_IN * ((long long)tile.inputs + ((long long)r - 1) * w + (int)left);
    }

    template <bool INSIDE> __device__ u32 bits(u32 down, u32 right, u32 channel) const {
        const bool inside = INSIDE || (top + down < h && left + right < w);
        return inside ? at[C_IN * ((u64)down * w + right) + channel].bits : 0;
    }

    // Of each channel four words, 2 rows and 16 columns from each other, of two inputs each.
    template <bool INSIDE> __device__ void words(u32 (&words)[C_IN][2][2], u32 apart) const {
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            const u32 down = k / 2 * 2, right = k % 2 * 16;
#pragma unroll
            for (u32 c = 0; c < C_IN; c++) {
                const u32 next = bits<INSIDE>(down, right + apart, c);
                words[c][k / 2][k % 2] = bits<INSIDE>(down, right, c) | next << 16;
            }
        }
    }
};

// Those words; most tiles have no border.
template <class T, u32 C_IN, class Tile>
__device__ inline void load_words(u32 (&words)[C_IN][2][2], const T* x, const Tile& tile, u32 i, u32 r,
                                  u32 s, u32 apart) {
    const Inputs<T, C_IN> inputs(x, tile, i, r, s);
    if (tile.is_inside()) inputs.template words<true>(words, apart);
    else inputs.template words<false>(words, apart);
}

// Block (x, y) computes slab x of the channels, N_BLOCKS products wide, of tiles_per_warp tiles a warp.
template <u32 C_IN, u32 N_BLOCKS, class T, class Output>
__device__ inline void forward(const T* x, const T* weight, const float* bias, const Output& output,
                               u64 n, u32 h, u32 w, u32 c, u32 tiles_per_warp) {
    enum : u32 { CHANNELS = 2 * N_BLOCKS, SLAB = 4 * CHANNELS };
    typedef Lane<CHANNELS, 1> Lane;
    const u32 g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const u32 r = t / 2, s = 2 * (t % 2);
    const Lane lane(c, blockIdx.x * SLAB + t * CHANNELS, output.y);

    // Column g of product j is a channel of lane g / 2.
    u32 filters[N_BLOCKS][WINDOW][C_IN][2];
    float start[N_BLOCKS][4];
#pragma unroll
    for (u32 j = 0; j < N_BLOCKS; j++) {
        const u32 channel = blockIdx.x * SLAB + g / 2 * CHANNELS + 2 * j + g % 2;
        const auto bits = [&](u32 row, u32 column, u32 of) -> u32 {
            const bool inside = channel < c && row < 3 && column < 3;
            return inside ? weight[C_IN * ((u64)channel * TAPS + 3 * row + column) + of].bits : 0;
        };
#pragma unroll
        for (u32 k = 0; k < 2 * C_IN * WINDOW; k++) {
            const u32 q = k / (2 * C_IN), of = k / 2 % C_IN, half = k % 2;
            const u32 row = r + 2 * half - q / 2, column = s - q % 2;
            filters[j][q][of][half] = bits(row, column, of) | bits(row, column + 1, of) << 16;
        }
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            const u32 own = 2 * j + i % 2;
            start[j][i] = own < lane.len ? bias[lane.first + own] : 0.0f;
        }
    }

    const Range<Output::ENDS> range(n, h, w, tiles_per_warp);
    Tile<Output::ENDS> tile(range.begin, h, w);
    for (u64 i = range.begin; i < range.end; i++, tile.next()) {
        u32 words[C_IN][2][2];
        load_words(words, x, tile, g, r, s, 1);
        const auto& patch = (const u32(&)[C_IN][4])words;
        typename Output::template Window<Lane> windows[2];
#pragma unroll
        for (u32 j = 0; j < N_BLOCKS; j++) {
#pragma unroll
            for (u32 q = 0; q < WINDOW; q++) {
                float sums[4];
                multiply<T>(sums, patch[0], filters[j][q][0], start[j]);
#pragma unroll
                for (u32 of = 1; of < C_IN; of++) multiply<T>(sums, patch[of], filters[j][q][of], sums);
#pragma unroll
                for (u32 p = 0; p < 2; p++) output.take(windows[p], q, j, sums[2 * p], sums[2 * p + 1]);
            }
        }
#pragma unroll
        for (u32 p = 0; p < 2; p++) output.store(lane, tile, g + 8 * p, windows[p]);
    }
}

// Block (x, y) adds up the gradients of slab x of the channels, M_BLOCKS products high, over
// tiles_per_warp tiles a warp, into row y of dweight: [gridDim.y, c, 3, 3, C_IN] and db: [gridDim.y, c]. The
// order of all additions depends on the arguments alone.
template <u32 C_IN, u32 M_BLOCKS, class T, class Gradients>
__device__ inline void backward(const T* x, const Gradients& gradients, float* dweight, float* db, u64 n,
                                u32 h, u32 w, u32 c, u32 tiles_per_warp) {
    enum : u32 { CHANNELS = 2 * M_BLOCKS, SLAB = 8 * CHANNELS };
    // Of each sum of a window and each channel of x, the two halves of the patch.
    enum : u32 { PARTS = 2 * C_IN * WINDOW };
    typedef Lane<CHANNELS, 4> Lane;
    const u32 warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const Lane lane(c, blockIdx.x * SLAB + g * CHANNELS, gradients.dy);

    // Of each sum of a window, the gradients of the patch's filter; and the bias's, in all columns.
    float sums[M_BLOCKS][PARTS][4] = {}, bias_sums[M_BLOCKS][4] = {};
    const u32 one = from_float<T>(1.0f).bits;
    const u32 ones[2] = {one | one << 16, one | one << 16};
    const Range<Gradients::ENDS> range(n, h, w, tiles_per_warp);
    Tile<Gradients::ENDS> tile(range.begin, h, w);
    for (u64 i = range.begin; i < range.end; i++, tile.next()) {
        const typename Gradients::template Factor<Lane> factor(gradients, lane, tile);
        // Column g of the patch, and column g + 8, of the same windows.
        u32 patch[C_IN][2][2];
        load_words(patch, x, tile, 2 * t, g / 4, g % 4, 2);

#pragma unroll
        for (u32 q = 0; q < WINDOW; q++) {
#pragma unroll
            for (u32 j = 0; j < M_BLOCKS; j++) {
                u32 factors[4];
                factor.of_sum(q, j, factors);
#pragma unroll
                for (u32 k = 0; k < 2 * C_IN; k++) {
                    float(&sum)[4] = sums[j][2 * C_IN * q + k];
                    multiply<T>(sum, factors, patch[k / 2][k % 2], sum);
                }
                multiply<T>(bias_sums[j], factors, ones, bias_sums[j]);
            }
        }
    }

    // Eight columns at a time are added up over warps, and then, of each tap, those of the four sums
    // that see it in different places of the patch.
    __shared__ float of_warps[WARPS][SLAB][8];
    __shared__ float of_block[SLAB][WINDOW * C_IN * PATCH];
#pragma unroll
    for (u32 part = 0; part <= PARTS; part++) {
#pragma unroll
        for (u32 j = 0; j < M_BLOCKS; j++) {
#pragma unroll
            for (u32 k = 0; k < 4; k++) {
                const float sum = part == PARTS ? bias_sums[j][k] : sums[j][part % PARTS][k];
                of_warps[warp][g * CHANNELS + 2 * j + k / 2][2 * t + k % 2] = sum;
            }
        }
        __syncthreads();
        for (u32 i = threadIdx.x; i < SLAB * 8; i += BLOCK) {
            const u32 own = i / 8, column = i % 8, channel = blockIdx.x * SLAB + own;
            float sum = 0.0f;
            for (u32 other = 0; other < WARPS; other++) sum += of_warps[other][own][column];
            if (part < PARTS) of_block[own][part * 8 + column] = sum;
            else if (column == 0 && channel < c) db[(u64)blockIdx.y * c + channel] = sum;
        }
        __syncthreads();
    }
    for (u32 i = threadIdx.x; i < SLAB * TAPS * C_IN; i += BLOCK) {
        const u32 own = i / (TAPS * C_IN), tap = i / C_IN % TAPS, of = i % C_IN;
        const u32 channel = blockIdx.x * SLAB + own;
        if (channel >= c) break;
        float sum = 0.0f;
#pragma unroll
        for (u32 q = 0; q < WINDOW; q++) {
            const u32 place = (tap / 3 + q / 2) * 4 + tap % 3 + q % 2;
            sum += of_block[own][(q * C_IN + of) * PATCH + place];
        }
        dweight[(((u64)blockIdx.y * c + channel) * TAPS + tap) * C_IN + of] = sum;
    }
}
