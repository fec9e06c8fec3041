//! What a device makes of a scheme: the kernels that are generated for it, and the scores that they compute there.

use super::super::Failure;
use crate::Error;
use farspan_attention::attend::Mask;
use farspan_attention::gpu::attend::{Fused, Kernels, Params};
use farspan_attention::gpu::{Array, Context, Traced, cuda, validate};
use farspan_attention::hook::Stage;
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Precision};
use farspan_pe::{AnyScheme, Bias, Len, Scores, scores, typical};
use serde::Serialize;
use std::fmt::Write;

/// Scores by head and key; `None` where they are hidden.
type Curves = Vec<Vec<Option<f64>>>;

/// Scores by head, query and key.
type Grid = Vec<Curves>;

/// What is explained, and where.
pub(super) struct Place<'a> {
    pub(super) scheme: &'a dyn AnyScheme,
    pub(super) model: &'a Geometry,
    pub(super) length: usize,
    pub(super) device: &'a Device,
}

/// What a device other than the processor makes of a scheme.
#[derive(Debug, Serialize)]
pub(super) struct OnDevice {
    device: String,
    note: String,
    /// What runs attention there.
    implementation: &'static str,
    why: String,
    /// The generated kernels, all accepted by the driver.
    kernels: Vec<Kernel>,
    /// As `bias`, computed there.
    bias: Option<Grid>,
    /// Of what was computed there from the values in f64, relative to the larger of 1 and the value.
    largest_difference: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Kernel {
    name: &'static str,
    lines: usize,
}

impl OnDevice {
    pub(super) fn text(&self) -> String {
        let mut out = format!("\nOn {}\n  {}\n", self.device, self.note);
        let _ = writeln!(out, "  {}: {}", self.implementation, self.why);
        for kernel in &self.kernels {
            let _ = writeln!(out, "    {}, {} lines of WGSL", kernel.name, kernel.lines);
        }
        if let Some(apart) = self.largest_difference {
            let _ = writeln!(
                out,
                "  scores computed there are within {apart:.1e} of those in f64, relative to the larger of 1 and the score"
            );
        }
        out
    }
}

impl Place<'_> {
    fn plan(&self) -> Result<Plan, Failure> {
        Ok(self.scheme.plan(self.model, Len(self.length))?)
    }

    /// What the device makes of it; `None` on the processor, where explanations come from.
    pub(super) fn look(&self, bias: Option<&Bias>) -> Result<Option<OnDevice>, Failure> {
        if self.device.is_cpu() {
            return Ok(None);
        }
        let plan = self.plan()?;
        let supported = farspan_attention::fused::supports(&plan, self.device);
        let mut found = OnDevice {
            device: self.device.to_string(),
            note: self.device.note().to_string(),
            implementation: "composed",
            why: String::new(),
            kernels: Vec::new(),
            bias: None,
            largest_difference: None,
        };
        if let Err(why) = supported {
            found.why = format!("tensor operations by blocks of queries there: {why}");
            return Ok(Some(found));
        }
        self.look_at_kernels(&plan, bias, &mut found)?;
        Ok(Some(found))
    }

    /// The scores for pictures, computed on the device.
    pub(super) fn scores(&self) -> Result<Option<Scores>, Failure> {
        let Some(mut found) = scores(self.scheme, self.model, Len(self.length))? else {
            return Ok(None);
        };
        if let Some((by_distance, matrix)) = self.drawn(&found)? {
            (found.by_distance, found.matrix) = (by_distance, matrix);
        }
        Ok(Some(found))
    }
}

