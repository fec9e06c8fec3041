//! Abacus adds to each digit a learned vector of its place in its number, whichever number of the text it is in.
//!
//! x_t + E\[u_t + k\];  u: place of the digit in its number, from 1 at its first digit; 0, and never moved, for what is
//! no digit; k: drawn anew for each batch in training, from 0 to `offset`, else 0
//!
//! Paper: McLeish et al. 2024, arXiv 2405.17399, section 3.
//!
//! Code: mcleish7/arithmetic, abacus.py. Numbers begin with their least significant digit there (`reverse = true` of the
//! task `addition`), so that digits of equal weight meet in one row; what is no digit has row 0, which is learned too.
//! Rows start as those of token embeddings do, which here is the standard deviation of `learned`, there width^(−1/2).
//! Nothing else tells positions here, as in their runs "NoPE with Abacus".
//!
//! Places are those that the task gives. In a text they are those of its tokens of one digit, as in the authors' code.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::recipe::{Recipe, Shift};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan, PositionIds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Abacus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Abacus {
    /// Largest shift k of all places in a batch of training; rows up to the longest number in training and this one are
    /// learned ("max_k").
    pub offset: usize,
    /// Rows of the table, of which the first is that of all that is no digit; above the largest place and shift ("max_seq_length").
    #[schemars(range(min = 2))]
    pub rows: usize,
    /// Standard deviation of the initial table.
    #[schemars(range(min = 0))]
    pub init_std: f64,
}

impl Default for Abacus {
    fn default() -> Abacus {
        Abacus {
            offset: 99,
            rows: 1024,
            init_std: 0.02,
        }
    }
}

impl Scheme for Abacus {
    const ID: &'static str = "abacus";
    const CARD: Card = Card {
        title: "Abacus",
        paper: Paper {
            authors: "McLeish et al.",
            year: 2024,
            arxiv: "2405.17399",
            section: "3",
        },
        family: Family::Absolute,
        idea: "Give each digit a learned vector of its place in its number, from a start that moves in training.",
        formula: "x_t + E[u_t + k], u_t: place in the number from 1, 0 if no digit",
        latex: r"x_t + E_{u_t + k}",
        task_ids: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check("rows", self.rows, "at least 2", self.rows >= 2)?;
        let rule = format!("at least two less than rows = {}", self.rows);
        check(
            "offset",
            self.offset,
            &rule,
            self.offset.saturating_add(2) <= self.rows,
        )?;
        let spread = self.init_std >= 0.0 && self.init_std.is_finite();
        check("init_std", self.init_std, "at least 0 and finite", spread)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let ids = PositionIds::PLACES;
        Ok(super::given::table(ids, self.rows, self.init_std, model))
    }

    fn recipe(&self, _model: &Geometry) -> Result<Recipe, PlanError> {
        Ok(Recipe {
            shift: Some(Shift::Together { most: self.offset }),
            ..Recipe::default()
        })
    }
}
