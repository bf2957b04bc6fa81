// Inverted dropout in place, without a stored mask.
//
// x: [len]. Element i is multiplied by 1 / (1 - p) where its random number is at least p, and set to
// zero elsewhere. The random numbers are Philox4x32-10 (Salmon et al. 2011) of the counter
// [i / 4, stream, step low, step high] under the key [seed low, seed high], word i % 4: the same as
// on the CPU, to the bit.

#include "common.cuh"

struct Words {
    u32 at[4];
};

__device__ inline Words philox4x32_10(u32 c0, u32 c1, u32 c2, u32 c3, u32 k0, u32 k1) {
    constexpr u32 MULTIPLIER_0 = 0xD2511F53, MULTIPLIER_1 = 0xCD9E8D57;
    constexpr u32 WEYL_0 = 0x9E3779B9, WEYL_1 = 0xBB67AE85;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const u32 high_0 = __umulhi(MULTIPLIER_0, c0), low_0 = MULTIPLIER_0 * c0;
        const u32 high_1 = __umulhi(MULTIPLIER_1, c2), low_1 = MULTIPLIER_1 * c2;
        c0 = high_1 ^ c1 ^ k0;
        c1 = low_1;
        c2 = high_0 ^ c3 ^ k1;
        c3 = low_0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    return {c0, c1, c2, c3};
}

template <class T>
__device__ inline void in_place(T* x, u64 len, float p, u64 seed, u32 stream, u64 step) {
    const float scale = __fdiv_rn(1.0f, __fsub_rn(1.0f, p));
    const u64 quads = (len + 3) / 4;
    for (u64 i = first_index(); i < quads; i += index_stride()) {
        const u64 rest = len - 4 * i;
        const u32 count = rest < 4 ? (u32)rest : 4;
        const Words words = philox4x32_10((u32)i, stream, (u32)step, (u32)(step >> 32), (u32)seed,
                                          (u32)(seed >> 32));
        Values<4> v = load<4>(x + 4 * i, count);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const float uniform = (float)(words.at[k] >> 8) * (1.0f / (1 << 24));
            v.at[k] = uniform >= p ? __fmul_rn(v.at[k], scale) : 0.0f;
        }
        store<4>(x + 4 * i, count, v);
    }
}

// The step is read from memory, so that a recorded launch can be replayed in another step.
#define ENTRY(T, NAME)                                                                            \
    KERNEL dropout_##NAME(T* x, u64 len, float p, u64 seed, u32 stream, const u64* step) {         \
        in_place(x, len, p, seed, stream, *step);                                                  \
    }
FOR_EACH_TYPE(ENTRY)
