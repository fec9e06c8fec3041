//! AVX2 with FMA, and AVX-512.

use super::lanes::{Kernel, Simd};
use std::arch::x86_64::*;

#[inline(never)]
#[target_feature(enable = "avx2,fma")]
pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Token of AVX2 with FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// Token of AVX-512.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

/// Methods that are one intrinsic each.
macro_rules! plain {
    ($v:ty: $($name:ident($($x:ident),*) = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($x: $v),*) -> $v {
            // SAFETY: the token exists only behind the check of the CPU.
            unsafe { $body }
        }
    )*};
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: as in `plain!`.
        unsafe { run_avx2(kernel) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: as in `plain!`.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the memory, the token for the instruction.
        unsafe { _mm256_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for the memory, the token for the instruction.
        unsafe { _mm256_storeu_ps(at, v) }
    }
    plain! { __m256:
        add(x, y) = _mm256_add_ps(x, y);
        sub(x, y) = _mm256_sub_ps(x, y);
        mul(x, y) = _mm256_mul_ps(x, y);
        div(x, y) = _mm256_div_ps(x, y);
        fma(x, y, z) = _mm256_fmadd_ps(x, y, z);
        max(x, y) = _mm256_max_ps(x, y);
        min(x, y) = _mm256_min_ps(x, y);
        sqrt(x) = _mm256_sqrt_ps(x);
        floor(x) = _mm256_floor_ps(x);
        round(x) = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
        abs(x) = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
        select_less(x, y, yes, no) =
            _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(x, y));
        power_of_two(n) = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
            _mm256_cvtps_epi32(n), _mm256_set1_epi32(127))));
    }
    #[inline(always)]
    fn split(self, x: __m256) -> (__m256, __m256) {
        // SAFETY: as in `plain!`.
        unsafe {
            let bits = _mm256_castps_si256(x);
            let m = _mm256_and_si256(bits, _mm256_set1_epi32(0x007f_ffff));
            let m = _mm256_or_si256(m, _mm256_set1_epi32(0x3f00_0000));
            let e = _mm256_srli_epi32::<23>(bits);
            let e = _mm256_sub_epi32(e, _mm256_set1_epi32(126));
            (_mm256_castsi256_ps(m), _mm256_cvtepi32_ps(e))
        }
    }
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: as in `plain!`.
        unsafe { run_avx512(kernel) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: as in `plain!`.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the memory, the token for the instruction.
        unsafe { _mm512_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for the memory, the token for the instruction.
        unsafe { _mm512_storeu_ps(at, v) }
    }
    plain! { __m512:
        add(x, y) = _mm512_add_ps(x, y);
        sub(x, y) = _mm512_sub_ps(x, y);
        mul(x, y) = _mm512_mul_ps(x, y);
        div(x, y) = _mm512_div_ps(x, y);
        fma(x, y, z) = _mm512_fmadd_ps(x, y, z);
        max(x, y) = _mm512_max_ps(x, y);
        min(x, y) = _mm512_min_ps(x, y);
        sqrt(x) = _mm512_sqrt_ps(x);
        floor(x) = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x);
        round(x) = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
        abs(x) = _mm512_abs_ps(x);
        select_less(x, y, yes, no) =
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, y), no, yes);
        power_of_two(n) = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(
            _mm512_cvtps_epi32(n), _mm512_set1_epi32(127))));
    }
    #[inline(always)]
    fn shrink(self, x: __m512, n: __m512) -> __m512 {
        // SAFETY: as in `plain!`.
        unsafe {
            // Not-less, so that NaN stays.
            let some = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(n, _mm512_set1_ps(-100.0));
            _mm512_maskz_scalef_ps(some, x, n)
        }
    }
    #[inline(always)]
    fn total(self, v: __m512) -> f32 {
        // SAFETY: as in `plain!`.
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    fn largest(self, v: __m512) -> f32 {
        // SAFETY: as in `plain!`.
        unsafe { _mm512_reduce_max_ps(v) }
    }
    #[inline(always)]
    fn split(self, x: __m512) -> (__m512, __m512) {
        // SAFETY: as in `plain!`.
        unsafe {
            let bits = _mm512_castps_si512(x);
            let m = _mm512_and_si512(bits, _mm512_set1_epi32(0x007f_ffff));
            let m = _mm512_or_si512(m, _mm512_set1_epi32(0x3f00_0000));
            let e = _mm512_srli_epi32::<23>(bits);
            let e = _mm512_sub_epi32(e, _mm512_set1_epi32(126));
            (_mm512_castsi512_ps(m), _mm512_cvtepi32_ps(e))
        }
    }
}
