// From bytes to feature maps: resize, normalise, channels innermost.
//
// pixels: [n, c, from_h, from_w], x: [n, h, w, c]. The resize is in fixed point, with each pass
// rounded to a byte, horizontally first: the same bits as on the CPU. A thread computes a piece of an
// output column, `rows_per_block` rows that block y of a grid is for. It keeps the bytes that its
// vertical pass needs: when enlarging eight times, eight rows take three or four of them, each of three
// inputs, instead of three bytes for each row. When reducing so much that they are too many to be
// kept, hardly any is needed twice.

#include "common.cuh"

typedef int i32;

enum : i32 { BITS = 22, HALF = 1 << (BITS - 1) };

// What each position of an output axis of length `to` takes: `taps` inputs from firsts[position] on.
struct Axis {
    const u32* firsts;
    // [taps, to], so that neighbouring threads read neighbouring weights.
    const i32* weights;
    u32 taps;
};

__device__ inline i32 round_to_byte(i32 sum) {
    const i32 byte = sum >> BITS;
    return byte < 0 ? 0 : byte > 255 ? 255 : byte;
}

// Bytes that a thread keeps at most.
enum : u32 { KEPT = 32 };

template <class T>
__device__ inline void prepare(const u8* pixels, Axis rows, Axis columns, const float* numbers,
                               T* x, u64 n, u32 c, u32 from_h, u32 from_w, u32 h, u32 w,
                               u32 rows_per_block) {
    __shared__ u8 kept[KEPT][BLOCK];
    const u64 i = first_index();
    if (i >= n * w) return;
    const u64 image = i / w;
    const u32 column = (u32)(i - image * w);
    const u32 begin = blockIdx.y * rows_per_block, end = min_u32(begin + rows_per_block, h);
    const u32 top = rows.firsts[begin];
    const u32 count = rows.firsts[end - 1] + rows.taps - top;
    const bool fits = count <= KEPT;
    for (u32 channel = 0; channel < c; channel++) {
        const u8* plane = pixels + (image * c + channel) * from_h * from_w + columns.firsts[column];
        // The horizontal pass of a row.
        const auto byte = [=](u32 row) {
            const u8* inputs = plane + (u64)row * from_w;
            i32 sum = HALF;
            for (u32 tap = 0; tap < columns.taps; tap++) {
                sum += inputs[tap] * columns.weights[(u64)tap * w + column];
            }
            return round_to_byte(sum);
        };
        if (fits) {
            for (u32 r = 0; r < count; r++) kept[r][threadIdx.x] = (u8)byte(top + r);
        }
        T* to = x + ((image * h + begin) * w + column) * c + channel;
        for (u32 row = begin; row < end; row++, to += (u64)w * c) {
            const u32 first = rows.firsts[row];
            i32 sum = HALF;
            for (u32 tap = 0; tap < rows.taps; tap++) {
                const u32 from = first + tap;
                const i32 wide = fits ? kept[from - top][threadIdx.x] : byte(from);
                sum += wide * rows.weights[(u64)tap * h + row];
            }
            *to = from_float<T>(numbers[channel * 256 + round_to_byte(sum)]);
        }
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL prepare_images_##NAME(const u8* pixels, const u32* row_firsts, const i32* row_weights,  \
                                 u32 row_taps, const u32* column_firsts,                           \
                                 const i32* column_weights, u32 column_taps, const float* numbers, \
                                 T* x, u64 n, u32 c, u32 from_h, u32 from_w, u32 h, u32 w,         \
                                 u32 rows_per_block) {                                             \
        const Axis rows = {row_firsts, row_weights, row_taps};                                     \
        const Axis columns = {column_firsts, column_weights, column_taps};                         \
        prepare(pixels, rows, columns, numbers, x, n, c, from_h, from_w, h, w, rows_per_block);    \
    }
FOR_EACH_TYPE(ENTRY)
