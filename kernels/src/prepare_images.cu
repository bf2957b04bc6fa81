// From bytes to feature maps: resize, normalise, channels innermost.
//
// pixels: [n, c, from_h, from_w], x: [n, h, w, c]. The resize is in fixed point, with each pass
// rounded to a byte, horizontally first: the same bits as on the CPU. A thread takes a pixel and
// computes the bytes its vertical pass needs itself. When enlarging, these are two or three, and
// cheaper than writing and reading them.

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

template <class T>
__device__ inline void prepare(const u8* pixels, Axis rows, Axis columns, const float* numbers,
                               T* x, u64 n, u32 c, u32 from_h, u32 from_w, u32 h, u32 w) {
    const u64 positions = n * h * w;
    for (u64 i = first_index(); i < positions; i += index_stride()) {
        const u64 line = i / w;
        const u32 column = (u32)(i - line * w);
        const u64 image = line / h;
        const u32 row = (u32)(line - image * h);
        const u64 corner = (u64)rows.firsts[row] * from_w + columns.firsts[column];
        for (u32 channel = 0; channel < c; channel++) {
            const u8* first = pixels + (image * c + channel) * from_h * from_w + corner;
            i32 sum = HALF;
            for (u32 r = 0; r < rows.taps; r++) {
                const u8* inputs = first + (u64)r * from_w;
                i32 wide = HALF;
                for (u32 s = 0; s < columns.taps; s++) {
                    wide += inputs[s] * columns.weights[(u64)s * w + column];
                }
                sum += round_to_byte(wide) * rows.weights[(u64)r * h + row];
            }
            x[i * c + channel] = from_float<T>(numbers[channel * 256 + round_to_byte(sum)]);
        }
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL prepare_images_##NAME(const u8* pixels, const u32* row_firsts, const i32* row_weights,  \
                                 u32 row_taps, const u32* column_firsts,                           \
                                 const i32* column_weights, u32 column_taps, const float* numbers, \
                                 T* x, u64 n, u32 c, u32 from_h, u32 from_w, u32 h, u32 w) {       \
        const Axis rows = {row_firsts, row_weights, row_taps};                                     \
        const Axis columns = {column_firsts, column_weights, column_taps};                         \
        prepare(pixels, rows, columns, numbers, x, n, c, from_h, from_w, h, w);                    \
    }
FOR_EACH_TYPE(ENTRY)
