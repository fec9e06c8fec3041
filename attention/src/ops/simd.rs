//! One body per kernel, compiled for AVX-512, AVX2 with FMA, and anything else; the choice falls at run time.
//!
//! A kernel is a struct whose [`Kernel::run`] is generic over [`Simd`]. The token of an instruction set can only be
//! made by [`dispatch`], after the CPU was asked; so its methods may use the instructions.
//!
//! Sums depend on the number of lanes, so two machines may differ in the last bits; two runs on one machine do not.

#![expect(
    unsafe_code,
    reason = "vector intrinsics and raw loads; every block states what makes it sound"
)]

/// Vectors of f32 of one instruction set.
pub(crate) trait Simd: Copy {
    /// A vector.
    type V: Copy;
    /// Its number of f32.
    const LANES: usize;

    /// Runs a kernel as a function of its own, so that it is compiled once and not at every place of use.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;
    /// The same number in all lanes.
    fn splat(self, x: f32) -> Self::V;
    /// # Safety
    /// `LANES` numbers are readable at `at`.
    unsafe fn load(self, at: *const f32) -> Self::V;
    /// # Safety
    /// `LANES` numbers are writable at `at`.
    unsafe fn store(self, at: *mut f32, v: Self::V);
    /// x + y
    fn add(self, x: Self::V, y: Self::V) -> Self::V;
    /// x − y
    fn sub(self, x: Self::V, y: Self::V) -> Self::V;
    /// x · y
    fn mul(self, x: Self::V, y: Self::V) -> Self::V;
    /// x / y
    fn div(self, x: Self::V, y: Self::V) -> Self::V;
    /// x · y + z, with one rounding where the instruction set has it.
    fn fma(self, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// The larger; y if either is NaN.
    fn max(self, x: Self::V, y: Self::V) -> Self::V;
    /// The smaller; y if either is NaN.
    fn min(self, x: Self::V, y: Self::V) -> Self::V;
    /// √x
    fn sqrt(self, x: Self::V) -> Self::V;
    /// Largest integer not above x.
    fn floor(self, x: Self::V) -> Self::V;
    /// Nearest integer.
    fn round(self, x: Self::V) -> Self::V;
    /// |x|
    fn abs(self, x: Self::V) -> Self::V;
    /// x < y ? yes : no
    fn select_less(self, x: Self::V, y: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// 2ⁿ for integral n in \[−127, 128\]; 0 and ∞ at the ends.
    fn power_of_two(self, n: Self::V) -> Self::V;
    /// x · 2ⁿ for x in \[½, 2\] and integral n ≤ 1 or NaN; 0 for n < −126.
    #[inline(always)]
    fn shrink(self, x: Self::V, n: Self::V) -> Self::V {
        let n = self.max(self.splat(-127.0), n);
        self.mul(x, self.power_of_two(n))
    }
    /// Mantissa in \[0.5, 1) and exponent of a positive normal number.
    fn split(self, x: Self::V) -> (Self::V, Self::V);

    /// `slice[at..]`, zeros past its end.
    #[inline(always)]
    fn read(self, slice: &[f32], at: usize) -> Self::V {
        if at + Self::LANES <= slice.len() {
            // SAFETY: just checked.
            return unsafe { self.load(slice.as_ptr().add(at)) };
        }
        let mut lanes = [0.0; 16];
        let rest = &slice[at..];
        lanes[..rest.len()].copy_from_slice(rest);
        // SAFETY: no instruction set here has more than 16 lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// Writes `slice[at..]`, dropping what is past its end.
    #[inline(always)]
    fn write(self, slice: &mut [f32], at: usize, v: Self::V) {
        if at + Self::LANES <= slice.len() {
            // SAFETY: just checked.
            return unsafe { self.store(slice.as_mut_ptr().add(at), v) };
        }
        let lanes = self.lanes(v);
        let rest = &mut slice[at..];
        let n = rest.len();
        rest.copy_from_slice(&lanes[..n]);
    }

    /// The lanes, zeros above.
    #[inline(always)]
    fn lanes(self, v: Self::V) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        // SAFETY: no instruction set here has more than 16 lanes.
        unsafe { self.store(lanes.as_mut_ptr(), v) };
        lanes
    }

    /// Sum of the lanes.
    #[inline(always)]
    fn total(self, v: Self::V) -> f32 {
        let mut lanes = self.lanes(v);
        let mut half = Self::LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    /// Largest lane; NaNs may be passed over.
    #[inline(always)]
    fn largest(self, v: Self::V) -> f32 {
        let lanes = self.lanes(v);
        let mut largest = lanes[0];
        for &x in &lanes[1..Self::LANES] {
            largest = if x > largest { x } else { largest };
        }
        largest
    }

    /// eˣ with a relative error below 2e-7 (2e-6 above 88.3); 0 below −87.3, ∞ above 88.73, NaN for NaN.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        let clamped = self.min(self.splat(88.8), self.max(self.splat(-88.0), x));
        let n = self.round(self.mul(clamped, self.splat(std::f32::consts::LOG2_E)));
        // 2¹²⁸ is ∞, but e^88.5 is not.
        let n = self.min(self.splat(127.0), n);
        // ln 2 in two parts, the first exact in products with small integers.
        let r = self.fma(n, self.splat(-0.693_359_4), clamped);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        // Remainder of the series of e^r on |r| ≤ ln2 / 2, minimax coefficients (Cephes expf).
        let mut p = self.splat(1.987_569_1e-4);
        for c in [
            1.398_199_9e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            5e-1,
        ] {
            p = self.fma(p, r, self.splat(c));
        }
        let p = self.fma(p, self.mul(r, r), self.add(r, self.splat(1.0)));
        let y = self.mul(p, self.power_of_two(n));
        self.select_less(x, self.splat(-87.3), self.splat(0.0), y)
    }

    /// eˣ for x ≤ 0, give or take rounding, with a relative error below 2e-7 + 1e-7 · |x|; 0 below −87.7, NaN for NaN.
    #[inline(always)]
    fn exp_down(self, x: Self::V) -> Self::V {
        let scale = self.splat(std::f32::consts::LOG2_E);
        // −∞ would leave no remainder; the order of arguments keeps NaN.
        let x = self.max(self.splat(-100.0), x);
        let n = self.round(self.mul(x, scale));
        let r = self.fma(x, scale, self.sub(self.splat(0.0), n));
        // (2ʳ − 1) / r on |r| ≤ ½, fitted for the least relative error of 2ʳ.
        let mut p = self.splat(1.326_469_9e-3);
        for c in [9.671_533_5e-3, 5.550_734e-2, 2.402_224_2e-1, 6.931_47e-1] {
            p = self.fma(p, r, self.splat(c));
        }
        self.shrink(self.fma(p, r, self.splat(1.0)), n)
    }

    /// Natural logarithm with a relative error below 3e-7; −∞ at 0, NaN below 0 and for NaN, ∞ at ∞.
    #[inline(always)]
    fn ln(self, x: Self::V) -> Self::V {
        // Subnormals are lifted into the normal range first.
        let tiny = self.splat(f32::MIN_POSITIVE);
        let lifted = self.mul(x, self.splat(16_777_216.0));
        let (m, e) = self.split(self.select_less(x, tiny, lifted, x));
        let e = self.select_less(x, tiny, self.sub(e, self.splat(24.0)), e);
        // Mantissa into [√½, √2).
        let low = self.splat(std::f32::consts::FRAC_1_SQRT_2);
        let e = self.select_less(m, low, self.sub(e, self.splat(1.0)), e);
        let m = self.select_less(m, low, self.add(m, m), m);
        let f = self.sub(m, self.splat(1.0));
        // Cephes logf.
        let mut p = self.splat(7.037_683_6e-2);
        for c in [
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ] {
            p = self.fma(p, f, self.splat(c));
        }
        let f2 = self.mul(f, f);
        let y = self.mul(self.mul(p, f2), f);
        let y = self.fma(e, self.splat(-2.121_944_4e-4), y);
        let y = self.fma(f2, self.splat(-0.5), y);
        let y = self.fma(e, self.splat(0.693_359_4), self.add(f, y));
        let (zero, infinity) = (self.splat(0.0), self.splat(f32::INFINITY));
        let y = self.select_less(x, infinity, y, x);
        let y = self.select_less(x, zero, self.splat(f32::NAN), y);
        let is_zero = self.select_less(self.abs(x), self.splat(1e-45), self.splat(1.0), zero);
        self.select_less(zero, is_zero, self.splat(f32::NEG_INFINITY), y)
    }

    /// ln(1 + x) with a relative error below 1e-6.
    #[inline(always)]
    fn log1p(self, x: Self::V) -> Self::V {
        let one = self.splat(1.0);
        let sum = self.add(one, x);
        // What rounding took from 1 + x comes back to first order.
        let lost = self.div(self.sub(x, self.sub(sum, one)), sum);
        let y = self.add(self.ln(sum), lost);
        let finite = self.select_less(sum, self.splat(f32::INFINITY), y, sum);
        self.select_less(self.splat(0.0), sum, finite, self.ln(sum))
    }

    /// tanh with an absolute error below 2e-7, relative below 2e-6.
    #[inline(always)]
    fn tanh(self, x: Self::V) -> Self::V {
        let one = self.splat(1.0);
        let size = self.abs(x);
        let e = self.exp(self.mul(size, self.splat(-2.0)));
        let far = self.div(self.sub(one, e), self.add(one, e));
        let x2 = self.mul(x, x);
        // Series, where the difference above would cancel.
        let near = self.fma(x2, self.splat(2.0 / 15.0), self.splat(-1.0 / 3.0));
        let near = self.mul(size, self.fma(self.mul(near, x2), one, one));
        let y = self.select_less(size, self.splat(0.1), near, far);
        self.select_less(x, self.splat(0.0), self.sub(self.splat(0.0), y), y)
    }
}

/// Something that runs on any instruction set.
pub(crate) trait Kernel {
    /// What it gives back.
    type Output;
    /// Must be `#[inline(always)]`, as must everything generic that it calls.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Instruction sets, widest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Whatever the compiler targets.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The widest of this CPU.
    #[inline]
    pub(crate) fn best() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return Level::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Level::Avx2;
            }
        }
        Level::Portable
    }
}

