//! Parts of a network that follow each other on one stream of rows, as one node of candle's graph.
//!
//! As nodes of their own, every gradient between two parts would be filled with zeros, added to and written once more
//! by candle's backward pass. A node of candle has at most three operands, so the weights of each part go through nodes
//! of their own: they give a token of one element, which the chain takes, and pass on the gradients that the chain's
//! backward pass left for them.

use super::bridge::{Floats, copied, lock, tensor};
use crate::tensor::leaf::hand_over;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor as Candle,
};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

/// What a part of a chain keeps for the backward pass.
pub(crate) trait Part: Debug + Send + Sync {
    /// The gradient of the rows that it was given, from that of the rows that it gave; those of its weights are left
    /// for its tokens.
    fn backward(&self, dy: Vec<f32>) -> Result<Vec<f32>>;
}

/// A part, and the tokens of its weights.
pub(crate) type Linked = (Arc<dyn Part>, Vec<Candle>);

/// Gradients of weights, from the backward pass that computes them to that of the weights' token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left(Arc<Mutex<Vec<Candle>>>);

impl Left {
    /// In the order of the weights.
    pub(crate) fn put(&self, gradients: Vec<Candle>) -> Result<()> {
        *lock("token", &self.0)? = gradients;
        Ok(())
    }

    /// Takes them out again.
    pub(crate) fn take(&self) -> Result<Vec<Candle>> {
        Ok(std::mem::take(&mut *lock("token", &self.0)?))
    }
}

/// One element that stands for one or three weights, whose gradients will lie in `left`.
pub(crate) fn token(weights: &[&Candle], left: &Left) -> Result<Candle> {
    let token = Token(left.clone());
    match weights {
        [one] => one.apply_op1(token),
        [a, b, c] => a.apply_op3(b, c, token),
        other => candle_core::bail!("a token stands for 1 or 3 weights, found {}", other.len()),
    }
}

struct Token(Left);

impl Token {
    fn forward() -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }
}

impl CustomOp1 for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Token::forward()
    }

    fn bwd(&self, weight: &Candle, _token: &Candle, _up: &Candle) -> Result<Option<Candle>> {
        match self.0.take()?.pop() {
            Some(gradient) => hand_over(weight, gradient),
            None => Ok(None),
        }
    }
}

impl CustomOp3 for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Token::forward()
    }

    fn bwd(
        &self,
        a: &Candle,
        b: &Candle,
        c: &Candle,
        _token: &Candle,
        _up: &Candle,
    ) -> Result<(Option<Candle>, Option<Candle>, Option<Candle>)> {
        let mut gradients = self.0.take()?.into_iter();
        let mut next = |weight: &Candle| match gradients.next() {
            Some(gradient) => hand_over(weight, gradient),
            None => Ok(None),
        };
        Ok((next(a)?, next(b)?, next(c)?))
    }
}

/// `rows`, which these parts made of `start`, with history.
pub(crate) fn chain(start: &Candle, parts: Vec<Linked>, rows: &Candle) -> Result<Candle> {
    let (parts, tokens): (_, Vec<Vec<Candle>>) = parts.into_iter().unzip();
    let tokens = Candle::cat(&tokens.concat(), 0)?;
    let rows = rows.clone();
    start.apply_op2(&tokens, Chain { parts, rows })
}

struct Chain {
    parts: Vec<Arc<dyn Part>>,
    rows: Candle,
}

impl CustomOp2 for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn cpu_fwd(
        &self,
        _start: &CpuStorage,
        _start_layout: &Layout,
        _tokens: &CpuStorage,
        _tokens_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = copied(Floats::of(&self.rows)?.get());
        Ok((CpuStorage::F32(rows), self.rows.shape().clone()))
    }

    fn bwd(
        &self,
        start: &Candle,
        tokens: &Candle,
        _rows: &Candle,
        dy: &Candle,
    ) -> Result<(Option<Candle>, Option<Candle>)> {
        let dy = dy.contiguous()?;
        let mut gradient = copied(Floats::of(&dy)?.get());
        for part in self.parts.iter().rev() {
            gradient = part.backward(gradient)?;
        }
        let dstart = hand_over(start, tensor(gradient, start)?)?;
        Ok((dstart, Some(tokens.zeros_like()?)))
    }
}
