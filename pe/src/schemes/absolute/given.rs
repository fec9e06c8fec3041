//! A learned row for each id that is given, shared by the schemes that read such ids.

use farspan_attention::plan::{Embed, Geometry, Init, ParamSpec, Plan, PositionIds};

/// Name of the table.
const TABLE: &str = "given";

/// The plan that adds the row of each token's id of this kind to its embedding.
pub(super) fn table(ids: &str, rows: usize, init_std: f64, model: &Geometry) -> Plan {
    Plan {
        position_ids: PositionIds::Given {
            ids: ids.into(),
            scores: false,
        },
        embed: Embed::Table {
            table: TABLE.into(),
            rows,
            resize: None,
        },
        params: vec![ParamSpec {
            name: TABLE.into(),
            shape: vec![rows, model.width],
            init: Init::Normal(0.0, init_std),
            learned: true,
            per_layer: false,
            clamp: None,
        }],
        ..Plan::default()
    }
}
