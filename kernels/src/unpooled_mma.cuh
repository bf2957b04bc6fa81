// Bias alone, or with ReLU, behind a convolution on tensor cores, and ReLU's gradient: y: [n, h, w, c],
// aux: [n, h, w, ceil(c / 8)] bytes; see bias_relu.cu. Sums are computed by windows of 2×2, as where a pool
// follows, so that the kernels are the same; where a side is odd, the last windows are half there.

#pragma once

#include "mma.cuh"

// Where the forward pass stores; `aux` may be null.
template <class T> struct Unpooled {
    enum : u32 { ENDS = 1 };
    T* y;
    u8* aux;
    bool relu;

    // What a lane has of a window.
    template <class Lane> struct Window {
        typename Lane::Numbers numbers[WINDOW];
    };

    // Sum q of channels 2j and 2j + 1 of the lane. ReLU of NaN is zero.
    template <class Window>
    __device__ void take(Window& window, u32 q, u32 j, float first, float second) const {
        window.numbers[q].at[j] = relu ? narrow<T>(fmaxf(first, 0.0f), fmaxf(second, 0.0f))
                                       : narrow<T>(first, second);
    }

    // Which of a lane's channels are above zero; none is below it.
    template <u32 N> static __device__ u32 alive(const Words<N>& numbers) {
        u32 bits = 0;
#pragma unroll
        for (u32 j = 0; j < N; j++) {
            // A carry reaches the highest bit of each half that is not zero.
            bits |= ((numbers.at[j] + 0x7fff7fff) & 0x80008000) >> (15 - 2 * j);
        }
        return (bits | bits >> 15) & ((1 << 2 * N) - 1);
    }

    // As window `at` of a tile, as far as it is there. All lanes call it.
    template <class Lane>
    __device__ void store(const Lane& lane, const Tile<ENDS>& tile, u32 at,
                          const Window<Lane>& window) const {
        // A byte of each sum, of which this lane and the next have a half, if not all is its.
        u32 bits = 0;
#pragma unroll
        for (u32 q = 0; q < WINDOW; q++) bits |= alive(window.numbers[q]) << (8 * q);
        if (Lane::CHANNELS < GROUP) {
            bits |= __shfl_xor_sync(0xffffffff, bits, Lane::APART) << Lane::CHANNELS;
        }
        const bool has_byte = aux && lane.first % GROUP == 0 && lane.len > 0;
#pragma unroll
        for (u32 q = 0; q < WINDOW; q++) {
            if (!tile.has(at, q)) continue;
            const u64 pixel = tile.pixel(at, q);
            lane.store(lane.numbers(y, pixel), window.numbers[q]);
            if (has_byte) aux[pixel * groups_of(lane.c) + lane.first / GROUP] = bits >> (8 * q);
        }
    }
};

// What the backward pass reads; without ReLU, `aux` is null.
template <class T> struct UnpooledGradients {
    enum : u32 { ENDS = 1 };
    const T* dy;
    const u8* aux;

    // The bits of the channels from `first` on.
    __device__ u32 alive(u64 pixel, u32 c, u32 first) const {
        return aux ? aux[pixel * groups_of(c) + first / GROUP] >> first % GROUP : 0xff;
    }

    // As of pooled maps: row r of the 4×4 sums around windows g and g + 8.
    __device__ void around(const Tile<1>& tile, u32 r, u32 first, u32 c, Words<2> (&row)[4][2]) const {
        // Rows and columns before the first wrap to numbers that are too large.
        const u32 top = 2 * tile.row + r - 1;
        const u32 left = 2 * (tile.column + threadIdx.x % 32 / 4) - 1;
        const long long pixel = (long long)tile.inputs + ((long long)r - 1) * tile.w + (int)left;
#pragma unroll
        for (u32 k = 0; k < 8; k++) {
            const u32 s = k / 2, p = k % 2, right = s + 16 * p;
            row[s][p] = {};
            if (top >= tile.h || left + right >= tile.w) continue;
            const Words<2> gradient = *(const Words<2>*)(dy + (pixel + right) * c + first);
            const u32 bits = alive(pixel + right, c, first);
            row[s][p].at[0] = gradient.at[0] & spread(bits << 7, bits << 6, 0, 0);
            row[s][p].at[1] = gradient.at[1] & spread(bits << 5, bits << 4, 0, 0);
        }
    }

    // As that of pooled maps, of sums by sums: windows 2t, 2t + 1 and those + 8 of a lane's channels.
    template <class Lane> struct Factor {
        typename Lane::Numbers numbers[WINDOW][4];
        // A byte of each window.
        u32 alive[WINDOW] = {};

        // What is not there is zero.
        __device__ Factor(const UnpooledGradients& from, const Lane& lane, const Tile<ENDS>& tile) {
            const u32 t = threadIdx.x % 4;
#pragma unroll
            for (u32 k = 0; k < WINDOW * 4; k++) {
                const u32 q = k / 4, p = k % 4, at = 2 * t + p % 2 + p / 2 * 8;
                numbers[q][p] = {};
                if (lane.len == 0 || !tile.has(at, q)) continue;
                const u64 pixel = tile.pixel(at, q);
                numbers[q][p] = lane.load(lane.numbers(from.dy, pixel));
                alive[q] |= from.alive(pixel, lane.c, lane.first) << (8 * p);
            }
        }

        __device__ void of_sum(u32 q, u32 j, u32 (&factors)[4]) const {
#pragma unroll
            for (u32 k = 0; k < 4; k++) {
                const u32 p = k / 2 * 2, bits = alive[q] << (7 - (2 * j + k % 2));
                const u32 pair = __byte_perm(numbers[q][p].at[j], numbers[q][p + 1].at[j],
                                             k % 2 ? 0x7632 : 0x5410);
                factors[k] = pair & spread(bits, bits, p, p + 1);
            }
        }
    };
};
