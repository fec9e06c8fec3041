//! A fixed set of tensors to run plans on: one attention layer whose queries, keys and values carry whatever the plan
//! adds to the embeddings.

use farspan_attention::attend::{FEED_FORWARD, INPUT, Implementation, Mask, Params, attend};
use farspan_attention::hook::Stage;
use farspan_attention::plan::{Geometry, ParamSpec, Plan, PositionIds};
use farspan_attention::prepared::Prepared;
use farspan_attention::{DType, Device, Gradients, Tensor, Var, embed};
use std::collections::BTreeMap;

/// Two query heads to a key/value head; the width is that of all heads, so that an embedding can be split over them.
pub(crate) const MODEL: Geometry = Geometry {
    layers: 4,
    width: 64,
    heads: 4,
    kv_heads: 2,
    head_dim: 16,
    trained_length: 64,
};

/// Inputs of one call.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    batch: usize,
    length: usize,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    /// The layer's input, and what the feed-forward part before it added, for plans that read them.
    input: Vec<f64>,
}

/// Trainable inputs of a call: q, k, v, the learned parameters, and what else is read by token.
type Leaves = BTreeMap<String, Var>;

/// Numbers in (−1, 1) that look like chance and are the same everywhere.
fn noise(seed: u64, index: usize) -> f64 {
    let mut x = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0
}

fn filled(seed: u64, len: usize) -> Vec<f64> {
    (0..len).map(|i| 1.5 * noise(seed, i)).collect()
}

/// Largest difference between two lists of numbers.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

impl Bench {
    /// The first sequence of a batch does not depend on how many there are.
    pub(crate) fn new(batch: usize, length: usize) -> Bench {
        let tensor = |seed, heads| filled(seed, batch * heads * length * MODEL.head_dim);
        Bench {
            batch,
            length,
            q: tensor(1, MODEL.heads),
            k: tensor(2, MODEL.kv_heads),
            v: tensor(3, MODEL.kv_heads),
            input: filled(6, batch * length * MODEL.width),
        }
    }

    /// The same but for one token.
    pub(crate) fn with_token_changed(mut self, token: usize) -> Bench {
        let row = MODEL.head_dim;
        for values in [&mut self.q, &mut self.k, &mut self.v] {
            for sequence in values.chunks_mut(self.length * row) {
                sequence[token * row..][..row]
                    .iter_mut()
                    .for_each(|x| *x = -*x + 0.3);
            }
        }
        for sequence in self.input.chunks_mut(self.length * MODEL.width) {
            let row = &mut sequence[token * MODEL.width..][..MODEL.width];
            row.iter_mut().for_each(|x| *x = -*x + 0.3);
        }
        self
    }

    /// Outputs of a (1, heads, length, head_dim) result by token.
    pub(crate) fn by_token(&self, output: &[f64]) -> Vec<Vec<f64>> {
        let row = MODEL.head_dim;
        let at = |head: usize, token: usize| &output[(head * self.length + token) * row..][..row];
        let token = |t| {
            (0..MODEL.heads)
                .flat_map(|head| at(head, t).to_vec())
                .collect()
        };
        (0..self.length).map(token).collect()
    }

    /// The output, row-major.
    pub(crate) fn forward(&self, plan: &Plan, which: Implementation) -> Vec<f64> {
        self.forward_at(plan, which, 0)
    }

    /// The output if the first token stands at position `first`.
    pub(crate) fn forward_at(&self, plan: &Plan, which: Implementation, first: usize) -> Vec<f64> {
        let output = self.output(plan, &self.leaves(plan, dtype(which)), which, first);
        output.to_dtype(DType::F64).unwrap().to_flat().unwrap()
    }

    /// How much the output changes if all inputs are rounded to f32: no f32 result can be nearer to the truth.
    pub(crate) fn unsure(&self, plan: &Plan) -> f64 {
        let rounded = self.leaves(plan, DType::F32);
        let exact = |(name, var): (&String, &Var)| {
            let values = var.tensor().to_dtype(DType::F64).unwrap();
            (name.clone(), Var::new(values).unwrap())
        };
        let leaves = rounded.iter().map(exact).collect();
        let output = self.output(plan, &leaves, Implementation::Naive, 0);
        let output: Vec<f64> = output.to_flat().unwrap();
        distance(&output, &self.forward(plan, Implementation::Naive))
    }

