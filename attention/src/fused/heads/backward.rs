//! The backward pass: blocks of queries, first tile by tile, then head by head.

use super::network::{Network, Weights};
use super::sizes::Sizes;
use crate::fused::matrix::multiply;
use crate::fused::product::Start;
use crate::fused::shape::{Rows, SIDE, STEP, STRIP, products};
use crate::ops::simd::{Kernel, Simd, dispatch};
use rayon::prelude::*;

/// Strips of a block.
const STRIPS: usize = 2;

/// Places of the bias that a strip and a tile touch.
const PLACES: usize = STRIP + SIDE;

/// What is known above.
pub(super) struct Above<'a> {
    pub(super) output: &'a [f32],
    pub(super) upstream: &'a [f32],
    pub(super) normalisers: &'a [f32],
}

/// Gradients of queries, keys and values, and of the network.
pub(super) fn run(
    sizes: &Sizes,
    network: &Network,
    inputs: &[&[f32]],
    above: &Above<'_>,
) -> ([Vec<f32>; 3], Weights) {
    let (heads, width, d) = (sizes.heads, sizes.width, sizes.head_dim);
    let mut weights = network.totals(sizes);
    let mut found = [0, 1, 2].map(|n| vec![0.0; inputs[n].len()]);
    let part = heads * STRIP * STEP;
    let mut kept = vec![0.0; sizes.tiles() * STRIPS * 2 * part];
    let size = sizes.tiles() * SIDE * width;
    for batch in 0..sizes.batch {
        let (keys, values) = (
            Rows::new(sizes, inputs[1], batch),
            Rows::new(sizes, inputs[2], batch),
        );
        let mut sums = vec![0.0; 2 * sizes.kv_heads * size];
        for start in (0..sizes.queries).step_by(STRIPS * STRIP) {
            let strips: Vec<Strip> = (start..sizes.queries)
                .step_by(STRIP)
                .take(STRIPS)
                .map(|start| Strip::new(sizes, inputs[0], above, batch, start))
                .collect();
            let end = sizes.queries.min(start + STRIPS * STRIP);
            let tiles = sizes.reach(end);
            let job = |space: &mut Space, (job, kept): (usize, &mut [f32])| {
                let (tile, strip) = (job / STRIPS, strips.get(job % STRIPS));
                let (p, ds) = kept.split_at_mut(part);
                let strip = strip.filter(|strip| tile < sizes.reach(strip.start + strip.rows));
                let strip = strip?;
                Some(dispatch(Tile {
                    sizes,
                    network,
                    keys: &keys,
                    values: &values,
                    strip,
                    tile,
                    kept: (p, ds),
                    space,
                }))
            };
            let new = || Space::new(sizes, network);
            let used = &mut kept[..tiles * STRIPS * 2 * part];
            let jobs = used.par_chunks_mut(2 * part).enumerate();
            let partial: Vec<Option<Weights>> = jobs.map_init(new, job).collect();
            for (job, from) in partial.iter().enumerate() {
                if let (Some(from), Some(strip)) = (from, strips.get(job % STRIPS)) {
                    let place = network.place(sizes, strip.start + STRIP - 1, 0);
                    let place = place + job / STRIPS * SIDE;
                    weights.settle(network, sizes.hidden, from, place, PLACES);
                }
            }
            let kept = &kept[..tiles * STRIPS * 2 * part];
            let group = heads / sizes.kv_heads;
            let jobs = sums.par_chunks_exact_mut(2 * size).enumerate();
            let dq: Vec<Vec<f32>> = jobs
                .map(|(kv_head, sums)| {
                    dispatch(Head {
                        sizes,
                        strips: &strips,
                        keys: &keys,
                        heads: (kv_head * group, group),
                        kept: (kept, part),
                        sums,
                    })
                })
                .collect();
            for (head, dq) in dq
                .iter()
                .flat_map(|dq| dq.chunks_exact(STRIPS * STRIP * width))
                .enumerate()
            {
                let first = (batch * heads + head) * sizes.queries;
                let out = &mut found[0][(first + start) * d..(first + end) * d];
                store(dq, width, d, out);
            }
        }
        let each = sizes.keys * d;
        for (kv_head, sums) in sums.chunks_exact(2 * size).enumerate() {
            let first = (batch * sizes.kv_heads + kv_head) * each;
            let (dk, dv) = sums.split_at(size);
            store(dk, width, d, &mut found[1][first..][..each]);
            store(dv, width, d, &mut found[2][first..][..each]);
        }
    }
    (found, weights)
}

