//! A synthetic run with the shape of a real one, for tests and for looking at pages. Its numbers are drawn from simple
//! laws and measure nothing.

mod measures;
mod sketches;

use sketches::{Law, Sketch, crowd, sketches};

use crate::record::{
    CellRecord, Cost, EngineRecord, ModelRecord, PlannedCell, Refusal, RunPlan, SCHEMA_VERSION,
    SchemeRecord, Stage, State, Status,
};
use crate::store::{LoadedCell, LoadedRun, RunDir, StoreError};
use measures::{data, passkey, perplexity, position, training};
#[cfg(test)]
pub(crate) use measures::{found, mystery, segments};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What the synthetic run contains.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seeds of every curve.
    pub seeds: Vec<u64>,
    /// Test segments of the language study.
    pub units: usize,
    /// Passkey trials per length and depth.
    pub trials: usize,
    /// Whether the run has the study `language`.
    pub language: bool,
    /// Whether the run has the study `retrieval`.
    pub retrieval: bool,
    /// Whether one scheme diverged and one cell failed.
    pub mishaps: bool,
    /// Evaluated multiples of the trained length.
    pub multiples: Vec<usize>,
    /// So many trained schemes, if not the usual mixture of stages.
    pub schemes: Option<usize>,
    /// Only curves of this config name.
    pub only: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seeds: vec![0],
            units: 32,
            trials: 20,
            language: true,
            retrieval: true,
            mishaps: true,
            multiples: vec![1, 2, 4, 8],
            schemes: None,
            only: None,
        }
    }
}

/// Draws that depend on what they are for, not on the order in which they are made.
struct Dice(ChaCha8Rng);

impl Dice {
    fn of(what: &str) -> Dice {
        Dice(ChaCha8Rng::from_seed(
            *blake3::hash(what.as_bytes()).as_bytes(),
        ))
    }