impl Place<'_> {
    fn look_at_kernels(
        &self,
        plan: &Plan,
        bias: Option<&Bias>,
        found: &mut OnDevice,
    ) -> Result<(), Failure> {
        let Some(context) = self.device.context() else {
            // The processor has kernels of its own.
            return Ok(());
        };
        let prepared = self.prepared(plan, self.length - 1)?;
        let fused = Fused::new(context, &prepared, &Mask::causal(), 1).map_err(Error::from)?;
        fused.compile().map_err(Error::from)?;
        let kernels = fused.kernels().texts();
        found.implementation = "fused";
        found.why = format!(
            "{} kernels, accepted by the driver; --wgsl prints them",
            kernels.len()
        );
        let kernel = |(name, text): (&'static str, &str)| Kernel {
            name,
            lines: text.lines().count(),
        };
        found.kernels = kernels.into_iter().map(kernel).collect();
        let mut pairs: Vec<(Option<f64>, Option<f64>)> = Vec::new();
        if let Some(bias) = bias {
            let heads: Vec<usize> = (0..self.model.heads).collect();
            let there = self.grid(plan, 0.0, &heads, &bias.queries, &bias.keys)?;
            pairs.extend(zipped(&there, &bias.values));
            found.bias = Some(there);
        }
        if let Some(usual) = scores(self.scheme, self.model, Len(self.length))? {
            let there = self.curve(plan, &usual)?;
            pairs.extend(zipped(&[there], &[usual.by_distance]));
        }
        found.largest_difference = (!pairs.is_empty()).then(|| largest_difference(&pairs));
        Ok(())
    }

    /// Curves and matrices as the kernel computes them; `None` where no generated kernel runs.
    fn drawn(&self, usual: &Scores) -> Result<Option<(Curves, Grid)>, Failure> {
        if self.device.context().is_none() {
            return Ok(None);
        }
        let plan = self.plan()?;
        let (positions, heads) = (&usual.positions, &usual.heads);
        let matrix = self.grid(&plan, 1.0, heads, positions, positions)?;
        Ok(Some((self.curve(&plan, usual)?, matrix)))
    }

    /// By head and distance to the last query.
    fn curve(&self, plan: &Plan, usual: &Scores) -> Result<Curves, Failure> {
        let last = self.length - 1;
        let keys: Vec<usize> = usual.distances.iter().map(|x| last - x).collect();
        let grid = self.grid(plan, 1.0, &usual.heads, &[last], &keys)?;
        Ok(grid.into_iter().flatten().collect())
    }

    fn prepared(&self, plan: &Plan, query: usize) -> Result<Prepared, Failure> {
        let (queries, keys) = (query..query + 1, 0..self.length);
        Ok(Prepared::new(plan, self.model, queries, keys, self.device).map_err(Error::from)?)
    }

    /// Scores of keys that equal their query, with the same weight in every channel and the raw score `raw` without
    /// positions.
    fn grid(
        &self,
        plan: &Plan,
        raw: f64,
        heads: &[usize],
        queries: &[usize],
        keys: &[usize],
    ) -> Result<Grid, Failure> {
        let Some(context) = self.device.context() else {
            return Ok(Vec::new());
        };
        let mut grid: Grid = vec![Vec::new(); heads.len()];
        for &query in queries {
            let prepared = self.prepared(plan, query)?;
            let rows = row(context, &prepared, raw).map_err(Error::from)?;
            for (head, grid) in heads.iter().zip(&mut grid) {
                let row = &rows[head * self.length..][..self.length];
                let cell = |&key: &usize| {
                    let score = row.get(key).copied().filter(|x| x.is_finite());
                    score.map(f64::from)
                };
                grid.push(keys.iter().map(cell).collect());
            }
        }
        Ok(grid)
    }
}

/// Scores of the only query, by head and key; learned parameters have the values that explanations show.
fn row(context: &Context, prepared: &Prepared, raw: f64) -> farspan_attention::Result<Vec<f32>> {
    let fused = Fused::new(context, prepared, &Mask::causal(), 1)?;
    let Geometry {
        heads,
        kv_heads,
        head_dim,
        ..
    } = *prepared.geometry();
    // ⟨x, x⟩ / √head_dim = raw
    let value = (raw / (head_dim as f64).sqrt()).sqrt() as f32;
    let full = |heads: usize, rows: usize| {
        Array::full(context, value, &[1, heads, rows, head_dim]).map(Traced::constant)
    };
    let mut params = Params::new();
    for spec in &prepared.plan().params {
        if spec.constant().is_none() {
            let values: Vec<f32> = typical(spec).into_iter().map(|x| x as f32).collect();
            let array = Array::from_f32(context, &values, &spec.shape)?;
            params.insert(spec.name.clone(), Traced::constant(array));
        }
    }
    let (q, k) = (full(heads, 1)?, full(kv_heads, prepared.keys().len())?);
    fused.scores(&q, &k, &params)?.to_f32()
}

fn zipped(there: &[Curves], here: &[Curves]) -> Vec<(Option<f64>, Option<f64>)> {
    let there = there.iter().flatten().flatten().copied();
    there
        .zip(here.iter().flatten().flatten().copied())
        .collect()
}

/// Infinite where one side hides what the other shows.
fn largest_difference(pairs: &[(Option<f64>, Option<f64>)]) -> f64 {
    let apart = pairs.iter().map(|pair| match pair {
        (Some(there), Some(here)) => (there - here).abs() / here.abs().max(1.0),
        (None, None) => 0.0,
        _ => f64::INFINITY,
    });
    apart.fold(0.0, f64::max)
}

/// What kernels are printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Wgsl,
    /// For cards that round so.
    Cuda(Precision),
}

/// All generated kernels, each under its name, after naga found them valid.
pub(super) fn kernels(
    scheme: &dyn AnyScheme,
    model: &Geometry,
    length: usize,
    language: Language,
) -> Result<String, Failure> {
    let plan = scheme.plan(model, Len(length))?;
    if let Some(hook) = plan.hooks.iter().find(|hook| hook.stage() != Stage::Inputs) {
        let flag = match language {
            Language::Wgsl => "--wgsl",
            Language::Cuda(_) => "--cuda",
        };
        let text = format!(
            "{flag}: {} has no generated kernels, it runs by tensor operations: the hook {} is a function of tensors",
            scheme.id(),
            hook.describe()
        );
        return Err(Failure::usage(text));
    }
    let here = Device::cpu();
    let prepared = Prepared::new(&plan, model, 0..length, 0..length, &here).map_err(Error::from)?;
    let precision = match language {
        Language::Wgsl => Precision::F32,
        Language::Cuda(precision) => precision,
    };
    let kernels = Kernels::new(&prepared, &Mask::causal(), 1, precision).map_err(Error::from)?;
    let mut out = String::new();
    for (name, text) in kernels.texts() {
        let text = match language {
            Language::Wgsl => validate(text).map(|()| text.to_string()),
            Language::Cuda(_) => cuda(text).map(|kernel| kernel.text),
        };
        let text = text.map_err(Error::from)?;
        let _ = writeln!(out, "// {}: {name}\n{text}", scheme.id());
    }
    Ok(out)
}
