//! GRAPE-A lowers scores in proportion to the distance at a rate that content sets; its path form adds up what each token
//! between key and query says of the query.
//!
//! score = raw − (i − j)·ω_h·g,  ω_h = softplus(w_h)·m_h with ALiBi's slopes m, softplus(w) = 1 before training;
//! g = softplus(⟨û_h, k_j⟩/√d) (`gate = "key"`), softplus(⟨v̂_h, q_i⟩/√d) (`"query"`), or the sum of both (`"both"`),
//! û and v̂ of unit length
//!
//! `gate = "path"`: score = raw + m_h·Σ_{j < t ≤ i} ln σ(⟨p_i, R_t·rms(p_t)⟩/d_p),  p = W_p·x, R_t a turn of all pairs by
//! t radians
//!
//! Paper: Zhang et al. 2025, arXiv 2512.07805, section 4 (additive part).
//!
//! Code: as released (model-architectures/GRAPE): `grape-a-keygated`, `-querygated`, `-querykeygated`, `grape-ap-v1` with
//! d_p = 8 (`path_dim`). The path form turns one side only, so that it depends on where tokens stand, not on distances
//! alone; turns run clockwise. Queries and keys are normalised in their decoder before all this, which is no part of the
//! encoding and left out.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::bias::alibi::slopes;
use crate::tensor::ops::{input, learned, per_head, sum_from};
use crate::tensor::rotation::{Angles, by_head, softplus, split, whole_text};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of GRAPE-A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrapeA {
    /// What sets the rate.
    pub gate: Gate,
    /// Channels of the vectors p of a head, for `gate = "path"`; even.
    #[schemars(range(min = 2), extend("examples" = [4]))]
    pub path_dim: usize,
}

/// What sets the rate at which scores fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The key.
    Key,
    /// The query.
    Query,
    /// The sum of what either says.
    Both,
    /// All tokens between them.
    Path,
}

impl Default for GrapeA {
    fn default() -> GrapeA {
        GrapeA {
            gate: Gate::Key,
            path_dim: 8,
        }
    }
}

const RATE: &str = "grape_a.rate";
const KEY: &str = "grape_a.key";
const QUERY: &str = "grape_a.query";
const PATH: &str = "grape_a.path";
/// ε of the lengths of û and v̂.
const SHORTEST: f64 = 1e-6;
/// ε of rms(p), the distance of 1 to the next number in f32.
const EPS: f64 = 1.192_092_9e-7;

