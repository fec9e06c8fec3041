//! Cross-entropy over a vocabulary, a few tokens at a time: the logits of all tokens never exist together.

use super::bridge::{Floats, collect, collect_chunks, floats, ours, zeros};
use super::linear::{View, add_product, product, product_into};
use super::simd::{Kernel, Simd, dispatch};
use super::token_score::TokenScore;
use crate::gpu::layers;
use crate::tensor::leaf::hand_over;
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape};
use std::sync::Mutex;

/// Logits held at a time: 8 MiB. Fewer would make matrix products too thin to be worth their packing.
const LOGITS: usize = 1 << 21;
/// Tokens that are taken together at least, whatever their logits hold: the matrix of the head and its gradient are gone
/// through once for each such chunk, which takes longer than the products if there are few tokens. Their logits are
/// still fewer than the numbers of that gradient.
const FEWEST: usize = 256;
/// The same where nothing learns: without a gradient to go through, memory counts for more.
const FEWEST_READ: usize = 64;

/// `Σ weight · nll / Σ weight` in nats, a scalar: hidden (tokens, width), head (vocab, width).
///
/// Tokens of weight 0 take part in nothing, not even if their target is out of range or their hidden state is NaN.
/// The gradients of `hidden` and `head` are computed in the same pass.
pub fn cross_entropy(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
) -> Result<Tensor> {
    check(hidden, head, targets)?;
    let (tokens, vocab) = (hidden.dim(0)?, head.dim(0)?);
    if weights.len() != tokens {
        let expected = format!("({tokens}), one per token");
        return Err(Error::shape(
            "cross_entropy, weights",
            expected,
            &[weights.len()],
        ));
    }
    let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    if !(total > 0.0 && total.is_finite()) || weights.iter().any(|w| *w < 0.0) {
        return Err(Error::Argument {
            what: "cross_entropy, weights",
            expected: "weights ≥ 0 with a positive, finite sum".into(),
            found: format!("a sum of {total}"),
        });
    }
    let rows: Vec<usize> = (0..tokens).filter(|row| weights[*row] != 0.0).collect();
    in_vocab(rows.iter().map(|row| (*row, targets[*row])), vocab)?;
    let targets: Vec<u32> = rows.iter().map(|row| targets[*row]).collect();
    let shares: Vec<f64> = rows
        .iter()
        .map(|row| f64::from(weights[*row]) / total)
        .collect();
    if let Some([h, w]) = ours([hidden, head]) {
        let tracked = h.track_op() || w.track_op();
        let op = CrossEntropy {
            rows,
            targets,
            shares,
            tracked,
            gradients: Mutex::new(None),
        };
        let loss = h.contiguous()?.apply_op2(&w.contiguous()?, op)?;
        return Ok(Tensor::from_candle(loss));
    }
    if let Some([h, w]) = crate::tensor::on_gpu([hidden, head])? {
        let loss = layers::cross_entropy(h, w, &rows, (&targets, &shares))?;
        return Ok(Tensor::from_traced(loss));
    }
    let n = rows.len();
    let device = hidden.device();
    let index = |values: Vec<u32>| Tensor::from_vec(values, n, &device);
    let kept = hidden.index_select(&index(rows.iter().map(|row| *row as u32).collect())?, 0)?;
    let wide = match hidden.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let logits = kept.matmul(&head.t()?)?.to_dtype(wide)?;
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(1)?)?;
    let normaliser = shifted.exp()?.sum_keepdim(1)?.log()?;
    let chosen = shifted.gather(&index(targets)?.reshape((n, 1))?, 1)?;
    let shares = Tensor::from_numbers(&shares, &[n, 1], wide, &device)?;
    normaliser.sub(&chosen)?.mul(&shares)?.sum_all()
}