/// Runs a kernel with the widest instruction set of this CPU.
#[inline]
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: `best` only answers what the CPU has.
    unsafe { dispatch_at(Level::best(), kernel) }
}

/// Runs a kernel with a given instruction set.
///
/// # Safety
/// The CPU has it.
pub(crate) unsafe fn dispatch_at<K: Kernel>(level: Level, kernel: K) -> K::Output {
    match level {
        Level::Portable => run_portable(kernel),
        // SAFETY: the caller vouches for the instruction set.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::run_avx2(kernel) },
        // SAFETY: the caller vouches for the instruction set.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::run_avx512(kernel) },
    }
}

#[inline(never)]
fn run_portable<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

/// Eight lanes for whatever the compiler targets; without fused multiply-add, which would be a library call there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

macro_rules! lanewise {
    ($x:expr, $f:expr) => {{
        let mut y = $x;
        for lane in &mut y {
            *lane = $f(*lane);
        }
        y
    }};
    ($x:expr, $y:expr, $f:expr) => {{
        let (mut z, y) = ($x, $y);
        for (lane, other) in z.iter_mut().zip(y) {
            *lane = $f(*lane, other);
        }
        z
    }};
}

impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        run_portable(kernel)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> [f32; 8] {
        // SAFETY: the caller vouches for 8 numbers; the cast asks for no more than f32's alignment.
        unsafe { at.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: [f32; 8]) {
        // SAFETY: the caller vouches for 8 numbers.
        unsafe { at.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    fn add(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
        lanewise!(x, y, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
        lanewise!(x, y, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
        lanewise!(x, y, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
        lanewise!(x, y, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
        self.add(self.mul(x, y), z)
    }
    #[inline(always)]
    fn max(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
        lanewise!(x, y, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
        lanewise!(x, y, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, x: [f32; 8]) -> [f32; 8] {
        lanewise!(x, f32::sqrt)
    }
    #[inline(always)]
    fn floor(self, x: [f32; 8]) -> [f32; 8] {
        lanewise!(x, f32::floor)
    }
    #[inline(always)]
    fn round(self, x: [f32; 8]) -> [f32; 8] {
        lanewise!(x, f32::round_ties_even)
    }
    #[inline(always)]
    fn abs(self, x: [f32; 8]) -> [f32; 8] {
        lanewise!(x, f32::abs)
    }
    #[inline(always)]
    fn select_less(self, x: [f32; 8], y: [f32; 8], yes: [f32; 8], no: [f32; 8]) -> [f32; 8] {
        let mut z = no;
        for i in 0..8 {
            z[i] = if x[i] < y[i] { yes[i] } else { no[i] };
        }
        z
    }
    #[inline(always)]
    fn power_of_two(self, n: [f32; 8]) -> [f32; 8] {
        lanewise!(n, |a: f32| f32::from_bits(((a as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    fn split(self, x: [f32; 8]) -> ([f32; 8], [f32; 8]) {
        let m = lanewise!(x, |a: f32| f32::from_bits(
            (a.to_bits() & 0x007f_ffff) | 0x3f00_0000
        ));
        let e = lanewise!(x, |a: f32| ((a.to_bits() >> 23) as i32 - 126) as f32);
        (m, e)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kernel, Simd};
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
                let normal = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(n, _mm512_set1_ps(-126.0));
                _mm512_maskz_scalef_ps(normal, x, n)
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
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Map<'a>(&'a [f32], &'a mut [f32], &'a str);
    impl Kernel for Map<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for at in (0..self.0.len()).step_by(S::LANES) {
                let x = s.read(self.0, at);
                let y = match self.2 {
                    "exp" => s.exp(x),
                    "exp_down" => s.exp_down(x),
                    "ln" => s.ln(x),
                    "log1p" => s.log1p(x),
                    _ => s.tanh(x),
                };
                s.write(self.1, at, y);
            }
        }
    }

    fn levels() -> Vec<Level> {
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "x86_64")]
        levels.extend([Level::Avx2, Level::Avx512]);
        levels.retain(|level| *level <= Level::best());
        levels
    }

    fn map(level: Level, x: &[f32], f: &str) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        // SAFETY: `levels` asks the CPU.
        unsafe { dispatch_at(level, Map(x, &mut y, f)) };
        y
    }

    #[test]
    fn exp_is_exact_to_two_in_ten_million() {
        let x: Vec<f32> = (-87_000..88_700).map(|i| i as f32 * 1e-3 + 3e-4).collect();
        for level in levels() {
            for (x, y) in x.iter().zip(map(level, &x, "exp")) {
                let exact = f64::from(*x).exp();
                let error = (f64::from(y) - exact).abs() / exact;
                let tolerance = if *x < 88.3 { 2e-7 } else { 2e-6 };
                assert!(
                    error < tolerance,
                    "{level:?}: exp({x}) = {y}, off by {error:e}"
                );
            }
            let edge = [
                f32::NEG_INFINITY,
                -1e9,
                -88.5,
                0.0,
                89.0,
                f32::INFINITY,
                f32::NAN,
            ];
            let y = map(level, &edge, "exp");
            assert_eq!(y[..6], [0.0, 0.0, 0.0, 1.0, f32::INFINITY, f32::INFINITY]);
            assert!(y[6].is_nan());
        }
    }

    #[test]
    fn exp_down_is_as_exact_as_it_says() {
        let x: Vec<f32> = (-87_000..=1).map(|i| i as f32 * 1e-3).collect();
        for level in levels() {
            for (x, y) in x.iter().zip(map(level, &x, "exp_down")) {
                let exact = f64::from(*x).exp();
                let error = (f64::from(y) - exact).abs() / exact;
                assert!(
                    error < 2e-7 + 1e-7 * f64::from(x.abs()),
                    "{level:?}: exp({x}) = {y}, off by {error:e}"
                );
            }
            let edge = [f32::NEG_INFINITY, f32::MIN, -88.0, -0.0, 0.0, f32::NAN];
            let y = map(level, &edge, "exp_down");
            assert_eq!(y[..5], [0.0, 0.0, 0.0, 1.0, 1.0], "{level:?}");
            assert!(y[5].is_nan(), "{level:?}");
        }
    }

    #[test]
    fn ln_is_exact_to_three_in_ten_million() {
        let x: Vec<f32> = (-400_000..350_000)
            .map(|i| (i as f32 * 2.5e-4).exp())
            .collect();
        for level in levels() {
            for (x, y) in x.iter().zip(map(level, &x, "ln")) {
                let exact = f64::from(*x).ln();
                let error = (f64::from(y) - exact).abs() / exact.abs().max(1e-3);
                assert!(error < 3e-7, "{level:?}: ln({x}) = {y}, off by {error:e}");
            }
            let y = map(level, &[0.0, 1.0, f32::INFINITY, -1.0, f32::NAN], "ln");
            assert_eq!(y[..3], [f32::NEG_INFINITY, 0.0, f32::INFINITY]);
            assert!(y[3].is_nan() && y[4].is_nan());
        }
    }

    #[test]
    fn log1p_and_tanh_are_exact_near_zero_and_far_away() {
        let x: Vec<f32> = (-3000..3000).map(|i| (i as f32 * 1e-2).exp()).collect();
        let both: Vec<f32> = x.iter().flat_map(|x| [*x, -*x]).collect();
        for level in levels() {
            for (x, y) in x.iter().zip(map(level, &x, "log1p")) {
                let exact = f64::from(*x).ln_1p();
                assert!(
                    (f64::from(y) - exact).abs() < 1e-6 * exact,
                    "{level:?}: log1p({x}) = {y}"
                );
            }
            for (x, y) in both.iter().zip(map(level, &both, "tanh")) {
                let exact = f64::from(*x).tanh();
                let error = (f64::from(y) - exact).abs();
                assert!(error < 2e-6 * exact.abs(), "{level:?}: tanh({x}) = {y}");
            }
            let y = map(level, &[0.0, f32::INFINITY, -1.0, -2.0, f32::NAN], "log1p");
            assert_eq!(y[..3], [0.0, f32::INFINITY, f32::NEG_INFINITY]);
            assert!(y[3].is_nan() && y[4].is_nan());
            let y = map(
                level,
                &[0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN],
                "tanh",
            );
            assert_eq!(y[..3], [0.0, 1.0, -1.0]);
            assert!(y[3].is_nan());
        }
    }
}
