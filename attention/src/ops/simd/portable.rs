//! Any processor.

use super::lanes::{Kernel, Simd};

/// Eight lanes for whatever the compiler targets; without fused multiply-add, which would be a library call there.
#[derive(Clone, Copy, Debug)]
struct Portable;

#[inline(never)]
pub(super) fn run_portable<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

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
