//! RePo reads a token's position from its content: one real number per head, not a sum over the text.
//!
//! z_t = W_f·(SiLU(W_g·x_t) ⊙ W_c·x_t);  q and k of head h turn by z_{t,h}·b^(−2p/d) in the layers from `from_layer` on,
//! by t·b^(−2p/d) in those before;  `form = "linear"`: z_t = W·x_t
//!
//! Paper: Li et al. 2025 (Sakana AI), arXiv 2512.14391, section 3.
//!
//! Code: the middle is an eighth of the width (`share`); layers from number 5 of 16 and 10 of 32 on, counted from 0, and
//! base 500000. Linear forms: one position per head, or one for all (`shared-linear`). Positions belong to key heads here
//! and serve all queries that read them; with as many key as query heads this is the authors' form. Their decoder
//! normalises after each sublayer, so that x is the stream; here it is what q and k are projected from. Attention
//! stays fused.

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::learned;
use crate::tensor::rotation::{Angles, split, whole_text};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{DType, Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of RePo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RePo {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// From the layer's input to positions.
    pub form: Form,
    /// Width of the model over that of the middle layer, for `form = "gated"`.
    #[schemars(range(min = 1))]
    pub share: usize,
    /// First layer, from 0, that reads positions from content; those before it are RoPE. Left out: 5/16 of the layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub from_layer: Option<usize>,
}

/// How positions are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// W_f·(SiLU(W_g·x) ⊙ W_c·x), one per key head.
    Gated,
    /// W·x, one per key head.
    Linear,
    /// w·x, one for all heads.
    SharedLinear,
}

impl Default for RePo {
    fn default() -> RePo {
        RePo {
            base: 500_000.0,
            form: Form::Gated,
            share: 8,
            from_layer: None,
        }
    }
}

impl RePo {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }
}

const GATE: &str = "repo.gate";
const CONTENT: &str = "repo.content";
const POSITION: &str = "repo.position";

impl Scheme for RePo {
    const ID: &'static str = "repo";
    const CARD: Card = Card {
        title: "RePo",
        paper: Paper {
            authors: "Li et al.",
            year: 2025,
            arxiv: "2512.14391",
            section: "3",
        },
        family: Family::Content,
        idea: "Let each token say from its own content where it stands, one real position per head, and turn q and k by it.",
        formula: "angle_t = z_t·b^(-2p/d), z = W_f (SiLU(W_g x) * W_c x)",
        latex: r"\alpha_{t,p} = z_t\,b^{-2p/d},\quad z = W_f(\mathrm{SiLU}(W_g x) \odot W_c x)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check("share", self.share, "at least 1", self.share >= 1)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.layer_plan(model, context_len, 0)
    }

    fn layer_plan(
        &self,
        model: &Geometry,
        _context_len: Len,
        layer: usize,
    ) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let dim = self.rotary().dim(model, 2)?;
        let first = self.from_layer.unwrap_or(model.layers * 5 / 16);
        if layer < first {
            return Ok(self.rotary().plan(inv_freq(self.base, dim), 1.0));
        }
        let drawn = |name: &str, shape: [usize; 2]| learned(name, &shape, Init::Normal(0.0, 0.02));
        let middle = (model.width / self.share).max(1);
        let params = match self.form {
            Form::Gated => vec![
                drawn(GATE, [middle, model.width]),
                drawn(CONTENT, [middle, model.width]),
                drawn(POSITION, [model.kv_heads, middle]),
            ],
            Form::Linear => vec![drawn(POSITION, [model.kv_heads, model.width])],
            Form::SharedLinear => vec![drawn(POSITION, [1, model.width])],
        };
        let gated = self.form == Form::Gated;
        Ok(Plan {
            hooks: vec![HookRef::new(Placed {
                base: self.base,
                dim,
                gated,
            })],
            params,
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct Placed {
    base: f64,
    dim: usize,
    gated: bool,
}

impl Hook for Placed {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        let Placed { base, dim, gated } = self;
        format!("positions from content: base {base}, {dim} channels, gated {gated}")
    }

    fn params(&self) -> Vec<String> {
        let names: &[&str] = if self.gated {
            &[GATE, CONTENT, POSITION]
        } else {
            &[POSITION]
        };
        names.iter().map(|name| name.to_string()).collect()
    }

    fn reads_input(&self) -> bool {
        true
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        whole_text(scope, "repo, positions from content")?;
        let x = scope.input()?;
        let read = if self.gated {
            let gate = ops::linear(x, &scope.param(GATE)?)?.silu()?;
            gate.mul(&ops::linear(x, &scope.param(CONTENT)?)?)?
        } else {
            x.clone()
        };
        let weight = scope.param(POSITION)?;
        // (batch, key heads or 1, tokens, 1), in f64 as all positions.
        let at = split(&ops::linear(&read, &weight)?, weight.dim(0)?)?.to_dtype(DType::F64)?;
        let theta = Tensor::from_vec(
            inv_freq(self.base, self.dim),
            (1, self.dim / 2),
            &at.device(),
        )?;
        let angles = at.broadcast_mul(&theta)?;
        let for_queries = if angles.dim(1)? == 1 {
            angles.clone()
        } else {
            scope.repeated(&angles)?
        };
        let dtype = qkv.q.dtype();
        Ok(Qkv {
            q: Angles::new(&for_queries, dtype)?.turn(&qkv.q)?,
            k: Angles::new(&angles, dtype)?.turn(&qkv.k)?,
            v: qkv.v,
        })
    }
}
