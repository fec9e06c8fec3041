//! Scores by position, for pictures: those of a key that equals the query, with the same weight in every channel.

use super::bias::{note, typical};
use crate::error::PlanError;
use crate::scheme::{AnyScheme, Len};
use farspan_attention::expr::{Env, ParamValues, TokenValues};
use farspan_attention::plan::{Geometry, Plan, QkRotation};
use farspan_attention::scalar;
use farspan_attention::tables::Table;

/// What a scheme does to the score of a key that equals its query and whose raw score without positions is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The heads that are shown: as many as differ, up to four.
    pub heads: Vec<usize>,
    /// Distances to the last query.
    pub distances: Vec<usize>,
    /// By head and distance; `None` where the scheme hides the key.
    pub by_distance: Vec<Vec<Option<f64>>>,
    /// Shares of the softmax at those distances, by head: what the last query gives each key if all keys are like it.
    pub weights: Vec<Vec<Option<f64>>>,
    /// Positions of rows and columns of the matrix.
    pub positions: Vec<usize>,
    /// By head, query and key; `None` where the causal mask or the scheme hides the key.
    pub matrix: Vec<Vec<Vec<Option<f64>>>>,
    /// Which parameter values they are for.
    pub note: String,
}

/// Distances in a curve and positions in a matrix, at most.
const CURVE: usize = 512;
const MATRIX: usize = 64;
/// Heads that are shown, at most.
const HEADS: usize = 4;

/// The scores of `scheme` for a decoder of these sizes with `context_len` positions in use; `None` if they depend on the
/// content of tokens.
pub fn scores(
    scheme: &dyn AnyScheme,
    model: &Geometry,
    context_len: Len,
) -> Result<Option<Scores>, PlanError> {
    let plan = scheme.plan(model, context_len)?;
    if !plan.hooks.is_empty() || !plan.tokens.is_empty() {
        return Ok(None);
    }
    let n = context_len.0.max(1);
    let distances = spread(n, CURVE);
    let positions = spread(n, MATRIX);
    let specs: Vec<_> = plan.params.iter().collect();
    let params = specs
        .iter()
        .map(|spec| (spec.name.clone(), typical(spec)))
        .collect();
    let pairs = Pairs {
        plan: &plan,
        model,
        n,
        params,
    };
    let (last, heads) = (n - 1, spread(model.heads, model.heads));
    let curve = |head: &usize| -> Result<Vec<Option<f64>>, PlanError> {
        let keys: Vec<usize> = distances.iter().map(|distance| last - distance).collect();
        Ok(pairs.rows(*head, &[last], &keys)?.remove(0))
    };
    let mut found: Vec<(usize, Vec<Option<f64>>)> = Vec::new();
    for head in heads {
        let row = curve(&head)?;
        if found.iter().all(|(_, other)| *other != row) {
            found.push((head, row));
        }
    }
    let shown: Vec<usize> = spread(found.len(), HEADS);
    let (heads, by_distance): (Vec<usize>, Vec<_>) =
        shown.iter().map(|i| found[*i].clone()).unzip();
    let weights = heads.iter().map(|head| pairs.weights(*head, &distances));
    let matrix = heads
        .iter()
        .map(|head| pairs.rows(*head, &positions, &positions));
    Ok(Some(Scores {
        weights: weights.collect::<Result<_, _>>()?,
        matrix: matrix.collect::<Result<_, _>>()?,
        by_distance,
        heads,
        distances,
        positions,
        note: note(&specs),
    }))
}

/// At most `most` whole numbers below `end`, evenly spread, the first and the last among them.
fn spread(end: usize, most: usize) -> Vec<usize> {
    if end <= most {
        return (0..end).collect();
    }
    let at = |i: usize| i * (end - 1) / (most - 1).max(1);
    (0..most).map(at).collect()
}

struct Pairs<'a> {
    plan: &'a Plan,
    model: &'a Geometry,
    n: usize,
    params: ParamValues,
}

/// Keys whose tables are made at once.
const KEYS: usize = 4096;

