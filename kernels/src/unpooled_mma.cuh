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
        if (lane.is_vector) store_sums<true>(lane, tile, at, window, bits);
        else store_sums<false>(lane, tile, at, window, bits);
    }

    template <bool IS_VECTOR, class Lane>
    __device__ void store_sums(const Lane& lane, const Tile<ENDS>& tile, u32 at,
                               const Window<Lane>& window, u32 bits) const {
        const bool has_byte = aux && lane.first % GROUP == 0 && lane.len > 0;
        const u64 pixel = tile.pixel(at, 0);
        T* const numbers = lane.numbers(y, pixel);
        u8* const byte = aux + pixel * groups_of(lane.c) + lane.first / GROUP;
#pragma unroll
        for (u32 q = 0; q < WINDOW; q++) {
            if (!tile.has(at, q)) continue;
            const u64 further = q / 2 * (u64)tile.w + q % 2;
            lane.store(numbers + further * lane.c, window.numbers[q], IS_VECTOR);
            if (has_byte) byte[further * groups_of(lane.c)] = bits >> (8 * q);
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
        // All loads are on their way before the first is waited for.
        u32 bits[8];
#pragma unroll
        for (u32 k = 0; k < 8; k++) {
            const u32 right = k / 2 + k % 2 * 16;
            const bool inside = top < tile.h && left + right < tile.w;
            row[k / 2][k % 2] = {};
            if (inside) row[k / 2][k % 2] = *(const Words<2>*)(dy + (pixel + right) * c + first);
            bits[k] = inside ? alive(pixel + right, c, first) : 0;
        }
#pragma unroll
        for (u32 k = 0; k < 8; k++) {
            Words<2>& gradient = row[k / 2][k % 2];
            gradient.at[0] &= spread(bits[k] << 7, bits[k] << 6, 0, 0);
            gradient.at[1] &= spread(bits[k] << 5, bits[k] << 4, 0, 0);
        }
    }

    // As that of pooled maps, of sums by sums: windows 2t, 2t + 1 and those + 8 of a lane's channels.
    template <class Lane> struct Factor {
        typename Lane::Numbers numbers[WINDOW][4];
        // A byte of each window.
        u32 alive[WINDOW] = {};

        __device__ Factor(const UnpooledGradients& from, const Lane& lane, const Tile<ENDS>& tile) {
            if (lane.is_vector) load<true>(from, lane, tile);
            else load<false>(from, lane, tile);
        }

        // All loads are on their way before the first is waited for. A sum that is not there is dead, and a
        // channel zero.
        template <bool IS_VECTOR>
        __device__ void load(const UnpooledGradients& from, const Lane& lane, const Tile<ENDS>& tile) {
            const u32 t = threadIdx.x % 4, groups = groups_of(lane.c);
            const bool has_bytes = from.aux && (IS_VECTOR || lane.len > 0);
            u32 bits[WINDOW][4];
#pragma unroll
            for (u32 k = 0; k < WINDOW * 4; k++) {
                const u32 q = k / 4, p = k % 4, at = 2 * t + p % 2 + p / 2 * 8;
                // Of a sum that is not there, what another one has is read, not used.
                const bool exists = tile.has(at, q);
                const u64 row = tile.pixel(0, tile.has(0, q / 2 * 2) ? q / 2 * 2 : 0);
                const u32 right = exists ? 2 * at + q % 2 : 0;
                numbers[q][p] = lane.load(lane.numbers(from.dy, row) + right * lane.c, IS_VECTOR);
                const u8* const byte = from.aux + row * groups + lane.first / GROUP;
                const u32 alive = has_bytes ? byte[right * groups] : 0xff;
                bits[q][p] = exists ? alive : 0;
            }
#pragma unroll
            for (u32 q = 0; q < WINDOW; q++) {
#pragma unroll
                for (u32 p = 0; p < 4; p++) alive[q] |= bits[q][p] << (8 * p);
                alive[q] >>= lane.first % GROUP;
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
