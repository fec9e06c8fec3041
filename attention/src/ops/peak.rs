//! How fast this machine multiplies and adds, to hold kernels against.

use super::simd::{Kernel, Simd, dispatch};
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Floating-point operations per second of one thread in f32, a multiply-add counting as two: independent chains that
/// never leave the registers, best of many short rounds. Takes about a tenth of a second.
pub fn measure_peak() -> f64 {
    (0..100).map(|_| dispatch(Chains)).fold(0.0, f64::max)
}

/// The same for all threads at once, measured once per process: threads may share what they compute with.
pub fn peak_flops() -> f64 {
    static PEAK: OnceLock<f64> = OnceLock::new();
    *PEAK.get_or_init(|| rayon::broadcast(|_| measure_peak()).into_iter().sum())
}

struct Chains;

impl Kernel for Chains {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        const CHAINS: usize = 12;
        const ROUNDS: usize = 5000;
        let mut sums = [s.splat(black_box(1.0)); CHAINS];
        let (x, y) = (s.splat(black_box(0.999)), s.splat(black_box(0.001)));
        let started = Instant::now();
        let mut rounds = 0;
        while started.elapsed() < Duration::from_millis(1) {
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = s.fma(*sum, x, y);
                }
            }
            rounds += ROUNDS;
        }
        let seconds = started.elapsed().as_secs_f64();
        black_box(sums.map(|sum| s.total(sum)));
        (2 * rounds * CHAINS * S::LANES) as f64 / seconds
    }
}