/// Negative log-likelihood of the target and the most likely token, per row of hidden (tokens, width), without
/// gradients; head (vocab, width).
pub fn token_scores(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<Vec<TokenScore>> {
    check(hidden, head, targets)?;
    let (tokens, width) = hidden.dims2()?;
    let vocab = head.dim(0)?;
    in_vocab(targets.iter().copied().enumerate(), vocab)?;
    let Some([h, w]) = ours([hidden, head]) else {
        if let Some([h, w]) = crate::tensor::on_gpu([hidden, head])? {
            return layers::token_scores(h, w, targets);
        }
        return scores_on_device(&hidden.detach(), &head.detach(), targets);
    };
    let (h, w) = (h.detach().contiguous()?, w.detach().contiguous()?);
    let (h, w) = (Floats::of(&h)?, Floats::of(&w)?);
    let chunk = chunk(vocab, FEWEST_READ);
    let mut scores = Vec::with_capacity(tokens);
    for start in (0..tokens).step_by(chunk) {
        let n = chunk.min(tokens - start);
        let part = View::rows(&h.get()[start * width..], n, width);
        let logits = product(part, View::rows(w.get(), vocab, width).transposed());
        scores.extend(collect(n, logits.len(), |i| {
            dispatch(Score {
                row: &logits[i * vocab..][..vocab],
                target: targets[start + i] as usize,
            })
        }));
    }
    Ok(scores)
}

/// Logits that a device other than the processor holds at a time.
const LOGITS_ON_DEVICE: usize = 1 << 24;

/// As [`token_scores`], with one read-back per chunk: log-likelihoods, then ids as f32, which holds them exactly below
/// 2²⁴.
fn scores_on_device(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<Vec<TokenScore>> {
    let (tokens, _) = hidden.dims2()?;
    let chunk = (LOGITS_ON_DEVICE / head.dim(0)?).max(1);
    let mut scores = Vec::with_capacity(tokens);
    for start in (0..tokens).step_by(chunk) {
        let n = chunk.min(tokens - start);
        let target = targets[start..start + n].to_vec();
        let target = Tensor::from_vec(target, (n, 1), &hidden.device())?;
        let logits = hidden.narrow(0, start, n)?.contiguous()?;
        let logits = logits.matmul(&head.t()?)?.to_dtype(DType::F32)?;
        let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?;
        let normaliser = shifted.exp()?.sum_keepdim(1)?.log()?;
        let nll = normaliser.sub(&shifted.gather(&target, 1)?)?;
        let best = logits.argmax(1)?.to_dtype(DType::F32)?.reshape((n, 1))?;
        let both = Tensor::cat(&[&nll, &best], 0)?.to_flat::<f32>()?;
        let (nll, best) = both.split_at(n);
        let pairs = nll.iter().zip(best);
        scores.extend(pairs.map(|(&nll, &best)| TokenScore {
            nll,
            argmax: best as u32,
        }));
    }
    Ok(scores)
}

fn check(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<()> {
    let (tokens, width) = hidden.dims2()?;
    let (vocab, head_width) = head.dims2()?;
    if head_width != width || vocab == 0 {
        let expected = format!("(vocab ≥ 1, {width}), for hidden {:?}", hidden.dims());
        return Err(Error::shape("cross_entropy, head", expected, head.dims()));
    }
    if targets.len() != tokens {
        let expected = format!("({tokens}), one per token");
        return Err(Error::shape(
            "cross_entropy, targets",
            expected,
            &[targets.len()],
        ));
    }
    Ok(())
}

fn in_vocab(mut targets: impl Iterator<Item = (usize, u32)>, vocab: usize) -> Result<()> {
    match targets.find(|(_, target)| *target as usize >= vocab) {
        None => Ok(()),
        Some((place, target)) => Err(Error::Argument {
            what: "cross_entropy, targets",
            expected: format!("ids below the vocabulary size {vocab}"),
            found: format!("{target} at place {place}"),
        }),
    }
}

/// Tokens per chunk: a pure function of the vocabulary, so that sums do not depend on the machine's load.
fn chunk(vocab: usize, fewest: usize) -> usize {
    (LOGITS / vocab).clamp(fewest, 512)
}

/// Gradients for an upstream gradient of 1.
struct Gradients {
    hidden: Vec<f32>,
    head: Vec<f32>,
}

struct CrossEntropy {
    /// Rows of `hidden` that take part, with their targets and their share of the loss.
    rows: Vec<usize>,
    targets: Vec<u32>,
    shares: Vec<f64>,
    tracked: bool,
    /// Left by the forward pass for the backward pass.
    gradients: Mutex<Option<Gradients>>,
}

impl CrossEntropy {
    fn run(&self, hidden: &[f32], head: &[f32], width: usize) -> (f32, Option<Gradients>) {
        let vocab = head.len() / width.max(1);
        let all = self.rows.len() * width == hidden.len();
        let mut gradients = self.tracked.then(|| Gradients {
            hidden: zeros(hidden.len()),
            head: zeros(head.len()),
        });
        let size = chunk(vocab, FEWEST);
        let mut logits = vec![0.0; size.min(self.rows.len()) * vocab];
        let (mut kept, mut dkept) = (Vec::new(), Vec::new());
        let mut loss = 0.0;
        for start in (0..self.rows.len()).step_by(size) {
            let rows = &self.rows[start..self.rows.len().min(start + size)];
            let n = rows.len();
            let logits = &mut logits[..n * vocab];
            let h = if all {
                &hidden[start * width..][..n * width]
            } else {
                kept.clear();
                kept.extend(rows.iter().flat_map(|row| &hidden[row * width..][..width]));
                &kept
            };
            let (h, w) = (View::rows(h, n, width), View::rows(head, vocab, width));
            product_into(logits, h, w.transposed());
            let nll = collect_chunks(logits, vocab, |i, row| {
                dispatch(Differentiate {
                    row,
                    target: self.targets[start + i] as usize,
                    share: self.shares[start + i] as f32,
                })
            });
            let shares = &self.shares[start..];
            loss += nll
                .iter()
                .zip(shares)
                .map(|(nll, share)| share * f64::from(*nll))
                .sum::<f64>();
            let Some(gradients) = &mut gradients else {
                continue;
            };
            let dlogits = View::rows(logits, n, vocab);
            add_product(&mut gradients.head, dlogits.transposed(), h);
            if all {
                product_into(
                    &mut gradients.hidden[start * width..][..n * width],
                    dlogits,
                    w,
                );
            } else {
                dkept.resize(n * width, 0.0);
                product_into(&mut dkept, dlogits, w);
                for (row, d) in rows.iter().zip(dkept.chunks_exact(width)) {
                    gradients.hidden[row * width..][..width].copy_from_slice(d);
                }
            }
        }
        (loss as f32, gradients)
    }
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        head: &CpuStorage,
        head_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, width) = head_layout.shape().dims2()?;
        let (loss, gradients) = self.run(
            floats(hidden, hidden_layout)?,
            floats(head, head_layout)?,
            width,
        );
        match self.gradients.lock() {
            Ok(mut place) => *place = gradients,
            Err(_) => candle_core::bail!("cross-entropy: another thread panicked"),
        }
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        hidden: &candle_core::Tensor,
        head: &candle_core::Tensor,
        _loss: &candle_core::Tensor,
        upstream: &candle_core::Tensor,
    ) -> candle_core::Result<(Option<candle_core::Tensor>, Option<candle_core::Tensor>)> {
        let upstream = upstream.to_scalar::<f32>()?;
        let kept = self.gradients.lock().map(|mut place| place.take());
        let gradients = match kept {
            Ok(Some(gradients)) => gradients,
            // A second backward pass through the same loss computes them again.
            _ => {
                let (h, w) = (Floats::of(hidden)?, Floats::of(head)?);
                let (_, width) = head.dims2()?;
                match self.run(h.get(), w.get(), width).1 {
                    Some(gradients) => gradients,
                    None => return Ok((None, None)),
                }
            }
        };
        let scaled = |mut values: Vec<f32>, like: &candle_core::Tensor| {
            if upstream != 1.0 {
                values.iter_mut().for_each(|x| *x *= upstream);
            }
            super::bridge::tensor(values, like)
        };
        let dhidden = scaled(gradients.hidden, hidden)?;
        let dhead = scaled(gradients.head, head)?;
        Ok((hand_over(hidden, dhidden)?, hand_over(head, dhead)?))
    }
}

/// Largest and sum of e^(x − largest); both NaN if any x is.
#[inline(always)]
fn normaliser<S: Simd>(s: S, row: &[f32]) -> (f32, f32) {
    let low = s.splat(f32::NEG_INFINITY);
    let mut largest = low;
    let full = row.len() / S::LANES * S::LANES;
    for at in (0..full).step_by(S::LANES) {
        largest = s.max(s.read(row, at), largest);
    }
    let mut m = s.largest(largest);
    for &x in &row[full..] {
        m = if x > m { x } else { m };
    }
    let vm = s.splat(m);
    let mut sum = s.splat(0.0);
    for at in (0..full).step_by(S::LANES) {
        sum = s.add(sum, s.exp(s.sub(s.read(row, at), vm)));
    }
    let mut sum = s.total(sum);
    if full < row.len() {
        let rest = s.lanes(s.exp(s.sub(s.read(row, full), vm)));
        sum += rest[..row.len() - full].iter().sum::<f32>();
    }
    (m, sum)
}

/// Turns a row of logits into `share · (softmax − one-hot)` and gives the negative log-likelihood.
struct Differentiate<'a> {
    row: &'a mut [f32],
    target: usize,
    share: f32,
}

impl Kernel for Differentiate<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (m, sum) = normaliser(s, self.row);
        let nll = sum.ln() + m - self.row[self.target];
        let (vm, scale) = (s.splat(m), s.splat(self.share / sum));
        for at in (0..self.row.len()).step_by(S::LANES) {
            let p = s.mul(s.exp(s.sub(s.read(self.row, at), vm)), scale);
            s.write(self.row, at, p);
        }
        self.row[self.target] -= self.share;
        nll
    }
}

struct Score<'a> {
    row: &'a [f32],
    target: usize,
}

impl Kernel for Score<'_> {
    type Output = TokenScore;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> TokenScore {
        let (m, sum) = normaliser(s, self.row);
        let argmax = self.row.iter().position(|x| *x == m).unwrap_or(0) as u32;
        TokenScore {
            nll: sum.ln() + m - self.row[self.target],
            argmax,
        }
    }
}
