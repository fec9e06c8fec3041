//! The score as a program on one row of keys, forward and backward.

use super::columns::row;
use super::compile::{Axis, Compiled, KEYS, Step, Values};
use super::product::LANES;
use crate::expr::{Binary, Unary};
use crate::ops::simd::{Kernel, Simd};
use std::ops::Range;

/// Where a row of a tile lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Batch entry.
    pub(super) batch: usize,
    /// Query head.
    pub(super) head: usize,
    /// Number of the query.
    pub(super) query: usize,
    /// Number of the row's first key.
    pub(super) key: usize,
    /// Keys to look at: whole vectors.
    pub(super) cols: usize,
}

/// Gradients of one job: of tables by place, and of the parameters that steps read.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// By table, then (head in group, place); empty unless the table is learned and indexed by key or distance.
    pub(super) narrow: Vec<Vec<f32>>,
    /// The same for tables by query, and fixed ones.
    pub(super) wide: Vec<Vec<f64>>,
    /// By weight, in the parameter's shape; empty unless learned.
    pub(super) weights: Vec<Vec<f64>>,
    /// By step: sums over pairs that a network's gradients are made of, lane by lane, waiting for [`Sums::settle`].
    lanes: Vec<Vec<f32>>,
}

impl Sums {
    pub(super) fn new(compiled: &Compiled, values: &Values) -> Sums {
        let wide = |axis| matches!(axis, Axis::Fixed | Axis::Query);
        let size = |learned: bool, axis: Axis| {
            if learned {
                compiled.group() * compiled.padded_places(axis)
            } else {
                0
            }
        };
        let tables = || compiled.tables.iter();
        let hidden = |step: &Step| match step {
            Step::Net { first, .. } => (2 * values.weights[*first].len() + 1) * LANES,
            _ => 0,
        };
        let weights = compiled.weights.iter().zip(&values.weights);
        Sums {
            narrow: tables()
                .map(|t| vec![0.0; size(t.learned && !wide(t.axis), t.axis)])
                .collect(),
            wide: tables()
                .map(|t| vec![0.0; size(t.learned && wide(t.axis), t.axis)])
                .collect(),
            weights: weights
                .map(|((_, learned), values)| vec![0.0; if *learned { values.len() } else { 0 }])
                .collect(),
            lanes: compiled
                .steps
                .iter()
                .map(|step| vec![0.0; hidden(step)])
                .collect(),
        }
    }

    /// Turns what networks left lane by lane into gradients of their weights for one head; long sums go on in f64.
    pub(super) fn settle(&mut self, compiled: &Compiled, values: &Values, head: usize) {
        for (step, lanes) in compiled.steps.iter().zip(&mut self.lanes) {
            let Step::Net { first, .. } = *step else {
                continue;
            };
            let sum = |lanes: &[f32]| lanes.iter().map(|x| f64::from(*x)).sum::<f64>();
            let totals: Vec<f64> = lanes.chunks_exact(LANES).map(sum).collect();
            lanes.fill(0.0);
            let [w1, b1, w2, _] = network(values, first, head)
                .map(|part| part.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
            let hidden = w1.len();
            let mut add = |part: usize, place: usize, x: f64| {
                if let Some(sum) = self.weights[first + part].get_mut(place) {
                    *sum += x;
                }
            };
            for l in 0..hidden {
                let (with_x, without) = (totals[l], totals[hidden + l]);
                add(0, l, w2[l] * with_x);
                add(1, l, w2[l] * without);
                add(2, head * hidden + l, w1[l] * with_x + b1[l] * without);
            }
            add(3, head, totals[2 * hidden]);
        }
    }
}

/// Rows of raw scores: one tile per turn, and where the row starts in each.
#[derive(Clone, Copy)]
pub(super) struct Raws<'a> {
    pub(super) tiles: &'a [Vec<f32>],
    pub(super) start: usize,
}

/// Runs all steps; step k writes `registers[k · KEYS..][..cols]`.
pub(super) struct Steps<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) values: &'a Values,
    pub(super) place: Place,
    pub(super) raws: Raws<'a>,
    pub(super) registers: &'a mut [f32],
}

