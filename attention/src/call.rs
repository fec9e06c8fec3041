//! One call of attention, as everything below it sees it.

use crate::hook::{Qkv, Scope, Within};
use crate::mask::Mask;
use crate::params::{Params, names as listed};
use crate::tables::Tables;
use crate::{Error, Result};
use std::cell::RefCell;

/// What attention is given, in shapes that fit the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) params: &'a Params,
    pub(crate) mask: &'a Mask,
    pub(crate) qkv: &'a Qkv,
}

impl<'a> Call<'a> {
    /// The same with nothing but what the plan's score and query scale read.
    pub(crate) fn with(self, params: &'a Params) -> Call<'a> {
        Call { params, ..self }
    }

    /// What a hook may look at: all queries and keys.
    pub(crate) fn scope(&self, within: &'a dyn Within, left: &'a RefCell<Params>) -> Scope<'a> {
        Scope {
            prepared: self.tables.span(),
            params: self.params,
            mask: self.mask,
            qkv: self.qkv,
            queries: self.tables.queries(),
            keys: self.tables.keys(),
            specs: &self.tables.plan().params,
            constants: self.tables.constants(),
            within,
            left,
        }
    }
}

/// What the score and the query scale read from the caller: parameters in the plan's shapes, and token vectors.
pub(crate) fn needed(tables: &Tables, params: &Params) -> Result<Params> {
    let plan = tables.plan();
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
        if tables.constants().contains_key(&name) {
            continue;
        }
        // A validated plan describes every parameter that it names.
        let shape = plan
            .param(&name)
            .map_or(Vec::new(), |spec| spec.shape.clone());
        let Some(tensor) = params.get(&name) else {
            let given = listed(params);
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

/// Fails if queries, keys or values do not fit the tables.
pub(crate) fn check_shapes(qkv: &Qkv, tables: &Tables) -> Result<()> {
    let Qkv { q, k, v } = qkv;
    let geometry = tables.geometry();
    let batch = q.dims().first().copied().unwrap_or(0);
    let queries = [
        batch,
        geometry.heads,
        tables.queries().len(),
        geometry.head_dim,
    ];
    let keys = [
        batch,
        geometry.kv_heads,
        tables.keys().len(),
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
