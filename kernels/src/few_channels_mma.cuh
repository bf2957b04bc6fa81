// A 3×3 convolution of few channels with one zero on each side, and what follows it, on tensor cores:
// numbers of 16 bits, sums of float.
//
// x: [n, h, w, c_in], weight: [c, 3, 3, c_in], bias: [c]; y and aux are in pooled_mma.cuh and
// unpooled_mma.cuh. c_in is a multiple of sixteen, up to MOST_IN.
//
// An implicit GEMM. A warp computes sixteen windows of 2×2 sums beside each other by 32 channels: the four
// sums of each window, four products each, in 64 registers a lane, so that none is in memory before what
// follows is done. For sixteen channels of x after sixteen,
//
//     sums[q]: [channels 16, windows 8] += filter[tap]: [channels 16, 16] · x at (tap + q): [16, windows 8]
//
// where tap and q are places in rows and columns: all windows together see 4×4 places of x, which are
// loaded row by row. Row r of the four serves row r of the filter for the upper two sums of the windows,
// and row r − 1 for the lower two. That is 144 products of 32 vectors of x, from L1, and of 36 of the
// filters, which a block keeps in shared memory in the order in which lanes take them.
//
// Products want the channels of x in any order, if both factors have the same: number t of a group takes
// 4t to 4t + 3 as rows 2t, 2t + 1 and those + 8, a vector of eight bytes. A lane's own channels are four
// neighbours, as two rows of two products.

#pragma once

#include "mma.cuh"

enum : u32 { CHANNELS = 4, SLAB = 8 * CHANNELS, MOST_IN = 32, DEPTH = 16, TAPS = 9 };

template <class T, class Output>
__device__ inline void forward(const T* x, const T* weight, const float* bias, const Output& output,
                               u64 n, u32 h, u32 w, u32 c_in, u32 c, u32 tiles_per_warp) {
    __shared__ Words<4> filters[MOST_IN / DEPTH * TAPS][2][32];
    const u32 own = threadIdx.x % 32, g = own / 4, t = own % 4, steps = c_in / DEPTH;
    typedef Lane<CHANNELS, 4> Lane;
    const Lane lane(c, blockIdx.x * SLAB + g * CHANNELS, output.y);

    // BLOCK is a multiple of 32, so that a thread fills what lanes like itself take.
    for (u32 i = threadIdx.x / 32; i < steps * TAPS * 2; i += WARPS) {
        const u32 j = i % 2, tap = i / 2 % TAPS, step = i / 2 / TAPS;
        Words<2> rows[2] = {};
#pragma unroll
        for (u32 k = 0; k < 2; k++) {
            const u64 channel = lane.first + 2 * j + k;
            const T* const p = weight + (channel * TAPS + tap) * c_in + step * DEPTH + 4 * t;
            if (2 * j + k < lane.len) rows[k] = *(const Words<2>*)p;
        }
        filters[i / 2][j][own] = {rows[0].at[0], rows[1].at[0], rows[0].at[1], rows[1].at[1]};
    }
    float start[2][2];
#pragma unroll
    for (u32 k = 0; k < CHANNELS; k++) {
        start[k / 2][k % 2] = k < lane.len ? bias[lane.first + k] : 0.0f;
    }
    __syncthreads();

    const Range<Output::ENDS> range(n, h, w, tiles_per_warp);
    Tile<Output::ENDS> tile(range.begin, h, w);
    for (u64 i = range.begin; i < range.end; i++, tile.next()) {
        // Of two products of channels by two of windows.
        float sums[WINDOW][2][2][4];
#pragma unroll
        for (u32 k = 0; k < WINDOW * 16; k++) {
            sums[k / 16][k / 8 % 2][k / 4 % 2][k % 4] = start[k / 8 % 2][k / 2 % 2];
        }
        // Rows and columns before the first wrap to numbers that are too large.
        const u32 top = 2 * tile.row - 1, left = 2 * (tile.column + g) - 1;
        const T* corner = x + ((long long)tile.inputs - w + (int)left) * c_in + 4 * t;
        for (u32 step = 0; step < steps; step++, corner += DEPTH) {
            // Unrolled, this would keep all filters in registers from row to row.
#pragma unroll 1
            for (u32 r = 0; r < 4; r++) {
                Words<2> row[4][2] = {};
#pragma unroll
                for (u32 k = 0; k < 8; k++) {
                    const u32 right = k / 2 + k % 2 * 16;
                    const bool inside = top + r < h && left + right < w;
                    const T* const p = corner + ((u64)r * w + right) * c_in;
                    if (inside) row[k / 2][k % 2] = *(const Words<2>*)p;
                }
#pragma unroll
                for (u32 below = 0; below < 2; below++) {
                    if (r < below || r - below > 2) continue;
#pragma unroll
                    for (u32 k = 0; k < 6; k++) {
                        const u32 s = k / 2, j = k % 2, tap = 3 * (r - below) + s;
                        const Words<4> filter = filters[TAPS * step + tap][j][own];
#pragma unroll
                        for (u32 of = 0; of < 4; of++) {
                            const u32 q = 2 * below + of / 2, p = of % 2;
                            float(&sum)[4] = sums[q][j][p];
                            multiply<T>(sum, filter.at, row[s + q % 2][p].at, sum);
                        }
                    }
                }
            }
        }
        typename Output::template Window<Lane> windows[4];
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            const u32 j = k / 2, p = k % 2;
#pragma unroll
            for (u32 q = 0; q < WINDOW; q++) {
                const float(&sum)[4] = sums[q][j][p];
                output.take(windows[2 * p], q, j, sum[0], sum[2]);
                output.take(windows[2 * p + 1], q, j, sum[1], sum[3]);
            }
        }
#pragma unroll
        for (u32 k = 0; k < 4; k++) output.store(lane, tile, 2 * t + k % 2 + k / 2 * 8, windows[k]);
    }
}

