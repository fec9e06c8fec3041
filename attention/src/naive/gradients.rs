//! Derivatives, straight from the rule of the chain.

use super::call::{Call, Inputs};
use crate::Result;
use crate::expr::{ParamValues, Partials, TokenValues};
use crate::mask::Mask;
use crate::tables::Tables;
use ndarray::{Array4, ArrayView1, s};

/// Derivatives, each in the shape of its input.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// By the queries.
    pub q: Array4<f64>,
    /// By the keys.
    pub k: Array4<f64>,
    /// By the values.
    pub v: Array4<f64>,
    /// By the parameters.
    pub params: ParamValues,
}

/// Derivatives of ⟨`upstream`, output⟩.
pub fn backward(
    inputs: &Inputs,
    tables: &Tables,
    mask: &Mask,
    upstream: &Array4<f64>,
) -> Result<Gradients> {
    let call = Call::new(inputs, tables, mask)?;
    let mut q = Array4::zeros(inputs.q.raw_dim());
    let mut k = Array4::zeros(inputs.k.raw_dim());
    let mut v = Array4::zeros(inputs.v.raw_dim());
    let zeros = inputs
        .params
        .iter()
        .map(|(name, values)| (name.clone(), vec![0.0; values.len()]));
    let mut partials = Partials {
        params: zeros.collect(),
        ..Partials::default()
    };
    for (b, h, i) in call.queries() {
        let kv = call.kv_head(h);
        let row = call.row(b, h, i)?;
        let above = upstream.slice(s![b, h, i, ..]);
        let by_weight: Vec<f64> = row
            .pairs
            .iter()
            .map(|pair| above.dot(&inputs.v.slice(s![b, kv, pair.key, ..])))
            .collect();
        let mean: f64 = row
            .pairs
            .iter()
            .zip(&by_weight)
            .map(|(pair, d)| pair.weight * d)
            .sum();
        let mut by_query_scale = 0.0;
        for (pair, d) in row.pairs.iter().zip(&by_weight) {
            v.slice_mut(s![b, kv, pair.key, ..])
                .scaled_add(pair.weight, &above);
            let by_score = pair.weight * (d - mean);
            partials.raw = vec![0.0; pair.dots.len()];
            let raw = row.raw(pair);
            let tokens = call.tokens(b, h, i, pair.key)?;
            partials.tokens = tokens.keys().map(|name| (name.clone(), [0.0; 2])).collect();
            let env = call.env(h, i, pair.key, &raw, &tokens);
            tables
                .plan()
                .score
                .backward(&env, by_score, &mut partials)?;
            call.keep_tokens(b, h, i, pair.key, &mut partials);
            for (turn, by_raw) in partials.raw.iter().enumerate() {
                by_query_scale += by_raw * pair.dots[turn] * tables.scale();
                let by_dot = by_raw * row.scale;
                let key = call.rotated_key(b, kv, pair.key, turn);
                let by_query = call.query_rotated_back(key, by_dot, h, i, turn);
                q.slice_mut(s![b, h, i, ..])
                    .scaled_add(1.0, &ArrayView1::from(&by_query));
                let by_key =
                    call.key_rotated_back(row.queries[turn].clone(), by_dot, kv, pair.key, turn);
                k.slice_mut(s![b, kv, pair.key, ..])
                    .scaled_add(1.0, &ArrayView1::from(&by_key));
            }
        }
        if let Some(scale) = &tables.plan().query_scale {
            let tokens = TokenValues::new();
            scale.backward(
                &call.env(h, i, 0, &[], &tokens),
                by_query_scale,
                &mut partials,
            )?;
        }
    }
    Ok(Gradients {
        q,
        k,
        v,
        params: partials.params,
    })
}