impl Kernel for Steps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Steps {
            compiled,
            values,
            place,
            raws,
            registers,
        } = self;
        let cols = place.cols;
        for (k, step) in compiled.steps.iter().enumerate() {
            let (done, rest) = registers.split_at_mut(k * KEYS);
            let done = |step: usize| &done[step * KEYS..][..cols];
            let y = &mut rest[..cols];
            match *step {
                Step::Table(table) => {
                    let row = values.tables[table].row(place.batch, place.head);
                    match compiled.tables[table].axis {
                        Axis::Fixed => y.fill(row[0]),
                        Axis::Query => y.fill(row[place.query]),
                        Axis::Key => y.copy_from_slice(&row[place.key..][..cols]),
                        Axis::Distance => {
                            y.copy_from_slice(
                                &row[compiled.distance(place.query, place.key)..][..cols],
                            );
                        }
                    }
                }
                Step::Raw(turn) => y.copy_from_slice(&raws.tiles[turn][raws.start..][..cols]),
                Step::Unary(op, x) => unary(s, op, done(x), y),
                Step::Binary(op, a, b) => binary(s, op, done(a), done(b), y),
                Step::Select {
                    a,
                    b,
                    then,
                    otherwise,
                } => {
                    let (a, b, then, otherwise) = (done(a), done(b), done(then), done(otherwise));
                    for at in (0..cols).step_by(S::LANES) {
                        let (a, b) = (s.read(a, at), s.read(b, at));
                        let chosen = s.select_less(a, b, s.read(then, at), s.read(otherwise, at));
                        s.write(y, at, chosen);
                    }
                }
                Step::Lookup {
                    weight,
                    per_head,
                    index,
                } => {
                    let (start, rows) = rows(compiled, values, weight, per_head, place.head);
                    let table = &values.weights[weight][start..][..rows];
                    for (y, x) in y.iter_mut().zip(done(index)) {
                        *y = table[row(f64::from(*x), rows)];
                    }
                }
                Step::Net { first, input } => {
                    let network = network(values, first, place.head);
                    let input = done(input);
                    let mut at = 0;
                    while at + WIDE * S::LANES <= cols {
                        net::<S, WIDE>(s, network, input, at, y);
                        at += WIDE * S::LANES;
                    }
                    while at < cols {
                        net::<S, 1>(s, network, input, at, y);
                        at += S::LANES;
                    }
                }
            }
        }
    }
}

/// From `adjoints` of the last step (zero for all others) to those of every step, and into `sums`. `registers` are
/// those that [`Steps`] left; `in_group` is the number of the head among those of its key/value head.
#[inline(always)]
pub(super) fn backward<S: Simd>(
    s: S,
    compiled: &Compiled,
    values: &Values,
    (place, in_group): (Place, usize),
    registers: &[f32],
    adjoints: &mut [f32],
    sums: &mut Sums,
) {
    let cols = place.cols;
    let value = |step: usize| &registers[step * KEYS..][..cols];
    for (k, step) in compiled.steps.iter().enumerate().rev() {
        let (below, above) = adjoints.split_at_mut(k * KEYS);
        let up = &above[..cols];
        let slot = |step: usize| step * KEYS..step * KEYS + cols;
        match *step {
            Step::Raw(_) => {}
            Step::Table(table) => {
                let axis = compiled.tables[table].axis;
                let start = in_group * compiled.padded_places(axis);
                if !compiled.tables[table].learned {
                    continue;
                }
                match axis {
                    Axis::Fixed => sums.wide[table][start] += f64::from(total(s, up)),
                    Axis::Query => sums.wide[table][start + place.query] += f64::from(total(s, up)),
                    Axis::Key => add(s, &mut sums.narrow[table][start + place.key..][..cols], up),
                    Axis::Distance => {
                        let start = start + compiled.distance(place.query, place.key);
                        add(s, &mut sums.narrow[table][start..][..cols], up);
                    }
                }
            }
            Step::Unary(op, x) => {
                slopes(s, op, value(x), value(k), up, &mut below[slot(x)]);
            }
            Step::Binary(op, a, b) => {
                let slots = (slot(a), slot(b));
                binary_slopes(s, op, (value(a), value(b)), up, below, slots);
            }
            Step::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let (a, b) = (value(a), value(b));
                let zero = s.splat(0.0);
                for at in (0..cols).step_by(S::LANES) {
                    let (a, b, up) = (s.read(a, at), s.read(b, at), s.read(up, at));
                    let (yes, no) = (s.select_less(a, b, up, zero), s.select_less(a, b, zero, up));
                    let y = &mut below[slot(then)];
                    s.write(y, at, s.add(s.read(y, at), yes));
                    let y = &mut below[slot(otherwise)];
                    s.write(y, at, s.add(s.read(y, at), no));
                }
            }
            Step::Lookup {
                weight,
                per_head,
                index,
            } => {
                let (start, rows) = rows(compiled, values, weight, per_head, place.head);
                let sums = &mut sums.weights[weight];
                if !sums.is_empty() {
                    for (x, up) in value(index).iter().zip(up) {
                        sums[start + row(f64::from(*x), rows)] += f64::from(*up);
                    }
                }
            }
            Step::Net { first, input } => {
                let weights = network(values, first, place.head);
                let down = &mut below[slot(input)];
                net_slopes(s, weights, value(input), up, down, &mut sums.lanes[k]);
            }
        }
    }
}