/// Queries of all heads that follow each other, and what is known of them.
struct Strip {
    start: usize,
    rows: usize,
    /// \[heads, STRIP, width\]
    q: Vec<f32>,
    upstream: Vec<f32>,
    /// \[heads, STRIP\]; ∞ past the end.
    normalisers: Vec<f32>,
    means: Vec<f32>,
}

impl Strip {
    fn new(sizes: &Sizes, q: &[f32], above: &Above<'_>, batch: usize, start: usize) -> Strip {
        let (n, d, heads) = (sizes.queries, sizes.head_dim, sizes.heads);
        let rows = STRIP.min(n - start);
        let all = || vec![0.0; heads * STRIP * sizes.width];
        let mut strip = Strip {
            start,
            rows,
            q: all(),
            upstream: all(),
            normalisers: vec![f32::INFINITY; heads * STRIP],
            means: vec![0.0; heads * STRIP],
        };
        sizes.strip(q, batch, start, &mut strip.q);
        sizes.strip(above.upstream, batch, start, &mut strip.upstream);
        for head in 0..heads {
            for r in 0..rows {
                let (row, at) = ((batch * heads + head) * n + start + r, head * STRIP + r);
                strip.normalisers[at] = above.normalisers[row];
                let range = row * d..(row + 1) * d;
                let pairs = above.output[range.clone()]
                    .iter()
                    .zip(&above.upstream[range]);
                strip.means[at] = pairs.map(|(x, y)| x * y).sum();
            }
        }
        strip
    }
}

/// Buffers of one thread.
struct Space {
    seen: Vec<f32>,
    /// Upstream times values, \[STRIP, heads, STEP\].
    dweights: Vec<f32>,
    before: Vec<f32>,
    behind: Vec<f32>,
    dbehind: Vec<f32>,
    mapped: Vec<f32>,
    dseen: Vec<f32>,
}

impl Space {
    fn new(sizes: &Sizes, network: &Network) -> Space {
        let units = || vec![0.0; network.units * STEP];
        Space {
            seen: vec![0.0; STRIP * network.seen * STEP],
            dweights: vec![0.0; STRIP * sizes.heads * STEP],
            before: units(),
            behind: units(),
            dbehind: units(),
            mapped: vec![0.0; network.outputs * STEP],
            dseen: vec![0.0; network.seen * STEP],
        }
    }
}

/// From scores to weights and gradients of raw scores, both kept as \[heads, STRIP, STEP\].
struct Tile<'a> {
    sizes: &'a Sizes,
    network: &'a Network,
    keys: &'a Rows,
    values: &'a Rows,
    strip: &'a Strip,
    tile: usize,
    kept: (&'a mut [f32], &'a mut [f32]),
    space: &'a mut Space,
}