    /// Gradients of a weighted sum of the output, by the name of the input.
    pub(crate) fn gradients(
        &self,
        plan: &Plan,
        which: Implementation,
    ) -> BTreeMap<String, Vec<f64>> {
        let leaves = self.leaves(plan, dtype(which));
        let gradients = self.loss(plan, &leaves, which).backward().unwrap();
        let of = |(name, var): (&String, &Var)| (name.clone(), gradient(&gradients, var));
        leaves.iter().map(of).collect()
    }

    /// How much the output changes if all values of one input grow by different amounts of about `step`.
    pub(crate) fn effect(&self, plan: &Plan, name: &str, step: f64) -> f64 {
        let which = Implementation::Naive;
        let mut leaves = self.leaves(plan, dtype(which));
        let output = |leaves: &Leaves| -> Vec<f64> {
            self.output(plan, leaves, which, 0).to_flat().unwrap()
        };
        let before = output(&leaves);
        let input = leaves[name].tensor();
        let moved: Vec<f64> = input.to_flat().unwrap();
        let moved = moved
            .iter()
            .enumerate()
            .map(|(i, x)| x + step * (0.3 + noise(7, i).abs()));
        let moved = leaf(moved.collect(), input.dims(), DType::F64);
        leaves.insert(name.into(), moved);
        distance(&before, &output(&leaves))
    }

    /// For each input: the slope of the loss along a direction, by the gradient and by central differences, in f64.
    pub(crate) fn both_gradients(&self, plan: &Plan) -> Vec<(String, f64, f64)> {
        let which = Implementation::Naive;
        let leaves = self.leaves(plan, DType::F64);
        let gradients = self.loss(plan, &leaves, which).backward().unwrap();
        // Its square times the third derivative must stay small where many products of noise meet.
        let step = 2e-6;
        let slope = |(name, var): (&String, &Var)| {
            let start: Vec<f64> = var.tensor().to_flat().unwrap();
            let direction = filled(9, start.len());
            let gradient = gradient(&gradients, var);
            let slope = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let at = |t: f64| {
                let moved = start
                    .iter()
                    .zip(&direction)
                    .map(|(x, d)| x + t * d)
                    .collect();
                let mut leaves = leaves.clone();
                leaves.insert(name.clone(), leaf(moved, var.tensor().dims(), DType::F64));
                self.loss(plan, &leaves, which).to_scalar::<f64>().unwrap()
            };
            (name.clone(), slope, (at(step) - at(-step)) / (2.0 * step))
        };
        leaves.iter().map(slope).collect()
    }

    fn leaves(&self, plan: &Plan, dtype: DType) -> Leaves {
        let dims = |heads| [self.batch, heads, self.length, MODEL.head_dim];
        let learned = plan.params.iter().filter(|spec| spec.learned);
        let mut leaves: Leaves = learned
            .map(|spec| (spec.name.clone(), leaf(values(spec), &spec.shape, dtype)))
            .collect();
        for (name, reads) in [
            (INPUT, plan.reads_input()),
            (FEED_FORWARD, plan.reads_feed_forward()),
        ] {
            if reads {
                let dims = [self.batch, self.length, MODEL.width];
                leaves.insert(name.into(), leaf(self.input.clone(), &dims, dtype));
            }
        }
        for (name, values, heads) in [
            ("q", &self.q, MODEL.heads),
            ("k", &self.k, MODEL.kv_heads),
            ("v", &self.v, MODEL.kv_heads),
        ] {
            let taken = leaves.insert(name.into(), leaf(values.clone(), &dims(heads), dtype));
            assert!(taken.is_none(), "a parameter is called {name}");
        }
        leaves
    }

    fn loss(&self, plan: &Plan, leaves: &Leaves, which: Implementation) -> Tensor {
        let output = self.output(plan, leaves, which, 0);
        let weights = filled(4, output.elem_count());
        let weights = Tensor::from_vec(weights, output.dims().to_vec(), &Device::cpu()).unwrap();
        output
            .mul(&weights.to_dtype(output.dtype()).unwrap())
            .unwrap()
            .sum_all()
            .unwrap()
    }

