// What kernels on tensor cores share: products of small matrices, and how the pooled pixels and the
// channels of a convolution are given to warps and lanes. From Ampere on.
//
// A product is d = a · b + c, an mma.m16n8k16 of numbers of 16 bits with sums of float. A lane is number
// t of four of group g of eight. It holds
//
//     a: [16, 16]  rows g and g + 8, columns 2t, 2t + 1 and those + 8, two numbers a register
//     b: [16, 8]   column g, rows 2t, 2t + 1 and those + 8
//     d: [16, 8]   rows g and g + 8, columns 2t and 2t + 1
//
// Rows of `a` are pixels, or channels where gradients are added up over pixels; which channel is which
// row or column is ours to choose: so that a lane has neighbouring channels, and what is in memory is
// read and written as vectors.

#pragma once

#include "common.cuh"
#include "group.cuh"

enum : u32 { WARPS = BLOCK / 32, TILE = 16, WINDOW = 4 };

// d = a · b + c.
template <class T>
__device__ inline void multiply(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2],
                                const float (&c)[4]);
#define MULTIPLY(T, NAME)                                                                         \
    template <>                                                                                    \
    __device__ inline void multiply<T>(float(&d)[4], const u32(&a)[4], const u32(&b)[2],           \
                                       const float(&c)[4]) {                                       \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." #NAME "." #NAME ".f32 "              \
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"         \
                     : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])                              \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]),           \
                       "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));                                \
    }
MULTIPLY(bf16, bf16)
MULTIPLY(f16, f16)

// Two numbers in a word, the first in its lower half, rounded to nearest.
template <class T> __device__ inline u32 narrow(float first, float second);
template <> __device__ inline u32 narrow<bf16>(float first, float second) {
    u32 word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
}
template <> __device__ inline u32 narrow<f16>(float first, float second) {
    u32 word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
}

// N words of two numbers each.
template <u32 N> struct alignas(4 * N) Words {
    u32 at[N];
};

// What a lane has of `aux`: four bits of each of its channels.
template <u32 CHANNELS> struct PieceOf;
template <> struct PieceOf<8> {
    typedef u32 Type;
};
template <> struct PieceOf<4> {
    typedef unsigned short Type;
};
template <> struct PieceOf<2> {
    typedef u8 Type;
};

// The channels of a lane from `first` on, of maps of c.
template <u32 CHANNELS> struct Lane {
    typedef Words<CHANNELS / 2> Numbers;
    typedef typename PieceOf<CHANNELS>::Type Piece;
    // Those there are; pieces of `aux` that a pixel has.
    u32 c, first, len, pieces;
    // Whether they are all there and a vector, and whether `aux` has a piece for them: also where its
    // last group is not full.
    bool is_vector, has_piece;

    __device__ Lane(u32 c, u32 first, const void* maps) : c(c), first(first) {
        len = first < c ? min_u32(c - first, CHANNELS) : 0;
        pieces = groups_of(c) * (GROUP / CHANNELS);
        is_vector = len == CHANNELS && c % CHANNELS == 0 && aligned(maps, 2 * CHANNELS);
        has_piece = first / CHANNELS < pieces;
    }

    // Where a pixel's numbers begin, and which piece is its.
    template <class T> __device__ T* numbers(T* maps, u64 pixel) const {
        return maps + pixel * c + first;
    }
    __device__ u64 piece(u64 pixel) const { return pixel * pieces + first / CHANNELS; }

    template <class T> __device__ Numbers load(const T* p) const {
        if (is_vector) return *(const Numbers*)p;
        Numbers numbers = {};
#pragma unroll
        for (u32 i = 0; i < CHANNELS; i++) {
            if (i < len) numbers.at[i / 2] |= (u32)p[i].bits << (16 * (i % 2));
        }
        return numbers;
    }

    template <class T> __device__ void store(T* p, const Numbers& numbers) const {
        if (is_vector) {
            *(Numbers*)p = numbers;
            return;
        }
#pragma unroll
        for (u32 i = 0; i < CHANNELS; i++) {
            if (i < len) p[i] = {(unsigned short)(numbers.at[i / 2] >> (16 * (i % 2)))};
        }
    }
};

// Pooled pixels beside each other, sixteen but at the end of a row.
struct Tile {
    u32 h, w, row, column;
    u64 image;
    // Its first pixel, and the first input of the upper one of the two rows that it pools.
    u64 pixel, inputs;

    // The i-th one of inputs [n, h, w].
    __device__ Tile(u64 i, u32 h, u32 w) : h(h), w(w) {
        const Place place(i, h / 2, (w / 2 + TILE - 1) / TILE);
        row = place.row;
        column = place.column * TILE;
        image = place.image;
        pixel = (place.image * (h / 2) + row) * (w / 2) + column;
        inputs = (place.image * h + 2 * row) * w;
    }

    __device__ void next() {
        pixel += len();
        column += TILE;
        if (column < w / 2) return;
        column = 0;
        row++;
        inputs += 2 * (u64)w;
        if (row < h / 2) return;
        row = 0;
        image++;
        inputs += (h % 2) * (u64)w;
    }

    // How many pixels it has.
    __device__ u32 len() const { return min_u32(TILE, w / 2 - column); }

    // Whether its inputs have no border.
    __device__ bool is_inside() const {
        return row > 0 && 2 * row + 2 < h && column > 0 && 2 * (column + TILE) < w;
    }
};

// The tiles of a warp.
struct Range {
    u64 begin, end;