// The gradient of x, of sixteen channels of it, from that of y: the same with the 4×4 sums around a
// window as x, or rather their gradients; the filters are turned round. For sixteen channels of y after sixteen,
//
//     dx[q]: [c_in 16, windows 8] += filter[tap]: [c_in 16, 16] · dy at (q − tap): [16, windows 8]
//
// c is a multiple of sixteen, up to MOST_OUT. A lane's own channels are two neighbours.
enum : u32 { MOST_OUT = 64 };

template <class T, class Gradients>
__device__ inline void backward_data(const Gradients& gradients, const T* weight, T* dx, u64 n, u32 h,
                                     u32 w, u32 c_in, u32 c, u32 tiles_per_warp) {
    __shared__ Words<4> filters[MOST_OUT / DEPTH * TAPS][32];
    const u32 own = threadIdx.x % 32, g = own / 4, t = own % 4, steps = c / DEPTH;
    const u32 first = blockIdx.x * DEPTH + 2 * g;
    for (u32 i = threadIdx.x / 32; i < steps * TAPS; i += WARPS) {
        u32 of[4];
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            const u64 channel = i / TAPS * DEPTH + 4 * t + k;
            of[k] = *(const u32*)(weight + (channel * TAPS + i % TAPS) * c_in + first);
        }
        filters[i][own] = {__byte_perm(of[0], of[1], 0x5410), __byte_perm(of[0], of[1], 0x7632),
                           __byte_perm(of[2], of[3], 0x5410), __byte_perm(of[2], of[3], 0x7632)};
    }
    __syncthreads();

    // Windows at the end of odd rows and columns have inputs, and before a pool no sums.
    const Range<1> range(n, h, w, tiles_per_warp);
    Tile<1> tile(range.begin, h, w);
    for (u64 i = range.begin; i < range.end; i++, tile.next()) {
        float sums[WINDOW][2][4] = {};
        for (u32 step = 0; step < steps; step++) {
            // Unrolled, this would keep all filters in registers from row to row.
#pragma unroll 1
            for (u32 r = 0; r < 4; r++) {
                Words<2> row[4][2];
                gradients.around(tile, r, step * DEPTH + 4 * t, c, row);
#pragma unroll
                for (u32 below = 0; below < 2; below++) {
                    if (below + 2 - r > 2) continue;
#pragma unroll
                    for (u32 column = 0; column < 3; column++) {
                        const u32 tap = 3 * (below + 2 - r) + column;
                        const Words<4> filter = filters[TAPS * step + tap][own];
#pragma unroll
                        for (u32 of = 0; of < 4; of++) {
                            const u32 right = of / 2, p = of % 2;
                            float(&sum)[4] = sums[2 * below + right][p];
                            multiply<T>(sum, filter.at, row[right + 2 - column][p].at, sum);
                        }
                    }
                }
            }
        }
#pragma unroll
        for (u32 k = 0; k < WINDOW * 4; k++) {
            const u32 q = k / 4, p = k / 2 % 2, second = k % 2;
            const u32 at = 8 * p + 2 * t + second;
            if (!tile.has(at, q)) continue;
            *(u32*)(dx + tile.pixel(at, q) * c_in + first) = narrow<T>(sums[q][p][second], sums[q][p][second + 2]);
        }
    }
}

