//! DAPE corrects scores and their bias by a small network that sees those of all heads.
//!
//! V1: score = S + B + W₂·lrelu(W₁·\[S; B\] + b₁) + b₂ over the heads of one pair, S = raw
//! V2: both layers are convolutions over `kernel` neighbouring keys
//!
//! Papers: Zheng et al. 2024, arXiv 2405.14722, section 3 (V1); arXiv 2410.04798, section 3 (V2).
//!
//! Code: as in the authors' code: 32 hidden units, slope 0.01, starting values uniform in ±fan_in^(−1/2), a network per
//! layer; `kernel = 1` is V1, 3 is V2. The base bias B is KERPLE (the paper's best; clamped as in KERPLE's code, but
//! one per layer, since each attention layer of the authors makes its own), ALiBi, or none: then the network sees S
//! alone, as in the variant for RoPE (`rope_base`), whose released V2 class does not run because its channels do not
//! match; here it is what its V1 and the paper say. V2's hidden layer also stands on the key right after the query,
//! whose own scores are hidden, where the call has such a key.
//!
//! Memory: linear in the length on the CPU for `kernel = 1`; else hidden · queries · keys numbers beside the scores.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::bias::alibi;
use crate::schemes::none::nope_or_rope;
use crate::tensor::ops::{learned, per_head};
use farspan_attention::form::{Form, HeadMap};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of DAPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dape {
    /// The bias that is corrected.
    pub base: Base,
    /// Neighbouring keys that a convolution sees, odd: 1 is DAPE, 3 is DAPE V2.
    #[schemars(range(min = 1, max = 15))]
    pub kernel: usize,
    /// Hidden units of the network.
    #[schemars(range(min = 1, max = 512))]
    pub hidden: usize,
    /// Turn queries and keys by RoPE with this base. Left out: no rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub rope_base: Option<f64>,
}

/// Static biases under DAPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// −p_h·ln(1 + a_h·(q − k)), learned.
    Kerple,
    /// −m_h·(q − k) with ALiBi's slopes.
    Alibi,
    /// None.
    None,
}

impl Default for Dape {
    fn default() -> Dape {
        Dape {
            base: Base::Kerple,
            kernel: 1,
            hidden: 32,
            rope_base: None,
        }
    }
}

impl Scheme for Dape {
    const ID: &'static str = "dape";
    const CARD: Card = Card {
        title: "DAPE",
        paper: Paper {
            authors: "Zheng et al.",
            year: 2024,
            arxiv: "2405.14722",
            section: "3",
        },
        family: Family::Content,
        idea: "Correct scores and their bias by a small network that sees those of all heads.",
        formula: "score = S + B + W2 . lrelu(W1 . [S; B] + b1) + b2 over the heads of a pair (V2: and over near keys)",
        latex: r"s = S + B + W_2\,\mathrm{lrelu}(W_1 [S; B] + b_1) + b_2",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let odd = self.kernel % 2 == 1 && self.kernel <= 15;
        check("kernel", self.kernel, "odd, from 1 to 15", odd)?;
        let few = (1..=512).contains(&self.hidden);
        check("hidden", self.hidden, "from 1 to 512", few)?;
        nope_or_rope::check(self.rope_base)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let (heads, hidden, kernel) = (model.heads, self.hidden, self.kernel);
        let mut params = self.base_params(model);
        let seen = if self.base == Base::None {
            heads
        } else {
            2 * heads
        };
        for (layer, outputs, inputs) in [("1", hidden, seen), ("2", heads, hidden)] {
            let spread = ((inputs * kernel) as f64).powf(-0.5);
            let init = Init::Uniform(-spread, spread);
            let weight = [outputs, inputs, kernel];
            params.push(learned(&format!("w{layer}"), &weight, init.clone()));
            params.push(learned(&format!("b{layer}"), &[outputs], init));
        }
        Ok(Plan {
            hooks: vec![HookRef::new(Corrected {
                base: self.base,
                kernel,
            })],
            params,
            ..nope_or_rope::plan(self.rope_base, model)?
        })
    }
}

impl Dape {
    fn base_params(&self, model: &Geometry) -> Vec<ParamSpec> {
        let of_head = |name, init| learned(name, &[model.heads], init);
        let positive = |name, below| ParamSpec {
            clamp: Some((0.01, f64::INFINITY)),
            ..of_head(name, Init::Uniform(0.0, below))
        };
        match self.base {
            Base::Kerple => vec![positive("p", 2.0), positive("a", 1.0)],
            Base::Alibi => {
                let slopes = alibi::slopes(model.heads, 8.0);
                vec![ParamSpec {
                    learned: false,
                    per_layer: false,
                    ..of_head("slope", Init::Values(slopes))
                }]
            }
            Base::None => Vec::new(),
        }
    }
}

/// Slope of the network's activation below 0.
const SLOPE: f64 = 0.01;

/// The network over heads and near keys.
#[derive(Debug)]
struct Corrected {
    base: Base,
    kernel: usize,
}

