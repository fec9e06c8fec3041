//! Fused attention on the CPU, f32 or bf16 with all sums in f32, forward and backward: memory linear in length, work
//! only where the mask lets pairs through, every gradient (queries, keys, values, learned parameters, token vectors)
//! from one sweep.
//!
//! A weight below e⁻⁷⁰ of the largest of its row counts as 0, which no sum of f32 can tell from it; tiles in which
//! a bias leaves no other weights are not looked at.
//!
//! bf16 inputs are converted row by row as they are read; output and gradients of inputs are rounded to bf16 at the end.
//!
//! Jobs are (batch entry, key/value head); sums across jobs are taken in order, so results do not depend on the number
//! of threads. Like `composed`, and unlike `naive`, a NaN in a key or value that the mask hides may reach queries whose
//! tile holds it.

mod backward;
mod columns;
mod compile;
mod formed;
mod forward;
mod heads;
mod lower;
mod matrix;
mod network;
mod node;
mod op;
mod product;
mod program;
mod reflect;
mod rotate;
mod rowwise;
mod scan;
mod scratch;
mod shape;
mod sublayer;
mod tile;
mod values;
mod view;
mod votes;
mod weightless;

pub(crate) use compile::Compiled;
pub(crate) use heads::attend as heads;
pub(crate) use op::{attend, attend_packed};
pub(crate) use reflect::attend as reflect;
pub(crate) use sublayer::sublayer;
pub(crate) use votes::attend as votes;

use crate::hook::Stage;
use crate::plan::Plan;
use crate::{DType, Device};

/// Whether the fused kernel can run this plan on this device; if not, why.
pub fn supports(plan: &Plan, device: &Device) -> Result<(), String> {
    if !device.is_cpu() && !device.is_wgpu() {
        return Err(format!("it runs on cpu and wgpu, not on {device}"));
    }
    let hooks = || {
        plan.hooks
            .iter()
            .filter(|hook| hook.stage() != Stage::Inputs)
    };
    let formed = device.is_cpu() && hooks().count() == 1;
    match hooks().find(|hook| !(formed && hook.has_form())) {
        Some(hook) => Err(format!(
            "the hook {} is a function of tensors",
            hook.describe()
        )),
        None => Ok(()),
    }
}

/// Whether the fused kernel reads inputs of this type; if not, why.
pub(crate) fn reads(dtype: DType) -> Result<(), String> {
    match dtype {
        DType::F32 | DType::BF16 => Ok(()),
        other => Err(format!("it reads f32 and bf16, not {}", other.as_str())),
    }
}

#[cfg(test)]
mod tests;
