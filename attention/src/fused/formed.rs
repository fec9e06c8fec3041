//! Kernels of forms as nodes of candle's graph: any number of inputs, whole arrays of f32.

use crate::call::Call;
use crate::ops::bridge::Floats;
use crate::ops::chain::{Left, token};
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor as Candle};
use std::fmt::Debug;

/// A function of several arrays.
pub(super) trait Whole: Debug + Send + Sync {
    fn name(&self) -> &'static str;

    /// The output, in the shape of the first input.
    fn forward(&self, inputs: &[&[f32]]) -> candle_core::Result<Vec<f32>>;

    /// Gradients of all inputs.
    fn backward(
        &self,
        inputs: &[&[f32]],
        output: &[f32],
        upstream: &[f32],
    ) -> candle_core::Result<Vec<Vec<f32>>>;
}

/// The output of `whole`, in the type of the first input, differentiable with respect to all of them.
pub(super) fn run(inputs: &[&Tensor], whole: impl Whole + 'static) -> Result<Tensor> {
    let dtype = inputs.first().map_or(DType::F32, |input| input.dtype());
    let mut tokens = Vec::new();
    let (mut kept, mut lefts) = (Vec::new(), Vec::new());
    for input in inputs {
        let input = input.candle()?.to_dtype(DType::F32)?.contiguous()?;
        let left = Left::default();
        tokens.push(token(&[&input], &left)?);
        kept.push(input.detach());
        lefts.push(left);
    }
    let node = Node {
        whole,
        inputs: kept,
        lefts,
    };
    let output = Candle::cat(&tokens, 0)?.apply_op1(node)?;
    Ok(Tensor::from_candle(output.to_dtype(dtype)?))
}

/// Fails unless queries and keys are the same tokens under a causal mask and the plan is of raw scores, as `raw` tells.
pub(super) fn same_tokens(call: &Call<'_>, what: &'static str, raw: bool) -> Result<()> {
    let tables = call.tables;
    if tables.queries() == tables.keys() && call.mask.causal && raw {
        return Ok(());
    }
    Err(Error::Argument {
        what,
        expected: "a causal mask, queries and keys at the same positions, a plan of raw scores"
            .into(),
        found: format!(
            "{:?}, {:?} and {:?}, score {}",
            call.mask,
            tables.queries(),
            tables.keys(),
            tables.plan().score
        ),
    })
}

struct Node<W> {
    whole: W,
    inputs: Vec<Candle>,
    lefts: Vec<Left>,
}

impl<W: Whole> Node<W> {
    fn with<T>(
        &self,
        f: impl FnOnce(&[&[f32]]) -> candle_core::Result<T>,
    ) -> candle_core::Result<T> {
        let inputs: Vec<Floats<'_>> = self
            .inputs
            .iter()
            .map(Floats::of)
            .collect::<candle_core::Result<_>>()?;
        f(&inputs.iter().map(Floats::get).collect::<Vec<_>>())
    }
}

impl<W: Whole> CustomOp1 for Node<W> {
    fn name(&self) -> &'static str {
        self.whole.name()
    }

    fn cpu_fwd(
        &self,
        _tokens: &CpuStorage,
        _layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let output = self.with(|inputs| self.whole.forward(inputs))?;
        let shape = self.inputs[0].shape().clone();
        Ok((CpuStorage::F32(output), shape))
    }

    fn bwd(
        &self,
        tokens: &Candle,
        output: &Candle,
        upstream: &Candle,
    ) -> candle_core::Result<Option<Candle>> {
        let upstream = upstream.contiguous()?;
        let (output, upstream) = (Floats::of(output)?, Floats::of(&upstream)?);
        let backward = |inputs: &[&[f32]]| {
            let whole = &self.whole;
            whole.backward(inputs, output.get(), upstream.get())
        };
        let gradients = self.with(backward)?;
        for ((values, input), left) in gradients.into_iter().zip(&self.inputs).zip(&self.lefts) {
            left.put(vec![Candle::from_vec(values, input.shape(), &Device::Cpu)?])?;
        }
        Ok(Some(tokens.zeros_like()?))
    }
}
