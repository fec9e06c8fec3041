//! Selective RoPE lets each token decide how far the phase of its layer advances, so that rotation becomes a learned
//! clock.
//!
//! φ_t = conv₄(U·D·x̂_t),  x̂ = x with unit length per head;  Φ_t = Σ_{τ ≤ t} φ_τ;  angle of pair p: b^(−2p/d)·Φ_{t,p}
//!
//! Paper: Movahedi et al. 2025, arXiv 2511.17388, section 4.
//!
//! Code: U·D has rank 16 in the module and 32 in the configs (`rank`). The convolution is causal, one filter per head
//! and pair; `increment = "difference"` takes first differences instead. Optional: a learned constant step exp(bias),
//! zero at first, so that every step starts at 1 plus what the content says (`bias`); a sigmoid gate per head from x̂
//! (`gate`). Phases belong to key heads here and serve all queries that read them; with as many key as query heads
//! this is the authors' form. The normalisation of turned q and k that their decoder adds is no part of the encoding
//! and left out. Attention stays fused.

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::learned;
use crate::tensor::rotation::{self, Angles, convolved, l2_norm, sigmoid, split, summed};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Selective RoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectiveRope {
    /// Base b of the temperatures b^(−2p/d) that multiply the phases.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Rank of the projection from the layer's input to the phases.
    #[schemars(range(min = 1))]
    pub rank: usize,
    /// What is taken along the text before phases are summed.
    pub increment: Increment,
    /// Tokens that the convolution sees.
    #[schemars(range(min = 1))]
    pub kernel: usize,
    /// Whether a learned step exp(b) is added to each increment.
    pub bias: bool,
    /// Whether a sigmoid of the input gates the increments of each head.
    pub gate: bool,
}

/// From projections to increments of the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Increment {
    /// A causal convolution, learned per head and pair.
    Convolution,
    /// The difference from the token before.
    Difference,
}

impl Default for SelectiveRope {
    fn default() -> SelectiveRope {
        SelectiveRope {
            base: 500_000.0,
            rank: 16,
            increment: Increment::Convolution,
            kernel: 4,
            bias: false,
            gate: false,
        }
    }
}

impl SelectiveRope {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }
}

impl Scheme for SelectiveRope {
    const ID: &'static str = "selective-rope";
    const CARD: Card = Card {
        title: "Selective RoPE",
        paper: Paper {
            authors: "Movahedi et al.",
            year: 2025,
            arxiv: "2511.17388",
            section: "4",
        },
        family: Family::Content,
        idea: "Turn pairs by a running sum of increments that each token computes from its own \
               content.",
        formula: "angle_t = b^(-2p/d) Σ_{τ ≤ t} conv(U D x)_τ",
        latex: r"\alpha_{t,p} = b^{-2p/d} \sum_{\tau \le t} \mathrm{conv}(U D \hat x)_{\tau,p}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check("rank", self.rank, "at least 1", self.rank >= 1)?;
        check("kernel", self.kernel, "at least 1", self.kernel >= 1)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let rule = format!("a multiple of {} key heads", model.kv_heads);
        let divides = model.width.is_multiple_of(model.kv_heads);
        check_model("width", model.width, &rule, divides)?;
        let phases = model.kv_heads * dim / 2;
        let spec =
            |name: &str, shape: &[usize], init| learned(&format!("phase.{name}"), shape, init);
        // As linear layers and convolutions are drawn by default: uniform in ±1/√(inputs).
        let drawn = |name: &str, shape: [usize; 2]| {
            let bound = 1.0 / (shape[1] as f64).sqrt();
            spec(name, &shape, Init::Uniform(-bound, bound))
        };
        let mut params = vec![
            drawn("down", [self.rank, model.width]),
            drawn("up", [phases, self.rank]),
        ];
        if self.increment == Increment::Convolution {
            params.push(drawn("filter", [phases, self.kernel]));
        }
        if self.bias {
            params.push(spec("bias", &[phases], Init::Constant(0.0)));
        }
        if self.gate {
            let bound = 1.0 / (model.width as f64).sqrt();
            params.push(drawn("gate", [model.kv_heads, model.width]));
            params.push(spec(
                "gate_bias",
                &[model.kv_heads],
                Init::Uniform(-bound, bound),
            ));
        }
        let names = params.iter().map(|spec| spec.name.clone()).collect();
        let hook = Clock {
            settings: self.clone(),
            temperature: inv_freq(self.base, dim),
            names,
        };
        Ok(Plan {
            hooks: vec![HookRef::new(hook)],
            params,
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct Clock {
    settings: SelectiveRope,
    temperature: Vec<f64>,
    names: Vec<String>,
}

impl Clock {
    /// Φ·b^(−2p/d) of every token: (batch, kv_heads, tokens, pairs).
    fn angles(&self, scope: &Scope<'_>) -> Result<Tensor> {
        let param = |name: &str| scope.param(&format!("phase.{name}"));
        let kv_heads = scope.geometry().kv_heads;
        let input = scope.input()?;
        let (batch, tokens, width) = input.dims3()?;
        let by_head = input.reshape((batch, tokens, kv_heads, width / kv_heads))?;
        let unit = l2_norm(&by_head)?.reshape((batch, tokens, width))?;
        let projected = ops::linear(&ops::linear(&unit, &param("down")?)?, &param("up")?)?;
        let mut increment = match self.settings.increment {
            Increment::Convolution => convolved(&projected, &param("filter")?)?,
            Increment::Difference => projected.sub(&rotation::delayed(&projected, 1)?)?,
        };
        if self.settings.bias {
            increment = increment.broadcast_add(&param("bias")?.exp()?)?;
        }
        let mut increment = split(&increment, kv_heads)?;
        if self.settings.gate {
            let gate = ops::linear(&unit, &param("gate")?)?.broadcast_add(&param("gate_bias")?)?;
            increment = increment.broadcast_mul(&split(&sigmoid(&gate)?, kv_heads)?)?;
        }
        let temperature = scope.constant(&self.temperature, &[self.temperature.len()])?;
        summed(&increment)?.broadcast_mul(&temperature)
    }
}

impl Hook for Clock {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        format!("{:?}", self.settings)
    }

    fn params(&self) -> Vec<String> {
        self.names.clone()
    }

    fn reads_input(&self) -> bool {
        true
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        rotation::whole_text(scope, "selective-rope, phases")?;
        let angles = self.angles(scope)?;
        let of = |angles: &Tensor| Angles::new(angles, qkv.q.dtype());
        Ok(Qkv {
            q: of(&scope.repeated(&angles)?)?.turn(&qkv.q)?,
            k: of(&angles)?.turn(&qkv.k)?,
            v: qkv.v,
        })
    }
}
