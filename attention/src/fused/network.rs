//! A network of one number with one hidden layer, as the broken line that it is.
//!
//! Σ w₂·max(0, w₁·x + b₁) + b₂ bends where a unit begins or ceases to be live, at x = −b₁ / w₁, and is straight in
//! between. The numbers of one row of a tile lie close together: most rows fall between two bends and cost a
//! multiplication and an addition per number, whatever the width of the network; the others pay for the bends that they
//! span. The same holds for the gradients: with m = 1 where a unit is live, all that its weights need is Σ m·up·x and
//! Σ m·up, and straight rows add to both once for all units.

use super::product::LANES;
use crate::ops::simd::Simd;
use std::ops::Range;

/// Where the line bends.
#[derive(Clone, Copy, Debug)]
struct Bend {
    /// The unit that begins (w₁ > 0) or ceases to be live.
    unit: usize,
    at: f32,
    /// The bend lies behind numbers above this: `at` itself belongs to neither unit's live side.
    edge: f32,
}

/// What a head makes of it.
#[derive(Clone, Debug)]
struct Line {
    /// Slope and height of the part before each bend, and after the last.
    parts: Vec<(f32, f32)>,
    /// By how much the slope grows at each bend.
    turns: Vec<f32>,
}

/// A network with the weights of one call.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// In order.
    bends: Vec<Bend>,
    /// By head.
    lines: Vec<Line>,
    w1: Vec<f64>,
    b1: Vec<f64>,
    /// \[heads, hidden\]
    w2: Vec<f64>,
}

impl Network {
    /// From w₁ and b₁ (hidden), w₂ (heads, hidden) and b₂ (heads).
    pub(super) fn new([w1, b1, w2, b2]: [&[f32]; 4]) -> Network {
        let exact = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let bend = |unit: usize| {
            let (slope, height) = (w1[unit], b1[unit]);
            // Adding 0 makes −0 a 0.
            let at = -height / slope + 0.0;
            let edge = if slope > 0.0 { at } else { at.next_down() };
            (slope != 0.0 && !at.is_nan()).then_some(Bend { unit, at, edge })
        };
        let mut bends: Vec<Bend> = (0..w1.len()).filter_map(bend).collect();
        bends.sort_by(|x, y| x.edge.total_cmp(&y.edge));
        let mut network = Network {
            bends,
            lines: Vec::new(),
            w1: exact(w1),
            b1: exact(b1),
            w2: exact(w2),
        };
        network.lines = b2
            .iter()
            .enumerate()
            .map(|(head, b2)| network.line(head, f64::from(*b2)))
            .collect();
        network
    }

    fn line(&self, head: usize, b2: f64) -> Line {
        let w2 = &self.w2[head * self.w1.len()..][..self.w1.len()];
        // What is no number shows even in units that are not live, as it would in a product with their 0.
        let (mut slope, mut height) = (0.0, b2 + w2.iter().map(|x| 0.0 * x).sum::<f64>());
        // Before the first bend units of falling input are live, and those that never bend may be.
        let mut bent = vec![false; w2.len()];
        for bend in &self.bends {
            bent[bend.unit] = true;
            if self.w1[bend.unit] < 0.0 {
                slope += w2[bend.unit] * self.w1[bend.unit];
                height += w2[bend.unit] * self.b1[bend.unit];
            }
        }
        for unit in (0..w2.len()).filter(|unit| !bent[*unit]) {
            // The product is 0, or NaN where no number was given.
            let before = self.b1[unit] + 0.0 * self.w1[unit];
            height += w2[unit] * if before < 0.0 { 0.0 } else { before };
        }
        let mut parts = vec![(slope as f32, height as f32)];
        let mut turns = Vec::new();
        for Bend { unit, .. } in &self.bends {
            let sign = self.w1[*unit].signum();
            slope += sign * w2[*unit] * self.w1[*unit];
            height += sign * w2[*unit] * self.b1[*unit];
            parts.push((slope as f32, height as f32));
            turns.push((sign * w2[*unit] * self.w1[*unit]) as f32);
        }
        Line { parts, turns }
    }

    /// Numbers that gradients of the weights wait in, lane by lane, for [`Network::settle`]: Σ up and Σ up·x of the rows
    /// that begin on each part, and of what lies behind each bend of the rows that span it.
    pub(super) fn waiting(&self) -> Vec<f32> {
        vec![0.0; (2 * self.bends.len() + 1) * 2 * LANES]
    }

    /// The bends between the smallest and the largest number of a row, NaN aside.
    #[inline(always)]
    fn spanned<S: Simd>(&self, s: S, row: &[f32]) -> Range<usize> {
        let mut low = s.splat(f32::INFINITY);
        let mut high = s.splat(f32::NEG_INFINITY);
        for at in (0..row.len()).step_by(S::LANES) {
            let x = s.read(row, at);
            // The order of arguments passes over NaN.
            (low, high) = (s.min(x, low), s.max(x, high));
        }
        let low = -s.largest(s.sub(s.splat(0.0), low));
        let behind = |x: f32| self.bends.partition_point(|bend| bend.edge < x);
        let first = behind(low);
        first..behind(s.largest(high)).max(first)
    }

