//! Shaw's relative representations: a learned vector per distance is added to the key, and another one to the value.
//!
//! score = raw + ⟨q, a_r⟩/√d, output = Σ_k P_qk·(v_k + c_r), r = min(q − k, clip)
//!
//! Paper: Shaw et al. 2018, arXiv 1803.02155, section 3.
//!
//! Code: as in tensor2tensor: tables shared by the heads of a layer, clip = 20 (the paper used 16), starting values as
//! of its default initialiser with 2·clip + 1 rows. A causal decoder sees clip + 1 of these rows, and only they are kept
//! here, in order of distance. Later libraries keep the keys' half alone (`values = false`).
//!
//! Memory: with values, shares of all queries at once; without, one block of scores at a time.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::{Distances, learned};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Error, Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Shaw's relative representations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shaw {
    /// Distance from which on all are alike.
    #[schemars(range(max = 65536))]
    pub clip: usize,
    /// Whether values get vectors too.
    pub values: bool,
}

impl Default for Shaw {
    fn default() -> Shaw {
        Shaw {
            clip: 20,
            values: true,
        }
    }
}

impl Scheme for Shaw {
    const ID: &'static str = "shaw";
    const CARD: Card = Card {
        title: "Shaw relative representations",
        paper: Paper {
            authors: "Shaw et al.",
            year: 2018,
            arxiv: "1803.02155",
            section: "3",
        },
        family: Family::Relative,
        idea: "Add a learned vector per clipped distance to keys, and another one to values.",
        formula: "score = raw + <q, a_r>/sqrt(d), output = sum of P_qk (v_k + c_r), r = min(q - k, clip)",
        latex: r"s_{qk} = \langle q, k + a_r\rangle/\sqrt{d},\quad o_q = \sum_k P_{qk}(v_k + c_r),\quad r = \min(q-k, c)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check("clip", self.clip, "at most 65536", self.clip <= 65536)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rows = self.clip + 1;
        let spread = (6.0 / ((2 * self.clip + 1 + model.head_dim) as f64)).sqrt();
        let table = |name| {
            learned(
                name,
                &[rows, model.head_dim],
                Init::Uniform(-spread, spread),
            )
        };
        let mut params = vec![table("to_keys")];
        if self.values {
            params.push(table("to_values"));
        }
        Ok(Plan {
            hooks: vec![HookRef::new(Relative(self.clone()))],
            params,
            ..Plan::default()
        })
    }
}

/// Vectors by distance.
#[derive(Debug)]
struct Relative(Shaw);

impl Hook for Relative {
    fn stage(&self) -> Stage {
        if self.0.values {
            Stage::Attention
        } else {
            Stage::Scores
        }
    }

    fn describe(&self) -> String {
        let Shaw { clip, values } = self.0;
        format!("Shaw: clip {clip}, values {values}")
    }

    fn params(&self) -> Vec<String> {
        let count = if self.0.values { 2 } else { 1 };
        let names = ["to_keys", "to_values"].into_iter().take(count);
        names.map(String::from).collect()
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let distances = Distances::new(scope, |r| r.min(self.0.clip))?;
        let q = scope.of_queries(&scope.qkv.q)?.contiguous()?;
        let terms = ops::linear(&q, &scope.param("to_keys")?)?;
        scores.add(
            &distances
                .of_queries(&terms)?
                .affine(scope.prepared.scale(), 0.0)?,
        )
    }

    fn attention(&self, scope: &Scope<'_>, qkv: &Qkv) -> Result<Tensor> {
        let shares = scope.softmax(&self.scores(scope, &scope.scores(qkv)?)?)?;
        let by_distance = self.by_distance(scope, &shares)?;
        let to_values = scope.param("to_values")?.t()?.contiguous()?;
        let own = shares.matmul(&scope.repeated(&qkv.v)?)?;
        own.add(&ops::linear(&by_distance, &to_values)?)
    }
}

impl Relative {
    /// Shares (batch, heads, queries, keys) summed by clipped distance: (batch, heads, queries, clip + 1).
    fn by_distance(&self, scope: &Scope<'_>, shares: &Tensor) -> Result<Tensor> {
        let (batch, heads, queries, _) = shares.dims4()?;
        let all = shares.sum_keepdim(3)?;
        let clip = self.0.clip;
        if clip == 0 {
            return Ok(all);
        }
        // Below the clip each distance is that of one key at most.
        let mut places = vec![0u32; queries * clip];
        let mut there = vec![0.0; queries * clip];
        let keys = scope.key_positions();
        for (i, query) in scope.query_positions().into_iter().enumerate() {
            for (j, key) in keys.iter().enumerate() {
                let distance = query - key;
                if (0.0..clip as f64).contains(&distance) {
                    let at = i * clip + distance as usize;
                    if there[at] == 1.0 {
                        return Err(Error::Argument {
                            what: "positions under Shaw's tables",
                            expected: "one token at each".into(),
                            found: format!("two at distance {distance} from {query}"),
                        });
                    }
                    (places[at], there[at]) = (j as u32, 1.0);
                }
            }
        }
        let places = Tensor::from_vec(places, (queries, clip), &shares.device())?;
        let places = places.broadcast_as((batch, heads, queries, clip))?;
        let near = shares.contiguous()?.gather(&places.contiguous()?, 3)?;
        let near = near.broadcast_mul(&scope.constant(&there, &[queries, clip])?)?;
        let far = all.sub(&near.sum_keepdim(3)?)?;
        Tensor::cat(&[&near, &far], 3)
    }
}
