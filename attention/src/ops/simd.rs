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

mod lanes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use lanes::{Kernel, NOTHING, Simd};
use portable::run_portable;

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

/// The vector instructions that kernels on this CPU are run with, in words. Sums are rounded in another order with others, so
/// the same run gives the same bytes only where this is the same.
pub fn instruction_set() -> &'static str {
    match Level::best() {
        Level::Portable => "no vector instructions of its own",
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => "AVX2",
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => "AVX-512",
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

#[cfg(test)]
mod tests;
