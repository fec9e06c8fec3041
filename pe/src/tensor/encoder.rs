//! The transformer that reads digits for SeqPE (arXiv 2506.13277, section 3.1): blocks of the GPT-2 kind over the few
//! symbols of one position.

use super::rotation::split;
use crate::recipe::Learned;
use farspan_attention::hook::Scope;
use farspan_attention::plan::{Init, ParamSpec};
use farspan_attention::{Device, Result, Tensor, ops};

/// Where the encoder finds its parameters.
pub(crate) trait Source {
    /// One of them, with gradients.
    fn param(&self, name: &str) -> Result<Tensor>;
    /// Numbers beside them, in their type.
    fn constant(&self, values: &[f64], shape: &[usize]) -> Result<Tensor>;
    /// Heads of the model, and of the encoder.
    fn heads(&self) -> usize;
    /// Where they lie.
    fn device(&self) -> &Device;
}

impl Source for Scope<'_> {
    fn param(&self, name: &str) -> Result<Tensor> {
        Scope::param(self, name)
    }

    fn constant(&self, values: &[f64], shape: &[usize]) -> Result<Tensor> {
        Scope::constant(self, values, shape)
    }

    fn heads(&self) -> usize {
        self.geometry().heads
    }

    fn device(&self) -> &Device {
        self.prepared.device()
    }
}

impl Source for Learned<'_> {
    fn param(&self, name: &str) -> Result<Tensor> {
        Learned::param(self, name)
    }

    fn constant(&self, values: &[f64], shape: &[usize]) -> Result<Tensor> {
        let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        Tensor::from_vec(values, shape.to_vec(), self.device)
    }

    fn heads(&self) -> usize {
        self.geometry.heads
    }

    fn device(&self) -> &Device {
        self.device
    }
}

/// ε of the layer norms.
const EPS: f64 = 1e-5;

fn named(part: &str) -> String {
    format!("seqpe.{part}")
}

/// Parameters for positions of `digits` digits: matrices are (out, in), all are shared by all layers.
pub(crate) fn specs(digits: usize, blocks: usize, width: usize) -> Vec<ParamSpec> {
    let spec = |part: &str, shape: &[usize], init| ParamSpec {
        name: named(part),
        shape: shape.to_vec(),
        init,
        learned: true,
        per_layer: false,
        clamp: None,
    };
    let drawn = |part: &str, shape: &[usize]| spec(part, shape, Init::Normal(0.0, 0.02));
    let linear = |part: &str, out: usize, inner: usize| {
        let bias = spec(&format!("{part}.bias"), &[out], Init::Constant(0.0));
        vec![drawn(part, &[out, inner]), bias]
    };
    let norm = |part: &str| {
        let scale = spec(part, &[width], Init::Constant(1.0));
        let shift = spec(&format!("{part}.bias"), &[width], Init::Constant(0.0));
        vec![scale, shift]
    };
    let mut found = vec![
        drawn("digit", &[10, width]),
        drawn("place", &[digits, width]),
        drawn("cls", &[width]),
    ];
    for n in 0..blocks {
        let at = |part: &str| format!("block{n}.{part}");
        found.extend(norm(&at("norm1")));
        found.extend(linear(&at("qkv"), 3 * width, width));
        found.extend(linear(&at("proj"), width, width));
        found.extend(norm(&at("norm2")));
        found.extend(linear(&at("up"), 4 * width, width));
        found.extend(linear(&at("down"), width, 4 * width));
    }
    found.extend(norm("norm"));
    found.extend(linear("out", width, width));
    found
}

/// Digits of `position`, the first the highest, as `digits` numbers.
fn written(position: f64, digits: usize) -> Vec<usize> {
    let whole = position.max(0.0) as usize;
    (0..digits)
        .rev()
        .map(|place| whole / 10usize.pow(place as u32) % 10)
        .collect()
}

/// Encodings (1, positions, width).
pub(crate) fn encode(
    scope: &dyn Source,
    positions: &[f64],
    digits: usize,
    blocks: usize,
) -> Result<Tensor> {
    let encoder = Encoder {
        scope,
        causal: causal(scope, digits + 1)?,
    };
    let mut x = encoder.embedded(positions, digits)?;
    for n in 0..blocks {
        x = encoder.block(n, &x)?;
    }
    // What the closing vector has become.
    let last = x.narrow(1, digits, 1)?.contiguous()?;
    let read = encoder.linear("out", &encoder.norm("norm", &last)?)?;
    let (positions, _, width) = read.dims3()?;
    read.reshape((1, positions, width))
}

