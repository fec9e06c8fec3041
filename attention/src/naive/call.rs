//! One call, pair by pair.

use crate::expr::{Env, ParamValues, Partials, TokenValues};
use crate::mask::Mask;
use crate::tables::{Tables, rotate, rotate_back};
use crate::{Error, Result};
use ndarray::{Array4, s};

/// What attention reads.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Unrotated queries (batch, heads, queries, head_dim).
    pub q: Array4<f64>,
    /// Unrotated keys (batch, kv_heads, keys, head_dim).
    pub k: Array4<f64>,
    /// Values (batch, kv_heads, keys, head_dim).
    pub v: Array4<f64>,
    /// Parameters that are not constants of the plan, by name; token vectors as `name@q` (batch, heads, queries) and
    /// `name@k` (batch, heads, keys), row-major.
    pub params: ParamValues,
}

/// One call: the inputs with all that is known about them.
pub(super) struct Call<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) tables: &'a Tables,
    pub(super) mask: &'a Mask,
    pub(super) params: ParamValues,
    /// Names of the token vectors that the score reads.
    pub(super) tokens: Vec<String>,
}

/// One query with all keys that it sees.
pub(super) struct Row {
    /// The query as each turn rotates it.
    pub(super) queries: Vec<Vec<f64>>,
    /// Factor from dot product to raw score.
    pub(super) scale: f64,
    pub(super) pairs: Vec<Pair>,
}

pub(super) struct Pair {
    pub(super) key: usize,
    /// ⟨q′, k′⟩ per turn.
    pub(super) dots: Vec<f64>,
    /// Share of the softmax.
    pub(super) weight: f64,
}

impl Row {
    pub(super) fn raw(&self, pair: &Pair) -> Vec<f64> {
        pair.dots.iter().map(|dot| dot * self.scale).collect()
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(inputs: &'a Inputs, tables: &'a Tables, mask: &'a Mask) -> Result<Call<'a>> {
        let geometry = tables.geometry();
        mask.check(tables.tokens())?;
        let batch = inputs.q.dim().0;
        let keys = (
            batch,
            geometry.kv_heads,
            tables.keys().len(),
            geometry.head_dim,
        );
        let queries = (
            batch,
            geometry.heads,
            tables.queries().len(),
            geometry.head_dim,
        );
        for (what, array, expected) in [
            ("q", &inputs.q, queries),
            ("k", &inputs.k, keys),
            ("v", &inputs.v, keys),
        ] {
            if array.dim() != expected {
                return Err(Error::shape(what, format!("{expected:?}"), array.shape()));
            }
        }
        let mut params = inputs.params.clone();
        params.extend(tables.constants().clone());
        Ok(Call {
            inputs,
            tables,
            mask,
            params,
            tokens: tables
                .plan()
                .tokens
                .iter()
                .map(|token| token.name.clone())
                .collect(),
        })
    }

    /// Place of a head's value at one end of a pair within `name@q` and within `name@k`.
    pub(super) fn places(&self, b: usize, h: usize, i: usize, key: usize) -> [usize; 2] {
        let (_, heads, queries, _) = self.inputs.q.dim();
        let row = b * heads + h;
        [row * queries + i, row * self.tables.keys().len() + key]
    }

    /// Values of all token vectors for one pair. A side that the score does not read is 0.
    pub(super) fn tokens(&self, b: usize, h: usize, i: usize, key: usize) -> Result<TokenValues> {
        let places = self.places(b, h, i, key);
        let value = |name: &str, side: usize| {
            let end = ["q", "k"][side];
            let values = self.params.get(&format!("{name}@{end}"));
            match values.map(|values| values.get(places[side])) {
                Some(Some(x)) => Ok(*x),
                None => Ok(0.0),
                Some(None) => Err(Error::expr(format!(
                    "token vector {name}@{end} is too short"
                ))),
            }
        };
        let both = |name: &String| Ok((name.clone(), [value(name, 0)?, value(name, 1)?]));
        self.tokens.iter().map(both).collect()
    }

    /// Moves the derivatives of one pair's token values to their places in the vectors.
    pub(super) fn keep_tokens(
        &self,
        b: usize,
        h: usize,
        i: usize,
        key: usize,
        partials: &mut Partials,
    ) {
        let places = self.places(b, h, i, key);
        let Partials { tokens, params, .. } = partials;
        for (name, by) in tokens {
            for (side, end) in ["q", "k"].iter().enumerate() {
                if let Some(sums) = params.get_mut(&format!("{name}@{end}")) {
                    sums[places[side]] += by[side];
                }
            }
        }
    }

    /// All (batch, head, query) indices.
    pub(super) fn queries(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (batch, heads, queries, _) = self.inputs.q.dim();
        (0..batch)
            .flat_map(move |b| (0..heads).flat_map(move |h| (0..queries).map(move |i| (b, h, i))))
    }

    pub(super) fn kv_head(&self, head: usize) -> usize {
        let geometry = self.tables.geometry();
        head / (geometry.heads / geometry.kv_heads)
    }

    pub(super) fn env<'b>(
        &'b self,
        head: usize,
        query: usize,
        key: usize,
        raw: &'b [f64],
        tokens: &'b TokenValues,
    ) -> Env<'b> {
        // A position is also asked for where there is no key at all: by a factor of the query alone.
        let key = self.tables.keys().start + key;
        Env {
            i: self.tables.position(self.tables.queries().start + query),
            j: if key < self.tables.tokens() {
                self.tables.position(key)
            } else {
                0.0
            },
            n: self.tables.context_len(),
            head,
            heads: self.tables.geometry().heads,
            raw,
            params: &self.params,
            tokens,
        }
    }

