//! A positional encoding of your own, in your own crate: every verb of the program works for it.
//!
//! ```sh
//! cargo run --release --example own_scheme -- explain log-alibi
//! cargo run --release --example own_scheme -- run my.toml      # with [schemes.mine.log-alibi] in it
//! ```

use farspan::attention::expr::{distance, param, raw};
use farspan::attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan::pe::{Card, Len, PlanError, Registry, Scheme};
use serde::{Deserialize, Serialize};

/// ALiBi with the logarithm of the distance, and one learned slope per head.
#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogAlibi {}

impl Scheme for LogAlibi {
    const ID: &'static str = "log-alibi";
    const CARD: Card = Card {
        title: "Log-ALiBi",
        ..Card::BLANK
    };

    fn plan(&self, model: &Geometry, _reach: Len) -> Result<Plan, PlanError> {
        let slope = ParamSpec {
            name: "slope".into(),
            shape: vec![model.heads],
            init: Init::Constant(1.0),
            learned: true,
            per_layer: true,
            clamp: Some((0.0, f64::INFINITY)),
        };
        let score = raw() - param("slope") * distance().log1p();
        Ok(Plan {
            score,
            params: vec![slope],
            ..Plan::default()
        })
    }
}

fn main() -> std::process::ExitCode {
    farspan::cli::main_with(Registry::builtin().with::<LogAlibi>())
}
