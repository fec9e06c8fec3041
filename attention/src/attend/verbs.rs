//! Attention on separate q, k and v, and on all three packed.

use crate::call::{Call, check_shapes, needed};
use crate::choice::{self, Choice};
use crate::form::Form;
use crate::hook::{Hook, HookRef, Qkv, Scope, Stage, Within};
use crate::implementation::{Attended, Implementation};
use crate::mask::Mask;
use crate::params::Params;
use crate::plan::Plan;
use crate::prepared::Prepared;
use crate::{Error, Result, Tensor, composed, fused, gpu, naive_op, tokens};
use std::cell::RefCell;
use std::ops::Range;

/// Attention under a plan, differentiable with respect to `q`, `k`, `v` and every learned parameter.
///
/// `q` is (batch, heads, queries, head_dim), `k` and `v` are (batch, kv_heads, keys, head_dim), all unrotated and of
/// one float type; query head h reads key/value head h / (heads / kv_heads). `params` holds every parameter of the
/// plan that is not a constant of it, and the layer's input if the plan reads it; others are ignored. Queries that see no key get zeros and give no
/// gradient. A NaN in a query, or in a key or value that it sees, makes its output NaN.
///
/// Fails if shapes do not match `prepared`, if a parameter is missing, or if the implementation asked for by name
/// cannot run the plan; it never falls back in silence.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    prepared: &Prepared,
    params: &Params,
    mask: &Mask,
    which: Implementation,
) -> Result<Attended> {
    let mut qkv = Qkv {
        q: q.clone(),
        k: k.clone(),
        v: v.clone(),
    };
    check_shapes(&qkv, prepared)?;
    mask.check(prepared.tokens())?;
    let mut params = params.clone();
    tokens::add(prepared, &mut params)?;
    let left = RefCell::default();
    let hooks = |stage: Stage| {
        prepared
            .plan()
            .hooks
            .iter()
            .filter(move |hook| hook.stage() == stage)
    };
    let within = Attention {
        prepared,
        params: &params,
        mask,
        which,
    };
    for hook in hooks(Stage::Inputs) {
        let call = within.call(&qkv);
        let changed = hook.inputs(&call.scope(&within, &left), qkv.clone())?;
        check_shapes(&changed, prepared)?;
        qkv = changed;
    }
    let own = hooks(Stage::Attention).next();
    let on_scores: Vec<&HookRef> = hooks(Stage::Scores).collect();
    let mut attended = match own {
        None if on_scores.is_empty() => within.run(&qkv)?,
        own => within.hooked(&qkv, (own, &on_scores), &left)?,
    };
    attended.carried = left.into_inner();
    Ok(attended)
}

/// Attention under one mask and with one set of parameters, token vectors among them.
#[derive(Debug)]
struct Attention<'a> {
    prepared: &'a Prepared,
    params: &'a Params,
    mask: &'a Mask,
    which: Implementation,
}

impl Within for Attention<'_> {
    fn scores(&self, qkv: &Qkv, queries: Range<usize>, keys: Range<usize>) -> Result<Tensor> {
        composed::plain_scores(&self.call(qkv), queries, keys)
    }

    fn attend(&self, qkv: &Qkv) -> Result<Tensor> {
        let prepared = &*self.prepared.plain(qkv.k.dim(1)?)?;
        check_shapes(qkv, prepared)?;
        let plain = Attention { prepared, ..*self };
        Ok(plain.run(qkv)?.output)
    }
}

