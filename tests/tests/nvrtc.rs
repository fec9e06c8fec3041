//! Every kernel as CUDA text: those of attention under every scheme, and those of whole training runs. The text is written
//! for all of them; where NVRTC's library is at hand it is compiled as well, and registers and spills are held to a bound.
//!
//! Nothing runs here and no device is needed. `test.sh` fetches the library from Python's index into `target/nvrtc`; where it
//! is not, the tests say how many kernels were not compiled.

use farspan::config::TrainConfig;
use farspan::train::{Batches, Stage, Step, Trainer};
use farspan_acceptance::parity::{batch, decoder, kernels, plans, schemes, shape};
use farspan_acceptance::program;
use farspan_attention::gpu::{Context, cuda};
use farspan_attention::{Device, Precision};
use farspan_datasets::Batch;
use farspan_pe::{AnyScheme, Len};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a kernel of WGSL is in CUDA.
fn written(what: &str, wgsl: &str) -> String {
    let found = cuda(wgsl).unwrap_or_else(|e| panic!("{what}: {e}\n{wgsl}"));
    let threads: u32 = found.block.iter().product();
    assert!((1..=1024).contains(&threads), "{what}");
    found.text
}

/// The distinct kernels of attention under a scheme, with grouped heads.
fn attention(
    id: &str,
    scheme: &dyn AnyScheme,
    head_dim: usize,
    precision: Precision,
) -> Vec<(String, String)> {
    let model = shape(2, [4, 2, head_dim], 16).geometry;
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, text) in kernels(id, scheme, &model, 37, precision) {
        if !found.iter().any(|(_, known)| *known == text) {
            found.push((format!("{id} {head_dim}, {precision:?}: {name}"), text));
        }
    }
    found
}

struct Pattern<'a>(&'a dyn AnyScheme);

impl Batches for Pattern<'_> {
    fn train(&self, step: u64, _config: &TrainConfig, len: usize) -> Batch {
        let model = shape(1, [2, 1, 16], 16).geometry;
        batch(self.0, &model, (2, len), step)
    }

    fn chance(&self, _number: u64) -> Box<dyn FnMut() -> f64 + '_> {
        Box::new(|| 0.5)
    }

    fn validation(&self) -> &[Batch] {
        &[]
    }
}

/// Has a device that runs nothing do two steps of training and score a text.
fn trains(id: &str, scheme: &dyn AnyScheme, device: &Device) -> farspan::Result<()> {
    let config = TrainConfig {
        steps: 3,
        validate_every: u64::MAX,
        ..TrainConfig::default()
    };
    let shape = shape(1, [2, 1, 16], 16);
    let (_, len) = plans(id, scheme, &shape.geometry, 16).expect("sizes for all");
    let decoder = decoder(&shape, scheme, len, device);
    let stages = vec![Stage::only(decoder.prepare(Len(len), len)?, &config)];
    let mut trainer = Trainer::new(decoder, stages, false, None)?;
    for _ in 1..config.steps {
        assert_eq!(trainer.step(&Pattern(scheme))?, Step::Ok, "{id}");
    }
    let ready = trainer.model.prepare(Len(len), len)?;
    let held = batch(scheme, &shape.geometry, (1, len), 1000);
    trainer.model.scores(&held, &ready)?;
    Ok(())
}

/// The kernels of training runs under every scheme, on devices with subgroups and without.
fn training() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for subgroups in [false, true] {
        let context = Context::noting(subgroups);
        let device = Device::from_context(&context);
        for (id, scheme) in schemes() {
            trains(id, scheme.as_ref(), &device).unwrap_or_else(|e| panic!("{id}: {e}"));
        }
        let texts = context.noted().into_iter();
        found.extend(texts.map(|text| (format!("training, subgroups {subgroups}"), text)));
    }
    found
}

#[test]
fn cuda_text_is_written_of_every_kernel_of_attention() {
    let mut known = BTreeSet::new();
    for (id, scheme) in schemes() {
        for head_dim in [16, 40, 64, 128, 160] {
            for precision in [Precision::F32, Precision::Bf16] {
                for (what, wgsl) in attention(id, scheme.as_ref(), head_dim, precision) {
                    if known.insert(wgsl.clone()) {
                        written(&what, &wgsl);
                    }
                }
            }
        }
    }
    assert!(known.len() > 800, "{} kernels", known.len());
}

/// The shortest kernel of three: a change of how anything is written shows here.
#[test]
fn cuda_text_of_three_schemes() {
    for (id, scheme) in schemes() {
        if ["alibi", "t5", "fire"].contains(&id) {
            let name = format!("{id} 8, F32: scores, for explanations");
            let mut kernels = attention(id, scheme.as_ref(), 8, Precision::F32).into_iter();
            let (what, wgsl) = kernels.find(|(what, _)| *what == name).expect("a kernel");
            let text = written(&what, &wgsl);
            // What stands before is the same for all.
            let own = text.find("u32 word(").expect("a function of all kernels");
            insta::assert_snapshot!(format!("cuda_{id}"), &text[own..]);
        }
    }
}

#[test]
fn cuda_text_is_written_of_every_kernel_of_training() {
    let found = training();
    for (what, wgsl) in &found {
        written(what, wgsl);
    }
    assert!(found.len() > 200, "{} kernels", found.len());
}

