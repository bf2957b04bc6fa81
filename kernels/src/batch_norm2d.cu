// Batch normalisation with ReLU, or with ReLU and a 2×2 max-pool, and its gradients.
//
// x: [pixels, c] or [n, h, w, c], y and aux as those of bias_relu.cu and bias_relu_max_pool.cu,
// weight, bias: [c], saved: [2, c], the channels' means and 1 / sqrt(variance + epsilon).
// z = (x - mean) · scale + bias with scale = weight / sqrt(variance + epsilon): a mean that is far
// from zero is taken away first. Decisions are made on z rounded as it is stored.
//
// The variance is a sum of squared differences from a mean, never a difference of squares: a thread
// updates both with each number (Welford 1962), and what threads and blocks have is combined
// (Chan et al. 1979). With dz for the gradient of z and x^ for z without weight and bias,
// dx = scale · (dz - mean(dz) - x^ · mean(dz · x^)). Sums over the batch come first, in both passes:
// block (x, y) of a grid adds `pixels_per_block` pixels of `lanes` groups of channels into row y, and
// one more launch adds up the rows. The order depends on the arguments alone.

#include "common.cuh"
#include "column.cuh"

// Numbers that were counted, their mean, and the sum of squared differences from it.
struct Moments {
    float count;
    Channels mean, squares;

    __device__ void include(const Channels& x) {
        count += 1.0f;
        const float share = __frcp_rn(count);
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const float difference = x.at[k] - mean.at[k];
            mean.at[k] += difference * share;
            squares.at[k] += difference * (x.at[k] - mean.at[k]);
        }
    }

    __device__ void include(const Moments& other) {
        if (other.count == 0.0f) return;
        const float all = count + other.count;
        const float share = __fdiv_rn(other.count, all);
        const float between = count * share;
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const float difference = other.mean.at[k] - mean.at[k];
            mean.at[k] += difference * share;
            squares.at[k] += other.squares.at[k] + difference * difference * between;
        }
        count = all;
    }
};

// A thread's channels in shared memory: BLOCK apart, so that neighbours hit different banks.
__device__ inline void put(float* shared, u32 thread, const Channels& v) {
#pragma unroll
    for (int k = 0; k < GROUP; k++) shared[k * BLOCK + thread] = v.at[k];
}
__device__ inline Channels get(const float* shared, u32 thread) {
    Channels v;
#pragma unroll
    for (int k = 0; k < GROUP; k++) v.at[k] = shared[k * BLOCK + thread];
    return v;
}

// The moments of all of a block's threads with the same channels, in its first `lanes` threads.
__device__ inline void combine(Moments& own, u32 lanes) {
    __shared__ float counts[BLOCK], means[GROUP * BLOCK], squares[GROUP * BLOCK];
    const u32 thread = threadIdx.x;
    for (u32 half = BLOCK / 2; half >= lanes; half /= 2) {
        if (thread >= half && thread < 2 * half) {
            counts[thread] = own.count;
            put(means, thread, own.mean);
            put(squares, thread, own.squares);
        }
        __syncthreads();
        if (thread < half) {
            const u32 other = thread + half;
            own.include(Moments{counts[other], get(means, other), get(squares, other)});
        }
        __syncthreads();
    }
}

// The two sums of all of a block's threads with the same channels, in its first `lanes` threads.
__device__ inline void add_up(Channels& a, Channels& b, u32 lanes) {
    __shared__ float shared[2][GROUP * BLOCK];
    const u32 thread = threadIdx.x;
    for (u32 half = BLOCK / 2; half >= lanes; half /= 2) {
        if (thread >= half && thread < 2 * half) {
            put(shared[0], thread, a);
            put(shared[1], thread, b);
        }
        __syncthreads();
        if (thread < half) {
            const Channels other_a = get(shared[0], thread + half);
            const Channels other_b = get(shared[1], thread + half);
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                a.at[k] += other_a.at[k];
                b.at[k] += other_b.at[k];
            }
        }
        __syncthreads();
    }
}

__device__ inline float inverse_deviation(float variance) {
    return __fdiv_rn(1.0f, __fsqrt_rn(variance + 1e-5f));
}

