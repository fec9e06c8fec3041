//! Tables of cosines and sines for rotations, in f64 up to the last cast.

use crate::Result;
use crate::expr::{Env, Expr, ParamValues, TokenValues};
use crate::plan::{Mix, Pairing, Positions, Rotation, Waves};
use std::ops::Range;

/// Amplitude times cosine and sine of every angle of one side of a turn: \[heads, rows, pairs\], row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Heads with rows of their own; 1 if all share them.
    pub heads: usize,
    /// Positions.
    pub rows: usize,
    /// Rotated pairs of channels.
    pub pairs: usize,
    /// Cosines.
    pub cos: Vec<f64>,
    /// Sines.
    pub sin: Vec<f64>,
}

impl Table {
    /// The table for tokens at `positions`, in a call that uses `n` positions.
    pub fn new(rotation: &Rotation, positions: Range<usize>, n: usize) -> Result<Table> {
        let positions: Vec<f64> = positions.map(|x| x as f64).collect();
        Table::at(rotation, &positions, n as f64)
    }

    /// The same for tokens at any real positions.
    pub fn at(rotation: &Rotation, positions: &[f64], n: f64) -> Result<Table> {
        let pairs = rotation.pairs();
        let heads = match (&rotation.position, &rotation.waves) {
            (Positions::PerHead(of), _) => of.len(),
            (_, Waves::Mixed(mix)) => mix.heads,
            _ => 1,
        };
        let mut waves = vec![(0.0, 0.0); rotation.inv_freq.len()];
        let rows = positions.len();
        let mut table = Table {
            heads,
            rows,
            pairs,
            cos: Vec::new(),
            sin: Vec::new(),
        };
        table.cos.reserve(heads * rows * pairs);
        table.sin.reserve(heads * rows * pairs);
        for head in 0..heads {
            for &token in positions {
                let shared = match &rotation.position {
                    Positions::All(of) => Some(place(of, token, n)?),
                    Positions::PerHead(of) => Some(place(&of[head], token, n)?),
                    Positions::PerPair(_) => None,
                };
                for (pair, frequency) in rotation.inv_freq.iter().enumerate() {
                    let x = match (&rotation.position, shared) {
                        (_, Some(x)) => x,
                        (Positions::PerPair(of), None) => place(&of[pair], token, n)?,
                        // `shared` is only `None` for positions per pair.
                        (_, None) => f64::NAN,
                    };
                    // f64's own sine reduces large angles exactly.
                    let (sin, cos) = (x * frequency).sin_cos();
                    waves[pair] = (rotation.amplitude * cos, rotation.amplitude * sin);
                }
                match &rotation.waves {
                    Waves::Plain => table.extend(waves.iter().copied()),
                    Waves::Growing { rates, origin } => {
                        let grown = |(&(cos, sin), rate): (&(f64, f64), &f64)| {
                            let factor = (rate * (token - origin)).exp();
                            (factor * cos, factor * sin)
                        };
                        table.extend(waves.iter().zip(rates).map(grown));
                    }
                    Waves::Mixed(mix) => table.extend(mixed(mix, head, &waves)),
                }
            }
        }
        Ok(table)
    }

    fn extend(&mut self, waves: impl Iterator<Item = (f64, f64)>) {
        for (cos, sin) in waves {
            self.cos.push(cos);
            self.sin.push(sin);
        }
    }

    /// Cosines and sines of one row, one per pair.
    pub fn row(&self, head: usize, row: usize) -> (&[f64], &[f64]) {
        let head = if self.heads == 1 { 0 } else { head };
        let start = (head * self.rows + row) * self.pairs;
        (
            &self.cos[start..start + self.pairs],
            &self.sin[start..start + self.pairs],
        )
    }
}

