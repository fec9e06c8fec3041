//! Attention by itself, over documents, with a window and a sink, against the triple loop in f64.

use super::{Sizes, apart, distance, flat, norm, schemes, sizes};
use farspan_attention::attend::{INPUT, Implementation, Mask, Params, attend};
use farspan_attention::hook::Stage;
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{DType, Device, Precision, Tensor, Var};
use farspan_datasets::rng::Stream;
use farspan_pe::Len;

/// Tokens of two documents.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    pub tokens: usize,
    /// Where the second document begins.
    pub turn: usize,
    pub window: usize,
    /// Channels of a head, where they are not those of [`sizes`].
    pub head_dim: Option<usize>,
}

/// A text of two tiles.
pub const SHORT: Text = Text {
    tokens: 45,
    turn: 19,
    window: 17,
    head_dim: None,
};

/// A text of several tiles, whatever side they have.
pub const LONG: Text = Text {
    tokens: 150,
    turn: 37,
    window: 90,
    head_dim: None,
};

/// Heads with more channels than one workgroup can sum, and not a whole number of 16.
pub const WIDE: Text = Text {
    tokens: 70,
    turn: 37,
    window: 50,
    head_dim: Some(136),
};

impl Text {
    fn geometry(&self) -> Geometry {
        let own = sizes().shape.geometry;
        let head_dim = self.head_dim.unwrap_or(own.head_dim);
        Geometry {
            head_dim,
            width: own.heads * head_dim,
            ..own
        }
    }
}

/// Output and gradients of attention over two documents, with a window and a sink; in f64 if `wide`.
fn over_documents(
    text: Text,
    plan: &Plan,
    device: &Device,
    which: Implementation,
    wide: bool,
) -> farspan_attention::Result<Vec<Vec<f64>>> {
    let Sizes { rows, seed, .. } = sizes();
    let geometry = text.geometry();
    let Geometry {
        width,
        heads,
        kv_heads,
        head_dim,
        ..
    } = geometry;
    let of = |values: Vec<f32>, shape: &[usize]| {
        let tensor = Tensor::from_vec(values, shape, device)?;
        Var::new(match wide {
            true => tensor.to_dtype(DType::F64)?,
            false => tensor,
        })
    };
    let var = |name: &str, shape: &[usize]| {
        let mut stream = Stream::new(seed + 4, name);
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| stream.normal() as f32).collect();
        of(values, shape)
    };
    let mut vars = vec![
        var("q", &[rows + 1, heads, text.tokens, head_dim])?,
        var("k", &[rows + 1, kv_heads, text.tokens, head_dim])?,
        var("v", &[rows + 1, kv_heads, text.tokens, head_dim])?,
        var("input", &[rows + 1, text.tokens, width])?,
    ];
    let mut params = Params::from([(INPUT.to_string(), vars[3].tensor().clone())]);
    for spec in plan.params.iter().filter(|spec| spec.learned) {
        let noise = var(&spec.name, &spec.shape)?;
        let mut values: Vec<f32> = noise.tensor().to_dtype(DType::F32)?.to_flat()?;
        for (i, x) in values.iter_mut().enumerate() {
            // Near the values that training starts from; the noise is normal.
            let start = match &spec.init {
                Init::Constant(start) => start + 0.05 * f64::from(*x),
                Init::Values(values) => values[i],
                Init::Uniform(low, high) => low + (high - low) * f64::from(x.tanh() * 0.5 + 0.5),
                Init::Normal(mean, std) => mean + std * f64::from(*x),
            };
            let (low, high) = spec.clamp.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            *x = start.clamp(low, high) as f32;
        }
        let var = of(values, &spec.shape)?;
        params.insert(spec.name.clone(), var.tensor().clone());
        vars.push(var);
    }
    let mask = Mask {
        causal: true,
        window: Some(text.window),
        sinks: 2,
        documents: Some(
            (0..text.tokens)
                .map(|t| u32::from(t >= text.turn))
                .collect(),
        ),
    };
    let prepared = Prepared::new(plan, &geometry, 0..text.tokens, 0..text.tokens, device)?;
    let [q, k, v] = [0, 1, 2].map(|i| vars[i].tensor());
    let out = attend(q, k, v, &prepared, &params, &mask, which)?.output;
    let gradients = out.mul(&out.sin()?)?.backward()?;
    let mut found = vec![numbers(&out)];
    for var in &vars {
        let gradient = gradients.get(var);
        found.push(gradient.map_or(Vec::new(), |x| numbers(&x)));
    }
    Ok(found)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype() {
        DType::F64 => tensor.to_flat().expect("f64 values"),
        _ => flat(tensor),
    }
}

/// Holds the schemes that `which` takes by number and id against the triple loop; those with hooks, which it cannot run, against
/// tensor operations in f64.
pub fn agree(device: &Device, text: Text, which: &dyn Fn(usize, &str) -> bool) {
    let precision = device.spec().precision();
    let mut wrong = Vec::new();
    for (number, (id, scheme)) in schemes().into_iter().enumerate() {
        let Ok(plan) = scheme.plan(&text.geometry(), Len(text.tokens)) else {
            continue;
        };
        if !which(number, id) {
            continue;
        }
        let hooked = plan.hooks.iter().any(|x| x.stage() != Stage::Inputs);
        let exact = match hooked {
            true => Implementation::Composed,
            false => Implementation::Naive,
        };
        let exact = over_documents(text, &plan, &Device::cpu(), exact, true);
        let found = over_documents(text, &plan, device, Implementation::Auto, false);
        let (exact, found) = match (exact, found) {
            (Ok(exact), Ok(found)) => (exact, found),
            (Err(e), _) | (_, Err(e)) => {
                wrong.push(format!("{id}: {e}"));
                continue;
            }
        };
        // A hook may make much of a little, as a phase that distances multiply does.
        let allowed = match hooked && precision != Precision::F32 {
            true => 5.0 * apart(precision),
            false => apart(precision),
        };
        // A gradient that is zero in theory (of a constant that all scores share) is rounding on both sides.
        let floor = if precision == Precision::F32 {
            0.01
        } else {
            0.1
        };
        let all = norm(&exact.iter().map(|x| norm(x)).collect::<Vec<_>>());
        for (i, (x, y)) in found.iter().zip(&exact).enumerate() {
            let far = distance(x, y) / (norm(y) + floor * all);
            if far > allowed || far.is_nan() {
                wrong.push(format!("{id}: tensor {i} is {far:.1e} apart"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "on {}:\n{}",
        device.note(),
        wrong.join("\n")
    );
}
