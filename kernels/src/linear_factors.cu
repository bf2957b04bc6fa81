// What a part of a batch has to do with the gradient of a fully connected layer's weight.
//
// dy, dsums: [pixels, c], aux as in bias_relu.cu, or null without ReLU: dsums = alpha · dy where ReLU was
// alive, and zero elsewhere. What goes with it, the layer's inputs, is copied.

#include "common.cuh"
#include "group.cuh"

template <class T>
__device__ inline void linear_factors(const T* dy, const u8* aux, T* dsums, u64 pixels, u32 c, float alpha) {
    const u64 count = pixels * groups_of(c);
    for (u64 i = first_index(); i < count; i += index_stride()) {
        const Group group(i, c);
        const u64 at = group.pixel * c + group.first;
        Channels v = load<GROUP>(dy + at, group.len);
        const u32 alive = aux ? aux[i] : 0xff;
#pragma unroll
        for (int k = 0; k < GROUP; k++) v.at[k] = alive >> k & 1 ? alpha * v.at[k] : 0.0f;
        store<GROUP>(dsums + at, group.len, v);
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL linear_factors_##NAME(const T* dy, const u8* aux, T* dsums, u64 pixels, u32 c,          \
                                 float alpha) {                                                    \
        linear_factors(dy, aux, dsums, pixels, c, alpha);                                          \
    }
FOR_EACH_TYPE(ENTRY)