template <class T>
__device__ inline void statistics(const T* x, float* partial, u64 pixels, u32 c,
                                  u64 pixels_per_block, u32 lanes) {
    const Column column(pixels, c, pixels_per_block, lanes);
    Moments moments = {};
    for (u64 pixel = column.begin; pixel < column.end; pixel += column.stride) {
        moments.include(load<GROUP>(x + pixel * c + column.first, column.len));
    }
    combine(moments, lanes);
    if (threadIdx.x < lanes && column.inside) {
        float* row = partial + (u64)blockIdx.y * 2 * c + column.first;
        store<GROUP>(row, column.len, moments.mean);
        store<GROUP>(row + c, column.len, moments.squares);
    }
}

KERNEL batch_norm2d_combine(const float* partial, u64 rows, u64 pixels, u64 pixels_per_block, u32 c,
                            u32 lanes, float* running_mean, float* running_var, float* saved) {
    const Column column(rows, c, rows, lanes);
    Moments moments = {};
    for (u64 row = column.begin; row < column.end; row += column.stride) {
        const u64 rest = pixels - row * pixels_per_block;
        const float* at = partial + row * 2 * c + column.first;
        moments.include(Moments{(float)(rest < pixels_per_block ? rest : pixels_per_block),
                                load<GROUP>(at, column.len), load<GROUP>(at + c, column.len)});
    }
    combine(moments, lanes);
    if (threadIdx.x >= lanes || !column.inside) return;
    constexpr float MOMENTUM = 0.1f;
    const float count = (float)pixels, share = __frcp_rn(count), unbiased = __frcp_rn(count - 1.0f);
    Channels inverse;
    Channels mean = load<GROUP>(running_mean + column.first, column.len);
    Channels variance = load<GROUP>(running_var + column.first, column.len);
#pragma unroll
    for (int k = 0; k < GROUP; k++) {
        inverse.at[k] = inverse_deviation(moments.squares.at[k] * share);
        mean.at[k] = (1.0f - MOMENTUM) * mean.at[k] + MOMENTUM * moments.mean.at[k];
        variance.at[k] = (1.0f - MOMENTUM) * variance.at[k] +
                         MOMENTUM * (moments.squares.at[k] * unbiased);
    }
    store<GROUP>(running_mean + column.first, column.len, mean);
    store<GROUP>(running_var + column.first, column.len, variance);
    store<GROUP>(saved + column.first, column.len, moments.mean);
    store<GROUP>(saved + c + column.first, column.len, inverse);
}

KERNEL batch_norm2d_running(const float* running_mean, const float* running_var, float* saved,
                            u32 c) {
    for (u64 i = first_index(); i < c; i += index_stride()) {
        saved[i] = running_mean[i];
        saved[c + i] = inverse_deviation(running_var[i]);
    }
}

// What makes z of x, for a group of channels.
struct Normal {
    Channels mean, scale, bias;

    __device__ void load_from(const float* saved, const float* weight, const float* biases, u32 c,
                              const Group& group) {
        mean = load<GROUP>(saved + group.first, group.len);
        scale = load<GROUP>(weight + group.first, group.len);
        bias = load<GROUP>(biases + group.first, group.len);
        const Channels inverse = load<GROUP>(saved + c + group.first, group.len);
#pragma unroll
        for (int k = 0; k < GROUP; k++) scale.at[k] *= inverse.at[k];
    }
    template <class T> __device__ float of(float x, int k) const {
        return round_to<T>(__fmaf_rn(x - mean.at[k], scale.at[k], bias.at[k]));
    }
};

// Mostly all of a thread's groups have the same channels: then their vectors are loaded once.
enum : u32 { NONE = 0xffffffff };

template <class T>
__device__ inline void relu_forward(const T* x, const float* saved, const float* weight,
                                    const float* bias, T* y, u8* aux, u64 pixels, u32 c) {
    const u64 groups = pixels * groups_of(c);
    Normal normal;
    u32 loaded = NONE;
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        if (group.first != loaded) normal.load_from(saved, weight, bias, c, group);
        loaded = group.first;
        const u64 at = group.pixel * c + group.first;
        Channels v = load<GROUP>(x + at, group.len);
        u32 bits = 0;
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const float z = normal.of<T>(v.at[k], k);
            const bool alive = z > 0.0f;
            v.at[k] = alive ? z : 0.0f;
            bits |= (u32)alive << k;
        }
        store<GROUP>(y + at, group.len, v);
        if (aux) aux[i] = (u8)bits;
    }
}

