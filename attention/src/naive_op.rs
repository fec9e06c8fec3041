//! [`naive`](crate::naive) as a differentiable tensor operation: all inputs travel in one flat f64 tensor on the CPU.

use crate::call::Call;
use crate::expr::ParamValues;
use crate::hook::Qkv;
use crate::mask::Mask;
use crate::naive::{self, Inputs};
use crate::tables::Tables;
use crate::{DType, Result, Tensor};
use candle_core::{CpuStorage, CustomOp1, Layout};
use ndarray::Array4;

/// As [`attend`](crate::attend::attend) with checked arguments; the call holds exactly what the plan reads.
pub(crate) fn attend(call: &Call<'_>) -> Result<Tensor> {
    let Qkv { q, k, v } = call.qkv;
    let params = call.params;
    let parts: Vec<&Tensor> = [q, k, v].into_iter().chain(params.values()).collect();
    // To the CPU first: not every device knows f64.
    let flat = |part: &&Tensor| {
        part.reshape(part.elem_count())?
            .to_host()?
            .to_dtype(DType::F64)
    };
    let flat: Vec<Tensor> = parts.iter().map(flat).collect::<Result<_>>()?;
    let packed = Tensor::cat(&flat.iter().collect::<Vec<_>>(), 0)?;
    let op = NaiveOp {
        batch: q.dims4()?.0,
        params: params
            .iter()
            .map(|(name, t)| (name.clone(), t.elem_count()))
            .collect(),
        tables: call.tables.clone(),
        mask: call.mask.clone(),
    };
    let output = packed.on_host(|packed| packed.apply_op1(op))?;
    output
        .reshape(q.dims())?
        .to_dtype(q.dtype())?
        .to_device(&q.device())
}

struct NaiveOp {
    batch: usize,
    params: Vec<(String, usize)>,
    tables: Tables,
    mask: Mask,
}

impl NaiveOp {
    fn unpack(&self, mut data: &[f64]) -> candle_core::Result<Inputs> {
        let mut take = |len: usize| {
            let (head, tail) = data.split_at(len);
            data = tail;
            head.to_vec()
        };
        let geometry = self.tables.geometry();
        let queries = (
            self.batch,
            geometry.heads,
            self.tables.queries().len(),
            geometry.head_dim,
        );
        let keys = (
            self.batch,
            geometry.kv_heads,
            self.tables.keys().len(),
            geometry.head_dim,
        );
        let mut array = |dim: (usize, usize, usize, usize)| {
            Array4::from_shape_vec(dim, take(dim.0 * dim.1 * dim.2 * dim.3))
                .map_err(candle_core::Error::wrap)
        };
        let (q, k, v) = (array(queries)?, array(keys)?, array(keys)?);
        let params: ParamValues = self
            .params
            .iter()
            .map(|(name, len)| (name.clone(), take(*len)))
            .collect();
        Ok(Inputs { q, k, v, params })
    }
}

impl CustomOp1 for NaiveOp {
    fn name(&self) -> &'static str {
        "naive-attention"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, candle_core::Shape)> {
        let data: &[f64] = storage.as_slice()?;
        let inputs = self.unpack(&data[layout.start_offset()..])?;
        let output =
            naive::forward(&inputs, &self.tables, &self.mask).map_err(candle_core::Error::wrap)?;
        let output: Vec<f64> = output.into_iter().collect();
        let len = output.len();
        Ok((CpuStorage::F64(output), len.into()))
    }

    fn bwd(
        &self,
        arg: &candle_core::Tensor,
        _res: &candle_core::Tensor,
        above: &candle_core::Tensor,
    ) -> candle_core::Result<Option<candle_core::Tensor>> {
        let inputs = self.unpack(&arg.to_vec1::<f64>()?)?;
        let above = Array4::from_shape_vec(inputs.q.raw_dim(), above.to_vec1::<f64>()?)
            .map_err(candle_core::Error::wrap)?;
        let found = naive::backward(&inputs, &self.tables, &self.mask, &above)
            .map_err(candle_core::Error::wrap)?;
        let mut packed: Vec<f64> = found.q.into_iter().chain(found.k).chain(found.v).collect();
        packed.extend(found.params.into_values().flatten());
        let len = packed.len();
        Ok(Some(candle_core::Tensor::from_vec(
            packed,
            len,
            arg.device(),
        )?))
    }
}