    __device__ Range(u64 n, u32 h, u32 w, u32 tiles_per_warp) {
        const u64 tiles = n * (h / 2) * ((w / 2 + TILE - 1) / TILE);
        begin = ((u64)blockIdx.y * WARPS + threadIdx.x / 32) * tiles_per_warp;
        end = begin + tiles_per_warp < tiles ? begin + tiles_per_warp : tiles;
    }
};

// Takes sum q of four windows, from 0 to 3. Sums in the order of their windows compare as float where
// their last three bits say which of the window they are: the larger, the earlier. DEAD is more than the
// sum of zero, whatever these bits.
enum : u32 { CODE = 7, DEAD = 8 };
__device__ inline void take(float (&largest)[4], const float (&sums)[4], u32 q) {
    // With two constants, coding a sum would take two instructions: zero is what there is of blocks.
    const u32 rest = ~CODE + blockIdx.z;
#pragma unroll
    for (u32 k = 0; k < 4; k++) {
        const u32 coded = (__float_as_uint(sums[k]) & rest) | (CODE - q);
        const float before = q == 0 ? __uint_as_float(DEAD) : largest[k];
        largest[k] = fmaxf(before, __uint_as_float(coded));
    }
}

// What a lane has of a pooled pixel: ReLU of the largest sums of its channels, and the codes of even and
// of odd channels.
template <class T, u32 CHANNELS> struct Pooled {
    Words<CHANNELS / 2> numbers;
    u32 even = 0, odd = 0;

    // The largest coded sums of channels 2j and 2j + 1.
    __device__ void decide(u32 j, float first, float second) {
        constexpr u32 into[4] = {0x3214, 0x3240, 0x3410, 0x4210};
        numbers.at[j] = narrow<T>(first, second);
        even = __byte_perm(even, __float_as_uint(first), into[j]);
        odd = __byte_perm(odd, __float_as_uint(second), into[j]);
    }

    // As pixel `at` of a tile, if it has that one; `aux` may be null.
    __device__ void store(const Lane<CHANNELS>& lane, const Tile& tile, u32 at, T* y, u32* aux) const {
        if (at >= tile.len()) return;
        lane.store(lane.numbers(y, tile.pixel) + at * lane.c, numbers);
        if (aux && lane.has_piece) {
            // 7 − q of the living becomes pool_bits(q, true), and 0 of the dead something dead.
            const u32 codes = (even & 0x07070707) | (odd & 0x07070707) << 4;
            auto* const piece = (typename Lane<CHANNELS>::Piece*)aux + lane.piece(tile.pixel);
            piece[at * lane.pieces] = codes ^ 0x33333333;
        }
    }
};

// Where sum q won and lives, by words of `aux`: bit 3 of each of their fours.
__device__ inline u32 winners(u32 word, u32 q) {
    const u32 alive = word << 1, below = word << 2, right = word << 3;
    return alive & (q / 2 ? below : ~below) & (q % 2 ? right : ~right);
}

// The highest bits of a byte of a word and of one of another word, sixteen times each, the first in the
// lower half.
__device__ inline u32 spread(u32 word, u32 other, u32 first, u32 second) {
    u32 mask;
    const u32 selector = 0xcc88 + 0x11 * first + 0x1100 * second;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(mask) : "r"(word), "r"(other), "r"(selector));
    return mask;
}

// The gradients of a tile's pooled pixels as a factor of sums over pixels: what a lane has of them, pixels
// 2t, 2t + 1 and those + 8 of its 2 · M_BLOCKS channels.
template <class T, u32 M_BLOCKS> struct Gradients {
    enum : u32 { CHANNELS = 2 * M_BLOCKS, PIECES = 4 / M_BLOCKS };
    typename Lane<CHANNELS>::Numbers numbers[4];
    u32 words[M_BLOCKS] = {};

    // A pixel that is not there, and a channel, is dead; what its gradient is does not matter.
    __device__ Gradients(const Lane<CHANNELS>& lane, const Tile& tile, const T* dy, const u32* aux) {
        typedef typename Lane<CHANNELS>::Piece Piece;
        const u32 t = threadIdx.x % 4;
        const T* const first = lane.numbers(dy, tile.pixel);
        const auto* const piece = (const Piece*)aux + lane.piece(tile.pixel);
#pragma unroll
        for (u32 p = 0; p < 4; p++) {
            const u32 at = 2 * t + p % 2 + p / 2 * 8;
            numbers[p] = lane.load(first + min_u32(at, tile.len() - 1) * lane.c);
            const bool exists = lane.has_piece && at < tile.len();
            const u32 codes = exists ? piece[at * lane.pieces] : 0;
            words[p / PIECES] |= codes << (4 * CHANNELS * (p % PIECES));
        }
    }

    // Those of sum q of each window, zero where another one won or none lives. Row g of factor j is channel
    // 2j of the lane, row g + 8 the next; a column is a pixel.
    __device__ void of_sum(u32 q, u32 j, u32 (&factors)[4]) const {
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            const u32 p = k / 2 * 2;
            const u32 pair =
                __byte_perm(numbers[p].at[j], numbers[p + 1].at[j], k % 2 ? 0x7632 : 0x5410);
            // The high and the low fours' bits are the highest of bytes: those of odd and even channels.
            const u32 odd = winners(words[p / PIECES], q), bits = k % 2 ? odd : odd << 4;
            const u32 byte = p % PIECES * M_BLOCKS + j;
            factors[k] = pair & spread(bits, bits, byte, byte + M_BLOCKS);
        }
    }
};