/// Folder of NVRTC's library, if it was fetched, and where tables go.
fn library() -> (Option<PathBuf>, PathBuf) {
    let target = program();
    let target = target.ancestors().nth(2).expect("target/<profile>/farspan");
    let folder = target.join("nvrtc");
    let library = folder.join("nvidia/cu13/lib");
    (library.is_dir().then_some(library), folder)
}

/// What NVRTC makes of texts for architectures: a line of its answers each.
fn compile(jobs: &[(&str, &str)]) -> Vec<Value> {
    let (library, folder) = library();
    let library = library.expect("it was looked for");
    let texts = tempfile::tempdir_in(&folder).expect("a folder");
    let mut lines = String::new();
    for (i, (text, architecture)) in jobs.iter().enumerate() {
        let path = texts.path().join(format!("{i}.cu"));
        std::fs::write(&path, text).expect("a text");
        let _ = writeln!(lines, "{} {architecture}", path.display());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nvrtc/compile.py");
    let mut python = Command::new("python3")
        .arg(script)
        .arg(&library)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut input = python.stdin.take().expect("a pipe");
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the compiling script failed");
    let answers = String::from_utf8(output.stdout).expect("JSON");
    let answers: Vec<Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(answers.len(), jobs.len());
    answers
}

/// A kernel to compile: what it is, its text, and for which architecture.
type Job = (String, String, &'static str);

/// What is compiled, so that two slow cores do it within the time of a test: with heads of 64 every kernel for Ampere (of
/// those for tensor cores a sixth, `FARSPAN_ALL=1` all); those of every ninth scheme also for both kinds of Hopper, and with
/// heads of 16 (but for tensor cores) and 128; what training runs need beside attention.
fn jobs() -> Vec<Job> {
    let all = std::env::var_os("FARSPAN_ALL").is_some();
    let mut jobs = Vec::new();
    let mut known = BTreeSet::new();
    let mut add = |(what, wgsl): (String, String), architectures: &[&'static str]| {
        let text = written(&what, &wgsl);
        for architecture in architectures {
            if known.insert((text.clone(), *architecture)) {
                jobs.push((what.clone(), text.clone(), *architecture));
            }
        }
    };
    for (i, (id, scheme)) in schemes().into_iter().enumerate() {
        let closely = i % 9 == 0;
        let architectures: &[_] = match closely {
            true => &["sm_80", "sm_90", "sm_90a"],
            false => &["sm_80"],
        };
        for kernel in attention(id, scheme.as_ref(), 64, Precision::F32) {
            add(kernel, architectures);
        }
        if i % 6 == 0 || all {
            for kernel in attention(id, scheme.as_ref(), 64, Precision::Bf16) {
                add(kernel, architectures);
            }
        }
        let closer = [
            (16, Precision::F32),
            (128, Precision::F32),
            (128, Precision::Bf16),
        ];
        for (head_dim, precision) in closer.into_iter().filter(|_| closely) {
            for kernel in attention(id, scheme.as_ref(), head_dim, precision) {
                add(kernel, &["sm_80"]);
            }
        }
    }
    // Those of attention stand above.
    let others = training()
        .into_iter()
        .filter(|(_, wgsl)| !wgsl.contains("fn score("));
    others.for_each(|kernel| add(kernel, &["sm_80"]));
    jobs
}

#[test]
fn nvrtc_takes_every_kernel_and_none_spills() {
    let jobs = jobs();
    let (library, folder) = library();
    let table_path = folder.join("table.txt");
    // An earlier one tells of other kernels.
    let _ = std::fs::remove_file(&table_path);
    if library.is_none() {
        let folder = folder.display();
        eprintln!(
            "skipped: NVRTC's library is not in {folder}: {} kernels are not compiled",
            jobs.len()
        );
        return;
    }
    let asked = jobs.iter().map(|(_, text, of)| (text.as_str(), *of));
    let answers = compile(&asked.collect::<Vec<_>>());
    let mut table = String::from("architecture, registers, stack, spilled, shared: kernel\n");
    let mut wrong = Vec::new();
    for ((what, text, architecture), answer) in jobs.iter().zip(&answers) {
        if let Some(error) = answer["error"].as_str() {
            panic!("{what} for {architecture}: {error}\n{text}");
        }
        let number = |name: &str| answer[name].as_u64().expect("a number");
        let (stack, spilled) = (number("stack"), number("spilled"));
        let line = format!(
            "{architecture}, {}, {stack}, {spilled}, {}: {what}\n",
            number("registers"),
            number("shared")
        );
        // Memory that every thread has for itself lies in global memory: each use of it is a detour. Exact cosines and sines
        // have 32 bytes for the remainders of large angles. Where two sums of 128 channels fill the registers, as with keys and
        // values on tensor cores, some of what stays the same is put away.
        let few = if what.contains("128, Bf16") { 64 } else { 0 };
        let shared = if what.contains("Bf16") { 49152 } else { 16384 };
        if spilled > few || stack > 32 || number("shared") > shared || number("warnings") > 0 {
            wrong.push(line.clone());
        }
        table += &line;
    }
    std::fs::write(&table_path, &table).expect("a table");
    assert!(
        wrong.is_empty(),
        "of {} kernels:\n{}",
        jobs.len(),
        wrong.concat()
    );
}