// The gradients of weight and bias, from those of y, of sixteen channels of y by sixteen of x: sums over
// windows, of sixteen beside each other at a time, for each of the 36 pairs of a sum of a window and
// a tap, which are at sixteen places of x:
//
//     dweight[tap]: [c 16, c_in 8 of 16] += dy[q]: [c 16, windows 16] · x at (tap + q): [windows 16, c_in 8 of 16]
//
// where dy[q] is the gradient of sum q: x and dy are read, and no other map is in memory. Two words of x, of
// windows beside each other in a factor, are two
// registers, one of each of two channels: those of a lane are neighbours, of x as of y.
//
// Block (x, y) leaves row y of dweight: [gridDim.y, c, 3, 3, c_in] and, with the first channels of x, of
// db: [gridDim.y, c]. c and c_in are multiples of sixteen. The order of all additions depends on the
// arguments alone.
enum : u32 { OWN = 2, SIDE = 16 };

template <class T, class Gradients>
__device__ inline void backward_weight(const T* x, const Gradients& gradients, float* dweight, float* db,
                                       u64 n, u32 h, u32 w, u32 c_in, u32 c, u32 tiles_per_warp) {
    const u32 warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const u32 first_in = blockIdx.x % (c_in / SIDE) * SIDE, first_out = blockIdx.x / (c_in / SIDE) * SIDE;
    typedef Lane<OWN, 4> Lane;
    const Lane lane(c, first_out + g * OWN, gradients.dy);

    // Of each tap, even and odd channels of x; and the bias's, in all columns.
    float sums[TAPS][2][4] = {}, bias_sums[4] = {};
    const u32 one = from_float<T>(1.0f).bits;
    const u32 ones[2] = {one | one << 16, one | one << 16};
    const Range<Gradients::ENDS> range(n, h, w, tiles_per_warp);
    Tile<Gradients::ENDS> tile(range.begin, h, w);
    for (u64 i = range.begin; i < range.end; i++, tile.next()) {
        const typename Gradients::template Factor<Lane> factor(gradients, lane, tile);
        u32 factors[WINDOW][4];
#pragma unroll
        for (u32 q = 0; q < WINDOW; q++) {
            factor.of_sum(q, 0, factors[q]);
            multiply<T>(bias_sums, factors[q], ones, bias_sums);
        }
        // Rows and columns before the first wrap to numbers that are too large.
        const u32 top = 2 * tile.row - 1, left = 2 * (tile.column + 2 * t) - 1;
        const T* const corner =
            x + ((long long)tile.inputs - w + (int)left) * c_in + first_in + g * OWN;
#pragma unroll
        for (u32 r = 0; r < 4; r++) {
            // Of windows 2t and 2t + 1, and of those + 8, all places in the row.
            u32 row[2][6];
#pragma unroll
            for (u32 k = 0; k < 12; k++) {
                const u32 right = k % 6 + k / 6 * 16;
                const bool inside = top + r < h && left + right < w;
                const T* const p = corner + ((u64)r * w + right) * c_in;
                row[k / 6][k % 6] = inside ? *(const u32*)p : 0;
            }
#pragma unroll
            for (u32 k = 0; k < 8; k++) {
                const u32 s = k / 2, odd = k % 2;
                u32 places[2];
#pragma unroll
                for (u32 p = 0; p < 2; p++) {
                    places[p] = __byte_perm(row[p][s], row[p][s + 2], odd ? 0x7632 : 0x5410);
                }
#pragma unroll
                for (u32 q = 0; q < WINDOW; q++) {
                    const u32 down = r - q / 2, right = s - q % 2;
                    if (down > 2 || right > 2) continue;
                    float(&sum)[4] = sums[3 * down + right][odd];
                    multiply<T>(sum, factors[q], places, sum);
                }
            }
        }
    }

    __shared__ float of_warps[WARPS][SIDE][SIDE];
    const u32 row = threadIdx.x / SIDE, column = threadIdx.x % SIDE;
#pragma unroll
    for (u32 part = 0; part <= TAPS; part++) {
#pragma unroll
        for (u32 k = 0; k < 8; k++) {
            const float sum = part == TAPS ? bias_sums[k / 2] : sums[part % TAPS][k % 2][k / 2];
            of_warps[warp][OWN * g + k / 4][OWN * (2 * t + k / 2 % 2) + k % 2] = sum;
        }
        __syncthreads();
        float sum = 0.0f;
        for (u32 other = 0; other < WARPS; other++) sum += of_warps[other][row][column];
        const u64 channel = (u64)blockIdx.y * c + first_out + row;
        if (part < TAPS) dweight[(channel * TAPS + part) * c_in + first_in + column] = sum;
        else if (first_in + column == 0) db[channel] = sum;
        __syncthreads();
    }
}
