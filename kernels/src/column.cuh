// Sums over the pixels of maps: block (x, y) of a grid goes through `pixels_per_block` pixels of
// `lanes` groups of channels, and leaves a row y of sums, which sum_rows.cu adds up. The order of all
// additions depends on the arguments alone.

#include "group.cuh"

// A thread's channels and pixels, where a block has `lanes` groups of channels.
struct Column {
    u32 first, len;
    bool inside;
    // Its pixels are from `begin` on, `stride` apart, before `end`.
    u64 begin, end;
    u32 stride;

    __device__ Column(u64 pixels, u32 c, u64 pixels_per_block, u32 lanes) {
        const u64 group = (u64)blockIdx.x * lanes + threadIdx.x % lanes;
        inside = group < groups_of(c);
        first = (u32)group * GROUP;
        len = inside ? min_u32(c - first, GROUP) : 0;
        const u64 before = blockIdx.y * pixels_per_block, rest = pixels - before;
        begin = before + threadIdx.x / lanes;
        end = inside ? before + (rest < pixels_per_block ? rest : pixels_per_block) : 0;
        stride = BLOCK / lanes;
    }
};

// Stores the sums of all of a block's threads with the same channels, divided by the loss scale, if
// there is one, into the block's row of rows: [gridDim.y, c].
__device__ inline void store_sums(const Column& column, const Channels& own, float* rows, u32 c,
                                  u32 lanes, const float* loss_scale) {
    // A thread's sums are BLOCK apart, so that neighbours hit different banks.
    __shared__ float shared[GROUP * BLOCK];
    const u32 thread = threadIdx.x;
#pragma unroll
    for (int k = 0; k < GROUP; k++) shared[k * BLOCK + thread] = own.at[k];
    __syncthreads();
    for (u32 half = BLOCK / 2; half >= lanes; half /= 2) {
        if (thread < half) {
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                shared[k * BLOCK + thread] += shared[k * BLOCK + thread + half];
            }
        }
        __syncthreads();
    }
    if (thread >= lanes) return;
    const float factor = unscale(loss_scale);
    Channels sums;
#pragma unroll
    for (int k = 0; k < GROUP; k++) sums.at[k] = shared[k * BLOCK + thread] * factor;
    store<GROUP>(rows + (u64)blockIdx.y * c + column.first, column.len, sums);
}