impl Kernel for Tile<'_> {
    type Output = Weights;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Weights {
        let (sizes, network, strip, space) = (self.sizes, self.network, self.strip, self.space);
        let (heads, row_step) = (sizes.heads, network.seen * STEP);
        let (p, ds) = self.kept;
        let mut weights = network.zeros(PLACES);
        products(
            s,
            sizes,
            &strip.q,
            (self.keys, self.tile),
            (&mut space.seen, row_step),
        );
        let above = (&mut *space.dweights, heads * STEP);
        products(s, sizes, &strip.upstream, (self.values, self.tile), above);
        if strip.rows < STRIP {
            p.fill(0.0);
            ds.fill(0.0);
        }
        for r in 0..strip.rows {
            let query = strip.start + r;
            let place = network.place(sizes, query, self.tile * SIDE);
            let seen = &mut space.seen[r * row_step..][..row_step];
            let units = (&mut *space.before, &mut *space.behind);
            network.forward(s, place, seen, units, &mut space.mapped);
            for (head, row) in space.mapped.chunks_exact_mut(STEP).enumerate() {
                let row = &mut row[..SIDE];
                if head >= heads {
                    row.fill(0.0);
                    continue;
                }
                sizes.hide(query, self.tile, row);
                let at = head * STRIP + r;
                let (norm, mean) = (s.splat(strip.normalisers[at]), s.splat(strip.means[at]));
                let dp = &space.dweights[(r * heads + head) * STEP..];
                let p = &mut p[at * STEP..][..SIDE];
                for at in (0..SIDE).step_by(S::LANES) {
                    let weight = s.exp_down(s.sub(s.read(row, at), norm));
                    s.write(p, at, weight);
                    s.write(row, at, s.mul(weight, s.sub(s.read(dp, at), mean)));
                }
            }
            // Rows of a strip count down to the place of its last one.
            let place = STRIP - 1 - r;
            network.backward(
                s,
                (seen, &space.behind),
                &mut space.before,
                &space.mapped,
                (&mut space.dseen, &mut space.dbehind),
                (&mut weights, place, PLACES),
            );
            for (head, dscores) in space.dseen.chunks_exact(STEP).take(heads).enumerate() {
                ds[(head * STRIP + r) * STEP..][..SIDE].copy_from_slice(&dscores[..SIDE]);
            }
        }
        weights
    }
}

/// Products of one key head with what a block kept: adds to `sums`, gradients of keys and of values
/// \[2, keys in whole tiles, width\]; returns those of its queries, \[heads of the group, STRIPS · STRIP, width\].
struct Head<'a> {
    sizes: &'a Sizes,
    strips: &'a [Strip],
    keys: &'a Rows,
    /// First query head, and how many.
    heads: (usize, usize),
    kept: (&'a [f32], usize),
    sums: &'a mut [f32],
}

impl Kernel for Head<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let width = self.sizes.width;
        let (first, group) = self.heads;
        let (kept, part) = self.kept;
        let mut dq = vec![0.0; group * STRIPS * STRIP * width];
        let half = self.sums.len() / 2;
        let (dk, dv) = self.sums.split_at_mut(half);
        for (job, kept) in kept.chunks_exact(2 * part).enumerate() {
            let (tile, number) = (job / STRIPS, job % STRIPS);
            let Some(strip) = self.strips.get(number) else {
                continue;
            };
            if tile >= self.sizes.reach(strip.start + strip.rows) {
                continue;
            }
            let own = tile * SIDE * width..(tile + 1) * SIDE * width;
            for in_group in 0..group {
                let head = first + in_group;
                let p = &kept[head * STRIP * STEP..][..STRIP * STEP];
                let ds = &kept[part + head * STRIP * STEP..][..STRIP * STEP];
                let rows = head * STRIP * width..(head + 1) * STRIP * width;
                let tall = (SIDE, STRIP, width);
                let upstream = (&strip.upstream[rows.clone()], width);
                let into = (&mut dv[own.clone()], width);
                multiply(s, (p, 1, STEP), upstream, into, tall, Start::Sum);
                let into = (&mut dk[own.clone()], width);
                multiply(
                    s,
                    (ds, 1, STEP),
                    (&strip.q[rows], width),
                    into,
                    tall,
                    Start::Sum,
                );
                let keys = (self.keys.rows(self.sizes.kv_head(head), tile, width), width);
                let at = (in_group * STRIPS + number) * STRIP * width;
                let into = (&mut dq[at..at + STRIP * width], width);
                multiply(
                    s,
                    (ds, STEP, 1),
                    keys,
                    into,
                    (STRIP, SIDE, width),
                    Start::Sum,
                );
            }
        }
        dq
    }
}

/// Rows of whole vectors to rows of `d` numbers.
fn store(x: &[f32], width: usize, d: usize, out: &mut [f32]) {
    for (y, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(width)) {
        y.copy_from_slice(&x[..d]);
    }
}