    /// In 0..1.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// The synthetic run, in memory.
#[must_use]
pub fn run(options: &Options) -> LoadedRun {
    let mut cells = Vec::new();
    let studies = [
        ("language", 128, options.language),
        ("retrieval", 64, options.retrieval),
    ];
    for (study, trained, _) in studies.into_iter().filter(|s| s.2) {
        let all = options.schemes.map_or_else(sketches, crowd);
        for sketch in all
            .iter()
            .filter(|s| options.only.is_none_or(|only| only == s.name))
        {
            for &seed in &options.seeds {
                cells.push(cell(study, trained, sketch, seed, options));
            }
        }
    }
    let plan = RunPlan {
        schema_version: SCHEMA_VERSION,
        name: "synthetic".into(),
        config_hash: blake3::hash(b"synthetic config").to_hex().to_string(),
        command: "farspan run synthetic.toml".into(),
        created: "2026-01-02T03:04:05Z".into(),
        version: "0.1.0".into(),
        machine: String::new(),
        margin: RunPlan::default_margin(),
        confidence: 0.95,
        reference: options.only.is_none().then(|| "rope".to_string()),
        cells: cells
            .iter()
            .map(|c: &LoadedCell| c.planned.clone())
            .collect(),
    };
    LoadedRun {
        path: PathBuf::from("synthetic"),
        plan,
        config: Some("name = \"synthetic\"\n".into()),
        resolved: Some("name = \"synthetic\"  # synthetic.toml:1:8\n".into()),
        cells,
        problems: Vec::new(),
    }
}

/// The synthetic run, in a folder.
///
/// # Errors
/// The system's refusals.
pub fn write(path: &Path, options: &Options) -> Result<RunDir, StoreError> {
    let run = run(options);
    let (config, resolved) = (run.config.as_deref(), run.resolved.as_deref());
    let dir = RunDir::create(
        path,
        &run.plan,
        config.unwrap_or_default(),
        resolved.unwrap_or_default(),
    )?;
    for cell in &run.cells {
        let id = &cell.planned.id;
        if let Some(status) = &cell.status {
            dir.write_status(id, status)?;
        }
        if let Some(cost) = &cell.cost {
            dir.write_cost(id, cost)?;
        }
        if let Some(result) = &cell.result {
            dir.write_result(id, result)?;
            dir.append_event(id, &json!({"event": "step", "step": 100, "loss": 2.5}))?;
        }
    }
    Ok(dir)
}

/// Identity of a cell of the synthetic run.
fn id(study: &str, name: &str, stage: Stage, seed: u64) -> String {
    blake3::hash(format!("{study}/{name}/{stage:?}/{seed}").as_bytes()).to_hex()[..16].to_string()
}

fn cell(study: &str, trained: usize, sketch: &Sketch, seed: u64, options: &Options) -> LoadedCell {
    let stage = sketch.stage;
    let mark = if stage == Stage::FineTuned {
        "+finetuned"
    } else {
        ""
    };
    let planned = PlannedCell {
        id: id(study, &sketch.name, stage, seed),
        label: format!("{study}/{}{mark}/s{seed}", sketch.name),
        study: study.into(),
        scheme: sketch.name.clone().into_owned(),
        stage,
        seed,
        base: sketch
            .base
            .map(|base| id(study, base, Stage::Trained, seed)),
        parameters: 614_528,
        train_tokens: 1_638_400,
        measured_tokens: 409_600,
        flops: 6.0e12,
        memory_bytes: 3.0e8,
        disk_bytes: 2_458_112,
        config: json!({"study": study, "seed": seed}),
    };
    let status = |state, reason: Option<&str>| Status {
        schema_version: SCHEMA_VERSION,
        state,
        step: if state == State::Done { 800 } else { 312 },
        steps: 800,
        reason: reason.map(str::to_string),
        updated: "2026-01-02T03:14:05Z".into(),
        now: None,
        pid: None,
    };
    let last = options.seeds.last() == Some(&seed);
    let mishap = match (options.mishaps, sketch.id.as_ref(), study) {
        (true, "kerple", "language") => Some(status(
            State::Diverged,
            Some("loss inf at step 313 (first loss 5.5413, seed 0)"),
        )),
        (true, "nope", "retrieval") if last && options.seeds.len() > 1 => Some(status(
            State::Failed,
            Some("its process ended without a result (signal: 9)"),
        )),
        _ => None,
    };
    if let Some(status) = mishap {
        return LoadedCell {
            planned,
            status: Some(status),
            result: None,
            cost: None,
            unreadable: None,
        };
    }
    let record = record(study, trained, sketch, seed, options, &planned.id);
    let mut dice = Dice::of(&format!("cost {}", planned.label));
    let cost = Cost {
        train_seconds: if stage == Stage::ZeroShot {
            0.0
        } else {
            60.0 + 5.0 * dice.uniform()
        },
        evaluate_seconds: 12.0 + dice.uniform(),
        train_tokens_per_second: if stage == Stage::ZeroShot {
            0.0
        } else {
            26_000.0 + 2e3 * dice.normal()
        },
        cpu_seconds: 70.0,
        peak_memory_bytes: 400_000_000 + (5e7 * dice.uniform()) as u64,
        threads: 1,
        jobs: 2,
        machine: "an imagined machine with 2 cores".into(),
        device: "cpu".into(),
    };
    LoadedCell {
        planned,
        status: Some(status(State::Done, None)),
        result: Some(record),
        cost: Some(cost),
        unreadable: None,
    }
}

fn record(
    study: &str,
    trained: usize,
    sketch: &Sketch,
    seed: u64,
    options: &Options,
    id: &str,
) -> CellRecord {
    let language = study == "language";
    let steps = if sketch.stage == Stage::ZeroShot {
        0
    } else {
        800
    };
    let lengths: Vec<usize> = options.multiples.iter().map(|m| m * trained).collect();
    let served = |&length: &usize| !(matches!(sketch.law, Law::Ends) && length > trained);
    let refused = lengths
        .iter()
        .filter(|l| !served(l))
        .map(|&length| Refusal {
            measure: if language { "perplexity" } else { "task" }.into(),
            of: if language { "" } else { "passkey" }.into(),
            length,
            reason: format!("its table has {trained} positions; length {length} needs {length}"),
        });
    let longest = lengths
        .iter()
        .copied()
        .filter(served)
        .max()
        .unwrap_or(trained);
    let served_lengths: Vec<usize> = lengths.iter().copied().filter(served).collect();
    CellRecord {
        schema_version: SCHEMA_VERSION,
        id: id.into(),
        study: study.into(),
        scheme: SchemeRecord {
            name: sketch.name.clone().into_owned(),
            id: sketch.id.clone().into_owned(),
            title: sketch.title.into(),
            family: sketch.family.into(),
            idea: "One sentence that says what the scheme does.".into(),
            paper: sketch.paper.into(),
            settings: json!({"base": 10000.0, "factor": if sketch.base.is_some() { 4.0 } else { 1.0 }}),
            formula: sketch.formula.0.into(),
            latex: sketch.formula.1.into(),
            base: sketch.base.map(str::to_string),
            stage: sketch.stage,
        },
        seed,
        trained_length: trained,
        model: ModelRecord {
            size: Some("d3".into()),
            layers: 3,
            width: 96,
            heads: 6,
            kv_heads: 6,
            head_dim: 16,
            hidden: 256,
            vocab: if language { 256 } else { 64 },
            parameters: 614_528,
            scheme_parameters: 0,
            notes: Vec::new(),
        },
        train: training(study, trained, sketch, seed, steps),
        data: data(language),
        measures: match language {
            true => {
                let mut all = perplexity(trained, &served_lengths, sketch, seed, options);
                all.push(position(trained, longest, sketch, seed, options));
                all
            }
            false => vec![passkey(trained, &served_lengths, sketch, seed, options)],
        },
        refused: refused.collect(),
        learned: Vec::new(),
        search: None,
        engine: EngineRecord {
            device: "cpu".into(),
            attention: "composed".into(),
            fused_halves: "both".into(),
            version: "0.1.0".into(),
        },
    }
}
