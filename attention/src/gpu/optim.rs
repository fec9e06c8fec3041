//! AdamW's updates on the device: values, moments and the clipping norm never leave it. Several parameters share a kernel,
//! as many as the adapter lets one bind.

use super::array::Array;
use super::context::{Context, GROUP};
use super::kernels::{joins, kernel, reads, writes};
use super::kind::Kind;
use crate::Result;
use crate::optim::update::{Moments as HostMoments, Rule};

/// Running means of a parameter's gradient and of its square.
#[derive(Debug)]
pub(crate) struct Moments {
    m: Array,
    v: Array,
}

impl Moments {
    /// Zeros for a parameter.
    pub(crate) fn of(parameter: &Array) -> Result<Moments> {
        let zeros = || Array::full(parameter.context(), 0.0, parameter.dims());
        let (m, v) = (zeros()?, zeros()?);
        Ok(Moments { m, v })
    }

    /// For a checkpoint; waits for the device.
    pub(crate) fn read(&self) -> Result<HostMoments> {
        let (m, v) = (self.m.to_f32()?, self.v.to_f32()?);
        Ok(HostMoments { m, v })
    }

    /// When resuming.
    pub(crate) fn set(&self, values: &HostMoments) -> Result<()> {
        for (array, values) in [(&self.m, &values.m), (&self.v, &values.v)] {
            array.overwrite(&Array::from_f32(array.context(), values, array.dims())?)?;
        }
        Ok(())
    }
}

/// One parameter of a step.
pub(crate) struct Item<'a> {
    pub(crate) variable: &'a Array,
    /// A parameter without gradient takes part with a gradient of 0.
    pub(crate) gradient: Option<&'a Array>,
    pub(crate) moments: &'a Moments,
    pub(crate) rule: Rule,
}

/// Arrays of one parameter that [`adamw`] binds.
const ARRAYS: usize = 4;

/// Words of one parameter in the info of [`adamw`].
const WORDS: usize = 9;

/// Parameters that one kernel takes at most: more would make its text long for little.
const TOGETHER: usize = 8;

