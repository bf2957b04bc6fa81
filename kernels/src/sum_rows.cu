// The sums over the rows of x: [rows, c], divided by the loss scale, if there is one, into y: [c].
//
// What kernels that sum over pixels leave is a row a block, and as many blocks as fit on the device:
// a thousand rows of 64 channels, 500 of 512. A block here has eight channels, a sector of memory,
// and 32 threads for each, so that c / 8 blocks read the rows at once, and a thread some thirty of
// them, eight on their way at a time; the 32 sums of a channel are added up as a tree. The order of
// all additions depends on the arguments alone.

#include "common.cuh"

enum : u32 { CHANNELS = 8, LANES = BLOCK / CHANNELS, AHEAD = 8 };

KERNEL sum_rows(const float* x, float* y, u64 rows, u32 c, const float* loss_scale) {
    __shared__ float shared[LANES][CHANNELS];
    const u32 channel = threadIdx.x % CHANNELS, lane = threadIdx.x / CHANNELS;
    const u32 k = blockIdx.x * CHANNELS + channel;
    float sum = 0.0f;
    if (k < c) {
        for (u64 row = lane; row < rows; row += AHEAD * LANES) {
            float numbers[AHEAD];
#pragma unroll
            for (u32 i = 0; i < AHEAD; i++) {
                const u64 at = row + i * LANES;
                numbers[i] = at < rows ? x[at * c + k] : 0.0f;
            }
#pragma unroll
            for (u32 i = 0; i < AHEAD; i++) sum += numbers[i];
        }
    }
    shared[lane][channel] = sum;
    for (u32 half = LANES / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) shared[lane][channel] += shared[lane + half][channel];
    }
    if (lane == 0 && k < c) y[k] = shared[0][channel] * unscale(loss_scale);
}
