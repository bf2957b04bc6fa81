// The first stage of a network whose images have one channel, as first_stage.cu has it, forward on
// tensor cores: numbers of 16 bits, sums of float. Ampere is the first to multiply these matrices.
//
// The four sums of a pooling window need 4×4 inputs, its patch: sixteen, the k of an mma.m16n8k16.
// Sum q of the window is the patch times the filter moved by (q / 2, q % 2), with zeros in the seven
// places that it does not cover, so that one patch serves four products. Those of a warp, for a tile
// of sixteen pooled pixels beside each other:
//
//     sums[q]: [pixels 16, channels 8] = patch: [pixels 16, 16] · filter[q]: [16, channels 8]
//
// A lane is number t of four of group g of eight. It holds of a product d = a · b
//
//     a: [16, 16]  rows g and g + 8, columns 2t, 2t + 1 and those + 8, two numbers a register
//     b: [16, 8]   column g, rows 2t, 2t + 1 and those + 8
//     d: [16, 8]   rows g and g + 8, columns 2t and 2t + 1
//
// Which channel is which column of which product is ours to choose: so that a lane has neighbouring
// channels, two of each of four products, or of two where there are few. Then the pool needs no other
// lane, and what is in memory is written as vectors.
//
// A product of a warp makes four sums a lane, and pooling and coding these takes ten instructions for
// every four: that is the bottleneck, where c = 64 about as narrow as writing y.

#include "common.cuh"
#include "group.cuh"

enum : u32 { WARPS = BLOCK / 32, TAPS = 9, TILE = 16, WINDOW = 4 };

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

// The channels of a lane from `first` on, of maps of c.
template <u32 CHANNELS> struct Lane {
    typedef Words<CHANNELS / 2> Numbers;
    typedef typename PieceOf<CHANNELS>::Type Piece;
    u32 c, first, len;
    // Whether they are all there and a vector, and whether `aux` has a piece for them: also where its
    // last group is not full.
    bool is_vector, has_piece;

    __device__ Lane(u32 c, u32 first, const void* maps) : c(c), first(first) {
        len = first < c ? min_u32(c - first, CHANNELS) : 0;
        is_vector = len == CHANNELS && c % CHANNELS == 0 && aligned(maps, 2 * CHANNELS);
        has_piece = first < groups_of(c) * GROUP;
    }

    template <class T> __device__ void store(T* maps, u64 pixel, const Numbers& numbers) const {
        T* p = maps + pixel * c + first;
        if (is_vector) {
            *(Numbers*)p = numbers;
            return;
        }
#pragma unroll
        for (u32 i = 0; i < CHANNELS; i++) {
            if (i < len) p[i] = {(unsigned short)(numbers.at[i / 2] >> (16 * (i % 2)))};
        }
    }

    // Where its piece is among those of `aux`.
    __device__ u64 piece(u64 pixel) const {
        return pixel * (groups_of(c) * (GROUP / CHANNELS)) + first / CHANNELS;
    }
};

// Pooled pixels beside each other, sixteen but at the end of a row.
struct Tile {
    u32 h, w, row, column;
    // Of its first pixel, and of the first of the two rows of inputs below its row of pixels.
    u64 pixel, inputs;

    // The i-th one of inputs [n, h, w].
    __device__ Tile(u64 i, u32 h, u32 w) : h(h), w(w) {
        const Place place(i, h / 2, (w / 2 + TILE - 1) / TILE);
        row = place.row;
        column = place.column * TILE;
        pixel = (place.image * (h / 2) + row) * (w / 2) + column;
        inputs = (place.image * h + 2 * row) * w;
    }

    __device__ void next() {
        pixel += min_u32(TILE, w / 2 - column);
        column += TILE;
        if (column < w / 2) return;
        column = 0;
        row++;
        inputs += 2 * (u64)w;
        if (row < h / 2) return;
        row = 0;
        inputs += (h % 2) * (u64)w;
    }