/// One step of at least one parameter; gives the global norm of the gradients before they are clipped to `clip`, an array
/// of one element. If it is not finite, neither are the variables afterwards.
pub(crate) fn step(items: &[Item<'_>], clip: f64) -> Result<Array> {
    let context = items[0].variable.context();
    let mut found = Vec::new();
    for item in items {
        found.push(match item.gradient {
            Some(gradient) => gradient.packed()?,
            None => Array::full(context, 0.0, item.variable.dims())?,
        });
    }
    let clipping = clipping(context, &found, clip)?;
    // Parameters of like sizes together: a kernel has as many threads as its largest one has numbers.
    let mut pairs: Vec<(&Item<'_>, &Array)> = items.iter().zip(&found).collect();
    pairs.sort_by_key(|(item, _)| item.variable.count());
    let most = (context.arrays() - 1) / ARRAYS;
    for pairs in pairs.chunks(most.clamp(1, TOGETHER)) {
        let (mut info, mut arrays) = (Vec::new(), vec![&clipping]);
        let mut largest = pairs[0].0.variable;
        for (item, gradient) in pairs {
            info.extend(words(item));
            arrays.extend([gradient, &item.moments.m, &item.moments.v, item.variable]);
            largest = item.variable;
        }
        largest.run(&adamw(pairs.len()), &info, &arrays)?;
    }
    clipping.narrow(0, 0, 1)
}

/// What [`adamw`] reads of one parameter: count, then as numbers β₁, β₂, what weight decay keeps, step length,
/// 1/√(1 − β₂ᵗ), ε, low, high.
fn words(item: &Item<'_>) -> [u32; WORDS] {
    let rule = item.rule;
    let (low, high) = rule.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    let [beta1, beta2, keep, stride, root, eps, low, high] = [
        rule.beta1,
        rule.beta2,
        rule.keep,
        rule.stride,
        rule.root,
        rule.eps,
        low,
        high,
    ]
    .map(f32::to_bits);
    let count = item.variable.count() as u32;
    [count, beta1, beta2, keep, stride, root, eps, low, high]
}

/// The global norm of packed `gradients`, and the factor that clips it to `clip`.
fn clipping(context: &Context, gradients: &[Array], clip: f64) -> Result<Array> {
    let mut sums = Vec::new();
    for gradients in gradients.chunks((context.arrays() - 1).clamp(1, 2 * TOGETHER)) {
        let counts: Vec<u32> = gradients.iter().map(|x| x.count() as u32).collect();
        let most = counts.iter().copied().max().unwrap_or(1) as usize;
        let sum = Array::empty(context, Kind::F32, &[most.div_ceil(64).clamp(1, THREADS)])?;
        let mut arrays = vec![&sum];
        arrays.extend(gradients);
        sum.run(&squares(gradients.len()), &counts, &arrays)?;
        sums.push(sum);
    }
    let sums = match &sums[..] {
        [one] => one.clone(),
        several => Array::cat(&several.iter().collect::<Vec<_>>(), 0)?,
    };
    let clipping = Array::empty(context, Kind::F32, &[2])?;
    let info = [sums.count() as u32, (clip as f32).to_bits()];
    clipping.run(&norm(), &info, &[&sums, &clipping])?;
    Ok(clipping)
}

/// Threads of [`squares`] at most, and so numbers that a single workgroup adds up in [`norm`].
const THREADS: usize = 1 << 14;

/// What each thread finds of Σ x² over `n` arrays. Info: threads, then the count of each array.
pub(super) fn squares(n: usize) -> String {
    let mut bindings = vec![writes("sums", Kind::F32)];
    let mut body = String::from(
        "    let threads = word(0u);
    if (at >= threads) { return; }
    var sum = 0.0;
",
    );
    for x in 0..n {
        bindings.push(reads(&format!("x{x}"), Kind::F32));
        body += &format!(
            "    for (var i = at; i < word({}u); i += threads) {{ sum += x{x}[i] * x{x}[i]; }}\n",
            x + 1
        );
    }
    kernel(&bindings, "", &(body + "    sums[at] = sum;"))
}

/// One workgroup: the root of Σ sums, and what clipping leaves of every gradient. Info: outputs, count, then as a number
/// the norm to clip to (0: none).
pub(super) fn norm() -> String {
    let body = format!(
        "    var sum = 0.0;
    for (var i = lane; i < word(1u); i += {GROUP}u) {{ sum += sums[i]; }}
    let norm = sqrt(total(lane, sum));
    let clip = real(2u);
    var scale = 1.0;
    if (clip > 0.0 && norm > clip) {{ scale = clip / norm; }}
    // A norm that is no number must reach the parameters, where the caller sees it; as bits, since a compiler may take
    // every float for finite.
    if ((bitcast<u32>(norm) & 0x7f800000u) == 0x7f800000u) {{ scale = nan(); }}
    if (at == 0u) {{
        y[0] = norm;
        y[1] = scale;
    }}"
    );
    let bindings = [reads("sums", Kind::F32), writes("y", Kind::F32)];
    kernel(&bindings, &joins(false), &body)
}

/// One AdamW update in place of `n` parameters. `clipping` holds the norm of all gradients and what clipping leaves of
/// them. Info: threads, then [`words`] of each parameter.
pub(super) fn adamw(n: usize) -> String {
    let mut bindings = vec![reads("clipping", Kind::F32)];
    let mut body = String::from("    let scale = clipping[1];\n");
    for i in 0..n {
        bindings.push(reads(&format!("gradient{i}"), Kind::F32));
        bindings.extend(["m", "v", "y"].map(|name| writes(&format!("{name}{i}"), Kind::F32)));
        let rule = 1 + i * WORDS;
        body += &format!(
            "    if (at < word({rule}u)) {{
        let next = adamw({rule}u, gradient{i}[at] * scale, State(m{i}[at], v{i}[at], y{i}[at]));
        m{i}[at] = next.m;
        v{i}[at] = next.v;
        y{i}[at] = next.y;
    }}
"
        );
    }
    kernel(&bindings, STEP, body.trim_end())
}

const STEP: &str = "
struct State {
    m: f32,
    v: f32,
    y: f32,
}
// `rule` is the place of a parameter's count in `info`; its numbers follow.
fn adamw(rule: u32, g: f32, old: State) -> State {
    let beta1 = real(rule + 1u);
    let beta2 = real(rule + 2u);
    let keep = real(rule + 3u);
    let stride = real(rule + 4u);
    let root = real(rule + 5u);
    let eps = real(rule + 6u);
    let low = real(rule + 7u);
    let high = real(rule + 8u);
    let m = beta1 * old.m + (1.0 - beta1) * g;
    let v = beta2 * old.v + (1.0 - beta2) * g * g;
    var y = old.y * keep - stride * m / (sqrt(v) * root + eps);
    // Not clamp(), which may turn NaN into a bound.
    if (y < low) { y = low; }
    if (y > high) { y = high; }
    return State(m, v, y);
}
";