    pub(super) fn row(&self, b: usize, h: usize, i: usize) -> Result<Row> {
        let plan = self.tables.plan();
        let kv = self.kv_head(h);
        let query_scale = match &plan.query_scale {
            Some(scale) => scale.eval(&self.env(h, i, 0, &[], &TokenValues::new()))?,
            None => 1.0,
        };
        let scale = self.tables.scale() * query_scale;
        let queries: Vec<_> = (0..plan.raw_scores())
            .map(|turn| self.rotated_query(b, h, i, turn))
            .collect();
        let mut row = Row {
            queries,
            scale,
            pairs: Vec::new(),
        };
        let mut scores = Vec::new();
        for key in 0..self.inputs.k.dim().2 {
            let (at_query, at_key) = (
                self.tables.queries().start + i,
                self.tables.keys().start + key,
            );
            if !self.mask.sees(at_query, at_key) {
                continue;
            }
            let dots = row.queries.iter().enumerate().map(|(turn, query)| {
                let key = self.rotated_key(b, kv, key, turn);
                query.iter().zip(&key).map(|(x, y)| x * y).sum()
            });
            let pair = Pair {
                key,
                dots: dots.collect(),
                weight: 0.0,
            };
            let raw = row.raw(&pair);
            let tokens = self.tokens(b, h, i, key)?;
            scores.push(plan.score.eval(&self.env(h, i, key, &raw, &tokens))?);
            row.pairs.push(pair);
        }
        for (pair, weight) in row.pairs.iter_mut().zip(softmax(&scores)) {
            pair.weight = weight;
        }
        Ok(row)
    }

    pub(super) fn rotated_query(&self, b: usize, h: usize, i: usize, turn: usize) -> Vec<f64> {
        let mut x = self.inputs.q.slice(s![b, h, i, ..]).to_vec();
        if let Some(turn) = self.tables.rotations().get(turn) {
            rotate(&mut x, turn.query.row(h, i), turn.pairing);
        }
        x
    }

    pub(super) fn rotated_key(&self, b: usize, kv: usize, key: usize, turn: usize) -> Vec<f64> {
        let mut x = self.inputs.k.slice(s![b, kv, key, ..]).to_vec();
        if let Some(turn) = self.tables.rotations().get(turn) {
            rotate(&mut x, turn.key.row(kv, key), turn.pairing);
        }
        x
    }

    /// `by` times a rotated key, as a gradient of the unrotated query.
    pub(super) fn query_rotated_back(
        &self,
        mut x: Vec<f64>,
        by: f64,
        h: usize,
        i: usize,
        turn: usize,
    ) -> Vec<f64> {
        if let Some(turn) = self.tables.rotations().get(turn) {
            rotate_back(&mut x, turn.query.row(h, i), turn.pairing);
        }
        x.iter().map(|x| x * by).collect()
    }

    /// `by` times a rotated query, as a gradient of the unrotated key.
    pub(super) fn key_rotated_back(
        &self,
        mut x: Vec<f64>,
        by: f64,
        kv: usize,
        key: usize,
        turn: usize,
    ) -> Vec<f64> {
        if let Some(turn) = self.tables.rotations().get(turn) {
            rotate_back(&mut x, turn.key.row(kv, key), turn.pairing);
        }
        x.iter().map(|x| x * by).collect()
    }
}

/// Shares of each score; all zero if every score is −∞. A NaN makes all of them NaN.
fn softmax(scores: &[f64]) -> Vec<f64> {
    if scores.iter().all(|score| *score == f64::NEG_INFINITY) {
        return vec![0.0; scores.len()];
    }
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}