template <class T>
__device__ inline void relu_max_pool_forward(const T* x, const float* saved, const float* weight,
                                             const float* bias, T* y, u32* aux, u64 n, u32 h, u32 w,
                                             u32 c) {
    const u32 y_h = h / 2, y_w = w / 2;
    const u64 groups = n * y_h * y_w * groups_of(c);
    Normal normal;
    u32 loaded = NONE;
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        if (group.first != loaded) normal.load_from(saved, weight, bias, c, group);
        loaded = group.first;
        const Place place(group.pixel, y_h, y_w);
        const u64 corner = (place.image * h + 2 * place.row) * w + 2 * place.column;
        Pool pool;
#pragma unroll
        for (u32 in_window = 0; in_window < 4; in_window++) {
            const u64 pixel = corner + (u64)(in_window / 2) * w + in_window % 2;
            Channels z = load<GROUP>(x + pixel * c + group.first, group.len);
#pragma unroll
            for (int k = 0; k < GROUP; k++) z.at[k] = normal.of<T>(z.at[k], k);
            pool.take(in_window, z);
        }
        const u32 word = pool.decide();
        store<GROUP>(y + group.pixel * c + group.first, group.len, pool.largest);
        if (aux) aux[i] = word;
    }
}

// The sums of dz and of dz · (x - mean) over some of the output's pixels: [rows, 2, c].
template <class T>
__device__ inline void relu_sums(const T* x, const T* dy, const u8* aux, const float* saved,
                                 float* partial, u64 pixels, u32 c, u64 pixels_per_block,
                                 u32 lanes) {
    const Column column(pixels, c, pixels_per_block, lanes);
    const Channels mean = load<GROUP>(saved + column.first, column.len);
    Channels sums = {}, products = {};
    for (u64 pixel = column.begin; pixel < column.end; pixel += column.stride) {
        const u64 at = pixel * c + column.first;
        const Channels v = load<GROUP>(x + at, column.len);
        const Channels gradient = load<GROUP>(dy + at, column.len);
        const u32 bits = aux[pixel * groups_of(c) + column.first / GROUP];
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const float dz = bits >> k & 1 ? gradient.at[k] : 0.0f;
            sums.at[k] += dz;
            products.at[k] += dz * (v.at[k] - mean.at[k]);
        }
    }
    add_up(sums, products, lanes);
    if (threadIdx.x < lanes && column.inside) {
        float* row = partial + (u64)blockIdx.y * 2 * c + column.first;
        store<GROUP>(row, column.len, sums);
        store<GROUP>(row + c, column.len, products);
    }
}

// As above, over pixels of the pooled output.
template <class T>
__device__ inline void relu_max_pool_sums(const T* x, const T* dy, const u32* aux,
                                          const float* saved, float* partial, u64 pixels, u32 h,
                                          u32 w, u32 c, u64 pixels_per_block, u32 lanes) {
    const Column column(pixels, c, pixels_per_block, lanes);
    const Channels mean = load<GROUP>(saved + column.first, column.len);
    Channels sums = {}, products = {};
    for (u64 pixel = column.begin; pixel < column.end; pixel += column.stride) {
        const Place place(pixel, h / 2, w / 2);
        const u64 corner = (place.image * h + 2 * place.row) * w + 2 * place.column;
        const Channels gradient = load<GROUP>(dy + pixel * c + column.first, column.len);
        const u32 word = aux[pixel * groups_of(c) + column.first / GROUP];
        Channels winner = {};
#pragma unroll
        for (u32 in_window = 0; in_window < 4; in_window++) {
            const u64 from = corner + (u64)(in_window / 2) * w + in_window % 2;
            const Channels v = load<GROUP>(x + from * c + column.first, column.len);
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                if (pool_winner(word, k) == in_window) winner.at[k] = v.at[k];
            }
        }
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const float dz = pool_alive(word, k) ? gradient.at[k] : 0.0f;
            sums.at[k] += dz;
            products.at[k] += dz * (winner.at[k] - mean.at[k]);
        }
    }
    add_up(sums, products, lanes);
    if (threadIdx.x < lanes && column.inside) {
        float* row = partial + (u64)blockIdx.y * 2 * c + column.first;
        store<GROUP>(row, column.len, sums);
        store<GROUP>(row + c, column.len, products);
    }
}

