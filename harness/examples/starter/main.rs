//! Farspan with a positional encoding of your own.

use farspan::attention::expr::{distance, param, raw};
use farspan::attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan::pe::{Card, Len, PlanError, Registry, Scheme, check};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// ALiBi with the logarithm of the distance: score = raw − slope_h · ln(1 + q − k).
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Mine {
    /// Slope of every head before training.
    #[schemars(extend("exclusiveMinimum" = 0))]
    slope: f64,
}

impl Default for Mine {
    fn default() -> Mine {
        Mine { slope: 1.0 }
    }
}

impl Scheme for Mine {
    /// How configs and the command line call it.
    const ID: &'static str = "mine";
    const CARD: Card = Card {
        title: "Mine",
        idea: "Lower each score by the logarithm of the distance, with one learned slope per head.",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check("slope", self.slope, "above 0", self.slope > 0.0)
    }

    /// What it does to a decoder, as data: see ARCHITECTURE.md of Farspan for all that a plan can say.
    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let slope = ParamSpec {
            name: "slope".into(),
            shape: vec![model.heads],
            init: Init::Constant(self.slope),
            learned: true,
            per_layer: true,
            clamp: Some((0.0, f64::INFINITY)),
        };
        Ok(Plan {
            score: raw() - param("slope") * distance().log1p(),
            params: vec![slope],
            ..Plan::default()
        })
    }
}

/// Training takes and frees the same large buffers at every step; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: farspan::Allocator = farspan::Allocator;

fn main() -> ExitCode {
    farspan::cli::main_with(Registry::builtin().with::<Mine>())
}
