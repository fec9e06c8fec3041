//! What a decoder learns: names, shapes and initial values.

use super::Shape;
use crate::Result;
use farspan_attention::Var;
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_datasets::rng::Stream;
use std::collections::BTreeMap;

/// Standard deviation of initial weights (GPT-2); output projections are divided by √(2·layers).
const INIT_STD: f64 = 0.02;

/// Name, shape and initial spread of one weight of the decoder proper.
pub(super) struct WeightSpec {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) init: WeightInit,
}

#[derive(Clone, Copy)]
pub(super) enum WeightInit {
    Ones,
    Normal(f64),
}

/// The decoder's weights, in a fixed order. Names follow the Phi-3 layout of Hugging Face (fused qkv and gate-up).
pub(super) fn weight_specs(shape: &Shape) -> Vec<WeightSpec> {
    let Geometry {
        layers,
        width,
        heads,
        kv_heads,
        head_dim,
        ..
    } = shape.geometry;
    let normal = |name: String, shape: Vec<usize>, std| WeightSpec {
        name,
        shape,
        init: WeightInit::Normal(std),
    };
    let ones = |name: String| WeightSpec {
        name,
        shape: vec![width],
        init: WeightInit::Ones,
    };
    let out_std = INIT_STD / (2.0 * layers as f64).sqrt();
    let mut specs = vec![normal(
        "model.embed_tokens.weight".into(),
        vec![shape.vocab, width],
        INIT_STD,
    )];
    for i in 0..layers {
        let at = |part: &str| format!("model.layers.{i}.{part}.weight");
        let qkv = (heads + 2 * kv_heads) * head_dim;
        specs.extend([
            ones(at("input_layernorm")),
            normal(at("self_attn.qkv_proj"), vec![qkv, width], INIT_STD),
            normal(
                at("self_attn.o_proj"),
                vec![width, heads * head_dim],
                out_std,
            ),
            ones(at("post_attention_layernorm")),
            normal(
                at("mlp.gate_up_proj"),
                vec![2 * shape.hidden, width],
                INIT_STD,
            ),
            normal(at("mlp.down_proj"), vec![width, shape.hidden], out_std),
        ]);
    }
    specs.push(ones("model.norm.weight".into()));
    specs
}

/// Checkpoint name of a scheme's parameter.
pub(crate) fn scheme_name(spec: &ParamSpec, layer: usize) -> String {
    if spec.per_layer {
        format!("model.layers.{layer}.scheme.{}", spec.name)
    } else {
        format!("scheme.{}", spec.name)
    }
}

/// Learned numbers of a scheme whose layers follow `plans`.
pub fn scheme_parameters(plans: &[Plan]) -> usize {
    let learned = plans.iter().enumerate().flat_map(|(layer, plan)| {
        let learned = plan.params.iter().filter(|spec| spec.learned);
        learned.map(move |spec| (scheme_name(spec, layer), spec.len()))
    });
    learned.collect::<BTreeMap<_, _>>().values().sum()
}

/// Initial values of a scheme's parameter, from the scheme's own stream.
pub(crate) fn draw(spec: &ParamSpec, name: &str, seed: u64) -> Vec<f32> {
    let n: usize = spec.shape.iter().product();
    let mut stream = Stream::new(seed, &format!("init/{name}"));
    let mut values: Vec<f32> = match &spec.init {
        Init::Constant(x) => vec![*x as f32; n],
        Init::Values(values) => values.iter().map(|&x| x as f32).collect(),
        Init::Uniform(low, high) => (0..n)
            .map(|_| (low + (high - low) * stream.uniform()) as f32)
            .collect(),
        Init::Normal(mean, std) => (0..n)
            .map(|_| (mean + std * stream.normal()) as f32)
            .collect(),
    };
    // The authors of bounded schemes clamp before use, so the first step already sees values in range.
    if let Some((low, high)) = spec.clamp {
        values
            .iter_mut()
            .for_each(|x| *x = x.clamp(low as f32, high as f32));
    }
    values
}

/// A trainable number array and how the optimizer treats it.
#[derive(Debug)]
pub struct Weight {
    /// The values.
    pub var: Var,
    /// Whether weight decay applies (matrices of the decoder).
    pub decay: bool,
    /// Whether it belongs to the scheme.
    pub scheme: bool,
    /// Range it is clamped to after each step.
    pub clamp: Option<(f64, f64)>,
}

/// Plain values by name: what a checkpoint holds.
pub type Values = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A weight out of a checkpoint, with its shape checked.
pub(crate) fn taken(values: &Values, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let (found, data) = values.get(name).ok_or_else(|| {
        crate::Error::Data(format!(
            "checkpoint lacks the tensor {name} of shape {shape:?}"
        ))
    })?;
    if found != shape {
        let text = format!("checkpoint tensor {name}: expected shape {shape:?}, found {found:?}");
        return Err(crate::Error::Data(text));
    }
    Ok(data.clone())
}
