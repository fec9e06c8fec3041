//! `attend`: the one verb. Picks an implementation, reports it, and refuses what cannot be done.

mod formed;
mod sublayer;

use crate::hook::{Hook, HookRef, Qkv, Scope, Stage};
use crate::prepared::Prepared;
#[cfg(feature = "wgpu")]
use crate::wgpu;
use crate::{Error, Result, Tensor, composed, fused, naive_op, tokens};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub use crate::composed::rows_per_block;
pub use crate::mask::Mask;
pub use sublayer::Sublayer;

/// What attention reads besides q, k and v, by name: one layer's parameters in the shapes that the plan gives, the
/// layer's input as [`INPUT`] where [`Plan::reads_input`](crate::plan::Plan::reads_input), what the feed-forward part
/// before it added as [`FEED_FORWARD`] where [`Plan::reads_feed_forward`](crate::plan::Plan::reads_feed_forward), and
/// what the layer before carried over ([`Attended::carried`]).
pub type Params = BTreeMap<String, Tensor>;

/// Name of the layer's input after its norm, (batch, tokens, width), among [`Params`].
pub const INPUT: &str = "@input";

/// Name of what the feed-forward part of the layer before added to the residual stream, (batch, tokens, width), among
/// [`Params`].
pub const FEED_FORWARD: &str = "@feed_forward";

/// What names of carried tensors start with.
pub(crate) const CARRIED: &str = "@carried.";

/// Which implementation is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Implementation {
    /// The fastest one that can; [`Attended::implementation`] tells which.
    #[default]
    Auto,
    /// Triple loop in f64.
    Naive,
    /// Tensor operations by query block, on any device.
    Composed,
    /// One fused kernel.
    Fused,
}

impl FromStr for Implementation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Implementation> {
        match text {
            "auto" => Ok(Implementation::Auto),
            "naive" => Ok(Implementation::Naive),
            "composed" => Ok(Implementation::Composed),
            "fused" => Ok(Implementation::Fused),
            _ => Err(Error::Argument {
                what: "attention implementation",
                expected: "auto, naive, composed or fused".into(),
                found: format!("{text:?}"),
            }),
        }
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Implementation::Auto => "auto",
            Implementation::Naive => "naive",
            Implementation::Composed => "composed",
            Implementation::Fused => "fused",
        })
    }
}

/// What [`attend`] returns.
#[derive(Clone, Debug)]
pub struct Attended {
    /// (batch, heads, queries, head_dim)
    pub output: Tensor,
    /// Name of the implementation that ran.
    pub implementation: &'static str,
    /// What hooks leave for the next layer: to be added to its [`Params`].
    pub carried: Params,
}

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
    for hook in hooks(Stage::Inputs) {
        let scope = Scope::new(prepared, &params, mask, &qkv, &left);
        let changed = hook.inputs(&scope, qkv.clone())?;
        check_shapes(&changed, prepared)?;
        qkv = changed;
    }
    let scope = Scope::new(prepared, &params, mask, &qkv, &left);
    let on_scores: Vec<&HookRef> = hooks(Stage::Scores).collect();
    let mut attended = match hooks(Stage::Attention).next() {
        None if on_scores.is_empty() => without_hooks(&qkv, prepared, &params, mask, which)?,
        own => {
            let only = match on_scores.as_slice() {
                [] => own,
                [one] => own.is_none().then_some(*one),
                _ => None,
            };
            if let Some(output) = formed::run(only, &scope, which)? {
                return Ok(Attended {
                    output,
                    implementation: Choice::Fused.name(),
                    carried: left.into_inner(),
                });
            }
            if let Implementation::Naive | Implementation::Fused = which {
                let name = if which == Implementation::Naive {
                    "naive"
                } else {
                    "fused"
                };
                let why = "its hooks are functions of tensors";
                return Err(Error::Unsupported {
                    name,
                    why: why.into(),
                });
            }
            let output = match own {
                Some(hook) => own_attention(&**hook, &scope)?,
                None => composed::with_hooks(&scope, &needed(prepared, &params)?, &on_scores)?,
            };
            Attended {
                output,
                implementation: Choice::Composed.name(),
                carried: Params::new(),
            }
        }
    };
    attended.carried = left.into_inner();
    Ok(attended)
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

