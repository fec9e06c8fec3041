//! Operations on rows: values, and gradients by the chain rule.

use crate::expr::{Binary, Unary};
use crate::ops::simd::Simd;
use std::ops::Range;

/// y += x
#[inline(always)]
pub(super) fn add<S: Simd>(s: S, y: &mut [f32], x: &[f32]) {
    for at in (0..x.len()).step_by(S::LANES) {
        let sum = s.add(s.read(y, at), s.read(x, at));
        s.write(y, at, sum);
    }
}

/// Sum of whole vectors.
#[inline(always)]
pub(super) fn total<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sum = s.splat(0.0);
    for at in (0..x.len()).step_by(S::LANES) {
        sum = s.add(sum, s.read(x, at));
    }
    s.total(sum)
}

/// f of every lane, through f64: for the few operations that have no vector form here.
#[inline(always)]
fn by_lane<S: Simd>(s: S, x: S::V, y: S::V, f: impl Fn(f64, f64) -> f64) -> S::V {
    let (x, y) = (s.lanes(x), s.lanes(y));
    let mut z = [0.0; 16];
    for lane in 0..S::LANES {
        z[lane] = f(f64::from(x[lane]), f64::from(y[lane])) as f32;
    }
    s.read(&z, 0)
}

/// `y`, or NaN where x is.
#[inline(always)]
fn or_nan<S: Simd>(s: S, x: S::V, y: S::V) -> S::V {
    let infinity = s.splat(f32::INFINITY);
    s.select_less(x, infinity, y, s.select_less(s.splat(f32::MAX), x, y, x))
}

#[inline(always)]
fn map<S: Simd>(s: S, x: &[f32], y: &mut [f32], f: impl Fn(S::V) -> S::V) {
    for at in (0..y.len()).step_by(S::LANES) {
        let v = f(s.read(x, at));
        s.write(y, at, v);
    }
}

#[inline(always)]
pub(super) fn unary<S: Simd>(s: S, op: Unary, x: &[f32], y: &mut [f32]) {
    match op {
        Unary::Neg => map(s, x, y, |x| s.sub(s.splat(0.0), x)),
        Unary::Abs => map(s, x, y, |x| s.abs(x)),
        Unary::Exp => map(s, x, y, |x| s.exp(x)),
        Unary::Ln => map(s, x, y, |x| s.ln(x)),
        Unary::Log1p => map(s, x, y, |x| s.log1p(x)),
        Unary::Sqrt => map(s, x, y, |x| s.sqrt(x)),
        Unary::Tanh => map(s, x, y, |x| s.tanh(x)),
        Unary::Floor => map(s, x, y, |x| s.floor(x)),
        Unary::Cos => map(s, x, y, |x| by_lane(s, x, x, |x, _| x.cos())),
    }
}

#[inline(always)]
fn zip<S: Simd>(s: S, a: &[f32], b: &[f32], y: &mut [f32], f: impl Fn(S::V, S::V) -> S::V) {
    for at in (0..y.len()).step_by(S::LANES) {
        let v = f(s.read(a, at), s.read(b, at));
        s.write(y, at, v);
    }
}

#[inline(always)]
pub(super) fn binary<S: Simd>(s: S, op: Binary, a: &[f32], b: &[f32], y: &mut [f32]) {
    match op {
        Binary::Add => zip(s, a, b, y, |a, b| s.add(a, b)),
        Binary::Sub => zip(s, a, b, y, |a, b| s.sub(a, b)),
        Binary::Mul => zip(s, a, b, y, |a, b| s.mul(a, b)),
        Binary::Div => zip(s, a, b, y, |a, b| s.div(a, b)),
        Binary::Min => zip(s, a, b, y, |a, b| or_nan(s, a, s.min(a, b))),
        Binary::Max => zip(s, a, b, y, |a, b| or_nan(s, a, s.max(a, b))),
        Binary::Pow => zip(s, a, b, y, |a, b| by_lane(s, a, b, |a, b| op.apply(a, b))),
    }
}