// sums: [2, c], of dz and dz · x^, as large as the gradients in memory are; those of the parameters
// are divided by the loss scale.
KERNEL batch_norm2d_gradients(const float* partial, u64 rows, u32 c, u32 lanes, const float* saved,
                              float* sums, float* dweight, float* dbias, const float* loss_scale) {
    const Column column(rows, c, rows, lanes);
    Channels dz = {}, products = {};
    for (u64 row = column.begin; row < column.end; row += column.stride) {
        const float* at = partial + row * 2 * c + column.first;
        const Channels more_dz = load<GROUP>(at, column.len);
        const Channels more_products = load<GROUP>(at + c, column.len);
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            dz.at[k] += more_dz.at[k];
            products.at[k] += more_products.at[k];
        }
    }
    add_up(dz, products, lanes);
    if (threadIdx.x >= lanes || !column.inside) return;
    const Channels inverse = load<GROUP>(saved + c + column.first, column.len);
    const float factor = unscale(loss_scale);
#pragma unroll
    for (int k = 0; k < GROUP; k++) products.at[k] *= inverse.at[k];
    store<GROUP>(sums + column.first, column.len, dz);
    store<GROUP>(sums + c + column.first, column.len, products);
#pragma unroll
    for (int k = 0; k < GROUP; k++) {
        dz.at[k] *= factor;
        products.at[k] *= factor;
    }
    store<GROUP>(dbias + column.first, column.len, dz);
    store<GROUP>(dweight + column.first, column.len, products);
}

// What makes dx of dz and x, for a group of channels.
struct Gradient {
    Channels mean, scale, slope, constant;

    __device__ void load_from(const float* saved, const float* weight, const float* sums,
                              float share, u32 c, const Group& group) {
        mean = load<GROUP>(saved + group.first, group.len);
        scale = load<GROUP>(weight + group.first, group.len);
        constant = load<GROUP>(sums + group.first, group.len);
        slope = load<GROUP>(sums + c + group.first, group.len);
        const Channels inverse = load<GROUP>(saved + c + group.first, group.len);
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            scale.at[k] *= inverse.at[k];
            constant.at[k] *= -scale.at[k] * share;
            slope.at[k] *= -scale.at[k] * share * inverse.at[k];
        }
    }
    __device__ float of(float dz, float x, int k) const {
        const float rest = __fmaf_rn(x - mean.at[k], slope.at[k], constant.at[k]);
        return __fmaf_rn(dz, scale.at[k], rest);
    }
};

template <class T>
__device__ inline void relu_backward(const T* x, const T* dy, const u8* aux, const float* saved,
                                     const float* weight, const float* sums, T* dx, u64 pixels,
                                     u32 c) {
    const u64 groups = pixels * groups_of(c);
    const float share = __frcp_rn((float)pixels);
    Gradient gradient;
    u32 loaded = NONE;
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        if (group.first != loaded) gradient.load_from(saved, weight, sums, share, c, group);
        loaded = group.first;
        const u64 at = group.pixel * c + group.first;
        Channels v = load<GROUP>(x + at, group.len);
        const Channels from = load<GROUP>(dy + at, group.len);
        const u32 bits = aux[i];
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            v.at[k] = gradient.of(bits >> k & 1 ? from.at[k] : 0.0f, v.at[k], k);
        }
        store<GROUP>(dx + at, group.len, v);
    }
}

