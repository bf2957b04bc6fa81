// What all kernels share.
//
// Activations have channels innermost: [pixels, c], where pixels counts through images, rows and
// columns. Numbers are stored as T, one of the types below, and computed with as float. A grid may have any number of
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

// T as in the names of kernels: FOR_EACH_TYPE(ENTRY) has ENTRY(T, name) for each.
#define FOR_EACH_TYPE(ENTRY) ENTRY(float, f32) ENTRY(bf16, bf16) ENTRY(f16, f16)

// Numbers of 16 bits. bf16 is the upper half of a float; Turing has no instructions for it.
struct bf16 {
    unsigned short bits;
};
struct f16 {
    unsigned short bits;
};

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
__device__ inline float to_float(f16 x) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
    return wide;
}

// Rounds to nearest, ties to even. What is too large becomes infinite, and NaN stays NaN.
template <class T> __device__ inline T from_float(float x);
template <> __device__ inline float from_float(float x) { return x; }
template <> __device__ inline bf16 from_float(float x) {
    const u32 bits = __float_as_uint(x);
    const u32 odd = bits >> 16 & 1;
    const u32 rounded = x == x ? bits + 0x7fff + odd : bits | 0x400000;
    return {(unsigned short)(rounded >> 16)};
}
template <> __device__ inline f16 from_float(float x) {
    f16 narrow;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(x));
    return narrow;
}

// What is left of a number that is stored as T.
template <class T> __device__ inline float round_to(float x) { return to_float(from_float<T>(x)); }

// As `from_float`, of a number that T has: rounded already.
template <class T> __device__ inline T exact(float x) { return from_float<T>(x); }
template <> __device__ inline bf16 exact(float x) {
    return {(unsigned short)(__float_as_uint(x) >> 16)};
}

// N consecutive numbers in registers.
template <int N> struct Values {
    float at[N];
};

// N numbers as they are stored, N · sizeof(T) bytes at a time.
template <int N, class T> struct alignas(N * sizeof(T)) Packed {
    T at[N];
};
template <int N> struct alignas(16) Packed<N, float> {
    float at[N];
};

__device__ inline bool aligned(const void* p, u32 bytes) { return (u64)p % bytes == 0; }

// The first `len` of N numbers at `p`, zeros for the rest; as vectors where the address allows.
template <int N, class T> __device__ inline Packed<N, T> load_packed(const T* p, u32 len) {
    if (len == N && aligned(p, alignof(Packed<N, T>))) return *(const Packed<N, T>*)p;
    Packed<N, T> packed;
#pragma unroll
    for (int k = 0; k < N; k++) packed.at[k] = k < len ? p[k] : T{};
    return packed;
}

// The inverse of `load_packed`.
template <int N, class T> __device__ inline void store_packed(T* p, u32 len, const Packed<N, T>& v) {
    if (len == N && aligned(p, alignof(Packed<N, T>))) {
        *(Packed<N, T>*)p = v;
    } else {
#pragma unroll
        for (int k = 0; k < N; k++) {
            if (k < len) p[k] = v.at[k];
        }
    }
}

// As `load_packed`, to compute with.
template <int N, class T> __device__ inline Values<N> load(const T* p, u32 len) {
    const Packed<N, T> packed = load_packed<N>(p, len);
    Values<N> v;
#pragma unroll
    for (int k = 0; k < N; k++) v.at[k] = to_float(packed.at[k]);
    return v;
}

// The inverse of `load`.
template <int N, class T> __device__ inline void store(T* p, u32 len, const Values<N>& v) {
    Packed<N, T> packed;
#pragma unroll
    for (int k = 0; k < N; k++) packed.at[k] = from_float<T>(v.at[k]);
    store_packed<N>(p, len, packed);
}

// What a gradient is multiplied by to undo the loss scale, which is a power of two.
__device__ inline float unscale(const float* loss_scale) {
    return loss_scale ? __frcp_rn(*loss_scale) : 1.0f;
}