    fn output(&self, plan: &Plan, leaves: &Leaves, which: Implementation, first: usize) -> Tensor {
        let device = Device::cpu();
        let all = first..first + self.length;
        let (scores, places) = segmented(&plan.position_ids, all.end);
        let prepared =
            Prepared::with_positions(plan, &MODEL, all.clone(), all, &scores, &device).unwrap();
        let params: Params = leaves
            .iter()
            .map(|(name, var)| (name.clone(), var.tensor().clone()))
            .collect();
        let embedding =
            embed::embedding_at(&plan.embed, MODEL.width, &places[first..], &params, &device)
                .unwrap();
        let with_embedding = |name: &str, heads: usize| {
            let x = leaves[name].tensor();
            let Some(rows) = &embedding else {
                return x.clone();
            };
            let split = rows.to_dtype(x.dtype()).unwrap();
            let split = split
                .reshape((self.length, MODEL.heads, MODEL.head_dim))
                .unwrap();
            let split = split.transpose(0, 1).unwrap().narrow(0, 0, heads).unwrap();
            x.broadcast_add(&split.contiguous().unwrap().unsqueeze(0).unwrap())
                .unwrap()
        };
        let q = with_embedding("q", MODEL.heads);
        let k = with_embedding("k", MODEL.kv_heads);
        let v = with_embedding("v", MODEL.kv_heads);
        let mask = Mask::causal();
        let attended = attend(&q, &k, &v, &prepared, &params, &mask, runs(plan, which));
        attended.unwrap_or_else(|e| panic!("{plan}\n{e}")).output
    }
}

/// Zeros for what nothing was made from: whether that is right is for the caller to find out.
fn gradient(gradients: &Gradients, var: &Var) -> Vec<f64> {
    let zeros = || vec![0.0; var.tensor().elem_count()];
    gradients.get(var).map_or_else(zeros, |gradient| {
        gradient.to_dtype(DType::F64).unwrap().to_flat().unwrap()
    })
}

/// The triple loop knows no functions of tensors: for these the truth is the same tensor operations in f64.
fn runs(plan: &Plan, which: Implementation) -> Implementation {
    let hooked = plan.hooks.iter().any(|hook| hook.stage() != Stage::Inputs);
    if hooked && which == Implementation::Naive {
        Implementation::Composed
    } else {
        which
    }
}

/// Positions of the first `end` tokens as scores see them and as the embedding does; every fifth token is a separator.
fn segmented(position_ids: &PositionIds, end: usize) -> (Vec<f64>, Vec<f64>) {
    let at = |t: usize| match position_ids {
        PositionIds::Index => (t as f64, t as f64),
        PositionIds::Segments { places, .. } => ((t / 5) as f64, (t % 5).min(places - 1) as f64),
        // Numbers of three digits; ids go up and down.
        PositionIds::Given { scores: true, .. } => ((t % 4) as f64, (t % 4) as f64),
        PositionIds::Given { .. } => (t as f64, (t % 4) as f64),
    };
    (0..end).map(at).unzip()
}

/// The triple loop runs on f64 inputs, tensors on the f32 that models use.
fn dtype(which: Implementation) -> DType {
    if which == Implementation::Naive {
        DType::F64
    } else {
        DType::F32
    }
}

fn leaf(values: Vec<f64>, dims: &[usize], dtype: DType) -> Var {
    let tensor = Tensor::from_vec(values, dims.to_vec(), &Device::cpu()).unwrap();
    Var::new(tensor.to_dtype(dtype).unwrap()).unwrap()
}

/// Values of a learned parameter inside of its clamp, in no special place.
fn values(spec: &ParamSpec) -> Vec<f64> {
    // Products with a matrix of noise stay of one size whatever its width.
    let free = match spec.shape.as_slice() {
        [.., _, columns] => 1.0 / (*columns as f64).sqrt(),
        _ => 1.0,
    };
    let (low, high) = spec.clamp.unwrap_or((-free, free));
    // A range that lies outside (−1, 1) is met near its end.
    let low = low.max(-1.0);
    let high = high.min(low.max(0.0) + 1.0);
    // No two parameters alike.
    let seed = spec
        .name
        .bytes()
        .fold(3, |seed, byte| 31 * seed + u64::from(byte));
    (0..spec.len())
        .map(|i| low + (high - low) * (0.5 + 0.45 * noise(seed, i)))
        .collect()
}
