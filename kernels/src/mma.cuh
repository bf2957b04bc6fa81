// What kernels on tensor cores share: products of small matrices, and how the 2×2 windows of sums and the
// channels of a convolution are given to warps and lanes. From Ampere on. What becomes of a window is in
// pooled_mma.cuh and unpooled_mma.cuh.
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

// What a lane has of the `aux` of pooled maps: four bits of each of its channels.
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

// The OWN channels of a lane from `first` on, of maps of c. The lane of the next ones is APART from it.
template <u32 OWN, u32 APART_FROM_NEXT> struct Lane {
    enum : u32 { CHANNELS = OWN, APART = APART_FROM_NEXT };
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

    // Whether they are a vector a caller says who has asked for many at once.
    template <class T> __device__ Numbers load(const T* p) const { return load(p, is_vector); }
    template <class T> __device__ Numbers load(const T* p, bool is_vector) const {
        if (is_vector) return *(const Numbers*)p;
        Numbers numbers = {};
#pragma unroll
        for (u32 i = 0; i < CHANNELS; i++) {
            if (i < len) numbers.at[i / 2] |= (u32)p[i].bits << (16 * (i % 2));
        }
        return numbers;
    }

    template <class T> __device__ void store(T* p, const Numbers& numbers) const {
        store(p, numbers, is_vector);
    }
    template <class T> __device__ void store(T* p, const Numbers& numbers, bool is_vector) const {
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

// Windows beside each other, sixteen but at the end of a row: where a side is odd, also those that have
// sums in their first row or column alone, if ENDS is one.
template <u32 ENDS> struct Tile {
    u32 h, w, row, column;
    u64 image;
    // Its first window, and the first input of the upper one of its two rows.
    u64 window, inputs;

    // The i-th one of inputs [n, h, w].
    __device__ Tile(u64 i, u32 h, u32 w) : h(h), w(w) {
        const Place place(i, rows(), (columns() + TILE - 1) / TILE);
        row = place.row;
        column = place.column * TILE;
        image = place.image;
        window = (place.image * rows() + row) * columns() + column;
        inputs = (place.image * h + 2 * row) * w;
    }

    // Of the windows of an image.
    __device__ u32 rows() const { return (h + ENDS) / 2; }
    __device__ u32 columns() const { return (w + ENDS) / 2; }

    __device__ void next() {
        window += len();
        column += TILE;
        if (column < columns()) return;
        column = 0;
        row++;
        inputs += 2 * (u64)w;
        if (row < rows()) return;
        row = 0;
        image++;
        // An odd last row was not gone over, or one too many was.
        if (ENDS) inputs -= (h % 2) * (u64)w;
        else inputs += (h % 2) * (u64)w;
    }

    // How many windows it has.
    __device__ u32 len() const { return min_u32(TILE, columns() - column); }

    // Whether its inputs have no border.
    __device__ bool is_inside() const {
        return row > 0 && 2 * row + 2 < h && column > 0 && 2 * (column + TILE) < w;
    }

    // Whether sum q of a window is one of the map, and which.
    __device__ bool has(u32 at, u32 q) const {
        return 2 * row + q / 2 < h && 2 * (column + at) + q % 2 < w;
    }
    __device__ u64 pixel(u32 at, u32 q) const {
        return inputs + q / 2 * w + 2 * (column + at) + q % 2;
    }
};

// The tiles of a warp.
template <u32 ENDS> struct Range {
    u64 begin, end;

    __device__ Range(u64 n, u32 h, u32 w, u32 tiles_per_warp) {
        const u64 tiles = n * ((h + ENDS) / 2) * (((w + ENDS) / 2 + TILE - 1) / TILE);
        begin = ((u64)blockIdx.y * WARPS + threadIdx.x / 32) * tiles_per_warp;
        end = begin + tiles_per_warp < tiles ? begin + tiles_per_warp : tiles;
    }
};

// The highest bits of a byte of a word and of one of another word, sixteen times each, the first in the
// lower half.
__device__ inline u32 spread(u32 word, u32 other, u32 first, u32 second) {
    u32 mask;
    const u32 selector = 0xcc88 + 0x11 * first + 0x1100 * second;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(mask) : "r"(word), "r"(other), "r"(selector));
    return mask;
}