impl Scheme for GrapeA {
    const ID: &'static str = "grape-a";
    const CARD: Card = Card {
        title: "GRAPE-A",
        paper: Paper {
            authors: "Zhang et al.",
            year: 2025,
            arxiv: "2512.07805",
            section: "4",
        },
        family: Family::Content,
        idea: "Lower scores in proportion to the distance at a rate that the key, the query or all tokens between them set.",
        formula: "score = raw - (i-j)·ω[h]·g, g = softplus(⟨û, k⟩/√d); path: raw + m[h]·Σ ln σ(⟨p_i, R_t rms(p_t)⟩/d_p)",
        latex: r"s_{ij} = \mathrm{raw} - (i-j)\,\omega_h\,\mathrm{softplus}(\langle\hat u_h, k_j\rangle/\sqrt d)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let even = self.path_dim >= 2 && self.path_dim.is_multiple_of(2);
        check("path_dim", self.path_dim, "even and at least 2", even)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let slopes = slopes(model.heads, 8.0);
        let side = |name: &str| {
            let spread = (model.head_dim as f64).powf(-0.5);
            let shape = [model.heads, model.head_dim];
            learned(name, &shape, Init::Normal(0.0, spread))
        };
        // softplus(w) = 1.
        let rate = learned(RATE, &[model.heads], Init::Constant(1f64.exp_m1().ln()));
        let params = match self.gate {
            Gate::Key => vec![rate, side(KEY)],
            Gate::Query => vec![rate, side(QUERY)],
            Gate::Both => vec![rate, side(KEY), side(QUERY)],
            Gate::Path => {
                let spread = 0.5 * (model.width as f64).powf(-0.5);
                let shape = [model.heads * self.path_dim, model.width];
                vec![learned(PATH, &shape, Init::Normal(0.0, spread))]
            }
        };
        let hook = Falling {
            settings: self.clone(),
            slopes,
        };
        Ok(Plan {
            hooks: vec![HookRef::new(hook)],
            params,
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct Falling {
    settings: GrapeA,
    slopes: Vec<f64>,
}

/// softplus of the product of `x` (batch, heads, tokens, d) with the unit vector of each head: (batch, heads, tokens, 1).
fn gate(scope: &Scope<'_>, x: &Tensor, name: &str) -> Result<Tensor> {
    let vector = scope.param(name)?;
    let (heads, dim) = vector.dims2()?;
    let length = vector.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(SHORTEST)?;
    let unit = vector.broadcast_div(&length)?.reshape((heads, dim, 1))?;
    softplus(&by_head(x, &unit)?.affine(1.0 / (dim as f64).sqrt(), 0.0)?)
}

impl Falling {
    fn slopes(&self, scope: &Scope<'_>) -> Result<Tensor> {
        scope.constant(&self.slopes, &[1, self.slopes.len(), 1, 1])
    }

    /// −(i − j)·ω·g.
    fn gated(&self, scope: &Scope<'_>) -> Result<Tensor> {
        let (queries, keys) = (scope.query_positions(), scope.key_positions());
        let far = queries
            .iter()
            .flat_map(|i| keys.iter().map(move |j| (i - j).max(0.0)));
        let far: Vec<f64> = far.collect();
        let far = scope.constant(&far, &[1, 1, queries.len(), keys.len()])?;
        let of_query = |scope: &Scope<'_>| gate(scope, &scope.of_queries(&scope.qkv.q)?, QUERY);
        let of_key = |scope: &Scope<'_>| -> Result<Tensor> {
            let k = scope.of_keys(&scope.repeated(&scope.qkv.k)?)?;
            gate(scope, &k, KEY)?.transpose(2, 3)
        };
        let rate = softplus(&per_head(scope, RATE)?)?.mul(&self.slopes(scope)?)?;
        let gates = match self.settings.gate {
            Gate::Query => of_query(scope)?,
            Gate::Both => of_query(scope)?.broadcast_add(&of_key(scope)?)?,
            Gate::Key | Gate::Path => of_key(scope)?,
        };
        gates.broadcast_mul(&rate)?.broadcast_mul(&far)?.neg()
    }

    /// m·Σ_{j < t ≤ i} ln σ(⟨p_i, R_t·rms(p_t)⟩/d_p).
    fn path(&self, scope: &Scope<'_>) -> Result<Tensor> {
        whole_text(scope, "grape-a, sums along the path")?;
        let dim = self.settings.path_dim;
        let x = input(scope, &scope.prepared.queries())?;
        let p = split(
            &ops::linear(x, &scope.param(PATH)?)?,
            scope.geometry().heads,
        )?;
        let square = p.sqr()?.mean_keepdim(3)?.affine(1.0, EPS)?;
        let normed = scope.of_keys(&p.broadcast_div(&square.sqrt()?)?)?;
        let angles = Angles::fixed(scope, &scope.key_positions(), &vec![1.0; dim / 2])?;
        let turned = angles.reversed()?.turn(&normed)?;
        let products = scope
            .of_queries(&p)?
            .contiguous()?
            .matmul(&turned.transpose(2, 3)?.contiguous()?)?;
        // ln σ(x) = −softplus(−x).
        let terms = softplus(&products.affine(-1.0 / dim as f64, 0.0)?)?.neg()?;
        let seen = terms.broadcast_mul(&scope.visible()?)?;
        sum_from(&seen)?
            .sub(&seen)?
            .broadcast_mul(&self.slopes(scope)?)
    }
}

impl Hook for Falling {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!("scores that fall at a rate: {self:?}")
    }

    fn params(&self) -> Vec<String> {
        let names: &[&str] = match self.settings.gate {
            Gate::Key => &[RATE, KEY],
            Gate::Query => &[RATE, QUERY],
            Gate::Both => &[RATE, KEY, QUERY],
            Gate::Path => &[PATH],
        };
        names.iter().map(|name| name.to_string()).collect()
    }

    fn reads_input(&self) -> bool {
        self.settings.gate == Gate::Path
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        scores.add(&match self.settings.gate {
            Gate::Path => self.path(scope)?,
            Gate::Key | Gate::Query | Gate::Both => self.gated(scope)?,
        })
    }
}
