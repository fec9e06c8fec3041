//! What a decoder learns: names, shapes and initial values.

use super::parts::{self, Spec};
use crate::Result;
use farspan_attention::plan::{Init, ParamSpec, Plan};
use farspan_attention::{DType, Device, Tensor, Var};
use farspan_datasets::rng::Stream;
use std::collections::BTreeMap;

/// Plain values by name: what a checkpoint holds.
pub type Values = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Tensors by name.
pub type Weights = BTreeMap<String, Tensor>;

/// `values` as tensors.
pub(crate) fn tensors(values: &Values, device: &Device) -> Result<Weights> {
    let tensor = |(name, (shape, data)): (&String, &(Vec<usize>, Vec<f32>))| {
        let tensor = Tensor::from_vec(data.clone(), shape.clone(), device)?;
        Ok((name.clone(), tensor))
    };
    values.iter().map(tensor).collect()
}

/// Initial values of a weight of the decoder proper, from the weight's own stream.
pub(super) fn initial(spec: &Spec, seed: u64) -> Vec<f32> {
    let n = spec.shape.iter().product();
    match spec.init {
        parts::Init::Zeros => vec![0.0; n],
        parts::Init::Ones => vec![1.0; n],
        parts::Init::Normal(std) => {
            let mut stream = Stream::new(seed, &format!("init/{}", spec.name()));
            (0..n).map(|_| (std * stream.normal()) as f32).collect()
        }
    }
}

/// Checkpoint name of a scheme's parameter.
pub(crate) fn scheme_name(spec: &ParamSpec, layer: usize) -> String {
    if spec.per_layer {
        format!("model.layers.{layer}.scheme.{}", spec.name)
    } else {
        format!("scheme.{}", spec.name)
    }
}

/// Whether a weight of this name is a scheme's.
pub(crate) fn is_of_scheme(name: &str) -> bool {
    name.split('.').any(|part| part == "scheme")
}

/// Parameters that a scheme learns, by name.
pub(super) type Specs<'p> = BTreeMap<String, &'p ParamSpec>;

/// Parameters that a scheme learns whose layers follow `plans`.
pub(super) fn scheme_specs(plans: &[Plan]) -> Specs<'_> {
    let learned = plans.iter().enumerate().flat_map(|(layer, plan)| {
        let learned = plan.params.iter().filter(|spec| spec.learned);
        learned.map(move |spec| (scheme_name(spec, layer), spec))
    });
    learned.collect()
}

/// Shapes of the parameters that a scheme learns whose layers follow `plans`, by name.
pub(crate) fn learned_shapes(plans: &[Plan]) -> BTreeMap<String, Vec<usize>> {
    let specs = scheme_specs(plans).into_iter();
    specs
        .map(|(name, spec)| (name, spec.shape.clone()))
        .collect()
}

/// Learned numbers of a scheme whose layers follow `plans`.
pub fn scheme_parameters(plans: &[Plan]) -> usize {
    scheme_specs(plans).values().map(|spec| spec.len()).sum()
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

impl Weight {
    /// One of the decoder proper.
    pub(super) fn proper(tensor: &Tensor) -> Result<Weight> {
        Ok(Weight {
            decay: tensor.rank() > 1,
            var: Var::new(tensor.to_dtype(DType::F32)?)?,
            scheme: false,
            clamp: None,
        })
    }

    /// A scheme's.
    pub(super) fn of_scheme(spec: &ParamSpec, tensor: &Tensor) -> Result<Weight> {
        Ok(Weight {
            var: Var::new(tensor.to_dtype(DType::F32)?)?,
            decay: false,
            scheme: true,
            clamp: spec.clamp,
        })
    }
}

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
