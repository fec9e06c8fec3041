//! Positional encodings of your own, in your own crate: every verb of the program works for them.
//!
//! ```sh
//! cargo run --release --example own_scheme -- explain my-log-alibi
//! cargo run --release --example own_scheme -- run harness/examples/own-scheme.toml
//! ```
//!
//! The first is said with an expression, so it runs in the fused kernels of every device; the second needs a hook, a
//! function of tensors, which is written once and has gradients.

use farspan::attention::expr::{distance, param, raw};
use farspan::attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan::attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan::attention::{Result, Tensor};
use farspan::pe::{Card, Len, PlanError, Registry, Scheme};
use serde::{Deserialize, Serialize};

/// ALiBi with the logarithm of the distance, and one learned slope per head.
#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogAlibi {}

impl Scheme for LogAlibi {
    const ID: &'static str = "my-log-alibi";
    const CARD: Card = Card {
        title: "Log-ALiBi",
        ..Card::BLANK
    };

    fn plan(&self, model: &Geometry, _context_len: Len) -> std::result::Result<Plan, PlanError> {
        let score = raw() - param("slope") * distance().log1p();
        Ok(Plan {
            score,
            params: vec![per_head("slope", model.heads, 1.0)],
            ..Plan::default()
        })
    }
}

/// No positions but one: each key is mixed with the key of the token before it, by a learned share per head.
#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyShift {}

impl Scheme for KeyShift {
    const ID: &'static str = "key-shift";
    const CARD: Card = Card {
        title: "Key shift",
        ..Card::BLANK
    };

    fn plan(&self, model: &Geometry, _context_len: Len) -> std::result::Result<Plan, PlanError> {
        Ok(Plan {
            hooks: vec![HookRef::new(ShiftKeys)],
            params: vec![per_head("share", model.kv_heads, 0.5)],
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct ShiftKeys;

impl Hook for ShiftKeys {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        "k[t] + share[h]·k[t-1]".into()
    }

    fn params(&self) -> Vec<String> {
        vec!["share".into()]
    }

    /// Keys are (batch, kv_heads, tokens, head_dim); attention itself stays fused.
    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        let tokens = qkv.k.dims()[2];
        let share = scope.param("share")?;
        let share = share.reshape((1, share.dims()[0], 1, 1))?;
        let first = qkv.k.narrow(2, 0, 1)?.zeros_like()?;
        let before = Tensor::cat(&[&first, &qkv.k.narrow(2, 0, tokens - 1)?], 2)?;
        let k = qkv.k.add(&before.broadcast_mul(&share)?)?;
        Ok(Qkv { k, ..qkv })
    }
}

/// A number for each head and layer, learned from `start`.
fn per_head(name: &str, heads: usize, start: f64) -> ParamSpec {
    ParamSpec {
        name: name.into(),
        shape: vec![heads],
        init: Init::Constant(start),
        learned: true,
        per_layer: true,
        clamp: Some((0.0, f64::INFINITY)),
    }
}

fn main() -> std::process::ExitCode {
    let registry = Registry::builtin();
    farspan::cli::main_with(registry.with::<LogAlibi>().with::<KeyShift>())
}
