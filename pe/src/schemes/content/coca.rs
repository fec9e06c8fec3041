//! CoCA makes q and k collinear at distance 0, so that turning can only lower a score near the diagonal.
//!
//! t_p = max(0, (k_p + k_{p+d/2}) / 2);  k = t ⊙ q per pair, so score = Σ_p t_p·(a_p² + b_p²)·cos((i − j)·θ_p) / √d
//!
//! which is ordinary RoPE on q̃ = (a² + b², 0) and k̃ = (t, 0) with (a_p, b_p) the pairs of q.
//!
//! Paper: Zhu et al. 2023, arXiv 2309.08646, section 3.
//!
//! Code: the released attention multiplies q that was *not* turned with k that was built from q that *was*:
//! ⟨q ⊙ Rot(q, i), Rot((t, t), j)⟩. That depends on the absolute positions; scores move when the text is shifted. The
//! form above is what the derivation asks for and the default, `form = "released"` is the code's. The formula was
//! inferred from the code and the paper's abstract, hence marked experimental.

use crate::angles::{Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::tensor::rotation::{Angles, halves};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of CoCA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Coca {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which product is computed.
    pub form: Form,
}

/// CoCA's two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Keys are multiples of the query: the score depends on the distance alone.
    Collinear,
    /// As the released code computes it: depends on the absolute positions too.
    Released,
}

impl Default for Coca {
    fn default() -> Coca {
        Coca {
            base: Rotary::DEFAULT.base,
            form: Form::Collinear,
        }
    }
}

impl Coca {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }
}

impl Scheme for Coca {
    const ID: &'static str = "coca";
    const CARD: Card = Card {
        title: "CoCA",
        paper: Paper {
            authors: "Zhu et al.",
            year: 2023,
            arxiv: "2309.08646",
            section: "3",
        },
        family: Family::Content,
        idea: "Make each key a non-negative multiple of the query, pair by pair, so that rotation \
               can only lower a score near the diagonal.",
        formula: "score = Σ_p t_p (a_p² + b_p²) cos((i - j) θ_p) / √d",
        latex: r"s_{ij} = \tfrac{1}{\sqrt d} \sum_p t_{j,p}\,(a_{i,p}^2 + b_{i,p}^2) \cos((i - j)\theta_p)",
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let inv_freq = inv_freq(self.base, self.rotary().dim(model, 2)?);
        Ok(match self.form {
            Form::Collinear => Plan {
                hooks: vec![HookRef::new(Collinear)],
                ..self.rotary().plan(inv_freq, 1.0)
            },
            Form::Released => Plan {
                hooks: vec![HookRef::new(Released { inv_freq })],
                ..Plan::default()
            },
        })
    }
}

/// t = max(0, (k_p + k_{p+d/2}) / 2), (…, d/2).
fn folded(k: &Tensor) -> Result<Tensor> {
    let (a, b) = halves(k)?;
    a.add(&b)?.affine(0.5, 0.0)?.relu()
}

/// `x` (…, d/2) in the first half of the channels, zeros in the second.
fn in_first_half(x: &Tensor) -> Result<Tensor> {
    Tensor::cat(&[x, &x.zeros_like()?], x.rank() - 1)
}

#[derive(Debug)]
struct Collinear;

impl Hook for Collinear {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        "coca: q = (a² + b², 0), k = (t, 0)".into()
    }

    fn inputs(&self, _scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        let (a, b) = halves(&qkv.q)?;
        Ok(Qkv {
            q: in_first_half(&a.sqr()?.add(&b.sqr()?)?)?,
            k: in_first_half(&folded(&qkv.k)?)?,
            v: qkv.v,
        })
    }
}

#[derive(Debug)]
struct Released {
    inv_freq: Vec<f64>,
}

impl Hook for Released {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        format!(
            "coca: q * Rot(q) and Rot((t, t)), frequencies {:?}",
            self.inv_freq
        )
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        let angles = |positions: &[f64]| Angles::fixed(scope, positions, &self.inv_freq);
        let turned = angles(&scope.query_positions())?.turn(&qkv.q)?;
        let t = folded(&qkv.k)?;
        let twice = Tensor::cat(&[&t, &t], t.rank() - 1)?;
        Ok(Qkv {
            q: qkv.q.mul(&turned)?,
            k: angles(&scope.key_positions())?.turn(&twice)?,
            v: qkv.v,
        })
    }
}
