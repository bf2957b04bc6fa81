// The gradient of a bias: the sum over all pixels of the sums' gradient.
//
// dy: [pixels, c], db: [gridDim.y, c]. Block (x, y) adds `pixels_per_block` pixels of `lanes` groups
// of channels into row y; several rows are for sum_rows.cu to add up. The order of all additions
// depends on the arguments alone, so that the result is the same in every run.
//
// The sums are divided by the loss scale, if there is one.
//
// What an epilogue does to the gradient is undone on the way: with a fused pool, the pooled
// gradient's sum is that of the expanded one, at a quarter of the memory traffic.

#include "common.cuh"
#include "group.cuh"

// Which of a group's gradients count.
struct All {
    __device__ u32 bits(u64) const { return 0; }
    __device__ bool alive(u32, int) const { return true; }
};
struct Relu {
    const u8* aux;
    __device__ u32 bits(u64 group) const { return aux[group]; }
    __device__ bool alive(u32 bits, int k) const { return bits >> k & 1; }
};
struct ReluMaxPool {
    const u32* aux;
    __device__ u32 bits(u64 group) const { return aux[group]; }
    __device__ bool alive(u32 bits, int k) const { return pool_alive(bits, k); }
};

template <class Mask, class T>
__device__ inline void sum(Mask mask, const T* dy, float* db, u64 pixels, u32 c,
                           u64 pixels_per_block, u32 lanes, const float* loss_scale) {
    // A thread's sums are BLOCK apart, so that neighbours hit different banks.
    __shared__ float shared[GROUP * BLOCK];
    const u32 thread = threadIdx.x;
    const u64 group = (u64)blockIdx.x * lanes + thread % lanes;
    const u32 groups = groups_of(c);
    const bool inside = group < groups;
    const u32 first = (u32)group * GROUP;
    const u32 len = inside ? min_u32(c - first, GROUP) : 0;

    Channels sums = {};
    const u64 begin = blockIdx.y * pixels_per_block;
    const u64 rest = pixels - begin;
    const u64 end = begin + (rest < pixels_per_block ? rest : pixels_per_block);
    if (inside) {
#pragma unroll 2
        for (u64 pixel = begin + thread / lanes; pixel < end; pixel += BLOCK / lanes) {
            const Channels gradient = load<GROUP>(dy + pixel * c + first, len);
            const u32 bits = mask.bits(pixel * groups + group);
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                if (mask.alive(bits, k)) sums.at[k] += gradient.at[k];
            }
        }
    }
#pragma unroll
    for (int k = 0; k < GROUP; k++) shared[k * BLOCK + thread] = sums.at[k];
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
    if (thread < lanes && inside) {
        const float factor = unscale(loss_scale);
#pragma unroll
        for (int k = 0; k < GROUP; k++) sums.at[k] = shared[k * BLOCK + thread] * factor;
        store<GROUP>(db + (u64)blockIdx.y * c + first, len, sums);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL bias_gradient_##NAME(const T* dy, float* db, u64 pixels, u32 c, u64 pixels_per_block,   \
                                u32 lanes, const float* loss_scale) {                              \
        sum(All(), dy, db, pixels, c, pixels_per_block, lanes, loss_scale);                        \
    }                                                                                              \
    KERNEL bias_gradient_relu_##NAME(const T* dy, const u8* aux, float* db, u64 pixels, u32 c,     \
                                     u64 pixels_per_block, u32 lanes, const float* loss_scale) {   \
        sum(Relu{aux}, dy, db, pixels, c, pixels_per_block, lanes, loss_scale);                    \
    }                                                                                              \
    KERNEL bias_gradient_relu_max_pool_##NAME(const T* dy, const u32* aux, float* db, u64 pixels,  \
                                              u32 c, u64 pixels_per_block, u32 lanes,              \
                                              const float* loss_scale) {                           \
        sum(ReluMaxPool{aux}, dy, db, pixels, c, pixels_per_block, lanes, loss_scale);             \
    }
FOR_EACH_TYPE(ENTRY)