/// The weighted sums of a token's cosines and sines, then the constant pairs.
fn mixed<'a>(
    mix: &'a Mix,
    head: usize,
    waves: &'a [(f64, f64)],
) -> impl Iterator<Item = (f64, f64)> + 'a {
    let weights = |of: &'a [f64]| &of[head * waves.len() * mix.mixed..][..waves.len() * mix.mixed];
    let (cos, sin) = (weights(&mix.cos), weights(&mix.sin));
    (0..mix.pairs).map(move |pair| {
        if pair >= mix.mixed {
            return mix.rest;
        }
        let terms = waves.iter().enumerate();
        terms.fold((0.0, 0.0), |sum, (i, wave)| {
            let at = i * mix.mixed + pair;
            (sum.0 + cos[at] * wave.0, sum.1 + sin[at] * wave.1)
        })
    })
}

/// The real-valued position of a token; both ends of the pair are the token itself.
fn place(position: &Expr, x: f64, n: f64) -> Result<f64> {
    let (params, tokens) = (ParamValues::new(), TokenValues::new());
    position.eval(&Env {
        i: x,
        j: x,
        n,
        head: 0,
        heads: 1,
        raw: &[],
        params: &params,
        tokens: &tokens,
    })
}

impl Pairing {
    /// The two channels of pair `pair` of `pairs`.
    pub fn channels(self, pair: usize, pairs: usize) -> (usize, usize) {
        match self {
            Pairing::HalfSplit => (pair, pair + pairs),
            Pairing::Interleaved => (2 * pair, 2 * pair + 1),
        }
    }
}

/// A vector turned by one row of a [`Table`]; channels beyond the pairs pass through.
pub fn turned(x: &[f64], row: (&[f64], &[f64]), pairing: Pairing) -> Vec<f64> {
    let mut turned = x.to_vec();
    rotate(&mut turned, row, pairing);
    turned
}

/// Rotates one vector in place; channels beyond the pairs pass through.
pub(crate) fn rotate(x: &mut [f64], (cos, sin): (&[f64], &[f64]), pairing: Pairing) {
    let pairs = cos.len();
    for (pair, (&cos, &sin)) in cos.iter().zip(sin).enumerate() {
        let (a, b) = pairing.channels(pair, pairs);
        let (xa, xb) = (x[a], x[b]);
        x[a] = xa * cos - xb * sin;
        x[b] = xa * sin + xb * cos;
    }
}

/// The transpose of [`rotate`]: what a gradient goes through.
pub(crate) fn rotate_back(x: &mut [f64], (cos, sin): (&[f64], &[f64]), pairing: Pairing) {
    let minus: Vec<f64> = sin.iter().map(|sin| -sin).collect();
    rotate(x, (cos, &minus), pairing);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::QkRotation;

    #[test]
    fn large_angles_keep_their_digits() {
        // Not representable in f32, so that an early cast shows.
        let turn = QkRotation::rotary(vec![0.7654321, 0.1234567], 2.0, Pairing::HalfSplit);
        let table = Table::new(&turn.query, 1_000_000..1_000_001, 1_000_001).unwrap();
        // Cosine and sine of 765432.1 and 123456.7, from another mathematics library.
        let (cos, sin) = table.row(3, 0);
        let expected = [
            -0.322824675363,
            0.946458783559,
            -0.037295793226,
            -0.999304269884,
        ];
        for (found, expected) in [cos[0], sin[0], cos[1], sin[1]].into_iter().zip(expected) {
            assert!((found - 2.0 * expected).abs() < 1e-11, "{found} {expected}");
        }
    }

    #[test]
    fn pairings_rotate_their_own_channels_and_back() {
        let quarter = (&[0.0][..], &[1.0][..]);
        let mut x = [1.0, 2.0, 3.0, 4.0];
        rotate(&mut x, (&[0.0, 1.0], &[1.0, 0.0]), Pairing::HalfSplit);
        assert_eq!(x, [-3.0, 2.0, 1.0, 4.0]);
        rotate_back(&mut x, (&[0.0, 1.0], &[1.0, 0.0]), Pairing::HalfSplit);
        assert_eq!(x, [1.0, 2.0, 3.0, 4.0]);
        rotate(&mut x, quarter, Pairing::Interleaved);
        assert_eq!(x, [-2.0, 1.0, 3.0, 4.0]);
    }
}