/// 0 where symbol i sees symbol j, a large negative number elsewhere: (symbols, symbols).
fn causal(scope: &dyn Source, symbols: usize) -> Result<Tensor> {
    let hidden = |i: usize| if i % symbols > i / symbols { -1e9 } else { 0.0 };
    let values: Vec<f64> = (0..symbols * symbols).map(hidden).collect();
    scope.constant(&values, &[symbols, symbols])
}

/// ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), from parts whose derivatives are exact.
fn gelu(x: &Tensor) -> Result<Tensor> {
    let cubic = x.sqr()?.affine(0.044715, 1.0)?.mul(x)?;
    let share = cubic
        .affine(std::f64::consts::FRAC_2_PI.sqrt(), 0.0)?
        .tanh()?;
    x.mul(&share.affine(0.5, 0.5)?)
}

struct Encoder<'a> {
    scope: &'a dyn Source,
    causal: Tensor,
}

impl Encoder<'_> {
    fn param(&self, part: &str) -> Result<Tensor> {
        self.scope.param(&named(part))
    }

    /// Digits, their places and the closing vector: (positions, digits + 1, width).
    fn embedded(&self, positions: &[f64], digits: usize) -> Result<Tensor> {
        let symbols: Vec<u32> = positions
            .iter()
            .flat_map(|&position| written(position, digits))
            .map(|digit| digit as u32)
            .collect();
        let device = self.scope.device();
        let symbols = Tensor::from_vec(symbols, (positions.len(), digits), device)?;
        let digits = self.param("digit")?.embedding(&symbols)?;
        let digits = digits.broadcast_add(&self.param("place")?)?;
        let (positions, _, width) = digits.dims3()?;
        let closing = self.param("cls")?.reshape((1, 1, width))?;
        let closing = closing.broadcast_as((positions, 1, width))?.contiguous()?;
        Tensor::cat(&[&digits, &closing], 1)
    }

    fn block(&self, n: usize, x: &Tensor) -> Result<Tensor> {
        let at = |part: &str| format!("block{n}.{part}");
        let read = self.attention(&at("qkv"), &self.norm(&at("norm1"), x)?)?;
        let x = x.add(&self.linear(&at("proj"), &read)?)?;
        let hidden = self.linear(&at("up"), &self.norm(&at("norm2"), &x)?)?;
        x.add(&self.linear(&at("down"), &gelu(&hidden)?)?)
    }

    /// Causal attention among the symbols of each position.
    fn attention(&self, part: &str, x: &Tensor) -> Result<Tensor> {
        let (positions, symbols, width) = x.dims3()?;
        let heads = self.scope.heads();
        let qkv = self.linear(part, x)?;
        let side = |n: usize| split(&qkv.narrow(2, n * width, width)?.contiguous()?, heads);
        let (q, k, v) = (side(0)?, side(1)?, side(2)?);
        let scale = 1.0 / ((width / heads) as f64).sqrt();
        let scores = q.matmul(&k.transpose(2, 3)?.contiguous()?)?;
        let scores = scores.affine(scale, 0.0)?.broadcast_add(&self.causal)?;
        let read = scores.softmax(3)?.matmul(&v)?;
        read.transpose(1, 2)?
            .contiguous()?
            .reshape((positions, symbols, width))
    }

    fn linear(&self, part: &str, x: &Tensor) -> Result<Tensor> {
        let bias = self.param(&format!("{part}.bias"))?;
        ops::linear(x, &self.param(part)?)?.broadcast_add(&bias)
    }

    fn norm(&self, part: &str, x: &Tensor) -> Result<Tensor> {
        let last = x.rank() - 1;
        let centred = x.broadcast_sub(&x.mean_keepdim(last)?)?;
        let spread = centred
            .sqr()?
            .mean_keepdim(last)?
            .affine(1.0, EPS)?
            .sqrt()?;
        let bias = self.param(&format!("{part}.bias"))?;
        centred
            .broadcast_div(&spread)?
            .broadcast_mul(&self.param(part)?)?
            .broadcast_add(&bias)
    }
}
