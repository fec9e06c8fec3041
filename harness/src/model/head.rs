//! From the residual stream to logits, losses and scores.

use super::forward::Forward;
use super::frozen::single;
use super::parts::{Part, Spot};
use crate::Result;
use farspan_attention::Tensor;
use farspan_attention::ops::{self, TokenScore};
use farspan_datasets::Batch;

/// Rows of logits that are held at once.
const ROWS: usize = 64;

impl Forward<'_> {
    /// What logits are made of, behind the last layer: rows (tokens, width of the embeddings).
    pub(super) fn end(&self, x: &Tensor) -> Result<Tensor> {
        let architecture = &self.decoder.architecture;
        let width = architecture.geometry.width;
        let rows = x.reshape((x.elem_count() / width, width))?;
        let rows = match architecture.final_norm {
            true => self.norm(&rows, Spot::whole(Part::Norm))?,
            false => rows,
        };
        match architecture.embed_width {
            None => Ok(rows),
            Some(_) => self.linear(&rows, Spot::whole(Part::ProjectOut)),
        }
    }

    /// `rows`, and the matrix (vocab, …) that makes logits of them. A scale of logits is a scale of the rows, a bias the
    /// weight of a channel that is always 1.
    fn head(&self, rows: &Tensor) -> Result<(Tensor, Tensor)> {
        let architecture = &self.decoder.architecture;
        let head = self.weight(Spot::whole(match architecture.tied {
            true => Part::Embed,
            false => Part::Head,
        }))?;
        let head = match architecture.unit_head {
            true => {
                let lengths = head.mul(&head)?.sum_keepdim(1)?.sqrt()?;
                // As torch's `normalize`, whose least length keeps rows of zeros.
                head.broadcast_div(&lengths.maximum(1e-12)?)?
            }
            false => head,
        };
        let rows = match architecture.logit_scale {
            1.0 => rows.clone(),
            scale => rows.affine(scale, 0.0)?,
        };
        if !architecture.bias.head {
            return Ok((rows, head));
        }
        let bias = self.stored(&format!("{}.bias", Part::Head.name()))?;
        let one = Tensor::ones((rows.dim(0)?, 1), &rows.device())?;
        Ok((
            Tensor::cat(&[&rows, &one], 1)?,
            Tensor::cat(&[&head, &single(&bias)?.unsqueeze(1)?], 1)?,
        ))
    }

    /// Mean loss of a batch in nats per scored token, from rows of the residual stream behind the last norm.
    pub(super) fn loss(&self, rows: &Tensor, batch: &Batch) -> Result<Tensor> {
        let architecture = &self.decoder.architecture;
        if architecture.logit_cap.is_some() {
            return cross_entropy(&self.logits(rows)?, batch);
        }
        let (rows, head) = self.head(rows)?;
        let (targets, weights) = (&batch.targets, &batch.weights);
        Ok(ops::cross_entropy(&rows, &head, targets, weights)?)
    }

    /// Logits of rows of the residual stream: (tokens, width) -> (tokens, vocab).
    pub(super) fn logits(&self, rows: &Tensor) -> Result<Tensor> {
        let architecture = &self.decoder.architecture;
        let (rows, head) = self.head(rows)?;
        let mut logits = ops::linear(&rows, &head)?;
        if let Some(cap) = architecture.logit_cap {
            logits = logits.affine(1.0 / cap, 0.0)?.tanh()?.affine(cap, 0.0)?;
        }
        Ok(logits)
    }

    /// Negative log-likelihood of `targets` and the most likely token, row by row.
    pub(super) fn scores(&self, rows: &Tensor, targets: &[u32]) -> Result<Vec<TokenScore>> {
        let architecture = &self.decoder.architecture;
        if architecture.logit_cap.is_none() {
            let (rows, head) = self.head(rows)?;
            return Ok(ops::token_scores(&rows, &head, targets)?);
        }
        let mut scores = Vec::with_capacity(targets.len());
        for (start, targets) in (0..).step_by(ROWS).zip(targets.chunks(ROWS)) {
            let logits = self.logits(&rows.narrow(0, start, targets.len())?)?;
            let logits = logits.to_vec2::<f32>()?;
            let of = |(row, &target): (&Vec<f32>, &u32)| score(row, target);
            scores.extend(logits.iter().zip(targets).map(of));
        }
        Ok(scores)
    }
}

fn score(row: &[f32], target: u32) -> TokenScore {
    let best = row
        .iter()
        .enumerate()
        .fold(0, |best, (i, x)| if *x > row[best] { i } else { best });
    let top = f64::from(row[best]);
    let sum: f64 = row.iter().map(|&x| (f64::from(x) - top).exp()).sum();
    TokenScore {
        nll: (top + sum.ln() - f64::from(row[target as usize])) as f32,
        argmax: best as u32,
    }
}

/// Mean negative log-likelihood of the targets by the scores `logits`, (tokens, vocab); tokens weigh as `batch` says.
fn cross_entropy(logits: &Tensor, batch: &Batch) -> Result<Tensor> {
    let total: f64 = batch.weights.iter().map(|w| f64::from(*w)).sum();
    let shares: Vec<f32> = batch
        .weights
        .iter()
        .map(|w| (f64::from(*w) / total) as f32)
        .collect();
    let n = batch.targets.len();
    let device = logits.device();
    let targets = Tensor::from_vec(batch.targets.clone(), (n, 1), &device)?;
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(1)?)?;
    let normaliser = shifted.exp()?.sum_keepdim(1)?.log()?;
    let losses = normaliser.sub(&shifted.gather(&targets, 1)?)?;
    Ok(losses
        .mul(&Tensor::from_vec(shares, (n, 1), &device)?)?
        .sum_all()?)
}
