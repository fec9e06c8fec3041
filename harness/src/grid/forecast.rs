//! Forecasts: what a cell will take, from its config alone.

use crate::cell::CellConfig;
use crate::config::types::Reads;
use crate::measure::{Other, Pass, rows_per_pass};
use crate::model::Architecture;
use farspan_attention::attend::rows_per_block;
use farspan_attention::hook::{self, HookRef};
use farspan_attention::plan::Plan;
use farspan_attention::{Device, fused};
use farspan_pe::{AnyScheme, Len};
use farspan_reports::record::Stage;

/// Memory of the program itself.
const PROGRAM_BYTES: f64 = 50e6;
/// Memory of a corpus and its tokens.
const TEXT_BYTES: f64 = 80e6;
/// Bytes of a number.
const NUMBER: f64 = 4.0;
/// Alive at once of the size of a teacher's logits: both sides', their softmaxes, and gradients.
const TAUGHT: f64 = 13.0;

/// Tokens of windows that are read.
pub(super) fn tokens(passes: &[Pass]) -> u64 {
    let tokens: f64 = passes.iter().map(|p| p.windows * p.length as f64).sum();
    tokens as u64
}

/// Floating-point operations of reading windows.
pub(super) fn flops(architecture: &Architecture, passes: &[Pass]) -> f64 {
    let pass = |p: &Pass| p.windows * architecture.forward_flops(p.length);
    passes.iter().map(pass).sum()
}

/// Peak memory in bytes: the program with its text, and the larger of what training takes and what measuring takes, beside
/// what other models take that are asked meanwhile.
pub(super) fn memory(
    config: &CellConfig,
    parameters: u64,
    scheme: &dyn AnyScheme,
    (passes, others): (&[Pass], &[Other]),
    teacher: Option<&Other>,
) -> f64 {
    let data = match config.reads {
        Reads::Text(_) => TEXT_BYTES,
        Reads::Task(_) => 0.0,
    };
    let parameters = parameters as f64;
    let own = longest(&config.architecture, scheme, passes);
    let asked = |other: &Other| {
        let weights = other.architecture.parameters() as f64;
        weights + longest(&other.architecture, other.scheme.as_ref(), &other.passes)
    };
    // The weights lie beside those of a base while they are taken over.
    let measuring = 2.0 * parameters + others.iter().map(asked).fold(own, f64::max);
    let numbers = training(config, parameters, scheme, teacher).max(measuring);
    PROGRAM_BYTES + data + NUMBER * numbers
}

/// Bytes of the weights that a cell keeps; its training state is three times as much. With adapters, less than can be
/// told here.
pub(super) fn disk(config: &CellConfig, parameters: u64) -> u64 {
    let full = config.lora.is_none();
    let own = config.checkpoint.is_none() || config.stage == Stage::FineTuned;
    match config.train.steps > 0 && full && own {
        true => parameters.saturating_mul(NUMBER as u64),
        false => 0,
    }
}

/// Weights, gradients and two moments; the activations of one step and their gradients; scores, where they are kept; what a
/// teacher is and tells.
fn training(
    config: &CellConfig,
    parameters: f64,
    scheme: &dyn AnyScheme,
    teacher: Option<&Other>,
) -> f64 {
    if config.train.steps == 0 {
        return 0.0;
    }
    let shape = config.architecture.shape();
    let g = &shape.geometry;
    let longest = config
        .trainings()
        .into_iter()
        .max_by_key(|train| train.length);
    let longest = longest.unwrap_or(&config.train);
    let (rows, length) = (longest.batch, longest.length);
    let qkv = (2 * g.heads + 2 * g.kv_heads) * g.head_dim;
    let per_token = g.layers * (8 * g.width + 2 * qkv + 4 * shape.hidden) + 3 * shape.vocab;
    let plans = scheme.layer_plans(g, Len(length)).unwrap_or_default();
    let kept: f64 = plans
        .iter()
        .map(|plan| kept_by_hooks(plan, (rows * g.heads, g.head_dim), length))
        .sum();
    let own = (rows * length * per_token) as f64 + kept;
    // A teacher has read before the step begins; what it told stays.
    let step = teacher.map_or(own, |teacher| {
        let reads = teacher.passes.iter().map(|pass| {
            let tokens = pass.windows * pass.length as f64;
            let told = TAUGHT * tokens * shape.vocab as f64;
            (own + told).max(reading(&teacher.architecture, &*teacher.scheme, pass))
        });
        teacher.architecture.parameters() as f64 + reads.fold(own, f64::max)
    });
    4.0 * parameters + step
}

