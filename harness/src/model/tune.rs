//! Which weights of a decoder learn: all of them, or adapters of low rank beside them.

use super::parts::learns;
use super::weights::{Specs, Weights, draw, scheme_specs, taken};
use super::{Decoder, Values, Weight};
use crate::config::types::LoraConfig;
use crate::{Error, Result};
use farspan_attention::{DType, Tensor, Var, ops};
use farspan_datasets::rng::Stream;
use farspan_pe::Len;

/// Ends of the names of an adapter's two matrices: (rank, in) and (out, rank).
const ADAPTER: [&str; 2] = ["lora_a", "lora_b"];

impl Decoder {
    /// Lets weights learn: all, or with `lora` adapters alone (Hu et al. 2021, arXiv 2106.09685, section 4.1: x gets
    /// W x + (alpha / rank) · B A x; A is drawn, B starts at 0). The scheme learns the
    /// parameters that it has for `context_len` positions. Values in `given`, those of an earlier [`values`](Decoder::values), are taken over.
    pub fn tune(
        mut self,
        context_len: Len,
        lora: Option<&LoraConfig>,
        seed: u64,
        given: Option<&Values>,
    ) -> Result<Decoder> {
        let plans = self.planned(context_len)?;
        let own = scheme_specs(&plans);
        match lora {
            None => self.learn(&own, learns)?,
            Some(lora) => {
                self.adapters(lora, seed)?;
                if lora.embeddings_and_norms {
                    self.learn(&own, |name| name.contains("norm") || name.contains("embed"))?;
                }
            }
        }
        for (name, spec) in &own {
            if !self.frozen.contains_key(name) && !self.learned.contains_key(name) {
                let values = draw(spec, name, seed);
                let tensor = Tensor::from_vec(values, spec.shape.clone(), &self.device)?;
                let weight = Weight::of_scheme(spec, &tensor)?;
                self.learned.insert(name.clone(), weight);
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

    /// Moves the weights whose name is `chosen` to those that learn, in single precision. `own` are the scheme's.
    fn learn(&mut self, own: &Specs<'_>, chosen: impl Fn(&str) -> bool) -> Result<()> {
        let (learning, staying): (Weights, Weights) = std::mem::take(&mut self.frozen)
            .into_iter()
            .partition(|(name, _)| chosen(name));
        self.frozen = staying;
        for (name, tensor) in learning {
            let weight = match own.get(&name) {
                Some(spec) => Weight::of_scheme(spec, &tensor)?,
                None => Weight::proper(&tensor)?,
            };
            self.learned.insert(name, weight);
        }
        Ok(())
    }

    fn adapters(&mut self, lora: &LoraConfig, seed: u64) -> Result<()> {
        self.adapter_scale = lora.scale();
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
        let inside = self.frozen.iter().filter(|(name, tensor)| {
            name.starts_with("model.layers.") && name.ends_with(".weight") && tensor.rank() == 2
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
        let learned = self.learned.iter();
        let learned = learned.map(|(name, weight)| (name.clone(), weight.var.tensor().detach()));
        merged(&self.frozen, &learned.collect(), self.adapter_scale)
    }
}

/// `frozen` and `learned` weights as one model, with the products of adapters, times `scale`, added to their projections.
pub(crate) fn merged(frozen: &Weights, learned: &Weights, scale: f64) -> Result<Weights> {
    let mut all = Weights::new();
    for (name, tensor) in frozen {
        all.insert(name.clone(), tensor.to_dtype(DType::F32)?);
    }
    for (name, tensor) in learned {
        if !ADAPTER.iter().any(|end| name.ends_with(end)) {
            all.insert(name.clone(), tensor.clone());
        }
    }
    for (name, down) in learned {
        let Some(projection) = name.strip_suffix(ADAPTER[0]) else {
            continue;
        };
        let lacks = |name: &String| Error::Bug(format!("an adapter without {name}"));
        let (up, name) = (
            format!("{projection}{}", ADAPTER[1]),
            format!("{projection}weight"),
        );
        let up = learned.get(&up).ok_or_else(|| lacks(&up))?;
        let change = ops::linear(up, &down.t()?.contiguous()?)?;
        let weight = all.get(&name).ok_or_else(|| lacks(&name))?;
        let sum = weight.add(&change.affine(scale, 0.0)?)?;
        all.insert(name, sum);
    }
    Ok(all)
}