/// `up · slope`, where no upstream gives nothing even from an infinite slope.
#[inline(always)]
fn guarded<S: Simd>(s: S, up: S::V, slope: S::V) -> S::V {
    s.select_less(s.splat(0.0), s.abs(up), s.mul(up, slope), up)
}

/// `down += up · f′(x)`, with y = f(x).
#[inline(always)]
pub(super) fn slopes<S: Simd>(s: S, op: Unary, x: &[f32], y: &[f32], up: &[f32], down: &mut [f32]) {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    match op {
        Unary::Neg => pull(s, (x, y), up, down, |_, _| s.splat(-1.0)),
        Unary::Abs => pull(s, (x, y), up, down, |x, _| {
            let negative = s.select_less(x, zero, s.splat(-1.0), zero);
            s.select_less(zero, x, one, negative)
        }),
        Unary::Exp => pull(s, (x, y), up, down, |_, y| y),
        Unary::Ln => pull(s, (x, y), up, down, |x, _| {
            s.select_less(zero, x, s.div(one, x), zero)
        }),
        Unary::Log1p => pull(s, (x, y), up, down, |x, _| {
            let slope = s.div(one, s.add(one, x));
            s.select_less(s.splat(-1.0), x, slope, zero)
        }),
        Unary::Sqrt => pull(s, (x, y), up, down, |x, y| {
            s.select_less(zero, x, s.div(s.splat(0.5), y), zero)
        }),
        Unary::Tanh => pull(s, (x, y), up, down, |_, y| s.sub(one, s.mul(y, y))),
        Unary::Floor => {}
        Unary::Cos => pull(s, (x, y), up, down, |x, _| {
            by_lane(s, x, x, |x, _| -x.sin())
        }),
    }
}

#[inline(always)]
fn pull<S: Simd>(
    s: S,
    (x, y): (&[f32], &[f32]),
    up: &[f32],
    down: &mut [f32],
    slope: impl Fn(S::V, S::V) -> S::V,
) {
    for at in (0..up.len()).step_by(S::LANES) {
        let slope = slope(s.read(x, at), s.read(y, at));
        let sum = s.add(s.read(down, at), guarded(s, s.read(up, at), slope));
        s.write(down, at, sum);
    }
}

/// Adds `up · slope` to both operands' places in `below`; they may be one and the same.
#[inline(always)]
pub(super) fn binary_slopes<S: Simd>(
    s: S,
    op: Binary,
    (a, b): (&[f32], &[f32]),
    up: &[f32],
    below: &mut [f32],
    (to_a, to_b): (Range<usize>, Range<usize>),
) {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    for at in (0..up.len()).step_by(S::LANES) {
        let (a, b, up) = (s.read(a, at), s.read(b, at), s.read(up, at));
        let (by_a, by_b) = match op {
            Binary::Add => (up, up),
            Binary::Sub => (up, s.sub(zero, up)),
            Binary::Mul => (guarded(s, up, b), guarded(s, up, a)),
            Binary::Div => {
                let by_a = s.div(one, b);
                let by_b = s.mul(s.mul(by_a, by_a), s.sub(zero, a));
                (guarded(s, up, by_a), guarded(s, up, by_b))
            }
            // On a tie the derivative goes to the first.
            Binary::Min => (s.select_less(b, a, zero, up), s.select_less(b, a, up, zero)),
            Binary::Max => (s.select_less(a, b, zero, up), s.select_less(a, b, up, zero)),
            Binary::Pow => {
                let by_a = by_lane(s, a, b, |a, b| op.derivatives(a, b).0);
                let by_b = by_lane(s, a, b, |a, b| op.derivatives(a, b).1);
                (guarded(s, up, by_a), guarded(s, up, by_b))
            }
        };
        let y = &mut below[to_a.clone()];
        s.write(y, at, s.add(s.read(y, at), by_a));
        let y = &mut below[to_b.clone()];
        s.write(y, at, s.add(s.read(y, at), by_b));
    }
}