impl Hook for Corrected {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!("DAPE: base {:?}, kernel {}", self.base, self.kernel)
    }

    fn params(&self) -> Vec<String> {
        let base: &[&str] = match self.base {
            Base::Kerple => &["p", "a"],
            Base::Alibi => &["slope"],
            Base::None => &[],
        };
        let own = ["w1", "b1", "w2", "b2"].iter();
        own.chain(base).map(|name| name.to_string()).collect()
    }

    fn has_form(&self) -> bool {
        self.kernel == 1
    }

    fn form(&self, scope: &Scope<'_>) -> Result<Option<Form>> {
        let (prepared, causal) = (scope.prepared, scope.mask.causal);
        if !(self.has_form() && causal && prepared.is_regular()) {
            return Ok(None);
        }
        let (queries, keys) = (prepared.queries(), prepared.keys());
        let far = queries.end - queries.start.min(keys.start);
        let weight = |layer: &str| scope.param(&format!("w{layer}"))?.squeeze(2);
        let own = |layer: &str| scope.param(&format!("b{layer}"));
        Ok(Some(Form::Heads(HeadMap {
            first: (weight("1")?, own("1")?),
            second: (weight("2")?, own("2")?),
            slope: SLOPE,
            bias: self.by_distance(scope, far)?,
        })))
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let Some(bias) = self.bias(scope)? else {
            return scores.add(&self.correction(scope, scores)?);
        };
        let bias = bias.broadcast_as(scores.dims())?.contiguous()?;
        let seen = Tensor::cat(&[scores, &bias], 1)?;
        scores.add(&bias)?.add(&self.correction(scope, &seen)?)
    }
}

impl Corrected {
    /// The base bias (1, heads, queries, keys), 0 at hidden pairs.
    fn bias(&self, scope: &Scope<'_>) -> Result<Option<Tensor>> {
        let (queries, keys) = (scope.query_positions(), scope.key_positions());
        let away = queries.iter().flat_map(|i| keys.iter().map(move |j| i - j));
        let away: Vec<f64> = away.map(|r| r.max(0.0)).collect();
        let away = scope.constant(&away, &[1, 1, queries.len(), keys.len()])?;
        match self.at(scope, &away)? {
            Some(bias) => Ok(Some(bias.broadcast_mul(&scope.visible()?)?)),
            None => Ok(None),
        }
    }

    /// The same at whole distances below `far`: (heads, far).
    fn by_distance(&self, scope: &Scope<'_>, far: usize) -> Result<Option<Tensor>> {
        let away: Vec<f64> = (0..far).map(|r| r as f64).collect();
        let away = scope.constant(&away, &[1, 1, 1, far])?;
        match self.at(scope, &away)? {
            Some(bias) => Ok(Some(bias.reshape((scope.geometry().heads, far))?)),
            None => Ok(None),
        }
    }

    /// The same at distances (1, 1, …): (1, heads, …).
    fn at(&self, scope: &Scope<'_>, away: &Tensor) -> Result<Option<Tensor>> {
        let bias = match self.base {
            Base::None => return Ok(None),
            Base::Alibi => away.broadcast_mul(&per_head(scope, "slope")?)?,
            Base::Kerple => {
                let grown = away.broadcast_mul(&per_head(scope, "a")?)?;
                let log = grown.affine(1.0, 1.0)?.log()?;
                log.broadcast_mul(&per_head(scope, "p")?)?
            }
        };
        Ok(Some(bias.neg()?))
    }

    /// Two layers over what is seen (batch, 1 or 2 × heads, queries, keys): (batch, heads, queries, keys).
    fn correction(&self, scope: &Scope<'_>, seen: &Tensor) -> Result<Tensor> {
        let reach = self.kernel / 2;
        // Hidden units also stand outside of the keys at hand, where the call has keys there: all their scores are
        // hidden, hence 0.
        let hidden = self.layer(scope, "1", &padded(seen, 2 * reach)?)?;
        let slope = SLOPE;
        let hidden = hidden
            .relu()?
            .affine(1.0 - slope, 0.0)?
            .add(&hidden.affine(slope, 0.0)?)?;
        let hidden = if reach == 0 {
            hidden
        } else {
            let all = scope.prepared.keys();
            let there = |at: usize| {
                let key = scope.keys.start + at;
                f64::from(u8::from(
                    (all.start + reach..all.end + reach).contains(&key),
                ))
            };
            let there: Vec<f64> = (0..scope.keys.len() + 2 * reach).map(there).collect();
            hidden.broadcast_mul(&scope.constant(&there, &[there.len()])?)?
        };
        self.layer(scope, "2", &hidden)
    }

    /// One convolution along keys without padding: `kernel − 1` fewer of them.
    fn layer(&self, scope: &Scope<'_>, layer: &str, x: &Tensor) -> Result<Tensor> {
        let (batch, inputs, queries, keys) = x.dims4()?;
        let kept = keys + 1 - self.kernel;
        let weight = scope.param(&format!("w{layer}"))?;
        let outputs = weight.dim(0)?;
        let bias = scope.param(&format!("b{layer}"))?;
        let mut sum: Option<Tensor> = None;
        for tap in 0..self.kernel {
            let x = x.narrow(3, tap, kept)?.contiguous()?;
            let x = x.reshape((batch, inputs, queries * kept))?;
            let weight = weight.narrow(2, tap, 1)?.reshape((1, outputs, inputs))?;
            let weight = weight
                .broadcast_as((batch, outputs, inputs))?
                .contiguous()?;
            let part = weight.matmul(&x)?;
            sum = Some(match sum {
                Some(sum) => sum.add(&part)?,
                None => part,
            });
        }
        let bias = bias.reshape((1, outputs, 1))?;
        let sum = match sum {
            Some(sum) => sum.broadcast_add(&bias)?,
            None => bias.broadcast_as((batch, outputs, queries * kept))?,
        };
        sum.reshape((batch, outputs, queries, kept))
    }
}

/// `x` with `more` zeros at both ends of the last axis.
fn padded(x: &Tensor, more: usize) -> Result<Tensor> {
    if more == 0 {
        return Ok(x.clone());
    }
    let mut shape = x.dims().to_vec();
    shape[3] = more;
    let zeros = Tensor::zeros(shape, &x.device())?.to_dtype(x.dtype())?;
    Tensor::cat(&[&zeros, x, &zeros], 3)
}
