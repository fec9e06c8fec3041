//! BiPE's two levels, shared by its two forms: a learned row for the place inside of a segment, and a relative scheme
//! that sees the number of the segment.

use crate::angles::trained_length;
use crate::error::{PlanError, check};
use farspan_attention::plan::{Embed, Geometry, Init, ParamSpec, Plan, PositionIds};

/// Name of the table of places.
const TABLE: &str = "place";

/// What both forms of BiPE have in common.
pub(super) struct Levels<'a> {
    pub(super) separators: &'a [String],
    pub(super) places: Option<usize>,
    pub(super) init_std: f64,
}

/// Full stop and newline.
pub(super) fn default_separators() -> Vec<String> {
    vec![".".into(), "\n".into()]
}

impl Levels<'_> {
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let texts = format!("{:?}", self.separators);
        let holds = !self.separators.is_empty() && self.separators.iter().all(|s| !s.is_empty());
        check("separators", texts, "at least one text, none empty", holds)?;
        self.places.map_or(Ok(()), |places| {
            check("places", places, "at least 1", places >= 1)
        })?;
        let holds = self.init_std >= 0.0 && self.init_std.is_finite();
        check("init_std", self.init_std, "at least 0 and finite", holds)
    }

    /// `plan` of the relative scheme, seeing segments, with the rows of the places added to the embeddings.
    pub(super) fn over(&self, plan: Plan, model: &Geometry) -> Result<Plan, PlanError> {
        let places = trained_length(self.places, model)?;
        let mut params = plan.params;
        params.push(ParamSpec {
            name: TABLE.into(),
            shape: vec![places, model.width],
            init: Init::Normal(0.0, self.init_std),
            learned: true,
            per_layer: false,
            clamp: None,
        });
        Ok(Plan {
            position_ids: PositionIds::Segments {
                separators: self.separators.to_vec(),
                places,
            },
            embed: Embed::Table {
                table: TABLE.into(),
                rows: places,
                resize: None,
            },
            params,
            ..plan
        })
    }
}
