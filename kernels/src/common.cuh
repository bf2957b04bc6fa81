// What all kernels share.
//
// Activations have channels innermost: [pixels, c], where pixels counts through images, rows and
// columns. Numbers are stored as T, and computed with as float. A grid may have any number of
// blocks, of BLOCK threads: loops stride over it. Indices have 64 bits; their divisions cost as
// much as those of 32 bits where the numbers are that small.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

// Constants are enumerators: NVRTC would put others into memory, used or not.
enum : u32 { BLOCK = 256 };

// A kernel as the host sees it.
#define KERNEL extern "C" __global__ void __launch_bounds__(BLOCK)

// The first index of a thread, and the distance to its next one.
__device__ inline u64 first_index() { return (u64)blockIdx.x * BLOCK + threadIdx.x; }
__device__ inline u64 index_stride() { return (u64)gridDim.x * BLOCK; }

__device__ inline u32 min_u32(u32 a, u32 b) { return a < b ? a : b; }

// N consecutive numbers in registers.
template <int N> struct Values {
    float at[N];
};

__device__ inline bool aligned(const void* p, u32 bytes) { return (u64)p % bytes == 0; }

// The first `len` of N numbers at `p`, zeros for the rest; four at a time where the address allows.
template <int N> __device__ inline Values<N> load(const float* p, u32 len) {
    Values<N> v;
    if (len == N && aligned(p, 16)) {
#pragma unroll
        for (int k = 0; k < N; k += 4) {
            const float4 four = *(const float4*)(p + k);
            v.at[k] = four.x;
            v.at[k + 1] = four.y;
            v.at[k + 2] = four.z;
            v.at[k + 3] = four.w;
        }
    } else {
#pragma unroll
        for (int k = 0; k < N; k++) v.at[k] = k < len ? p[k] : 0.0f;
    }
    return v;
}

// The inverse of `load`.
template <int N> __device__ inline void store(float* p, u32 len, const Values<N>& v) {
    if (len == N && aligned(p, 16)) {
#pragma unroll
        for (int k = 0; k < N; k += 4) {
            *(float4*)(p + k) = make_float4(v.at[k], v.at[k + 1], v.at[k + 2], v.at[k + 3]);
        }
    } else {
#pragma unroll
        for (int k = 0; k < N; k++) {
            if (k < len) p[k] = v.at[k];
        }
    }
}