#[inline(always)]
fn network(values: &Values, first: usize, head: usize) -> [&[f32]; 4] {
    let hidden = values.weights[first].len();
    [
        &values.weights[first],
        &values.weights[first + 1],
        &values.weights[first + 2][head * hidden..][..hidden],
        &values.weights[first + 3][head..][..1],
    ]
}

/// First place and number of the rows of a lookup.
#[inline(always)]
fn rows(
    compiled: &Compiled,
    values: &Values,
    weight: usize,
    per_head: bool,
    head: usize,
) -> (usize, usize) {
    let len = values.weights[weight].len();
    if per_head {
        let rows = len / compiled.heads;
        (head * rows, rows)
    } else {
        (0, len)
    }
}

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
fn total<S: Simd>(s: S, x: &[f32]) -> f32 {
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
fn unary<S: Simd>(s: S, op: Unary, x: &[f32], y: &mut [f32]) {
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
fn binary<S: Simd>(s: S, op: Binary, a: &[f32], b: &[f32], y: &mut [f32]) {
    match op {
        Binary::Add => zip(s, a, b, y, |a, b| s.add(a, b)),
        Binary::Sub => zip(s, a, b, y, |a, b| s.sub(a, b)),
        Binary::Mul => zip(s, a, b, y, |a, b| s.mul(a, b)),
        Binary::Div => zip(s, a, b, y, |a, b| s.div(a, b)),
        Binary::Min => zip(s, a, b, y, |a, b| or_nan(s, a, s.min(a, b))),
        Binary::Max => zip(s, a, b, y, |a, b| or_nan(s, a, s.max(a, b))),
        Binary::Pow => zip(s, a, b, y, |a, b| {
            by_lane(s, a, b, |a, b| Binary::Pow.apply(a, b))
        }),
    }
}

/// `up · slope`, where no upstream gives nothing even from an infinite slope.
#[inline(always)]
fn guarded<S: Simd>(s: S, up: S::V, slope: S::V) -> S::V {
    s.select_less(s.splat(0.0), s.abs(up), s.mul(up, slope), up)
}

/// `down += up · f′(x)`, with y = f(x).
#[inline(always)]
fn slopes<S: Simd>(s: S, op: Unary, x: &[f32], y: &[f32], up: &[f32], down: &mut [f32]) {
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
fn binary_slopes<S: Simd>(
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
                let by_a = by_lane(s, a, b, |a, b| Binary::Pow.derivatives(a, b).0);
                let by_b = by_lane(s, a, b, |a, b| Binary::Pow.derivatives(a, b).1);
                (guarded(s, up, by_a), guarded(s, up, by_b))
            }
        };
        let y = &mut below[to_a.clone()];
        s.write(y, at, s.add(s.read(y, at), by_a));
        let y = &mut below[to_b.clone()];
        s.write(y, at, s.add(s.read(y, at), by_b));
    }
}

