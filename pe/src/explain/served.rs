//! What runs a plan: implementations of attention and devices.

use farspan_attention::Device;
use farspan_attention::hook::Stage;
use farspan_attention::plan::Plan;
use serde::Serialize;

/// Whether something runs the scheme.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Served {
    /// Name of an implementation or a device.
    pub name: &'static str,
    /// Whether it does.
    pub runs: bool,
    /// What that means, or why not.
    pub why: String,
}

/// The implementations of attention, from the slowest.
pub(super) fn implementations(plan: &Plan) -> Vec<Served> {
    let own = plan.hooks.iter().find(|hook| hook.stage() != Stage::Inputs);
    let served = |name, yes: &str| Served {
        name,
        runs: own.is_none(),
        why: match own {
            None => yes.into(),
            Some(hook) => format!(
                "no expression says its {}: {}",
                hook.stage(),
                hook.describe()
            ),
        },
    };
    vec![
        served("naive", "pair by pair in f64, the reference"),
        Served {
            name: "composed",
            runs: true,
            why: "tensor operations by blocks of queries, on every device".into(),
        },
        served(
            "fused",
            "one pass, memory linear in length, on every device",
        ),
    ]
}

/// The devices of this build.
pub(super) fn devices() -> Vec<Served> {
    let device = |name| match Device::open(name) {
        Ok(device) => Served {
            name,
            runs: true,
            why: device.note().to_string(),
        },
        Err(error) => Served {
            name,
            runs: false,
            why: error.to_string(),
        },
    };
    ["cpu", "cuda", "wgpu"].map(device).into()
}
