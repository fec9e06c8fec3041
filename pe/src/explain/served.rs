//! What runs a plan: implementations of attention and devices.

use farspan_attention::hook::Stage;
use farspan_attention::plan::Plan;
use farspan_attention::{Device, fused};
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
    let hooks = || plan.hooks.iter();
    let own = hooks().find(|hook| hook.stage() != Stage::Inputs && !hook.attends());
    let naive = match own {
        None => "pair by pair in f64, the reference".into(),
        Some(hook) => format!(
            "no expression says its {}: {}",
            hook.stage(),
            hook.describe()
        ),
    };
    let composed =
        match own.map(|hook| hook.stage() == Stage::Attention || hook.needs_all_queries()) {
            Some(true) => "tensor operations on all queries at once, on every device",
            _ => "tensor operations by blocks of queries, on every device",
        };
    let fused = fused::supports(plan, &Device::cpu());
    let runs = fused.is_ok();
    let linear = match own {
        None => "one pass, memory linear in length, on every device",
        Some(_) => "a kernel for what its hook does, memory linear in length, on cpu",
    };
    let served = |name, runs, why| Served { name, runs, why };
    vec![
        served("naive", own.is_none(), naive),
        served("composed", true, composed.into()),
        served("fused", runs, fused.err().unwrap_or_else(|| linear.into())),
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
