//! Rotation of a whole tensor by tables.

use crate::plan::Pairing;
use crate::tables::Table;
use crate::{Result, Tensor};

/// `x` (batch, heads, rows, head_dim) rotated and multiplied by `scale`.
///
/// x ⊙ C + (x P) ⊙ S, where P swaps the channels of each pair: two passes over `x` and a small product, the same for
/// both pairings.
pub(super) fn apply(x: &Tensor, table: &Table, pairing: Pairing, scale: f64) -> Result<Tensor> {
    let (batch, heads, rows, dim) = x.dims4()?;
    if x.elem_count() == 0 {
        return Ok(x.clone());
    }
    let (straight, crossed) = channel_tables(table, pairing, dim, scale);
    let device = x.device();
    let of =
        |values: &[f64], shape: &[usize]| Tensor::from_numbers(values, shape, x.dtype(), &device);
    let shape = [table.heads, rows, dim];
    let flat = x.reshape((batch * heads * rows, dim))?;
    let swapped = flat.matmul(&of(&swap_matrix(table.pairs, pairing, dim), &[dim, dim])?)?;
    let swapped = swapped
        .reshape(x.dims())?
        .broadcast_mul(&of(&crossed, &shape)?)?;
    x.broadcast_mul(&of(&straight, &shape)?)?.add(&swapped)
}

/// Factors of each channel and of its partner: \[heads, rows, dim\] both.
fn channel_tables(table: &Table, pairing: Pairing, dim: usize, scale: f64) -> (Vec<f64>, Vec<f64>) {
    let cells = table.heads * table.rows;
    let (mut straight, mut crossed) = (vec![scale; cells * dim], vec![0.0; cells * dim]);
    for cell in 0..cells {
        for pair in 0..table.pairs {
            let (a, b) = pairing.channels(pair, table.pairs);
            let (cos, sin) = (
                table.cos[cell * table.pairs + pair],
                table.sin[cell * table.pairs + pair],
            );
            straight[cell * dim + a] = scale * cos;
            straight[cell * dim + b] = scale * cos;
            crossed[cell * dim + a] = -scale * sin;
            crossed[cell * dim + b] = scale * sin;
        }
    }
    (straight, crossed)
}

fn swap_matrix(pairs: usize, pairing: Pairing, dim: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; dim * dim];
    for pair in 0..pairs {
        let (a, b) = pairing.channels(pair, pairs);
        matrix[a * dim + b] = 1.0;
        matrix[b * dim + a] = 1.0;
    }
    matrix
}
