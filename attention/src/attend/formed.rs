//! Hooks whose form a kernel knows.

use super::{Implementation, needed};
use crate::form::Form;
use crate::hook::{HookRef, Qkv, Scope};
use crate::{Result, Tensor, fused};

/// The only hook between raw scores and output, as a kernel, if it has a form and the call is one of kernels.
pub(super) fn run(
    hook: Option<&HookRef>,
    scope: &Scope<'_>,
    which: Implementation,
) -> Result<Option<Tensor>> {
    let asked = matches!(which, Implementation::Auto | Implementation::Fused);
    let (q, prepared) = (&scope.qkv.q, scope.prepared);
    let fits = asked && prepared.device().is_cpu() && fused::reads(q.dtype()).is_ok();
    let Some(hook) = hook.filter(|hook| fits && hook.has_form()) else {
        return Ok(None);
    };
    let Some(form) = hook.form(scope)? else {
        return Ok(None);
    };
    let Qkv { q, k, v } = scope.qkv;
    match &form {
        Form::Scan(scan) => {
            let params = needed(prepared, scope.params)?;
            fused::attend(q, k, v, prepared, &params, scope.mask, Some(scan))
        }
        Form::Heads(map) => fused::heads(scope, map),
        Form::Votes(_) => fused::votes(scope),
        Form::Reflections(reflections) => fused::reflect(scope, reflections),
    }
    .map(Some)
}