/// Vectors that a network takes at a time, so that its weights are read once for all of them.
const WIDE: usize = 4;

#[inline(always)]
fn net<S: Simd, const W: usize>(
    s: S,
    [w1, b1, w2, b2]: [&[f32]; 4],
    input: &[f32],
    at: usize,
    y: &mut [f32],
) {
    let mut x = [s.splat(0.0); W];
    for (w, x) in x.iter_mut().enumerate() {
        *x = s.read(input, at + w * S::LANES);
    }
    let mut sums = [s.splat(b2[0]); W];
    let zero = s.splat(0.0);
    for ((w1, b1), w2) in w1.iter().zip(b1).zip(w2) {
        let (w1, b1, w2) = (s.splat(*w1), s.splat(*b1), s.splat(*w2));
        for (sum, x) in sums.iter_mut().zip(x) {
            // The order of arguments lets NaN through.
            *sum = s.fma(w2, s.max(zero, s.fma(w1, x, b1)), *sum);
        }
    }
    for (w, sum) in sums.into_iter().enumerate() {
        s.write(y, at + w * S::LANES, sum);
    }
}

/// Gradients of a network on a row. With m = 1 where a unit is live, all that its weights need is Σ m·up·x and Σ m·up:
/// its output is w₁·x + b₁ there. The two sums of each unit, and Σ up, stay lane by lane in `lanes`.
#[inline(always)]
fn net_slopes<S: Simd>(
    s: S,
    network: [&[f32]; 4],
    input: &[f32],
    up: &[f32],
    down: &mut [f32],
    lanes: &mut [f32],
) {
    let mut at = 0;
    while at + WIDE * S::LANES <= up.len() {
        net_slope::<S, WIDE>(s, network, (input, up), at, down, lanes);
        at += WIDE * S::LANES;
    }
    while at < up.len() {
        net_slope::<S, 1>(s, network, (input, up), at, down, lanes);
        at += S::LANES;
    }
}

#[inline(always)]
fn net_slope<S: Simd, const W: usize>(
    s: S,
    [w1, b1, w2, _]: [&[f32]; 4],
    (input, up): (&[f32], &[f32]),
    at: usize,
    down: &mut [f32],
    lanes: &mut [f32],
) {
    let zero = s.splat(0.0);
    let (mut ups, mut x, mut both, mut by_x) = ([zero; W], [zero; W], [zero; W], [zero; W]);
    for w in 0..W {
        ups[w] = s.read(up, at + w * S::LANES);
        // A pair without weight must not bring in an input that is no number.
        let input = s.read(input, at + w * S::LANES);
        x[w] = s.select_less(zero, s.abs(ups[w]), input, zero);
        both[w] = s.mul(ups[w], x[w]);
    }
    let hidden = w1.len();
    for l in 0..hidden {
        let (first, bias) = (s.splat(w1[l]), s.splat(b1[l]));
        let slope = s.splat(w1[l] * w2[l]);
        let mut with_x = s.read(lanes, l * LANES);
        let mut without = s.read(lanes, (hidden + l) * LANES);
        for w in 0..W {
            let before = s.fma(first, x[w], bias);
            with_x = s.select_less(zero, before, s.add(with_x, both[w]), with_x);
            without = s.select_less(zero, before, s.add(without, ups[w]), without);
            by_x[w] = s.select_less(zero, before, s.add(by_x[w], slope), by_x[w]);
        }
        s.write(&mut lanes[l * LANES..][..S::LANES], 0, with_x);
        s.write(&mut lanes[(hidden + l) * LANES..][..S::LANES], 0, without);
    }
    for w in 0..W {
        add_lanes(s, lanes, 2 * hidden, ups[w]);
        let place = at + w * S::LANES;
        let sum = s.fma(by_x[w], ups[w], s.read(down, place));
        s.write(down, place, sum);
    }
}

/// Adds a vector to sums that are kept lane by lane.
#[inline(always)]
fn add_lanes<S: Simd>(s: S, lanes: &mut [f32], place: usize, more: S::V) {
    let sum = s.add(s.read(lanes, place * LANES), more);
    s.write(lanes, place * LANES, sum);
}