impl Pairs<'_> {
    /// Shares of the softmax over all keys of the last query, at these distances.
    fn weights(&self, head: usize, distances: &[usize]) -> Result<Vec<Option<f64>>, PlanError> {
        let last = self.n - 1;
        let mut scores = Vec::with_capacity(self.n);
        for start in (0..self.n).step_by(KEYS) {
            let keys: Vec<usize> = (start..(start + KEYS).min(self.n)).collect();
            scores.append(&mut self.rows(head, &[last], &keys)?.remove(0));
        }
        let seen = || scores.iter().flatten();
        let most = seen().fold(f64::NEG_INFINITY, |most, x| most.max(*x));
        let sum: f64 = seen().map(|x| (x - most).exp()).sum();
        let share = |distance: &usize| Some((scores[last - distance]? - most).exp() / sum);
        Ok(distances.iter().map(share).collect())
    }

    fn rows(
        &self,
        head: usize,
        queries: &[usize],
        keys: &[usize],
    ) -> Result<Vec<Vec<Option<f64>>>, PlanError> {
        let raw = self
            .plan
            .rotations
            .iter()
            .map(|turn| self.raw(turn, head, queries, keys));
        let raw = raw.collect::<Result<Vec<_>, PlanError>>()?;
        let heads = self.model.heads;
        let row = |(row, &i): (usize, &usize)| {
            let scale = self.plan.softmax_scale * self.query_scale(head, i)?;
            let value = |(column, &j): (usize, &usize)| {
                if j > i {
                    return Ok(None);
                }
                let mut own: Vec<f64> = raw.iter().map(|raw| scale * raw[row][column]).collect();
                if own.is_empty() {
                    own.push(scale);
                }
                let score =
                    scalar::score(self.plan, &own, (head, heads), i, j, self.n, &self.params)?;
                Ok(score.is_finite().then_some(score))
            };
            keys.iter().enumerate().map(value).collect()
        };
        queries.iter().enumerate().map(row).collect()
    }

    /// Mean over the channels of the products of a turn's query and key, of equal vectors of ones.
    fn raw(
        &self,
        turn: &QkRotation,
        head: usize,
        queries: &[usize],
        keys: &[usize],
    ) -> Result<Vec<Vec<f64>>, PlanError> {
        let table = |side, at: &[usize]| {
            let at: Vec<f64> = at.iter().map(|x| *x as f64).collect();
            Table::at(side, &at, self.n as f64)
        };
        let (q, k) = (table(&turn.query, queries)?, table(&turn.key, keys)?);
        let key_head = head / (self.model.heads / self.model.kv_heads);
        let dim = self.model.head_dim as f64;
        let passing = dim - 2.0 * q.pairs as f64;
        let product = |i: usize, j: usize| {
            let ((qc, qs), (kc, ks)) = (q.row(head, i), k.row(key_head, j));
            let pairs = qc.iter().zip(qs).zip(kc.iter().zip(ks));
            let turned: f64 = pairs.map(|((qc, qs), (kc, ks))| qc * kc + qs * ks).sum();
            (2.0 * turned + passing) / dim
        };
        let row = |i| (0..keys.len()).map(|j| product(i, j)).collect();
        Ok((0..queries.len()).map(row).collect())
    }

    fn query_scale(&self, head: usize, i: usize) -> Result<f64, PlanError> {
        let Some(scale) = &self.plan.query_scale else {
            return Ok(1.0);
        };
        let env = Env {
            i: i as f64,
            j: i as f64,
            n: self.n as f64,
            head,
            heads: self.model.heads,
            raw: &[],
            params: &self.params,
            tokens: &TokenValues::new(),
        };
        Ok(scale.eval(&env)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use serde_json::json;

    const MODEL: Geometry = Geometry {
        layers: 1,
        width: 64,
        heads: 8,
        kv_heads: 4,
        head_dim: 8,
        trained_length: 128,
    };

    fn of(id: &str) -> Scores {
        let scheme = Registry::builtin().parse(id, json!({})).unwrap();
        scores(scheme.as_ref(), &MODEL, Len(1000)).unwrap().unwrap()
    }

    #[test]
    fn heads_that_do_not_differ_are_shown_once() {
        assert_eq!((of("rope").heads, of("alibi").heads.len()), (vec![0], 4));
    }

    #[test]
    fn a_rotation_starts_at_one_and_a_bias_falls_by_its_slope() {
        let rope = of("rope");
        assert!((rope.by_distance[0][0].unwrap() - 1.0).abs() < 1e-12);
        let expected = (0..4).map(|p| 10f64.powi(-p).cos()).sum::<f64>() / 4.0;
        assert!((rope.by_distance[0][1].unwrap() - expected).abs() < 0.3);
        let alibi = of("alibi");
        for (distance, value) in alibi.distances.iter().zip(&alibi.by_distance[0]) {
            assert!((value.unwrap() - (1.0 - 0.5 * *distance as f64)).abs() < 1e-9);
        }
        assert_eq!(alibi.matrix[0][0][1], None);
        // Of a geometric series: e^(−r/2)·(1 − e^(−1/2)), all keys being alike.
        for (distance, share) in alibi.distances.iter().zip(&alibi.weights[0]) {
            let expected = (-0.5 * *distance as f64).exp() * (1.0 - (-0.5f64).exp());
            assert!((share.unwrap() - expected).abs() < 1e-9);
        }
        // What is hidden has no share.
        assert!(of("lm-infinite").weights[0].contains(&None));
        let nope = of("nope");
        assert!(
            nope.weights[0]
                .iter()
                .all(|share| (share.unwrap() - 1e-3).abs() < 1e-12)
        );
        assert_eq!(of("lm-infinite").matrix[0][63][32], None);
    }
}
