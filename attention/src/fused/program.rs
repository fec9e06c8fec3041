//! The score as a program on one row of keys, forward and backward.

use super::compile::Compiled;
use super::network::Network;
use super::rowwise::{add, binary, binary_slopes, slopes, total, unary};
use super::sizes::KEYS;
use super::values::Values;
use crate::ops::simd::{Kernel, Simd};
use crate::score::{Axis, Step, row};

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
    /// Of the table that a scan reads, if it does.
    pub(super) scan: Vec<f32>,
    /// By network: what its gradients are made of, waiting for [`Sums::settle`].
    waiting: Vec<Vec<f32>>,
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
            scan: Vec::new(),
            waiting: values.networks.iter().map(Network::waiting).collect(),
        }
    }

    /// Turns what networks left into gradients of their weights for one head.
    pub(super) fn settle(&mut self, compiled: &Compiled, values: &Values, head: usize) {
        let networks = compiled.networks.iter().zip(&values.networks);
        for ((first, network), waiting) in networks.zip(&mut self.waiting) {
            network.settle(head, waiting, &mut self.weights[*first..*first + 4]);
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
                Step::Net { network, input } => {
                    values.networks[network].forward(s, place.head, done(input), y);
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
            Step::Net { network, input } => {
                let (row, down) = ((value(input), up), &mut below[slot(input)]);
                let waiting = &mut sums.waiting[network];
                values.networks[network].backward(s, place.head, row, down, waiting);
            }
        }
    }
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
