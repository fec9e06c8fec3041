//! Attention as a triple loop in f64, straight from the meaning of the plan: the truth that every other implementation
//! is compared with, values and gradients. Slow on purpose; kept obvious.

mod call;
mod gradients;

pub use call::Inputs;
pub use gradients::{Gradients, backward};

use crate::Result;
use crate::expr::{Env, Expr, ParamValues, TokenValues};
use crate::mask::Mask;
use crate::tables::Tables;
use call::Call;
use ndarray::{Array4, s};

/// The output (batch, heads, queries, head_dim). A query that sees no key gets zeros.
pub fn forward(inputs: &Inputs, tables: &Tables, mask: &Mask) -> Result<Array4<f64>> {
    let call = Call::new(inputs, tables, mask)?;
    let mut output = Array4::zeros(inputs.q.raw_dim());
    for (b, h, i) in call.queries() {
        let row = call.row(b, h, i)?;
        for pair in &row.pairs {
            let value = inputs.v.slice(s![b, call.kv_head(h), pair.key, ..]);
            output
                .slice_mut(s![b, h, i, ..])
                .scaled_add(pair.weight, &value);
        }
    }
    Ok(output)
}

/// The score of one pair when its raw scores are `raw`: what [`forward`] sees, for one head.
pub(crate) fn score(
    score: &Expr,
    raw: &[f64],
    (i, j, n): (f64, f64, f64),
    (head, heads): (usize, usize),
    params: &ParamValues,
) -> Result<f64> {
    let tokens = TokenValues::new();
    score.eval(&Env {
        i,
        j,
        n,
        head,
        heads,
        raw,
        params,
        tokens: &tokens,
    })
}
