//! Rotation of queries or keys by a table, and its transpose for gradients.

use crate::gpu::array::Array;
use crate::gpu::context::Context;
use crate::gpu::kernels::{kernel, reads, writes};
use crate::gpu::kind::Kind;
use crate::gpu::tape::{Backward, Traced};
use crate::plan::Pairing;
use crate::tables::Table;
use crate::{Error, Result};

/// A table on the device: cosines, then sines, \[2, heads, rows, pairs\].
#[derive(Clone, Debug)]
pub(super) struct Rotor {
    waves: Array,
    heads: usize,
    pairs: usize,
    pairing: Pairing,
}

impl Rotor {
    pub(super) fn new(context: &Context, table: &Table, pairing: Pairing) -> Result<Rotor> {
        let waves = table.cos.iter().chain(&table.sin).map(|x| *x as f32);
        let waves: Vec<f32> = waves.collect();
        let dims = [2, table.heads, table.rows, table.pairs];
        Ok(Rotor {
            waves: Array::from_f32(context, &waves, &dims)?,
            heads: table.heads,
            pairs: table.pairs,
            pairing,
        })
    }

    /// Turns (batch, heads, rows, head_dim), differentiably.
    pub(super) fn apply(&self, x: &Traced) -> Result<Traced> {
        if self.pairs == 0 {
            return Ok(x.clone());
        }
        let turned = self.turn(x.array(), false)?;
        Ok(Traced::custom(
            turned,
            vec![x.clone()],
            Box::new(self.clone()),
        ))
    }

    fn turn(&self, x: &Array, back: bool) -> Result<Array> {
        let [_, heads, rows, dim] = x.dims() else {
            let expected = "(batch, heads, rows, head_dim)";
            return Err(Error::shape("rotation", expected, x.dims()));
        };
        let own = if self.heads == 1 { 1 } else { *heads };
        let info = [*heads, *rows, *dim, self.pairs, own].map(|x| x as u32);
        let x = x.packed()?;
        let y = Array::empty(x.context(), Kind::F32, x.dims())?;
        y.run(&text(self.pairing, back), &info, &[&x, &self.waves, &y])?;
        Ok(y)
    }
}

impl Backward for Rotor {
    fn backward(&self, gradient: &Array) -> Result<Vec<Option<Array>>> {
        Ok(vec![Some(self.turn(gradient, true)?)])
    }
}

/// One thread per element. Info: count, heads, rows, head_dim, pairs, heads of the table.
pub(super) fn text(pairing: Pairing, back: bool) -> String {
    let (pair, first, step) = match pairing {
        Pairing::HalfSplit => ("channel % pairs", "channel < pairs", "pairs"),
        Pairing::Interleaved => ("channel / 2u", "channel % 2u == 0u", "1u"),
    };
    let sign = if back { "-" } else { "" };
    let body = format!(
        "    if (at >= word(0u)) {{ return; }}
    let dim = word(3u);
    let pairs = word(4u);
    let channel = at % dim;
    if (channel >= 2u * pairs) {{
        y[at] = x0[at];
        return;
    }}
    let row = at / dim % word(2u);
    let head = at / (dim * word(2u)) % word(1u) % word(5u);
    let pair = {pair};
    let place = (head * word(2u) + row) * pairs + pair;
    let cosine = waves[place];
    let sine = {sign}waves[place + word(5u) * word(2u) * pairs];
    if ({first}) {{
        y[at] = x0[at] * cosine - x0[at + {step}] * sine;
    }} else {{
        y[at] = x0[at - {step}] * sine + x0[at] * cosine;
    }}"
    );
    let bindings = [
        reads("x0", Kind::F32),
        reads("waves", Kind::F32),
        writes("y", Kind::F32),
    ];
    kernel(&bindings, "", &body)
}
