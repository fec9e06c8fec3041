//! What a kernel may do with vectors of any instruction set.

/// e to this power, 4e-31, and to less is 0 in [`Simd::exp_down`]: beside 1, no sum of f32 would show it.
pub(crate) const NOTHING: f32 = -70.0;

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
    /// x · 2ⁿ for x in \[½, 2\] and integral n ≤ 1 or NaN; 0 for n < −100.
    #[inline(always)]
    fn shrink(self, x: Self::V, n: Self::V) -> Self::V {
        let y = self.mul(x, self.power_of_two(self.max(self.splat(-127.0), n)));
        self.select_less(n, self.splat(-100.0), self.splat(0.0), y)
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

    /// eˣ for x ≤ 0, give or take rounding, with a relative error below 2e-7 + 1e-7 · |x|; 0 below [`NOTHING`] and from
    /// there to 1 % above it, NaN for NaN. What is left is far from the subnormal numbers, which are slow, even after
    /// two products with small numbers.
    #[expect(
        clippy::approx_constant,
        reason = "a fitted coefficient near ln 2, not ln 2"
    )]
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
