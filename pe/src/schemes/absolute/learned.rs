//! Learned absolute embeddings add one trained vector per position to the token embeddings.
//!
//! x_i + E\[i\], E of shape \[rows, width\]; interpolated: E is first resized linearly from `rows` to the length in use
//!
//! Paper: Gehring et al. 2017, arXiv 1705.03122, section 3.1; initial values as in GPT-2, N(0, 0.02²).
//!
//! Code: a table has no row past its end, so longer texts are refused unless `interpolate` says how to resize it.
//! SeqPE's baseline resizes with half-pixel centres; aligned corners are the other convention. Resizing moves
//! neighbours closer together; it is meant to be followed by fine-tuning.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Cache, Embed, Geometry, Init, ParamSpec, Plan, Resize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of learned embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Learned {
    /// Rows of the table; the trained length unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<usize>,
    /// How the table serves lengths past its rows.
    pub interpolate: Interpolate,
    /// Standard deviation of the initial table.
    #[schemars(range(min = 0))]
    pub init_std: f64,
}

/// What happens past the end of a learned table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolate {
    /// The length is refused.
    None,
    /// Linear, with half-pixel centres: row k lies at (k + ½)·rows/length − ½, not below 0.
    HalfPixel,
    /// Linear, with the first and last rows kept in place: row k lies at k·(rows − 1)/(length − 1).
    AlignCorners,
}

impl Default for Learned {
    fn default() -> Learned {
        Learned {
            rows: None,
            interpolate: Interpolate::None,
            init_std: 0.02,
        }
    }
}

impl Scheme for Learned {
    const ID: &'static str = "learned";
    const CARD: Card = Card {
        title: "Learned embeddings",
        paper: Paper {
            authors: "Gehring et al.",
            year: 2017,
            arxiv: "1705.03122",
            section: "3.1",
        },
        family: Family::Absolute,
        idea: "Add one trained vector per position to the embeddings.",
        formula: "PE(i) = wpe[i]",
        latex: r"\mathrm{PE}(i) = E_i",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rows
            .map_or(Ok(()), |rows| check("rows", rows, "at least 1", rows >= 1))?;
        let spread = self.init_std >= 0.0 && self.init_std.is_finite();
        check("init_std", self.init_std, "at least 0 and finite", spread)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rows = self.rows.unwrap_or(model.trained_length);
        check_model(
            "trained_length",
            rows,
            "at least 1, for it gives the rows of the table",
            rows >= 1,
        )?;
        let resize = match self.interpolate {
            _ if context_len.0 <= rows => None,
            Interpolate::None => {
                let way = "train with a larger `rows`, or set `interpolate` to \"half-pixel\" or \"align-corners\"";
                return Err(past_the_table(context_len, rows, way));
            }
            kind => Some(Resize {
                rows: context_len.0,
                align_corners: kind == Interpolate::AlignCorners,
            }),
        };
        Ok(Plan {
            embed: Embed::Table {
                table: "wpe".into(),
                rows,
                resize,
            },
            params: vec![ParamSpec {
                name: "wpe".into(),
                shape: vec![rows, model.width],
                init: Init::Normal(0.0, self.init_std),
                learned: true,
                per_layer: false,
                clamp: None,
            }],
            // A resized table moves every row when the text grows.
            cache: if resize.is_some() {
                Cache::Unrotated
            } else {
                Cache::Rotated
            },
            ..Plan::default()
        })
    }
}

/// That a table ends before the text does, and the way out of it.
pub(super) fn past_the_table(context_len: Len, rows: usize, way: &str) -> PlanError {
    PlanError::NotServed {
        asked: context_len.0,
        limit: rows,
        why: format!("the learned table has no more rows; {way}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_past_the_table_are_refused_or_resized() {
        let model = Geometry {
            layers: 1,
            width: 8,
            heads: 1,
            kv_heads: 1,
            head_dim: 8,
            trained_length: 64,
        };
        let plan = |interpolate, context_len| {
            let learned = Learned {
                interpolate,
                ..Learned::default()
            };
            Scheme::plan(&learned, &model, Len(context_len)).map(|plan| plan.embed)
        };
        let error = plan(Interpolate::None, 65).unwrap_err().to_string();
        assert!(
            error.starts_with("length 65 cannot be served, the limit is 64: "),
            "{error}"
        );
        assert!(
            error.contains("`rows`") && error.contains("`interpolate`"),
            "{error}"
        );
        let table = |resize| Embed::Table {
            table: "wpe".into(),
            rows: 64,
            resize,
        };
        assert_eq!(plan(Interpolate::None, 64).unwrap(), table(None));
        assert_eq!(plan(Interpolate::HalfPixel, 64).unwrap(), table(None));
        let to = Resize {
            rows: 65,
            align_corners: false,
        };
        assert_eq!(plan(Interpolate::HalfPixel, 65).unwrap(), table(Some(to)));
    }
}
