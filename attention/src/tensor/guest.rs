//! Numbers that a GPU has not: f64, computed on the processor. Gradients flow in and out.
//!
//! Learned frequencies need f64 angles, which WGSL cannot write. Such tensors belong to their device all the same: what
//! is made of them is a guest of the processor until it is cast to f32, when it goes home.

use super::DType;
use crate::gpu::context::Context;
use crate::gpu::tape::Backward;
use crate::gpu::{Array, Kind, Traced};
use crate::{DeviceSpec, Result};
use candle_core::{Device as Host, Tensor as Candle, Var as CandleVar};
use std::sync::Arc;

/// The device that a guest belongs to, and the tracked arrays there that it was made from, each as a variable here.
#[derive(Clone, Debug, Default)]
pub(super) struct Home(Option<(Context, Sources)>);

/// Tracked arrays on the device, each with the variable that stands for it here.
type Sources = Arc<Vec<(CandleVar, Traced)>>;

impl Home {
    /// Of a guest that was made here.
    pub(super) fn of(context: &Context) -> Home {
        Home(Some((context.clone(), Arc::default())))
    }

    pub(super) fn spec(&self) -> Option<DeviceSpec> {
        self.0.as_ref().map(|(context, _)| context.spec())
    }

    pub(super) fn context(&self) -> Option<&Context> {
        self.0.as_ref().map(|(context, _)| context)
    }

    /// Of what is made from guests of both homes.
    pub(super) fn join(self, other: &Home) -> Home {
        match (self.0, &other.0) {
            (None, other) => Home(other.clone()),
            (own, None) => Home(own),
            (Some((context, sources)), Some((_, more))) => {
                let known = |var: &CandleVar| {
                    let id = var.as_tensor().id();
                    sources.iter().any(|(var, _)| var.as_tensor().id() == id)
                };
                let new: Vec<_> = more.iter().filter(|(var, _)| !known(var)).collect();
                if new.is_empty() {
                    return Home(Some((context, sources)));
                }
                let all = sources.iter().chain(new).cloned().collect();
                Home(Some((context, Arc::new(all))))
            }
        }
    }
}

/// Reads an array over to the processor; gradients will flow back to it.
pub(super) fn visit(traced: &Traced) -> Result<(Candle, Home)> {
    let array = traced.array();
    let dims = array.dims();
    let values = match array.kind() {
        Kind::F32 => Candle::from_vec(array.to_f32()?, dims, &Host::Cpu)?,
        Kind::U32 => Candle::from_vec(array.to_u32()?, dims, &Host::Cpu)?,
    };
    let home = Home::of(array.context());
    if !traced.tracked() {
        return Ok((values, home));
    }
    let var = CandleVar::from_tensor(&values)?;
    let values = var.as_tensor().clone();
    let sources = Arc::new(vec![(var, traced.clone())]);
    Ok((values, Home(Some((array.context().clone(), sources)))))
}

/// Brings a guest home, as f32 or u32.
pub(super) fn leave(guest: &Candle, home: &Home, context: &Context) -> Result<Traced> {
    let flat = guest.flatten_all()?;
    let array = match guest.dtype() {
        DType::F32 => Array::from_f32(context, &flat.to_vec1()?, guest.dims())?,
        _ => Array::from_u32(
            context,
            &flat.to_dtype(DType::U32)?.to_vec1()?,
            guest.dims(),
        )?,
    };
    let sources = match &home.0 {
        Some((_, sources)) if guest.track_op() && !sources.is_empty() => sources.clone(),
        _ => return Ok(Traced::constant(array)),
    };
    let inputs = sources.iter().map(|(_, traced)| traced.clone()).collect();
    let visit = Visit {
        result: guest.clone(),
        sources,
    };
    Ok(Traced::custom(array, inputs, Box::new(visit)))
}

/// What was computed on the processor, with candle's history.
#[derive(Debug)]
struct Visit {
    result: Candle,
    sources: Sources,
}

impl Backward for Visit {
    fn backward(&self, gradient: &Array) -> Result<Vec<Option<Array>>> {
        let above = Candle::from_vec(gradient.to_f32()?, gradient.dims(), &Host::Cpu)?;
        let found = (&self.result * above)?.sum_all()?.backward()?;
        let context = gradient.context();
        let to_device = |(var, _): &(CandleVar, Traced)| {
            let Some(gradient) = found.get(var.as_tensor()) else {
                return Ok(None);
            };
            let values = gradient.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            Array::from_f32(context, &values, gradient.dims()).map(Some)
        };
        self.sources.iter().map(to_device).collect()
    }
}
