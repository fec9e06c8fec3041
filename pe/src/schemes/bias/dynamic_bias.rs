//! Dynamic position bias: a network reads the distance, or its logarithm, and gives each head its bias.
//!
//! score = raw + f_h(i − j), f = W_n·SiLU(… SiLU(w_1·r + b_1) …) + b_n;  `log_distance`: r = ln(1 + i − j)
//!
//! Paper: Wang et al. 2021 (CrossFormer), arXiv 2108.00154, section 3.3; with logarithms Liu et al. 2021 (Swin
//! Transformer V2), arXiv 2111.09883, section 3.3, both over two axes of an image.
//!
//! Code: the form over one axis of lucidrains/x-transformers (`DynamicPositionBias`), which reads signed distances; a
//! decoder sees those from 0 on alone. Two hidden layers (`depth`), one network for all layers, weights and biases drawn
//! uniformly in ±fan_in^(−1/2).

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::Distances;
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of dynamic position bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DynamicBias {
    /// Units of each hidden layer. Left out: a quarter of the model's width.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub hidden: Option<usize>,
    /// Hidden layers.
    #[schemars(range(min = 1, max = 16))]
    pub depth: usize,
    /// Whether the network reads ln(1 + distance).
    pub log_distance: bool,
    /// Whether each layer has its own network.
    pub per_layer: bool,
}

impl Default for DynamicBias {
    fn default() -> DynamicBias {
        DynamicBias {
            hidden: None,
            depth: 2,
            log_distance: false,
            per_layer: false,
        }
    }
}

fn weight(layer: usize) -> String {
    format!("distance.weight{layer}")
}

fn bias(layer: usize) -> String {
    format!("distance.bias{layer}")
}

impl Scheme for DynamicBias {
    const ID: &'static str = "dynamic-bias";
    const CARD: Card = Card {
        title: "Dynamic position bias",
        paper: Paper {
            authors: "Wang et al.",
            year: 2021,
            arxiv: "2108.00154",
            section: "3.3",
        },
        family: Family::Bias,
        idea: "Add what a small network of the distance, or of its logarithm, says for each head.",
        formula: "score = raw + f[h](r), f = W SiLU(... SiLU(w r + b) ...) + c, r = i-j or ln(1+i-j)",
        latex: r"s_{ij} = \mathrm{raw} + f_h(i-j)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.hidden.map_or(Ok(()), |hidden| {
            check("hidden", hidden, "at least 1", hidden >= 1)
        })?;
        let few = (1..=16).contains(&self.depth);
        check("depth", self.depth, "from 1 to 16", few)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let hidden = self.hidden.unwrap_or(model.width / 4).max(1);
        let mut params = Vec::new();
        for layer in 0..=self.depth {
            let inner = if layer == 0 { 1 } else { hidden };
            let outer = if layer == self.depth {
                model.heads
            } else {
                hidden
            };
            let spread = (inner as f64).powf(-0.5);
            let mut spec = |name: String, shape: Vec<usize>| {
                params.push(ParamSpec {
                    name,
                    shape,
                    init: Init::Uniform(-spread, spread),
                    learned: true,
                    per_layer: self.per_layer,
                    clamp: None,
                });
            };
            spec(weight(layer), vec![outer, inner]);
            spec(bias(layer), vec![outer]);
        }
        let hook = OfDistance {
            depth: self.depth,
            log_distance: self.log_distance,
        };
        Ok(Plan {
            hooks: vec![HookRef::new(hook)],
            params,
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct OfDistance {
    depth: usize,
    log_distance: bool,
}

impl OfDistance {
    /// Biases of distances 0, 1, …: (rows, heads).
    fn table(&self, scope: &Scope<'_>, rows: usize) -> Result<Tensor> {
        let read = |r: usize| {
            let r = r as f64;
            if self.log_distance { r.ln_1p() } else { r }
        };
        let distances: Vec<f64> = (0..rows).map(read).collect();
        let mut x = scope.constant(&distances, &[rows, 1])?;
        for layer in 0..=self.depth {
            let bias = scope.param(&bias(layer))?;
            x = ops::linear(&x, &scope.param(&weight(layer))?)?.broadcast_add(&bias)?;
            if layer < self.depth {
                x = x.silu()?;
            }
        }
        Ok(x)
    }
}

impl Hook for OfDistance {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!("network of the distance: {self:?}")
    }

    fn params(&self) -> Vec<String> {
        (0..=self.depth)
            .flat_map(|layer| [weight(layer), bias(layer)])
            .collect()
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let distances = Distances::new(scope, |r| r)?;
        let table = self.table(scope, distances.needed())?;
        // (queries, keys, heads) to (heads, queries, keys).
        let biases = distances
            .vectors(&table)?
            .transpose(1, 2)?
            .transpose(0, 1)?;
        scores.broadcast_add(&biases.contiguous()?.unsqueeze(0)?)
    }
}