// The dropped row or column counts as windows that are cut off, as in bias_relu_max_pool.cu.
template <class T>
__device__ inline void relu_max_pool_backward(const T* x, const T* dy, const u32* aux,
                                              const float* saved, const float* weight,
                                              const float* sums, T* dx, u64 n, u32 h, u32 w,
                                              u32 c) {
    const u32 y_h = h / 2, y_w = w / 2;
    const u32 windows_h = (h + 1) / 2, windows_w = (w + 1) / 2;
    const u64 groups = n * windows_h * windows_w * groups_of(c);
    const float share = __frcp_rn((float)(n * h * w));
    Gradient gradient;
    u32 loaded = NONE;
    for (u64 i = first_index(); i < groups; i += index_stride()) {
        const Group group(i, c);
        if (group.first != loaded) gradient.load_from(saved, weight, sums, share, c, group);
        loaded = group.first;
        const Place place(group.pixel, windows_h, windows_w);
        Channels from = {};
        u32 word = 0;
        if (place.row < y_h && place.column < y_w) {
            const u64 pixel = (place.image * y_h + place.row) * y_w + place.column;
            from = load<GROUP>(dy + pixel * c + group.first, group.len);
            word = aux[pixel * groups_of(c) + group.first / GROUP];
        }
#pragma unroll
        for (u32 in_window = 0; in_window < 4; in_window++) {
            const u32 row = 2 * place.row + in_window / 2;
            const u32 column = 2 * place.column + in_window % 2;
            if (row >= h || column >= w) continue;
            const u64 at = ((place.image * h + row) * w + column) * c + group.first;
            Channels v = load<GROUP>(x + at, group.len);
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                const bool won = pool_alive(word, k) && pool_winner(word, k) == in_window;
                v.at[k] = gradient.of(won ? from.at[k] : 0.0f, v.at[k], k);
            }
            store<GROUP>(dx + at, group.len, v);
        }
    }
}

#define ENTRY(T, NAME)                                                                            \
    KERNEL batch_norm2d_statistics_##NAME(const T* x, float* partial, u64 pixels, u32 c,           \
                                          u64 pixels_per_block, u32 lanes) {                       \
        statistics(x, partial, pixels, c, pixels_per_block, lanes);                                \
    }                                                                                              \
    KERNEL batch_norm2d_relu_forward_##NAME(const T* x, const float* saved, const float* weight,   \
                                            const float* bias, T* y, u8* aux, u64 pixels, u32 c) { \
        relu_forward(x, saved, weight, bias, y, aux, pixels, c);                                   \
    }                                                                                              \
    KERNEL batch_norm2d_relu_max_pool_forward_##NAME(const T* x, const float* saved,               \
                                                     const float* weight, const float* bias, T* y, \
                                                     u32* aux, u64 n, u32 h, u32 w, u32 c) {       \
        relu_max_pool_forward(x, saved, weight, bias, y, aux, n, h, w, c);                         \
    }                                                                                              \
    KERNEL batch_norm2d_relu_sums_##NAME(const T* x, const T* dy, const u8* aux,                   \
                                         const float* saved, float* partial, u64 pixels, u32 c,    \
                                         u64 pixels_per_block, u32 lanes) {                        \
        relu_sums(x, dy, aux, saved, partial, pixels, c, pixels_per_block, lanes);                 \
    }                                                                                              \
    KERNEL batch_norm2d_relu_max_pool_sums_##NAME(const T* x, const T* dy, const u32* aux,         \
                                                  const float* saved, float* partial, u64 pixels,  \
                                                  u32 h, u32 w, u32 c, u64 pixels_per_block,       \
                                                  u32 lanes) {                                     \
        relu_max_pool_sums(x, dy, aux, saved, partial, pixels, h, w, c, pixels_per_block, lanes);  \
    }                                                                                              \
    KERNEL batch_norm2d_relu_backward_##NAME(const T* x, const T* dy, const u8* aux,               \
                                             const float* saved, const float* weight,              \
                                             const float* sums, T* dx, u64 pixels, u32 c) {        \
        relu_backward(x, dy, aux, saved, weight, sums, dx, pixels, c);                             \
    }                                                                                              \
    KERNEL batch_norm2d_relu_max_pool_backward_##NAME(const T* x, const T* dy, const u32* aux,     \
                                                      const float* saved, const float* weight,     \
                                                      const float* sums, T* dx, u64 n, u32 h,      \
                                                      u32 w, u32 c) {                              \
        relu_max_pool_backward(x, dy, aux, saved, weight, sums, dx, n, h, w, c);                   \
    }
FOR_EACH_TYPE(ENTRY)
