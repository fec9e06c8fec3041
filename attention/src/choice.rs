//! Which implementation runs: whether attention is fused is decided here and nowhere else.

use crate::hook::{HookRef, Stage};
use crate::implementation::Implementation;
use crate::plan::Plan;
use crate::{DType, Device, Error, Result};

/// What runs in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Naive,
    Composed,
    Fused,
}

impl Choice {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Choice::Naive => "naive",
            Choice::Composed => "composed",
            Choice::Fused => "fused",
        }
    }
}

/// Whether the fused kernel can run this plan on this device; if not, why.
pub fn supports(plan: &Plan, device: &Device) -> Result<(), String> {
    let hooks = || {
        plan.hooks
            .iter()
            .filter(|hook| hook.stage() != Stage::Inputs)
    };
    let formed = device.is_cpu() && hooks().count() == 1;
    match hooks().find(|hook| !(hook.attends() || formed && hook.has_form())) {
        Some(hook) => Err(format!(
            "the hook {} is a function of tensors",
            hook.describe()
        )),
        None => Ok(()),
    }
}

/// Whether the fused kernel reads inputs of this type; if not, why.
fn reads(dtype: DType) -> Result<(), String> {
    match dtype {
        DType::F32 | DType::BF16 => Ok(()),
        other => Err(format!("it reads f32 and bf16, not {}", other.as_str())),
    }
}

/// What runs turns, expression and token vectors of a plan.
pub(crate) fn choose(
    which: Implementation,
    plan: &Plan,
    device: &Device,
    dtype: DType,
) -> Result<Choice> {
    let fused = supports(plan, device).and_then(|()| reads(dtype));
    match (which, fused) {
        (Implementation::Naive, _) => Ok(Choice::Naive),
        (Implementation::Composed, _) | (Implementation::Auto, Err(_)) => Ok(Choice::Composed),
        (Implementation::Fused | Implementation::Auto, Ok(())) => Ok(Choice::Fused),
        (Implementation::Fused, Err(why)) => Err(Error::Unsupported { name: "fused", why }),
    }
}

/// Whether the kernel reads q, k and v as the projection packed them.
pub(crate) fn reads_packed(
    which: Implementation,
    plan: &Plan,
    device: &Device,
    dtype: DType,
) -> Result<bool> {
    let plain = plan.hooks.is_empty();
    Ok(plain && choose(which, plan, device, dtype)? == Choice::Fused && device.is_cpu())
}

/// The only hook between raw scores and output, if kernels may run it in its form.
pub(crate) fn with_form<'a>(
    which: Implementation,
    only: Option<&'a HookRef>,
    device: &Device,
    dtype: DType,
) -> Option<&'a HookRef> {
    let asked = matches!(which, Implementation::Auto | Implementation::Fused);
    let fits = asked && device.is_cpu() && reads(dtype).is_ok();
    only.filter(|hook| fits && hook.has_form())
}

/// What runs hooks by their own tensor operations.
pub(crate) fn by_tensors(which: Implementation) -> Result<Choice> {
    let name = match which {
        Implementation::Auto | Implementation::Composed => return Ok(Choice::Composed),
        Implementation::Naive => "naive",
        Implementation::Fused => "fused",
    };
    Err(Error::Unsupported {
        name,
        why: "its hooks are functions of tensors".into(),
    })
}
