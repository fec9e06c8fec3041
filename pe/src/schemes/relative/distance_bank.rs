//! A bank of curves over the distance, which each query mixes for itself: T5's table made to follow the query.
//!
//! score = raw + Σ_c z_c·bank\[c, q − k\] for q − k < extent, raw from there on; z = W_h·x_q of the layer's input x
//!
//! Source: the Inkling model as Hugging Face transformers 5 has it; no paper.
//!
//! Code: formula and sizes (16 curves, extent 1024) are those of the model's code. How it starts before training is not
//! published: W and the bank start as N(0, 0.02²), as the other weights of that library do. The model's temperature and
//! its convolutions are not part of this encoding.
//!
//! Memory: queries · extent beside one block of scores, over distances in use.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::{Distances, input, learned};
use crate::tensor::rotation::split;
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the distance bank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistanceBank {
    /// Curves in the bank (`d_rel`).
    #[schemars(range(min = 1, max = 256))]
    pub curves: usize,
    /// Distances that a curve covers, from 0 on (`rel_extent`); there is no bias from there on.
    #[schemars(range(min = 1))]
    pub extent: usize,
}

impl Default for DistanceBank {
    fn default() -> DistanceBank {
        DistanceBank {
            curves: 16,
            extent: 1024,
        }
    }
}

impl Scheme for DistanceBank {
    const ID: &'static str = "distance-bank";
    const CARD: Card = Card {
        title: "Distance bank",
        paper: Paper {
            authors: "Inkling model code",
            year: 2026,
            arxiv: "",
            section: "attention",
        },
        family: Family::Relative,
        idea: "Let each query mix its own bias over distances from a bank of learned curves.",
        formula: "score = raw + sum of z_c bank[c, q - k] for q - k < extent, z = W_h . x_q",
        latex: r"s_{qk} = \langle q, k\rangle/\sqrt{d} + \sum_c (W_h x_q)_c B_{c,\,q-k}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let few = (1..=256).contains(&self.curves);
        check("curves", self.curves, "from 1 to 256", few)?;
        check("extent", self.extent, "at least 1", self.extent >= 1)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        check_model("width", model.width, "at least 1", model.width >= 1)?;
        let init = Init::Normal(0.0, 0.02);
        Ok(Plan {
            hooks: vec![HookRef::new(Mixed(self.clone()))],
            params: vec![
                learned(
                    "mix",
                    &[model.heads * self.curves, model.width],
                    init.clone(),
                ),
                learned("bank", &[self.curves, self.extent], init),
            ],
            ..Plan::default()
        })
    }
}

/// The mixed curves.
#[derive(Debug)]
struct Mixed(DistanceBank);

impl Hook for Mixed {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        let DistanceBank { curves, extent } = self.0;
        format!("distance bank: {curves} curves over {extent} distances")
    }

    fn params(&self) -> Vec<String> {
        vec!["mix".into(), "bank".into()]
    }

    fn reads_input(&self) -> bool {
        true
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let DistanceBank { curves, extent } = self.0;
        let mix = ops::linear(
            input(scope, &scope.prepared.queries())?,
            &scope.param("mix")?,
        )?;
        let mix = scope.of_queries(&split(&mix, scope.geometry().heads)?)?;
        // Row `extent` is the end of all curves: no bias.
        let distances = Distances::new(scope, |r| r.min(extent))?;
        let bank = scope.param("bank")?.t()?.contiguous()?;
        let end = scope.constant(&vec![0.0; curves], &[1, curves])?;
        let rows = Tensor::cat(&[&bank, &end], 0)?.narrow(0, 0, distances.needed())?;
        let biases = ops::linear(&mix.contiguous()?, &rows.contiguous()?)?;
        scores.add(&distances.of_queries(&biases)?)
    }
}
