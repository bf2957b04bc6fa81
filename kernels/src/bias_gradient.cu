// The gradient of a bias, db: [rows, c], where nothing follows it: the sum over all pixels of the
// gradient dy: [pixels, c]. What undoes a ReLU or a pool adds up on its way (bias_relu.cu,
// bias_relu_max_pool.cu).

#include "common.cuh"
#include "column.cuh"

template <class T>
__device__ inline void sum(const T* dy, float* db, u64 pixels, u32 c, u64 pixels_per_block,
                           u32 lanes, const float* loss_scale) {
    const Column column(pixels, c, pixels_per_block, lanes);
    Channels sums = {};
    for (u64 pixel = column.begin; pixel < column.end; pixel += column.stride) {
        const Channels gradient = load<GROUP>(dy + pixel * c + column.first, column.len);
#pragma unroll
        for (int k = 0; k < GROUP; k++) sums.at[k] += gradient.at[k];
    }
    store_sums(column, sums, db, c, lanes, loss_scale);
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL bias_gradient_##NAME(const T* dy, float* db, u64 pixels, u32 c, u64 pixels_per_block,   \
                                u32 lanes, const float* loss_scale) {                              \
        sum(dy, db, pixels, c, pixels_per_block, lanes, loss_scale);                               \
    }
FOR_EACH_TYPE(ENTRY)
