//! What the loss of a batch goes by: the next tokens of its text, those of a teacher, and what a scheme adds.

use super::{Decoder, Pass};
use crate::Result;
use farspan_attention::Tensor;
use farspan_datasets::Batch;

/// What the loss of a batch goes by. The default is the next tokens alone.
#[derive(Clone, Debug)]
pub struct Aims {
    /// Weight of the cross-entropy of the next tokens.
    pub text: f64,
    /// What a teacher tells.
    pub taught: Option<Taught>,
}

impl Default for Aims {
    fn default() -> Aims {
        Aims {
            text: 1.0,
            taught: None,
        }
    }
}

/// What a teacher tells of the first tokens of each window.
#[derive(Clone, Debug)]
pub struct Taught {
    /// Its logits, (windows · tokens, vocab).
    pub logits: Tensor,
    /// Tokens of each window that it tells of.
    pub tokens: usize,
    /// How much each of them counts, as the others do.
    pub shares: Vec<f32>,
    /// Weight in the loss.
    pub weight: f64,
    /// Both sides' logits are divided by it.
    pub temperature: f64,
}

impl Taught {
    /// weight · T² · mean KL(softmax(z / T), softmax(z′ / T)), z the teacher's logits and z′ `logits` of the same tokens.
    pub(super) fn loss(&self, logits: &Tensor) -> Result<Tensor> {
        let normal = |logits: &Tensor| -> Result<Tensor> {
            let scaled = logits.affine(1.0 / self.temperature, 0.0)?;
            let shifted = scaled.broadcast_sub(&scaled.detach().max_keepdim(1)?)?;
            Ok(shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)?)
        };
        let (theirs, ours) = (normal(&self.logits)?, normal(logits)?);
        let apart = theirs.exp()?.mul(&theirs.sub(&ours)?)?.sum_keepdim(1)?;
        let total: f64 = self.shares.iter().map(|x| f64::from(*x)).sum();
        // Where no token counts there is nothing to be taught.
        let factor = match total > 0.0 {
            true => self.weight * self.temperature * self.temperature / total,
            false => 0.0,
        };
        let shares = self.shares.iter().map(|x| (factor * f64::from(*x)) as f32);
        let shares = Tensor::from_vec(
            shares.collect::<Vec<_>>(),
            (self.shares.len(), 1),
            &logits.device(),
        )?;
        Ok(apart.mul(&shares)?.sum_all()?)
    }
}

impl Decoder {
    /// The loss of a batch by `aims`, from rows of the residual stream behind the last norm.
    pub(super) fn aimed(&self, rows: &Tensor, batch: &Batch, aims: &Aims) -> Result<Tensor> {
        let forward = self.forward(Pass::Train);
        let Some(taught) = &aims.taught else {
            return forward.loss(rows, batch);
        };
        let (all, width) = rows.dims2()?;
        let first = rows.reshape((batch.rows, all / batch.rows, width))?;
        let first = first.narrow(1, 0, taught.tokens)?.contiguous()?;
        let first = first.reshape((batch.rows * taught.tokens, width))?;
        let told = taught.loss(&forward.logits(&first)?)?;
        if aims.text == 0.0 {
            return Ok(told);
        }
        let text = forward.loss(rows, batch)?.affine(aims.text, 0.0)?;
        Ok(text.add(&told)?)
    }
}
