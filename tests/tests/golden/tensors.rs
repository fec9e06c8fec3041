//! Attention on recorded tensors.

use farspan_attention::attend::{Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use serde_json::Value;

pub(crate) fn model(heads: usize, head_dim: usize, width: usize) -> Geometry {
    Geometry {
        layers: 1,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        trained_length: 16,
    }
}

/// All numbers of nested lists in order.
pub(crate) fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![super::number(number)],
    }
}

pub(crate) fn f64s(values: Vec<f64>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::cpu()).unwrap()
}

/// Nested lists as they are.
pub(crate) fn tensor(value: &Value) -> Tensor {
    let mut shape = Vec::new();
    let mut inner = value;
    while let Value::Array(items) = inner {
        shape.push(items.len());
        inner = &items[0];
    }
    f64s(flat(value), &shape)
}

/// \[token\]\[head\]\[channel\] as (1, heads, tokens, channels).
pub(crate) fn by_head(value: &Value) -> Tensor {
    let swapped = tensor(value).transpose(0, 1).unwrap();
    swapped.contiguous().unwrap().unsqueeze(0).unwrap()
}

/// Attention in f64 by tensors: (heads, queries, head_dim), flat.
pub(crate) fn run(
    plan: &Plan,
    model: &Geometry,
    [q, k, v]: [&Tensor; 3],
    params: &Params,
) -> Vec<f64> {
    run_from(plan, model, [q, k, v], params, Implementation::Composed)
}

pub(crate) fn run_from(
    plan: &Plan,
    model: &Geometry,
    [q, k, v]: [&Tensor; 3],
    params: &Params,
    which: Implementation,
) -> Vec<f64> {
    let (keys, queries) = (k.dim(2).unwrap(), q.dim(2).unwrap());
    let prepared =
        Prepared::new(plan, model, keys - queries..keys, 0..keys, &Device::cpu()).unwrap();
    let attended = attend(q, k, v, &prepared, params, &Mask::causal(), which).unwrap();
    attended.output.to_flat().unwrap()
}

pub(crate) fn params<const N: usize>(named: [(&str, Tensor); N]) -> Params {
    named
        .map(|(name, tensor)| (name.to_string(), tensor))
        .into()
}

/// x · weightᵀ + bias.
pub(crate) fn linear(x: &Tensor, weight: &Value, bias: &Value) -> Tensor {
    let y = x.matmul(&tensor(weight).t().unwrap()).unwrap();
    y.broadcast_add(&tensor(bias)).unwrap()
}

/// `heads` heads out of columns `first..` of (tokens, columns): (1, heads, tokens, head_dim).
pub(crate) fn heads_of(x: &Tensor, first: usize, heads: usize, head_dim: usize) -> Tensor {
    let tokens = x.dim(0).unwrap();
    let part = x.narrow(1, first, heads * head_dim).unwrap();
    let part = part.contiguous().unwrap();
    let part = part.reshape((1, tokens, heads, head_dim)).unwrap();
    part.transpose(1, 2).unwrap().contiguous().unwrap()
}

/// (heads, tokens, head_dim), flat, as (tokens, heads · head_dim).
pub(crate) fn by_token(output: Vec<f64>, heads: usize, tokens: usize) -> Tensor {
    let dim = output.len() / heads / tokens;
    let output = f64s(output, &[heads, tokens, dim]).transpose(0, 1).unwrap();
    output
        .contiguous()
        .unwrap()
        .reshape((tokens, heads * dim))
        .unwrap()
}

pub(crate) fn identity(n: usize) -> Tensor {
    let entry = |at: usize| f64::from(u8::from(at / n == at % n));
    f64s((0..n * n).map(entry).collect(), &[n, n])
}

/// Queries, keys and values that turn recorded scores (\[head\]\[query\]\[key\]) into raw scores, and shares into outputs.
pub(crate) fn from_scores(scores: &Value) -> [Tensor; 3] {
    let scores = tensor(scores);
    let (heads, tokens, _) = scores.dims3().unwrap();
    let q = scores.affine((tokens as f64).sqrt(), 0.0).unwrap();
    let one = identity(tokens).unsqueeze(0).unwrap();
    let one = one.broadcast_as((heads, tokens, tokens)).unwrap();
    let one = one.contiguous().unwrap().unsqueeze(0).unwrap();
    [q.unsqueeze(0).unwrap(), one.clone(), one]
}

/// Softmax of \[head\]\[query\]\[key\] over the keys up to the query, zeros behind them; the last query sees all.
pub(crate) fn causal_shares(scores: &Value) -> Tensor {
    let scores = tensor(scores);
    let (heads, queries, keys) = scores.dims3().unwrap();
    let row = |(at, row): (usize, &[f64])| -> Vec<f64> {
        let seen = at % queries + keys - queries;
        let largest = row[..=seen].iter().fold(f64::MIN, |most, x| most.max(*x));
        let sum: f64 = row[..=seen].iter().map(|x| (x - largest).exp()).sum();
        let share = |key: usize| {
            if key <= seen {
                (row[key] - largest).exp() / sum
            } else {
                0.0
            }
        };
        (0..keys).map(share).collect()
    };
    let rows: Vec<f64> = scores.to_flat().unwrap();
    let shares = rows.chunks(keys).enumerate().flat_map(row).collect();
    f64s(shares, &[heads, queries, keys])
}

/// Values (1, heads, keys, channels) mixed by these shares, flat.
pub(crate) fn mixed(shares: &Tensor, v: &Tensor) -> Vec<f64> {
    let mixed = shares.unsqueeze(0).unwrap().matmul(v).unwrap();
    mixed.to_flat().unwrap()
}
