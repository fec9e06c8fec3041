//! Which engine holds a tensor, and how an operation finds its inputs on one of them.

use super::Tensor;
use crate::{Error, Result};
use {
    super::{Shape, guest},
    crate::{DeviceSpec, gpu::Traced},
};

/// The numbers of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    /// On the processor.
    Candle(candle_core::Tensor),
    /// On the processor for a GPU, which has no such numbers (f64) itself.
    Guest(candle_core::Tensor, Home),
    /// On a GPU.
    Gpu(Traced, Shape),
}

pub(super) use super::guest::Home;

/// One operation: `candle` computes with the inputs as candle's tensors, `gpu` with them as traced arrays.
macro_rules! operation {
    ([$($input:expr),+] as [$($x:ident),+], candle $candle:expr, gpu $gpu:expr) => {{
        if let Some([$($x),+]) = $crate::tensor::engine::on_gpu([$($input),+])? {
            return Ok(Tensor::from_traced($gpu));
        }
        let ([$($x),+], home) = $crate::tensor::engine::on_host([$($input),+])?;
        Ok(Tensor::at_home($candle, home))
    }};
}
pub(super) use operation;

/// The inputs of an operation if all of them are on one GPU.
pub(crate) fn on_gpu<const N: usize>(inputs: [&Tensor; N]) -> Result<Option<[&Traced; N]>> {
    let all = traced(&inputs)?;
    Ok(all.and_then(|all| all.try_into().ok()))
}

/// The same for any number of inputs.
pub(super) fn traced<'a>(inputs: &[&'a Tensor]) -> Result<Option<Vec<&'a Traced>>> {
    let mut all = Vec::new();
    for input in inputs {
        match &input.0 {
            Engine::Gpu(traced, _) => all.push(traced),
            Engine::Candle(_) | Engine::Guest(..) => return Ok(None),
        }
    }
    if let Some((first, rest)) = all.split_first() {
        let context = first.array().context();
        for other in rest {
            let found = other.array().context();
            if !found.is(context) {
                return Err(elsewhere(context.spec(), found.spec()));
            }
        }
    }
    Ok(Some(all))
}

fn elsewhere(expected: DeviceSpec, found: DeviceSpec) -> Error {
    Error::Argument {
        what: "an operation",
        expected: format!("all inputs on {expected}, where one is"),
        found: format!("one on {found}"),
    }
}

/// The inputs of an operation that candle runs, and the GPU that the result belongs to, if any.
pub(super) fn on_host<const N: usize>(
    inputs: [&Tensor; N],
) -> Result<([candle_core::Tensor; N], Home)> {
    let (all, home) = candles(&inputs)?;
    match all.try_into() {
        Ok(all) => Ok((all, home)),
        // There are as many outputs as inputs.
        Err(_) => Err(Error::expr("an operation lost an input")),
    }
}

/// The same for any number of inputs.
pub(super) fn candles(inputs: &[&Tensor]) -> Result<(Vec<candle_core::Tensor>, Home)> {
    let mut all = Vec::with_capacity(inputs.len());
    let mut home = Home::default();
    for input in inputs {
        let (tensor, own) = match &input.0 {
            Engine::Candle(tensor) => (tensor.clone(), Home::default()),
            Engine::Guest(tensor, home) => (tensor.clone(), home.clone()),
            Engine::Gpu(traced, _) => guest::visit(traced)?,
        };
        all.push(tensor);
        home = home.join(&own);
    }
    let stray = inputs
        .iter()
        .find(|input| matches!(input.0, Engine::Candle(_)));
    match (stray, home.spec()) {
        (Some(stray), Some(spec)) => Err(elsewhere(spec, stray.device().spec())),
        _ => Ok((all, home)),
    }
}