/// One layer's activations of the longest pass, and the scores that are alive at once, where attention makes them.
fn longest(architecture: &Architecture, scheme: &dyn AnyScheme, passes: &[Pass]) -> f64 {
    let at_once = |pass: &Pass| Pass {
        windows: pass.windows.min(rows_per_pass(pass.length) as f64),
        ..*pass
    };
    let pass = |pass| reading(architecture, scheme, &at_once(pass));
    passes.iter().map(pass).fold(0.0, f64::max)
}

/// The same of windows that are read at once.
fn reading(architecture: &Architecture, scheme: &dyn AnyScheme, pass: &Pass) -> f64 {
    let shape = architecture.shape();
    let g = &shape.geometry;
    let per_token = 4 * g.width + 2 * (g.heads + 2 * g.kv_heads) * g.head_dim + 3 * shape.hidden;
    let (rows, length) = (pass.windows.ceil() as usize, pass.length);
    // A length that is not served is not measured.
    let plans = scheme.layer_plans(g, Len(length)).unwrap_or_default();
    let scores = plans
        .iter()
        .map(|plan| block_scores(plan, rows * g.heads, length));
    (rows * length * per_token) as f64 + scores.fold(0.0, f64::max)
}

/// Numbers of scores that one block of queries takes, where no fused kernel does without them.
fn block_scores(plan: &Plan, heads: usize, length: usize) -> f64 {
    if fused::supports(plan, &Device::cpu()).is_ok() {
        return 0.0;
    }
    let mut hooks = plan.hooks.iter();
    let all = hooks.any(|hook| hook.needs_all_queries() || hook.stage() == hook::Stage::Attention);
    let (queries, alive) = match all {
        true => (length, ALIVE),
        false => {
            let queries = rows_per_block(heads * length * NUMBER as usize);
            (queries.min(length), ALIVE_IN_BLOCK)
        }
    };
    alive * (queries * heads * length) as f64
}

/// The same for training, whose history keeps the scores of all queries; where kernels do without them, what else hooks keep.
fn kept_by_hooks(plan: &Plan, (heads, head_dim): (usize, usize), length: usize) -> f64 {
    let own = |hook: &HookRef| hook.stage() != hook::Stage::Inputs;
    match fused::supports(plan, &Device::cpu()) {
        Ok(()) if plan.hooks.iter().any(own) => HOOKED * (heads * length * head_dim) as f64,
        Ok(()) => 0.0,
        Err(_) => KEPT * (heads * length * length) as f64,
    }
}

// Tensors of the size of the scores, measured on the schemes whose hooks change them, at 512 to 8192 tokens. They differ by
// scheme; the largest is taken, as a forecast that is too low costs more than one that is too high.

/// Alive at once in a block of queries (CoPE: 14.5).
const ALIVE_IN_BLOCK: f64 = 15.0;
/// Alive at once where all queries are needed together (TAPE 4.2, PaTH 4.9, Shaw 5.5, stick-breaking 8.5).
const ALIVE: f64 = 8.5;
/// Kept of a layer by a training step (TAPE 9.5, Shaw 12, PaTH 15, stick-breaking 42, CoPE 45).
const KEPT: f64 = 45.0;
/// Arrays as large as the queries that a layer's hook keeps for a training step where a kernel does without scores (CoPE 0,
/// DAPE 10, TAPE 16, PaTH 25).
const HOOKED: f64 = 25.0;