    /// The network of `head` on a row, into `y`.
    #[inline(always)]
    pub(super) fn forward<S: Simd>(&self, s: S, head: usize, row: &[f32], y: &mut [f32]) {
        let spanned = self.spanned(s, row);
        let line = &self.lines[head];
        let (slope, height) = line.parts[spanned.start];
        let (slope, height, zero) = (s.splat(slope), s.splat(height), s.splat(0.0));
        for at in (0..y.len()).step_by(S::LANES) {
            let x = s.read(row, at);
            let mut sum = s.fma(slope, x, height);
            for bend in spanned.clone() {
                let behind = s.sub(x, s.splat(self.bends[bend].at));
                // The order of arguments lets NaN through.
                sum = s.fma(s.splat(line.turns[bend]), s.max(zero, behind), sum);
            }
            s.write(y, at, sum);
        }
    }

    /// Adds the gradient of a row to `down`, and what the weights need to `waiting`.
    #[inline(always)]
    pub(super) fn backward<S: Simd>(
        &self,
        s: S,
        head: usize,
        (row, up): (&[f32], &[f32]),
        down: &mut [f32],
        waiting: &mut [f32],
    ) {
        let spanned = self.spanned(s, row);
        let line = &self.lines[head];
        let zero = s.splat(0.0);
        let slope = s.splat(line.parts[spanned.start].0);
        let (mut plain, mut by_x) = (zero, zero);
        for at in (0..up.len()).step_by(S::LANES) {
            let (ups, x) = pair(s, row, up, at);
            plain = s.add(plain, ups);
            by_x = s.fma(ups, x, by_x);
            let sum = s.fma(slope, ups, s.read(down, at));
            s.write(down, at, sum);
        }
        add_lanes(s, waiting, 2 * spanned.start, (plain, by_x));
        for bend in spanned {
            let (edge, turn) = (s.splat(self.bends[bend].edge), s.splat(line.turns[bend]));
            let (mut plain, mut by_x) = (zero, zero);
            for at in (0..up.len()).step_by(S::LANES) {
                let (ups, x) = pair(s, row, up, at);
                let ups = s.select_less(edge, x, ups, zero);
                plain = s.add(plain, ups);
                by_x = s.fma(ups, x, by_x);
                let sum = s.fma(turn, ups, s.read(down, at));
                s.write(down, at, sum);
            }
            add_lanes(s, waiting, 2 * (self.bends.len() + 1 + bend), (plain, by_x));
        }
    }

    /// Adds gradients of the weights, in their shapes, from what [`Network::backward`] left for `head`; empty ones are
    /// those of constants. Long sums go on in f64.
    pub(super) fn settle(&self, head: usize, waiting: &mut [f32], into: &mut [Vec<f64>]) {
        let sum = |lanes: &[f32]| lanes.iter().map(|x| f64::from(*x)).sum::<f64>();
        let totals: Vec<f64> = waiting.chunks_exact(LANES).map(sum).collect();
        waiting.fill(0.0);
        let (parts, bends) = totals.split_at(2 * (self.bends.len() + 1));
        let hidden = self.w1.len();
        let mut add = |part: usize, place: usize, x: f64| {
            if let Some(sum) = into[part].get_mut(place) {
                *sum += x;
            }
        };
        let [all, all_by_x] = [0, 1].map(|n| parts.iter().skip(n).step_by(2).sum::<f64>());
        let mut unit = |unit: usize, plain: f64, by_x: f64| {
            let place = head * hidden + unit;
            let w2 = self.w2[place];
            add(0, unit, w2 * by_x);
            add(1, unit, w2 * plain);
            add(2, place, self.w1[unit] * by_x + self.b1[unit] * plain);
        };
        let mut bent = vec![false; hidden];
        // What lies behind a bend: rows that begin behind it, and those that span it.
        let (mut behind, mut behind_by_x) = (0.0, 0.0);
        for (n, bend) in self.bends.iter().enumerate().rev() {
            bent[bend.unit] = true;
            behind += parts[2 * n + 2];
            behind_by_x += parts[2 * n + 3];
            let (plain, by_x) = (behind + bends[2 * n], behind_by_x + bends[2 * n + 1]);
            match self.w1[bend.unit] > 0.0 {
                true => unit(bend.unit, plain, by_x),
                false => unit(bend.unit, all - plain, all_by_x - by_x),
            }
        }
        for flat in (0..hidden).filter(|unit| !bent[*unit]) {
            let live = f64::from(u8::from(self.b1[flat] > 0.0));
            unit(flat, live * all, live * all_by_x);
        }
        add(3, head, all);
    }
}

/// Upstream gradients and inputs. A pair without weight must not bring in an input that is no number.
#[inline(always)]
fn pair<S: Simd>(s: S, row: &[f32], up: &[f32], at: usize) -> (S::V, S::V) {
    let (up, zero) = (s.read(up, at), s.splat(0.0));
    let x = s.select_less(zero, s.abs(up), s.read(row, at), zero);
    (up, x)
}

/// Adds two vectors to sums that are kept lane by lane.
#[inline(always)]
fn add_lanes<S: Simd>(s: S, waiting: &mut [f32], place: usize, (first, second): (S::V, S::V)) {
    for (place, more) in [(place, first), (place + 1, second)] {
        let sum = s.add(s.read(waiting, place * LANES), more);
        s.write(waiting, place * LANES, sum);
    }
}

#[cfg(test)]
mod tests;
