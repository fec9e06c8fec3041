// What the words of CUDA mean on the processor. Stands before the text of a kernel, which becomes a library that the fake
// driver loads.
#pragma once
#include "between.h"
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
// All in one place, so that the driver can spoil what an earlier block left.
#define __shared__ static __attribute__((section("of_block")))
#define __syncthreads() fake::driver->wait(0)
#define threadIdx (fake::here->thread)
#define blockIdx (fake::here->block)
#define gridDim (fake::here->grid)

namespace fake {
static const Driver *driver;
static const Here *here;

template <typename T> T shown(T value, unsigned from) {
    static_assert(sizeof(T) == 4, "a word");
    unsigned *words = driver->words();
    __builtin_memcpy(&words[here->lane], &value, 4);
    driver->wait(1);
    T other;
    __builtin_memcpy(&other, &words[from % 32], 4);
    driver->wait(1);
    return other;
}

template <unsigned...> struct Numbers {};
template <typename T> constexpr unsigned bytes(const T *) { return sizeof(T); }
template <typename T> constexpr unsigned bytes(T *const *) { return 0; }
template <typename F> struct Entry;
template <typename... T> struct Entry<void(T...)> {
    // Bytes of each parameter; of a pointer to the device's memory 0.
    static unsigned size(unsigned i) {
        const unsigned all[] = {bytes((const T *)nullptr)..., 0};
        return all[i];
    }
    static constexpr unsigned count = sizeof...(T);
    template <unsigned... I> static void call(void (*kernel)(T...), void **given, Numbers<I...>) {
        kernel(*static_cast<const T *>(given[I])...);
    }
};
}

extern "C" {
float fminf(float, float), fmaxf(float, float), fabsf(float), floorf(float), ceilf(float), truncf(float), rintf(float);
float roundf(float), sqrtf(float), rsqrtf(float), expf(float), exp2f(float), expm1f(float), logf(float), log2f(float);
float log1pf(float), powf(float, float), sinf(float), cosf(float), tanf(float), asinf(float), acosf(float), atanf(float);
float atan2f(float, float), sinhf(float), coshf(float), tanhf(float), erff(float), fmaf(float, float, float), fmodf(float, float);
float copysignf(float, float);
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
template <typename T> T __shfl_xor_sync(unsigned, T x, int mask) { return fake::shown(x, fake::here->lane ^ mask); }
template <typename T> T __shfl_sync(unsigned, T x, int from) { return fake::shown(x, from); }
inline void __syncwarp(unsigned = 0xffffffffu) { fake::driver->wait(1); }
inline unsigned atomicCAS(unsigned *at, unsigned old, unsigned next) {
    unsigned found = *at;
    if (found == old) *at = next;
    return found;
}
inline float atomicAdd(float *at, float x) {
    float found = *at;
    *at = found + x;
    return found;
}
inline unsigned atomicAdd(unsigned *at, unsigned x) {
    unsigned found = *at;
    *at = found + x;
    return found;
}
