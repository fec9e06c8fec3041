//! DeBERTa's disentangled attention: content meets content, content meets distance, and distance meets content.
//!
//! score = (⟨q, k⟩ + ⟨q, K_b⟩ + ⟨k, Q_b⟩)/√(3d), K = W_K·E + b_K, Q = W_Q·E + b_Q, b the bucket of q − k
//!
//! Papers: He et al. 2020, arXiv 2006.03654, section 3.1; log buckets: its code, version 2 on.
//!
//! Code: as in the authors' code of version 2: E is shared by all layers and starts as N(0, 0.02²), the projections of E
//! are each layer's own. (Version 3 lends it those of the content, which are not the encoding's to lend; it and version
//! 2 also normalise E, which is left out.) Buckets are the distances themselves up to `buckets`/2 and logarithmic from
//! there on; distances past the last bucket count as it. E has rows for either sign; a causal decoder sees one, and only
//! these are kept here, in order of distance. The authors' term of ⟨k, Q_b⟩ reads b at q − k as well.
//!
//! Memory: (queries + keys) · buckets beside one block of scores.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::{Distances, learned, with_vectors};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of DeBERTa's attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deberta {
    /// Buckets of distances (`position_buckets`), even.
    #[schemars(range(min = 2))]
    pub buckets: usize,
    /// Distance that the last bucket begins at, about (`max_relative_positions`); more than half the buckets and one.
    #[schemars(range(min = 3))]
    pub max_distance: usize,
}

impl Default for Deberta {
    fn default() -> Deberta {
        Deberta {
            buckets: 256,
            max_distance: 512,
        }
    }
}

impl Scheme for Deberta {
    const ID: &'static str = "deberta";
    const CARD: Card = Card {
        title: "DeBERTa",
        paper: Paper {
            authors: "He et al.",
            year: 2020,
            arxiv: "2006.03654",
            section: "3.1",
        },
        family: Family::Relative,
        idea: "Score content against content, content against distance, and distance against content.",
        formula: "score = (<q, k> + <q, K_b> + <k, Q_b>)/sqrt(3d), K = W_K E, Q = W_Q E, b the bucket of q - k",
        latex: r"s_{qk} = (\langle q, k\rangle + \langle q, K_b\rangle + \langle k, Q_b\rangle)/\sqrt{3d},\quad b = \mathrm{bucket}(q-k)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let even = self.buckets >= 2 && self.buckets.is_multiple_of(2);
        check("buckets", self.buckets, "even and at least 2", even)?;
        let least = self.buckets / 2 + 2;
        let rule = format!("at least {least}, two more than half the buckets");
        let holds = self.max_distance >= least;
        check("max_distance", self.max_distance, &rule, holds)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        check_model("width", model.width, "at least 1", model.width >= 1)?;
        let (width, all) = (model.width, model.heads * model.head_dim);
        let init = Init::Normal(0.0, 0.02);
        let weight = |name| learned(name, &[all, width], init.clone());
        let bias = |name| learned(name, &[all], Init::Constant(0.0));
        let embedding = ParamSpec {
            per_layer: false,
            ..learned("embedding", &[self.buckets, width], init.clone())
        };
        Ok(Plan {
            softmax_scale: 3f64.sqrt().recip(),
            hooks: vec![HookRef::new(Disentangled(self.clone()))],
            params: vec![
                embedding,
                weight("key_weight"),
                bias("key_bias"),
                weight("query_weight"),
                bias("query_bias"),
            ],
            ..Plan::default()
        })
    }
}

/// Bucket of a distance, without an end: the distance itself up to `buckets`/2, logarithmic from there on.
pub fn bucket(distance: usize, buckets: usize, max_distance: usize) -> usize {
    let mid = buckets / 2;
    if distance <= mid {
        return distance;
    }
    let (mid_f, last) = (mid as f64, (max_distance - 1) as f64);
    let along = (distance as f64 / mid_f).ln() / (last / mid_f).ln();
    // The logarithms' last digit must not lift max_distance − 1 into the next bucket.
    (along * (mid_f - 1.0) - 1e-9).ceil() as usize + mid
}

/// Both terms of the distance.
#[derive(Debug)]
struct Disentangled(Deberta);

impl Hook for Disentangled {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        let Deberta {
            buckets,
            max_distance,
        } = self.0;
        format!("DeBERTa: {buckets} buckets to {max_distance}")
    }

    fn params(&self) -> Vec<String> {
        let sides = ["key", "query"].into_iter();
        let own = sides.flat_map(|side| [format!("{side}_weight"), format!("{side}_bias")]);
        ["embedding".into()].into_iter().chain(own).collect()
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let Deberta {
            buckets,
            max_distance,
        } = self.0;
        let row_of = |r| bucket(r, buckets, max_distance).min(buckets - 1);
        let distances = Distances::new(scope, row_of)?;
        let embedding = scope.param("embedding")?;
        let projected = |side: &str| {
            let weight = scope.param(&format!("{side}_weight"))?;
            let bias = scope.param(&format!("{side}_bias"))?;
            ops::linear(&embedding, &weight)?.broadcast_add(&bias)
        };
        let q = scope.of_queries(&scope.qkv.q)?;
        let k = scope.of_keys(&scope.repeated(&scope.qkv.k)?)?;
        let at_query = distances.of_queries(&with_vectors(&q, &projected("key")?)?)?;
        let at_key = distances.of_keys(&with_vectors(&k, &projected("query")?)?)?;
        scores.add(&at_query.add(&at_key)?.affine(scope.prepared.scale(), 0.0)?)
    }
}
