//! Which weights of a checkpoint learn: all of them, or adapters of low rank beside them.

use super::decoder::Pretrained;
use super::weights::Weights;
use crate::config::types::LoraConfig;
use crate::model::{Model, Values, Weight, draw, scheme_name, taken};
use crate::{Error, Result};
use farspan_attention::ops;
use farspan_attention::plan::Plan;
use farspan_attention::{DType, Tensor, Var};
use farspan_datasets::rng::Stream;

/// Ends of the names of an adapter's two matrices: (rank, in) and (out, rank).
const ADAPTER: [&str; 2] = ["lora_a", "lora_b"];

impl Pretrained {
    /// Lets weights learn: all, or with `lora` adapters alone (Hu et al. 2021, arXiv 2106.09685, section 4.1: x gets
    /// W x + (alpha / rank) · B A x; A is drawn, B starts at 0). `plans` tell which parameters of its own the scheme
    /// learns. Values in `given`, those of an earlier [`values`](Model::values), are taken over.
    pub fn tune(
        mut self,
        plans: &[Plan],
        lora: Option<&LoraConfig>,
        seed: u64,
        given: Option<&Values>,
    ) -> Result<Pretrained> {
        self.scheme_weights(plans, seed)?;
        match lora {
            None => self.learn(|_| true)?,
            Some(lora) => {
                self.adapters(lora, seed)?;
                if lora.embeddings_and_norms {
                    self.learn(|name| name.contains("norm") || name.starts_with("embed."))?;
                }
            }
        }
        if let Some(given) = given {
            for (name, weight) in &self.learned {
                let tensor = weight.var.tensor();
                let values = taken(given, name, tensor.dims())?;
                weight
                    .var
                    .set(&Tensor::from_vec(values, tensor.dims(), &self.device)?)?;
            }
        }
        Ok(self)
    }

    /// The scheme's own parameters that the checkpoint lacks, drawn.
    fn scheme_weights(&mut self, plans: &[Plan], seed: u64) -> Result<()> {
        for (layer, plan) in plans.iter().enumerate() {
            for spec in plan.params.iter().filter(|spec| spec.learned) {
                let name = scheme_name(spec, layer);
                if self.weights.contains_key(&name) || self.learned.contains_key(&name) {
                    continue;
                }
                let values = draw(spec, &name, seed);
                let var = Var::new(Tensor::from_vec(values, spec.shape.clone(), &self.device)?)?;
                let weight = Weight {
                    var,
                    decay: false,
                    scheme: true,
                    clamp: spec.clamp,
                };
                self.learned.insert(name, weight);
            }
        }
        Ok(())
    }

    /// Moves the weights whose name is `chosen` to those that learn, in single precision.
    fn learn(&mut self, chosen: impl Fn(&str) -> bool) -> Result<()> {
        let (learning, staying): (Weights, Weights) = std::mem::take(&mut self.weights)
            .into_iter()
            .partition(|(name, _)| chosen(name));
        self.weights = staying;
        for (name, tensor) in learning {
            let weight = Weight {
                decay: tensor.rank() > 1,
                var: Var::new(tensor.to_dtype(DType::F32)?)?,
                scheme: false,
                clamp: None,
            };
            self.learned.insert(name, weight);
        }
        Ok(())
    }

    fn adapters(&mut self, lora: &LoraConfig, seed: u64) -> Result<()> {
        self.adapter_scale = lora.alpha / lora.rank as f64;
        for (name, out, inner) in self.projections()? {
            let [down, up] = ADAPTER.map(|end| format!("{name}.{end}"));
            let mut stream = Stream::new(seed, &format!("init/{down}"));
            // As the authors' code: uniform within ±1/√in, which is Kaiming's rule at slope √5.
            let bound = 1.0 / (inner as f64).sqrt();
            let drawn = (0..lora.rank * inner)
                .map(|_| (bound * (2.0 * stream.uniform() - 1.0)) as f32)
                .collect::<Vec<_>>();
            let drawn = Tensor::from_vec(drawn, (lora.rank, inner), &self.device)?;
            let zeros = Tensor::zeros((out, lora.rank), &self.device)?;
            for (name, tensor) in [(down, drawn), (up, zeros)] {
                let weight = Weight {
                    var: Var::new(tensor)?,
                    decay: false,
                    scheme: false,
                    clamp: None,
                };
                self.learned.insert(name, weight);
            }
        }
        Ok(())
    }

    /// Names of the projections inside the layers, with their channels out and in.
    fn projections(&self) -> Result<Vec<(String, usize, usize)>> {
        let inside = self.weights.iter().filter(|(name, tensor)| {
            name.starts_with("layers.") && name.ends_with(".weight") && tensor.rank() == 2
        });
        inside
            .map(|(name, tensor)| {
                let (out, inner) = tensor.dims2()?;
                Ok((name.trim_end_matches(".weight").to_string(), out, inner))
            })
            .collect()
    }

    /// All weights as one model without adapters, by the decoder's names, in single precision.
    pub fn merged(&self) -> Result<Weights> {
        let mut merged = Weights::new();
        for (name, tensor) in &self.weights {
            merged.insert(name.clone(), tensor.to_dtype(DType::F32)?);
        }
        for (name, weight) in self.weights() {
            if !ADAPTER.iter().any(|end| name.ends_with(end)) {
                merged.insert(name.clone(), weight.var.tensor().detach());
            }
        }
        for name in self.learned.keys() {
            let Some(projection) = name.strip_suffix(ADAPTER[0]) else {
                continue;
            };
            let part = |end: &str| {
                let name = format!("{projection}{end}");
                let weight = self.learned.get(&name);
                let lacks = || Error::Bug(format!("the adapter lacks {name}"));
                Ok::<_, Error>(weight.ok_or_else(lacks)?.var.tensor().detach())
            };
            let (down, up) = (part(ADAPTER[0])?, part(ADAPTER[1])?);
            let change = ops::linear(&up, &down.t()?.contiguous()?)?;
            let name = format!("{projection}weight");
            let lacks = || Error::Bug(format!("an adapter without {name}"));
            let weight = merged.get(&name).ok_or_else(lacks)?;
            let sum = weight.add(&change.affine(self.adapter_scale, 0.0)?)?;
            merged.insert(name, sum);
        }
        Ok(merged)
    }
}
