// What WGSL has and C++ has not.
typedef unsigned int u32;
typedef float f32;
struct u32x2 { u32 x, y; };
struct u32x3 { u32 x, y, z; };
struct u32x4 { u32 x, y, z, w; };
struct f32x4 { f32 x, y, z, w; };
template <typename T, u32 N> struct Array { T at[N]; };
// What was found in place of x, and whether y took its place.
struct Exchanged { u32 old_value; bool exchanged; };
template <typename To, typename From> static __device__ __forceinline__ To bits(From x) {
    union { From from; To to; } u;
    u.from = x;
    return u.to;
}
// WGSL says what C++ leaves open: x / 0 is x, x % 0 is 0, shifts count modulo 32, floats outside of u32 go to its ends.
static __device__ __forceinline__ u32 quotient(u32 x, u32 y) { return y == 0u ? x : x / y; }
static __device__ __forceinline__ u32 remains(u32 x, u32 y) { return y == 0u ? 0u : x % y; }
static __device__ __forceinline__ u32 whole(f32 x) { return (u32)fminf(fmaxf(x, 0.0f), 4294967040.0f); }
static __device__ __forceinline__ u32 min(u32 x, u32 y) { return x < y ? x : y; }
static __device__ __forceinline__ u32 max(u32 x, u32 y) { return x > y ? x : y; }
static __device__ __forceinline__ f32 min(f32 x, f32 y) { return fminf(x, y); }
static __device__ __forceinline__ f32 max(f32 x, f32 y) { return fmaxf(x, y); }
static __device__ __forceinline__ u32 clamp(u32 x, u32 lo, u32 hi) { return min(max(x, lo), hi); }
static __device__ __forceinline__ f32 clamp(f32 x, f32 lo, f32 hi) { return min(max(x, lo), hi); }
static __device__ __forceinline__ f32 sign(f32 x) { return (x > 0.0f ? 1.0f : 0.0f) - (x < 0.0f ? 1.0f : 0.0f); }
static __device__ __forceinline__ u32 atomic_load(const u32& at) { return *(const volatile u32*)&at; }
static __device__ __forceinline__ void atomic_store(u32& at, u32 x) { *(volatile u32*)&at = x; }
static __device__ __forceinline__ Exchanged atomic_exchange(u32& at, u32 x, u32 y) {
    const u32 z = atomicCAS(&at, x, y);
    return Exchanged{z, z == x};
}
// A subgroup is a warp, all of whose threads take part.
template <typename T> static __device__ __forceinline__ T shuffle(T x, u32 from) { return __shfl_sync(0xffffffffu, x, from); }
template <typename T> static __device__ __forceinline__ T shuffle_xor(T x, u32 mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
static __device__ __forceinline__ f32 subgroup_add(f32 x) {
    for (int i = 16; i > 0; i /= 2) { x += __shfl_xor_sync(0xffffffffu, x, i); }
    return x;
}
static __device__ __forceinline__ f32 subgroup_max(f32 x) {
    for (int i = 16; i > 0; i /= 2) { x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, i)); }
    return x;
}
static __device__ __forceinline__ f32 subgroup_min(f32 x) {
    for (int i = 16; i > 0; i /= 2) { x = fminf(x, __shfl_xor_sync(0xffffffffu, x, i)); }
    return x;
}
