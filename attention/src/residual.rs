//! The residual stream of a pre-norm decoder.

use crate::attend::Sublayer;
use crate::choice::Choice;
use crate::implementation::{Attended, Implementation};
use crate::mask::Mask;
use crate::ops::FeedForward;
use crate::ops::chain::{Linked, chain};
use crate::params::Params;
use crate::prepared::Prepared;
use crate::{Result, Tensor};

/// Rows (batch, tokens, width) that the sublayers of decoder layers add to, one after another.
///
/// Sublayers in f32 on the CPU whose attention is fused are recorded as one node of the autograd graph, from the first of
/// them up to [`rows`](Residual::rows): their gradients are computed without copies in between. All other sublayers are
/// composed from operations.
#[derive(Debug)]
pub struct Residual {
    /// The rows before the parts, with their history.
    start: Tensor,
    /// The rows that the parts made of them, without; `start` itself where there are no parts.
    now: Tensor,
    parts: Vec<Linked>,
}

impl Residual {
    /// Starts with these rows.
    pub fn new(rows: Tensor) -> Residual {
        Residual {
            start: rows.clone(),
            now: rows,
            parts: Vec::new(),
        }
    }

    /// The rows, with their history. What comes after them is recorded apart from what came before.
    pub fn rows(&mut self) -> Result<Tensor> {
        if !self.parts.is_empty() {
            let parts = std::mem::take(&mut self.parts);
            let rows = chain(self.start.candle()?, parts, self.now.candle()?)?;
            *self = Residual::new(Tensor::from_candle(rows));
        }
        Ok(self.now.clone())
    }

    /// Adds `out · attend(qkv · rms_norm(x))`, x being the rows. [`Attended::output`] is the rows afterwards, without
    /// history.
    ///
    /// Fails where shapes do not fit, and as [`attend`](crate::attend::attend) does.
    pub fn attend(
        &mut self,
        sublayer: &Sublayer<'_>,
        prepared: &Prepared,
        params: &Params,
        mask: &Mask,
        which: Implementation,
    ) -> Result<Attended> {
        sublayer.check(&self.now, prepared)?;
        let tracked = self.tracked();
        if let Some(made) = sublayer.part((&self.now, tracked), prepared, params, mask, which)? {
            return Ok(Attended {
                output: self.go_on(made),
                implementation: Choice::Fused.name(),
                carried: Params::new(),
            });
        }
        let attended = sublayer.composed(&self.rows()?, prepared, params, mask, which)?;
        *self = Residual::new(attended.output.clone());
        Ok(Attended {
            output: attended.output.detach(),
            ..attended
        })
    }

    /// Adds `down · swiglu(gate_up · rms_norm(x))`, x being the rows. Fails where shapes do not fit.
    pub fn feed_forward(&mut self, weights: &FeedForward<'_>) -> Result<()> {
        weights.check(&self.now)?;
        if let Some(made) = weights.part(&self.now, self.tracked())? {
            self.go_on(made);
            return Ok(());
        }
        *self = Residual::new(weights.composed(&self.rows()?)?);
        Ok(())
    }

    /// As [`feed_forward`](Residual::feed_forward), composed from operations; returns what was added, for schemes that
    /// read it.
    pub fn feed_forward_apart(&mut self, weights: &FeedForward<'_>) -> Result<Tensor> {
        weights.check(&self.now)?;
        let x = self.rows()?;
        let added = weights.output(&x)?;
        *self = Residual::new(x.add(&added)?);
        Ok(added)
    }

    /// Whether gradients have to reach what made the rows.
    fn tracked(&self) -> bool {
        !self.parts.is_empty() || self.start.as_candle().is_some_and(|x| x.track_op())
    }

    fn go_on(&mut self, (rows, part): (Tensor, Option<Linked>)) -> Tensor {
        self.now = rows.clone();
        match part {
            Some(part) => self.parts.push(part),
            None => self.start = rows.clone(),
        }
        rows
    }
}
