//! Attention alone, under one scheme.

use super::Pass;
use super::peer::Case;
use crate::Result;
use crate::model;
use farspan_attention::attend::{FEED_FORWARD, INPUT, Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor, Var};
use farspan_datasets::rng::Stream;
use serde_json::{Map, json};

/// Inputs of one call, drawn from a stream, and the plan made ready.
#[derive(Debug)]
pub struct Attention {
    prepared: Prepared,
    q: Var,
    k: Var,
    v: Var,
    params: Vec<(String, Var)>,
    /// What it reads of the layer beside q, k and v.
    read: Vec<(&'static str, Var)>,
    batch: usize,
    which: Implementation,
}

impl Attention {
    /// For windows of `length` tokens.
    pub fn new(
        plan: &Plan,
        geometry: &Geometry,
        (batch, length): (usize, usize),
        which: Implementation,
        device: &Device,
    ) -> Result<Attention> {
        let normal = |name: &str, shape: &[usize]| -> Result<Var> {
            let mut stream = Stream::new(0, &format!("bench/{name}"));
            let values: Vec<f32> = (0..shape.iter().product())
                .map(|_| stream.normal() as f32)
                .collect();
            Ok(Var::new(Tensor::from_vec(values, shape, device)?)?)
        };
        let Geometry {
            width,
            heads,
            kv_heads,
            head_dim,
            ..
        } = *geometry;
        let learned = plan.params.iter().filter(|spec| spec.learned);
        let params = learned.map(|spec| {
            let values = model::draw(spec, &spec.name, 0);
            let tensor = Tensor::from_vec(values, spec.shape.as_slice(), device)?;
            Ok((spec.name.clone(), Var::new(tensor)?))
        });
        let reads = [
            (INPUT, plan.reads_input()),
            (FEED_FORWARD, plan.reads_feed_forward()),
        ];
        let reads = reads.into_iter().filter(|(_, reads)| *reads);
        let reads = reads.map(|(name, _)| Ok((name, normal("input", &[batch, length, width])?)));
        Ok(Attention {
            prepared: Prepared::new(plan, geometry, 0..length, 0..length, device)?,
            q: normal("q", &[batch, heads, length, head_dim])?,
            k: normal("k", &[batch, kv_heads, length, head_dim])?,
            v: normal("v", &[batch, kv_heads, length, head_dim])?,
            params: params.collect::<Result<_>>()?,
            read: reads.collect::<Result<_>>()?,
            batch,
            which,
        })
    }

    /// Runs once; names the implementation.
    pub fn run(&self, pass: Pass) -> Result<&'static str> {
        let recorded = pass == Pass::Both;
        let read = |var: &Var| match recorded {
            true => var.tensor().clone(),
            false => var.tensor().detach(),
        };
        let input = self.read.iter().map(|(name, var)| (name.to_string(), var));
        let params = self.params.iter().map(|(name, var)| (name.clone(), var));
        let params: Params = params
            .chain(input)
            .map(|(name, var)| (name, read(var)))
            .collect();
        let (q, k, v) = (read(&self.q), read(&self.k), read(&self.v));
        let mask = Mask::causal();
        let out = attend(&q, &k, &v, &self.prepared, &params, &mask, self.which)?;
        if recorded {
            // What the next layer is handed has gradients as well.
            let mut loss = out.output.sum_all()?;
            for state in out.carried.values() {
                loss = loss.add(&state.sum_all()?)?;
            }
            loss.backward()?;
        }
        self.prepared.device().synchronize()?;
        Ok(out.implementation)
    }

    /// Floating-point operations: two products of half the square forward, five more backward. What a scheme adds does
    /// not count.
    pub fn flops(&self, pass: Pass) -> f64 {
        let Geometry {
            heads, head_dim, ..
        } = *self.prepared.geometry();
        let n = self.prepared.tokens() as f64;
        let forward = 2.0 * (self.batch * heads * head_dim) as f64 * n * n;
        forward * if pass == Pass::Both { 3.5 } else { 1.0 }
    }
}

/// How a peer may do the same: every scheme that it knows under the same id.
pub fn peer_cases(
    scheme: &str,
    geometry: &Geometry,
    (batch, length): (usize, usize),
    pass: Pass,
) -> Vec<Case> {
    // The peer has no grouped heads of its own, and knows schemes at their defaults only.
    let (mut ways, content): (Vec<&'static str>, bool) = match scheme {
        _ if geometry.kv_heads != geometry.heads => (vec![], false),
        "nope" | "rope" => (vec!["sdpa"], false),
        "alibi" | "t5" | "kerple" | "fire" => (vec!["mask", "mask-built"], false),
        "cope" | "stick-breaking" | "selective" | "fox" | "path" | "dape" | "tape" => {
            (vec!["formula"], true)
        }
        _ => (vec![], false),
    };
    // Its compiled attention has no gradients on the CPU.
    if !ways.is_empty() && !content && pass == Pass::Forward {
        ways.push("flex");
    }
    let case = json!({
        "kind": "attention", "scheme": scheme, "pass": pass.name(), "batch": batch, "length": length,
        "heads": geometry.heads, "head_dim": geometry.head_dim,
    });
    let case: Map<_, _> = case.as_object().cloned().unwrap_or_default();
    let of = |way: &'static str| Case {
        way,
        case: case.clone(),
    };
    ways.into_iter().map(of).collect()
}
