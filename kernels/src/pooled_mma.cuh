// ReLU and a 2×2 max-pool behind a convolution on tensor cores, and their gradient: y: [n, h / 2, w / 2, c],
// aux: [n, h / 2, w / 2, ceil(c / 8)] words; see group.cuh. An odd last row or column of sums is dropped.

#pragma once

#include "mma.cuh"

// The larger one of a window's coded sums before sum q, from 0 to 3, and of that. Sums in the order of their
// windows compare as float where their last three bits say which of the window they are: the larger, the
// earlier. DEAD is more than the sum of zero, whatever these bits.
enum : u32 { CODE = 7, DEAD = 8 };
__device__ inline float larger(float largest, float sum, u32 q) {
    // With two constants, coding a sum would take two instructions: zero is what there is of blocks.
    const u32 rest = ~CODE + blockIdx.z;
    const u32 coded = (__float_as_uint(sum) & rest) | (CODE - q);
    return fmaxf(q == 0 ? __uint_as_float(DEAD) : largest, __uint_as_float(coded));
}

// Where sum q won and lives, by words of `aux`: bit 3 of each of their fours.
__device__ inline u32 winners(u32 word, u32 q) {
    const u32 alive = word << 1, below = word << 2, right = word << 3;
    return alive & (q / 2 ? below : ~below) & (q % 2 ? right : ~right);
}

// Where the forward pass stores; `aux` may be null.
template <class T> struct Pooled {
    enum : u32 { ENDS = 0 };
    T* y;
    u32* aux;

    // What a lane has of a window: ReLU of the largest sums of its channels, and the codes of even and of
    // odd channels.
    template <class Lane> struct Window {
        typename Lane::Numbers numbers;
        float largest[2];
        u32 even = 0, odd = 0;
    };

    // Sum q of channels 2j and 2j + 1 of the lane, from the first q to the last.
    template <class Window>
    __device__ void take(Window& window, u32 q, u32 j, float first, float second) const {
        constexpr u32 into[4] = {0x3214, 0x3240, 0x3410, 0x4210};
        first = window.largest[0] = larger(window.largest[0], first, q);
        second = window.largest[1] = larger(window.largest[1], second, q);
        if (q + 1 < WINDOW) return;
        window.numbers.at[j] = narrow<T>(first, second);
        window.even = __byte_perm(window.even, __float_as_uint(first), into[j]);
        window.odd = __byte_perm(window.odd, __float_as_uint(second), into[j]);
    }

    // As window `at` of a tile, if it has that one.
    template <class Lane>
    __device__ void store(const Lane& lane, const Tile<ENDS>& tile, u32 at,
                          const Window<Lane>& window) const {
        if (at >= tile.len()) return;
        lane.store(lane.numbers(y, tile.window) + at * lane.c, window.numbers);
        if (aux && lane.has_piece) {
            // 7 − q of the living becomes pool_bits(q, true), and 0 of the dead something dead.
            const u32 codes = (window.even & 0x07070707) | (window.odd & 0x07070707) << 4;
            auto* const piece = (typename Lane::Piece*)aux + lane.piece(tile.window);
            piece[at * lane.pieces] = codes ^ 0x33333333;
        }
    }
};

// What the backward pass reads.
template <class T> struct PooledGradients {
    enum : u32 { ENDS = 0 };
    const T* dy;
    const u32* aux;

    // Row r of the 4×4 sums around windows g and g + 8 of a tile of [n, h, w]: the gradients of four channels
    // from `first` on, of c, a multiple of sixteen; zero where there is no sum.
    __device__ void around(const Tile<1>& tile, u32 r, u32 first, u32 c, Words<2> (&row)[4][2]) const {
        // Rows and columns of windows before the first wrap to numbers that are too large.
        const u32 y_h = tile.h / 2, y_w = tile.w / 2;
        const u32 window_row = tile.row + (r + 1) / 2 - 1;
        const u32 window = tile.column + threadIdx.x % 32 / 4 - 1;
        const long long pixel =
            (long long)(tile.image * y_h + tile.row + (r + 1) / 2) * y_w - y_w + (int)window;
        const T* const gradients = dy + pixel * c + first;
        const auto* const pieces = (const unsigned short*)aux + pixel * (c / 4) + first / 4;
#pragma unroll
        for (u32 k = 0; k < 6; k++) {
            const u32 p = k % 2, right_by = 8 * p + k / 2;
            Words<2> gradient = {};
            u32 codes = 0;
            if (window_row < y_h && window + right_by < y_w) {
                gradient = *(const Words<2>*)(gradients + right_by * c);
                codes = pieces[right_by * (c / 4)];
            }
            // The window's two sums in this row are two of its places, or one at an end.
#pragma unroll
            for (u32 right = 0; right < 2; right++) {
                const u32 s = 2 * (k / 2) - 1 + right;
                if (s > 3) continue;
                const u32 odd = winners(codes, 2 * ((r + 1) % 2) + right);
                row[s][p].at[0] = gradient.at[0] & spread(odd << 4, odd, 0, 0);
                row[s][p].at[1] = gradient.at[1] & spread(odd << 4, odd, 1, 1);
            }
        }
    }

    // A tile's gradients as a factor of sums over windows: what a lane has of them, windows 2t, 2t + 1 and
    // those + 8 of its channels.
    template <class Lane> struct Factor {
        enum : u32 { M_BLOCKS = Lane::CHANNELS / 2, PIECES = 4 / M_BLOCKS };
        typename Lane::Numbers numbers[4];
        u32 words[M_BLOCKS] = {};

        // A window that is not there, and a channel, is dead; what its gradient is does not matter.
        __device__ Factor(const PooledGradients& from, const Lane& lane, const Tile<ENDS>& tile) {
            typedef typename Lane::Piece Piece;
            const u32 t = threadIdx.x % 4;
            const T* const first = lane.numbers(from.dy, tile.window);
            const auto* const piece = (const Piece*)from.aux + lane.piece(tile.window);
#pragma unroll
            for (u32 p = 0; p < 4; p++) {
                const u32 at = 2 * t + p % 2 + p / 2 * 8;
                numbers[p] = lane.load(first + min_u32(at, tile.len() - 1) * lane.c);
                const bool exists = lane.has_piece && at < tile.len();
                const u32 codes = exists ? piece[at * lane.pieces] : 0;
                words[p / PIECES] |= codes << (4 * Lane::CHANNELS * (p % PIECES));
            }
        }

        // Those of sum q of each window, zero where another one won or none lives. Row g of factor j is
        // channel 2j of the lane, row g + 8 the next; a column is a window.
        __device__ void of_sum(u32 q, u32 j, u32 (&factors)[4]) const {
#pragma unroll
            for (u32 k = 0; k < 4; k++) {
                const u32 p = k / 2 * 2;
                const u32 pair =
                    __byte_perm(numbers[p].at[j], numbers[p + 1].at[j], k % 2 ? 0x7632 : 0x5410);
                // The high and the low fours' bits are the highest of bytes: those of odd and even
                // channels.
                const u32 odd = winners(words[p / PIECES], q), bits = k % 2 ? odd : odd << 4;
                const u32 byte = p % PIECES * M_BLOCKS + j;
                factors[k] = pair & spread(bits, bits, byte, byte + M_BLOCKS);
            }
        }
    };
};
