//! Cross-entropy over a vocabulary, some tokens at a time: the logits of all tokens never exist together.

use crate::Result;
use crate::gpu::array::Array;
use crate::gpu::context::Context;
use crate::gpu::kernels::{Fold, Rows, reads, writes};
use crate::gpu::kind::Kind;
use crate::gpu::tape::{Backward, Traced};
use crate::ops::TokenScore;

/// Logits that the device holds at a time, at most.
const LOGITS: usize = 1 << 24;

/// Tokens per chunk, such that their logits fit one array.
fn chunk(context: &Context, vocab: usize) -> usize {
    let most = (context.largest_array() / 4).min(LOGITS as u64) as usize;
    (most / vocab.max(1)).max(1)
}

/// `Σ share · nll` over `rows` of hidden (tokens, width), a scalar; head (vocab, width). Targets, below the size of the
/// vocabulary, and shares by row of `rows`. Gradients are computed in the same pass.
pub(crate) fn cross_entropy(
    hidden: &Traced,
    head: &Traced,
    rows: &[usize],
    (targets, shares): (&[u32], &[f64]),
) -> Result<Traced> {
    let form = Rows::of(hidden.array().context());
    cross_entropy_by(form, hidden, head, rows, (targets, shares))
}

pub(super) fn cross_entropy_by(
    form: Rows,
    hidden: &Traced,
    head: &Traced,
    rows: &[usize],
    (targets, shares): (&[u32], &[f64]),
) -> Result<Traced> {
    let (h, w) = (hidden.array(), head.array());
    let (context, n) = (h.context(), rows.len());
    let vocab = w.dims()[0];
    let all = n == h.dims()[0];
    let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
    let rows = Array::from_u32(context, &rows, &[n])?;
    let kept = if all {
        h.clone()
    } else {
        h.select(&rows, 0, false)?
    };
    let shares: Vec<f32> = shares.iter().map(|share| *share as f32).collect();
    let targets = Array::from_u32(context, targets, &[n])?;
    let shares = Array::from_f32(context, &shares, &[n])?;
    let losses = Array::empty(context, Kind::F32, &[n])?;
    let tracked = hidden.tracked() || head.tracked();
    let text = kernel(form, tracked);
    let size = chunk(context, vocab);
    let (mut by_kept, mut by_head) = (Vec::new(), None);
    for start in (0..n).step_by(size) {
        let len = size.min(n - start);
        let part = kept.narrow(0, start, len)?;
        let logits = part.matmul(&w.transpose(0, 1)?)?;
        let info = [len, vocab, start].map(|x| x as u32);
        Array::by_rows(
            form,
            context,
            &text,
            &info,
            &[&targets, &shares, &logits, &losses],
        )?;
        if !tracked {
            continue;
        }
        by_kept.push(logits.matmul(w)?);
        let more = logits.transpose(0, 1)?.matmul(&part)?;
        by_head = Some(match by_head {
            None => more,
            Some(sum) => more.pair(&sum, Kind::F32, "a + b")?,
        });
    }
    let loss = losses.sum_all()?;
    let Some(by_head) = by_head else {
        return Ok(Traced::constant(loss));
    };
    let by_kept = match &by_kept[..] {
        [one] => one.clone(),
        several => Array::cat(&several.iter().collect::<Vec<_>>(), 0)?,
    };
    let by_hidden = if all {
        by_kept
    } else {
        by_kept.scatter(&rows, 0, false, h.dims())?
    };
    let rule = Gradients { by_hidden, by_head };
    Ok(Traced::custom(
        loss,
        vec![hidden.clone(), head.clone()],
        Box::new(rule),
    ))
}

/// For a gradient of 1 of the loss.
#[derive(Debug)]
struct Gradients {
    by_hidden: Array,
    by_head: Array,
}

impl Backward for Gradients {
    fn backward(&self, gradient: &Array) -> Result<Vec<Option<Array>>> {
        let scaled = |x: &Array| x.pair(gradient, Kind::F32, "a * b");
        Ok(vec![
            Some(scaled(&self.by_hidden)?),
            Some(scaled(&self.by_head)?),
        ])
    }
}

/// Negative log-likelihood of the target and the most likely token, per row of hidden (tokens, width); head
/// (vocab, width). One read-back per chunk of tokens.
pub(crate) fn token_scores(
    hidden: &Traced,
    head: &Traced,
    targets: &[u32],
) -> Result<Vec<TokenScore>> {
    let (h, w) = (hidden.array(), head.array());
    let context = h.context();
    let (tokens, vocab) = (h.dims()[0], w.dims()[0]);
    let form = Rows::of(context);
    let text = kernel(form, false);
    let size = chunk(context, vocab);
    let mut scores = Vec::with_capacity(tokens);
    for start in (0..tokens).step_by(size) {
        let len = size.min(tokens - start);
        let logits = h.narrow(0, start, len)?.matmul(&w.transpose(0, 1)?)?;
        let target = Array::from_u32(context, &targets[start..start + len], &[len])?;
        let shares = Array::full(context, 1.0, &[len])?;
        let losses = Array::empty(context, Kind::F32, &[len])?;
        let info = [len, vocab, 0].map(|x| x as u32);
        Array::by_rows(
            form,
            context,
            &text,
            &info,
            &[&target, &shares, &logits, &losses],
        )?;
        let best = logits.reduce(Fold::ArgMax, 1)?.reshape(&[len])?;
        // Bits, so that one read-back brings both.
        let losses = Array::map(&[&losses], Kind::U32, "bitcast<u32>(a)", &[])?;
        let both = Array::cat(&[&losses, &best], 0)?.to_u32()?;
        let (nll, best) = both.split_at(len);
        let pairs = nll.iter().zip(best);
        scores.extend(pairs.map(|(&nll, &argmax)| TokenScore {
            nll: f32::from_bits(nll),
            argmax,
        }));
    }
    Ok(scores)
}

/// `share · nll` of each row of logits y, which `differentiate` turns into `share · (softmax − one-hot)`. Info: rows,
/// size of the vocabulary, number of the first row.
pub(super) fn kernel(form: Rows, differentiate: bool) -> String {
    let bindings = [
        reads("targets", Kind::U32),
        reads("shares", Kind::F32),
        writes("y", Kind::F32),
        writes("losses", Kind::F32),
    ];
    let change = if differentiate {
        "
    for (var j = first; j < vocab; j += stride) {
        y[base + j] = share * exp(y[base + j] - most) / sum;
        if (j == targets[place]) { y[base + j] -= share; }
    }"
    } else {
        ""
    };
    form.kernel(
        &bindings,
        &format!(
            "    let vocab = word(1u);
    let base = row * vocab;
    let place = word(2u) + row;
    let share = shares[place];
    var most_here = -inf();
    for (var j = first; j < vocab; j += stride) {{ most_here = max(most_here, y[base + j]); }}
    let most = largest(lane, most_here);
    var sum_here = 0.0;
    for (var j = first; j < vocab; j += stride) {{ sum_here += exp(y[base + j] - most); }}
    let sum = total(lane, sum_here);
    let chosen = y[base + targets[place]];
    // All have read before one writes.
    wait();
    if (!live) {{ return; }}
    if (first == 0u) {{ losses[place] = share * (log(sum) + most - chosen); }}{change}"
        ),
    )
}