/// Attention as turns, expression and token vectors say it, whatever hooks the plan has; `params` holds token vectors
/// too.
pub(crate) fn without_hooks(
    qkv: &Qkv,
    prepared: &Prepared,
    params: &Params,
    mask: &Mask,
    which: Implementation,
) -> Result<Attended> {
    let Qkv { q, k, v } = qkv;
    let params = needed(prepared, params)?;
    let which = choose(which, prepared, q)?;
    let output = match which {
        Choice::Naive => naive_op::attend(q, k, v, prepared, &params, mask)?,
        Choice::Composed => composed::attend(q, k, v, prepared, &params, mask)?,
        #[cfg(feature = "wgpu")]
        Choice::Fused if prepared.device().is_wgpu() => {
            wgpu::attend::attend(q, k, v, prepared, &params, mask)?
        }
        Choice::Fused => fused::attend(q, k, v, prepared, &params, mask, None)?,
    };
    Ok(Attended {
        output,
        implementation: which.name(),
        carried: Params::new(),
    })
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
    let hooked = !prepared.plan().hooks.is_empty();
    let fused = !hooked && choose(which, prepared, qkv)? == Choice::Fused;
    if fused && prepared.device().is_cpu() {
        let mut params = params.clone();
        tokens::add(prepared, &mut params)?;
        let params = needed(prepared, &params)?;
        let output = fused::attend_packed(qkv, prepared, &params, mask)?;
        return Ok(Attended {
            output,
            implementation: Choice::Fused.name(),
            carried: Params::new(),
        });
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

fn choose(which: Implementation, prepared: &Prepared, input: &Tensor) -> Result<Choice> {
    let fused = fused::supports(prepared.plan(), prepared.device())
        .and_then(|()| fused::reads(input.dtype()));
    match (which, fused) {
        (Implementation::Naive, _) => Ok(Choice::Naive),
        (Implementation::Composed, _) | (Implementation::Auto, Err(_)) => Ok(Choice::Composed),
        (Implementation::Fused | Implementation::Auto, Ok(())) => Ok(Choice::Fused),
        (Implementation::Fused, Err(why)) => Err(Error::Unsupported { name: "fused", why }),
    }
}

fn check_shapes(qkv: &Qkv, prepared: &Prepared) -> Result<()> {
    let Qkv { q, k, v } = qkv;
    let geometry = prepared.geometry();
    let batch = q.dims().first().copied().unwrap_or(0);
    let queries = [
        batch,
        geometry.heads,
        prepared.queries().len(),
        geometry.head_dim,
    ];
    let keys = [
        batch,
        geometry.kv_heads,
        prepared.keys().len(),
        geometry.head_dim,
    ];
    for (what, tensor, expected, axes) in [
        ("q", q, queries, "(batch, heads, queries, head_dim)"),
        ("k", k, keys, "(batch, kv_heads, keys, head_dim)"),
        ("v", v, keys, "(batch, kv_heads, keys, head_dim)"),
    ] {
        if tensor.dims() != expected {
            let expected = format!("{axes} = {expected:?}");
            return Err(Error::shape(
                format!("attend, {what}"),
                expected,
                tensor.dims(),
            ));
        }
    }
    Ok(())
}

/// Names for an error message.
pub(crate) fn names(params: &Params) -> String {
    params
        .keys()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// What the score and the query scale read from the caller: parameters in the plan's shapes, and token vectors.
fn needed(prepared: &Prepared, params: &Params) -> Result<Params> {
    let plan = prepared.plan();
    let mut names = plan.score.param_names();
    if let Some(scale) = &plan.query_scale {
        names.extend(scale.param_names());
    }
    let mut needed = Params::new();
    for (name, side) in plan.score.token_names() {
        // A validated plan describes every token vector that it names.
        let name = format!("{name}@{side}");
        if let Some(tensor) = params.get(&name) {
            needed.insert(name, tensor.clone());
        }
    }
    for name in names {
        if prepared.constants().contains_key(&name) {
            continue;
        }
        // A validated plan describes every parameter that it names.
        let shape = plan
            .param(&name)
            .map_or(Vec::new(), |spec| spec.shape.clone());
        let Some(tensor) = params.get(&name) else {
            let given = self::names(params);
            return Err(Error::MissingParam { name, shape, given });
        };
        if tensor.dims() != shape {
            let what = format!("parameter {name}");
            return Err(Error::shape(what, format!("{shape:?}"), tensor.dims()));
        }
        needed.insert(name, tensor.clone());
    }
    Ok(needed)
}
