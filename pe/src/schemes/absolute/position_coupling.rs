//! Position coupling adds one learned vector to all tokens that play one part: digits of equal significance in operands and
//! answer, a symbol and its copy.
//!
//! x_t + E\[c_t + s\];  c: coupled id of the token, from 1, which the task gives; 0, and never moved, for the first and the
//! last mark; s: drawn anew for each window in training, from 0 to max_position − max c, else 0
//!
//! Paper: Cho et al. 2024, arXiv 2405.20671, section 3.
//!
//! Code: HanseulJo/position-coupling, src/data/addition.py and copy.py: the least significant digits have the id behind that
//! of +, = takes the id that comes before the first digit of the answer, and ids in training start at a random number up
//! to what lets the largest one be `max_position`. Row 0 is learned too. Ids on several axes (arXiv 2410.15787) are not
//! offered. A text gives no such ids.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::recipe::{Recipe, Shift};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan, PositionIds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of position coupling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PositionCoupling {
    /// Largest id: the table has this many rows and row 0. Longer examples are refused.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_position: usize,
    /// Whether ids start at a random number in training, so that all rows are learned ("randomize").
    pub randomize: bool,
    /// Standard deviation of the initial table.
    #[schemars(range(min = 0))]
    pub init_std: f64,
}

impl Default for PositionCoupling {
    fn default() -> PositionCoupling {
        PositionCoupling {
            max_position: 132,
            randomize: true,
            init_std: 0.02,
        }
    }
}

impl Scheme for PositionCoupling {
    const ID: &'static str = "position-coupling";
    const CARD: Card = Card {
        title: "Position coupling",
        paper: Paper {
            authors: "Cho et al.",
            year: 2024,
            arxiv: "2405.20671",
            section: "3",
        },
        family: Family::Absolute,
        idea: "Give one learned vector to all tokens of a task that correspond, such as digits of equal significance.",
        formula: "x_t + E[c_t + s], c_t: one id for tokens that correspond",
        latex: r"x_t + E_{c_t + s}",
        task_ids: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let fits = (1..=1_000_000).contains(&self.max_position);
        check("max_position", self.max_position, "from 1 to 1000000", fits)?;
        let spread = self.init_std >= 0.0 && self.init_std.is_finite();
        check("init_std", self.init_std, "at least 0 and finite", spread)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let (ids, rows) = (PositionIds::COUPLED, self.max_position + 1);
        Ok(super::given::table(ids, rows, self.init_std, model))
    }

    fn recipe(&self, _model: &Geometry) -> Result<Recipe, PlanError> {
        let largest = self.max_position;
        Ok(Recipe {
            shift: self.randomize.then_some(Shift::Within { largest }),
            ..Recipe::default()
        })
    }
}
