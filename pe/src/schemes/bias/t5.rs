//! T5's bias is one learned number per head and distance bucket: single distances near by, ever wider ranges far away.
//!
//! score = raw + bias[h, bucket(q − k)];  with E = buckets/2 and M = max_distance:
//! bucket(r) = r for r < E, else min(buckets − 1, E + ⌊ln(r/E) / ln(M/E) · (buckets − E)⌋)
//!
//! Paper: Raffel et al. 2019, arXiv 1910.10683, section 2.1.
//!
//! Code: the logarithm is taken in f32, so that rounding decides the bucket of exact powers; so it is here. T5 itself
//! has no factor 1/√head_dim (`unscaled`): its initial projections make up for it. GPT-NeoX keeps the factor and adds
//! the bias after it, which is the default here. One table serves all layers. This is the causal (decoder) form.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{distance, lookup, raw, shared_lookup};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of T5's bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct T5 {
    /// Number of buckets.
    #[schemars(range(min = 2))]
    pub buckets: usize,
    /// All distances from here on share the last bucket; above buckets/2.
    #[schemars(range(min = 2))]
    pub max_distance: usize,
    /// Standard deviation of the initial table in units of width^(−1/2).
    #[schemars(range(min = 0))]
    pub init_factor: f64,
    /// Leave out the factor 1/√head_dim, as T5 itself does.
    pub unscaled: bool,
}

impl Default for T5 {
    fn default() -> T5 {
        T5 {
            buckets: 32,
            max_distance: 128,
            init_factor: 1.0,
            unscaled: false,
        }
    }
}

impl Scheme for T5 {
    const ID: &'static str = "t5";
    const CARD: Card = Card {
        title: "T5 relative bias",
        paper: Paper {
            authors: "Raffel et al.",
            year: 2019,
            arxiv: "1910.10683",
            section: "2.1",
        },
        family: Family::Bias,
        idea: "Add a learned number per head and distance, with far distances sharing \
               logarithmic buckets.",
        formula: "bucket[r] = r if r < E, else min(B-1, E + ⌊ln(r/E)/ln(M/E)·(B-E)⌋), E = B/2",
        latex: concat!(
            r"\mathrm{bucket}(r) = r\ (r < E),\quad \min\!\left(B-1,\ ",
            r"E + \left\lfloor \frac{\ln(r/E)}{\ln(M/E)}(B-E) \right\rfloor\right)",
            r"\ (r \ge E = B/2)"
        ),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check("buckets", self.buckets, "at least 2", self.buckets >= 2)?;
        // One entry per distance lies in the plan, so the bound also keeps plans small.
        let rule = format!("above half of buckets = {} and at most 2^20", self.buckets);
        let fits = self.max_distance > self.buckets / 2 && self.max_distance <= 1 << 20;
        check("max_distance", self.max_distance, &rule, fits)?;
        let spread = self.init_factor >= 0.0 && self.init_factor.is_finite();
        check(
            "init_factor",
            self.init_factor,
            "at least 0 and finite",
            spread,
        )
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let buckets: Vec<f64> = (0..=self.max_distance)
            .map(|r| bucket(r, self.buckets, self.max_distance) as f64)
            .collect();
        let table = ParamSpec {
            name: "bias".into(),
            shape: vec![model.heads, self.buckets],
            init: Init::Normal(0.0, self.init_factor / (model.width as f64).sqrt()),
            learned: true,
            per_layer: false,
            clamp: None,
        };
        let of_distance = ParamSpec {
            name: "bucket".into(),
            shape: vec![buckets.len()],
            init: Init::Values(buckets),
            learned: false,
            per_layer: false,
            clamp: None,
        };
        Ok(Plan {
            score: raw() + lookup("bias", shared_lookup("bucket", distance())),
            softmax_scale: if self.unscaled {
                (model.head_dim as f64).sqrt()
            } else {
                1.0
            },
            params: vec![table, of_distance],
            ..Plan::default()
        })
    }
}

/// Bucket of distance `r`, in f32 and in the reference's order of operations.
pub fn bucket(r: usize, buckets: usize, max_distance: usize) -> usize {
    let exact = buckets / 2;
    if r < exact {
        return r;
    }
    let octaves = (max_distance as f64 / exact as f64).ln() as f32;
    let place = (r as f32 / exact as f32).ln() / octaves * (buckets - exact) as f32;
    (exact + place as usize).min(buckets - 1)
}