    // Whether it has a pixel `i`.
    __device__ bool has(u32 i) const { return column + i < w / 2; }
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

// What a lane needs of the inputs of a tile: row r and column s of the patch of its pixel `i`, and
// what is below and to the right of that. Zeros surround the inputs.
template <class T> struct Inputs {
    const T* at;
    u32 top, left, h, w;

    __device__ Inputs(const T* x, const Tile& tile, u32 i, u32 r, u32 s) : h(tile.h), w(tile.w) {
        // Rows and columns before the first wrap to numbers that are too large.
        top = 2 * tile.row + r - 1;
        left = 2 * (tile.column + i) + s - 1;
        at = x + tile.inputs + ((long long)r - 1) * w + (int)left;
    }

    __device__ u32 bits(u32 down, u32 right) const {
        const bool inside = top + down < h && left + right < w;
        return inside ? at[(u64)down * w + right].bits : 0;
    }

    // Two of them in a word.
    __device__ u32 pair(u32 down, u32 right, u32 apart) const {
        return bits(down, right) | bits(down, right + apart) << 16;
    }
};

// Sums in the order of their windows compare as float where their last three bits say which of the
// window they are: the larger, the earlier. DEAD is more than the sum of zero, whatever these bits.
enum : u32 { CODE = 7, DEAD = 8 };

// Block (x, y) computes slab x of the channels, N_BLOCKS products wide, of tiles_per_warp tiles a warp.
template <class T, u32 N_BLOCKS>
__device__ inline void forward(const T* x, const T* weight, const float* bias, T* y, u32* aux, u64 n,
                               u32 h, u32 w, u32 c, u32 tiles_per_warp) {
    enum : u32 { CHANNELS = 2 * N_BLOCKS, SLAB = 4 * CHANNELS };
    typedef Lane<CHANNELS> Lane;
    const u32 g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const u32 r = t / 2, s = 2 * (t % 2);
    const Lane lane(c, blockIdx.x * SLAB + t * CHANNELS, y);

    // Column g of product j is a channel of lane g / 2.
    u32 filters[N_BLOCKS][WINDOW][2];
    float start[N_BLOCKS][4];
#pragma unroll
    for (u32 j = 0; j < N_BLOCKS; j++) {
        const u32 channel = blockIdx.x * SLAB + g / 2 * CHANNELS + 2 * j + g % 2;
        const auto bits = [&](u32 row, u32 column) -> u32 {
            const bool inside = channel < c && row < 3 && column < 3;
            return inside ? weight[(u64)channel * TAPS + 3 * row + column].bits : 0;
        };
#pragma unroll
        for (u32 q = 0; q < WINDOW; q++) {
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                const u32 row = r + 2 * half - q / 2, column = s - q % 2;
                filters[j][q][half] = bits(row, column) | bits(row, column + 1) << 16;
            }
        }
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            const u32 own = 2 * j + i % 2;
            start[j][i] = own < lane.len ? bias[lane.first + own] : 0.0f;
        }
    }

    // With two constants, coding a sum would take two instructions: zero is what there is of blocks.
    const u32 rest = ~CODE + blockIdx.z;
    const Range range(n, h, w, tiles_per_warp);
    Tile tile(range.begin, h, w);
    for (u64 i = range.begin; i < range.end; i++, tile.next()) {
        const Inputs<T> inputs(x, tile, g, r, s);
        u32 patch[4];
#pragma unroll
        for (u32 k = 0; k < 4; k++) patch[k] = inputs.pair(k / 2 * 2, k % 2 * TILE, 1);
        // Of pixels g and g + 8: the pooled numbers, and the codes of even and of odd channels.
        Words<N_BLOCKS> pooled[2];
        u32 even[2] = {}, odd[2] = {};
#pragma unroll
        for (u32 j = 0; j < N_BLOCKS; j++) {
            float largest[4];
#pragma unroll
            for (u32 q = 0; q < WINDOW; q++) {
                float sums[4];
                multiply<T>(sums, patch, filters[j][q], start[j]);
#pragma unroll
                for (u32 k = 0; k < 4; k++) {
                    const u32 coded = (__float_as_uint(sums[k]) & rest) | (CODE - q);
                    const float before = q == 0 ? __uint_as_float(DEAD) : largest[k];
                    largest[k] = fmaxf(before, __uint_as_float(coded));
                }
            }
#pragma unroll
            for (u32 p = 0; p < 2; p++) {
                pooled[p].at[j] = narrow<T>(largest[2 * p], largest[2 * p + 1]);
                constexpr u32 into[4] = {0x3214, 0x3240, 0x3410, 0x4210};
                const u32 low = __float_as_uint(largest[2 * p]);
                const u32 high = __float_as_uint(largest[2 * p + 1]);
                even[p] = __byte_perm(even[p], low, into[j]);
                odd[p] = __byte_perm(odd[p], high, into[j]);
            }
        }
#pragma unroll
        for (u32 p = 0; p < 2; p++) {
            if (!tile.has(g + 8 * p)) continue;
            const u64 pixel = tile.pixel + g + 8 * p;
            lane.store(y, pixel, pooled[p]);
            if (aux && lane.has_piece) {
                // 7 − q of the living becomes pool_bits(q, true), and 0 of the dead something dead.
                const u32 codes = (even[p] & 0x07070707) | (odd[p] & 0x07070707) << 4;
                ((typename Lane::Piece*)aux)[lane.piece(pixel)] = codes ^ 0x33333333;
            }
        }
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL first_stage_mma_forward_##NAME(const T* x, const T* weight, const float* bias, T* y,    \
                                          u32* aux, u64 n, u32 h, u32 w, u32 c,                    \
                                          u32 tiles_per_warp) {                                    \
        if (c <= 16) forward<T, 2>(x, weight, bias, y, aux, n, h, w, c, tiles_per_warp);           \
        else forward<T, 4>(x, weight, bias, y, aux, n, h, w, c, tiles_per_warp);                   \
    }
ENTRY(bf16, bf16)
ENTRY(f16, f16)
