//! Rows of a table, with a gradient that is added up row by row.

use super::bridge::{Floats, floats, ours, tensor, zeros};
use crate::tensor::leaf::hand_over;
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape};

/// Rows of a (vocab, width) table at `ids`, as (`shape`…, width). `ids` are in the row-major order of `shape`.
pub fn embed(table: &Tensor, ids: &[u32], shape: &[usize]) -> Result<Tensor> {
    let (vocab, width) = table.dims2()?;
    if shape.iter().product::<usize>() != ids.len() {
        let expected = format!("one of {} elements, the number of ids", ids.len());
        return Err(Error::shape("embed", expected, shape));
    }
    if let Some((place, id)) = ids
        .iter()
        .enumerate()
        .find(|(_, id)| **id as usize >= vocab)
    {
        return Err(Error::Argument {
            what: "embed, ids",
            expected: format!("ids below the vocabulary size {vocab}"),
            found: format!("{id} at place {place}"),
        });
    }
    let dims = [shape, &[width]].concat();
    if let Some([rows]) = ours([table]) {
        let op = Embed {
            ids: ids.to_vec(),
            dims,
        };
        return Ok(Tensor::from_candle(rows.contiguous()?.apply_op1(op)?));
    }
    let ids = Tensor::from_vec(ids.to_vec(), ids.len(), &table.device())?;
    table.index_select(&ids, 0)?.reshape(dims)
}

struct Embed {
    ids: Vec<u32>,
    dims: Vec<usize>,
}

impl CustomOp1 for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let table = floats(table, layout)?;
        let (_, width) = layout.shape().dims2()?;
        let mut rows = Vec::with_capacity(self.ids.len() * width);
        for &id in &self.ids {
            rows.extend_from_slice(&table[id as usize * width..][..width]);
        }
        Ok((CpuStorage::F32(rows), self.dims.clone().into()))
    }

    fn bwd(
        &self,
        table: &candle_core::Tensor,
        _rows: &candle_core::Tensor,
        gradient: &candle_core::Tensor,
    ) -> candle_core::Result<Option<candle_core::Tensor>> {
        let (_, width) = table.dims2()?;
        let gradient = gradient.contiguous()?;
        let gradient = Floats::of(&gradient)?;
        let mut sums = zeros(table.elem_count());
        for (&id, row) in self
            .ids
            .iter()
            .zip(gradient.get().chunks_exact(width.max(1)))
        {
            let sum = &mut sums[id as usize * width..][..width];
            for (sum, x) in sum.iter_mut().zip(row) {
                *sum += x;
            }
        }
        hand_over(table, tensor(sums, table)?)
    }
}