impl Attention<'_> {
    fn call<'b>(&'b self, qkv: &'b Qkv) -> Call<'b> {
        Call {
            tables: self.prepared,
            params: self.params,
            mask: self.mask,
            qkv,
        }
    }

    /// Attention as turns, expression and token vectors say it, whatever hooks the plan has.
    fn run(&self, qkv: &Qkv) -> Result<Attended> {
        let prepared = self.prepared;
        let params = needed(prepared, self.params)?;
        let call = self.call(qkv).with(&params);
        let which = self.plain_choice(prepared.plan(), qkv)?;
        let output = match which {
            Choice::Naive => naive_op::attend(&call)?,
            Choice::Composed => composed::attend(&call)?,
            Choice::Fused if prepared.device().is_cpu() => {
                fused::attend(&call, prepared.compiled()?, None)?
            }
            Choice::Fused => gpu::attend::attend(&call, &|context, batch| {
                prepared.kernels(context, self.mask, batch)
            })?,
        };
        Ok(done(output, which))
    }

    fn plain_choice(&self, plan: &Plan, qkv: &Qkv) -> Result<Choice> {
        choice::choose(self.which, plan, self.prepared.device(), qkv.q.dtype())
    }

    /// The same with hooks between raw scores and output: one in the place of attention, or some on scores.
    fn hooked(
        &self,
        qkv: &Qkv,
        (own, on_scores): (Option<&HookRef>, &[&HookRef]),
        left: &RefCell<Params>,
    ) -> Result<Attended> {
        let call = self.call(qkv);
        let scope = call.scope(self, left);
        let only = match on_scores {
            [] => own,
            [one] => own.is_none().then_some(*one),
            _ => None,
        };
        let only = choice::with_form(self.which, only, self.prepared.device(), qkv.q.dtype());
        let form = only.map(|hook| hook.form(&scope)).transpose()?.flatten();
        if let Some(form) = form {
            return Ok(done(self.formed(&call, &form)?, Choice::Fused));
        }
        let which = match own {
            Some(hook) if hook.attends() => self.plain_choice(self.prepared.plan(), qkv)?,
            _ => choice::by_tensors(self.which)?,
        };
        let output = match own {
            Some(hook) => own_attention(&**hook, &scope)?,
            None => {
                let params = needed(self.prepared, self.params)?;
                composed::with_hooks(&call.with(&params), &scope, on_scores)?
            }
        };
        Ok(done(output, which))
    }

    /// A hook whose form a kernel knows.
    fn formed(&self, call: &Call<'_>, form: &Form) -> Result<Tensor> {
        match form {
            Form::Scan(scan) => {
                let params = needed(self.prepared, self.params)?;
                fused::attend(&call.with(&params), self.prepared.compiled()?, Some(scan))
            }
            Form::Heads(map) => fused::heads(call, map),
            Form::Votes(_) => fused::votes(call),
            Form::Reflections(reflections) => fused::reflect(call, reflections),
        }
    }
}

fn done(output: Tensor, which: Choice) -> Attended {
    Attended {
        output,
        implementation: which.name(),
        carried: Params::new(),
    }
}

fn own_attention(hook: &dyn Hook, scope: &Scope<'_>) -> Result<Tensor> {
    let output = hook.attention(scope, scope.qkv)?;
    if output.dims() != scope.qkv.q.dims() {
        let expected = format!("{:?}", scope.qkv.q.dims());
        return Err(Error::shape(
            format!("output of {}", hook.describe()),
            expected,
            output.dims(),
        ));
    }
    Ok(output)
}

/// [`attend`] on one (batch, tokens, (heads + 2 · kv_heads) · head_dim) tensor, the result of one projection: per token
/// the query heads, the key heads and the value heads. The output is (batch, tokens, heads · head_dim), ready for the
/// next projection. Queries and keys of `prepared` must be the same positions.
///
/// Saves the transposed copies that separate tensors need; otherwise as [`attend`].
pub fn attend_packed(
    qkv: &Tensor,
    prepared: &Prepared,
    params: &Params,
    mask: &Mask,
    which: Implementation,
) -> Result<Attended> {
    let geometry = prepared.geometry();
    let (heads, kv_heads, dim) = (geometry.heads, geometry.kv_heads, geometry.head_dim);
    let tokens = prepared.queries().len();
    let width = (heads + 2 * kv_heads) * dim;
    let batch = qkv.dims().first().copied().unwrap_or(0);
    if qkv.dims() != [batch, tokens, width] {
        let expected = format!(
            "(batch, tokens, (heads + 2 · kv_heads) · head_dim) = {:?}",
            [batch, tokens, width,]
        );
        return Err(Error::shape("attend_packed, qkv", expected, qkv.dims()));
    }
    if prepared.queries() != prepared.keys() {
        return Err(Error::Argument {
            what: "attend_packed, prepared",
            expected: "queries and keys at the same positions".into(),
            found: format!("{:?} and {:?}", prepared.queries(), prepared.keys()),
        });
    }
    mask.check(prepared.tokens())?;
    if choice::reads_packed(which, prepared.plan(), prepared.device(), qkv.dtype())? {
        let mut params = params.clone();
        tokens::add(prepared, &mut params)?;
        let params = needed(prepared, &params)?;
        let output = fused::attend_packed(qkv, prepared.compiled()?, &params, mask)?;
        return Ok(done(output, Choice::Fused));
    }
    let part = |first: usize, n: usize| {
        let part = qkv.narrow(2, first * dim, n * dim)?;
        part.reshape((batch, tokens, n, dim))?
            .transpose(1, 2)?
            .contiguous()
    };
    let (q, k, v) = (
        part(0, heads)?,
        part(heads, kv_heads)?,
        part(heads + kv_heads, kv_heads)?,
    );
    let attended = attend(&q, &k, &v, prepared, params, mask, which)?;
    let output = attended.output.transpose(1, 2)?.contiguous()?;
    Ok(Attended {
        output: output.reshape((batch, tokens, heads * dim))?,
        ..attended
    })
}
