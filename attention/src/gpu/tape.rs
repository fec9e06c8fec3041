//! Gradients: every result remembers how it was made, and a pass from the last to the first applies the chain rule.
//!
//! The rules are candle's, ties and corners included, so that a model trains alike on both engines.

mod ops;

use super::array::Array;
use super::context::Context;
use super::kernels::Fold;
use super::kind::Kind;
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An array with the history needed to differentiate it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traced {
    array: Array,
    node: Option<Arc<Node>>,
}

/// How a result was made. Numbers grow with time, so that a result has a larger one than what it was made from.
#[derive(Debug)]
struct Node {
    number: u64,
    dims: Vec<usize>,
    op: Op,
}

/// The operations that gradients flow back through.
#[derive(Debug)]
enum Op {
    /// A variable.
    Leaf,
    /// A formula of the elements of inputs of one shape; per input the formula of its gradient from `g`, if it has one.
    Map {
        inputs: Vec<Traced>,
        numbers: Vec<f64>,
        slopes: Vec<Option<&'static str>>,
    },
    Matmul(Traced, Traced),
    Reshape(Traced),
    Transpose(Traced, usize, usize),
    Narrow(Traced, usize, usize),
    Broadcast(Traced),
    Cat(Vec<Traced>, usize),
    Sum(Traced),
    Max(Traced, Array),
    Cumsum(Traced, usize),
    Select {
        x: Traced,
        ids: Array,
        axis: usize,
        each: bool,
    },
    /// Made by a kernel that brings its own chain rule.
    Custom(Vec<Traced>, Box<dyn Backward>),
}

/// The chain rule of a kernel of its own.
pub(crate) trait Backward: std::fmt::Debug + Send + Sync {
    /// From the gradient of the result to those of the inputs, in their order; `None` where there is none.
    fn backward(&self, gradient: &Array) -> Result<Vec<Option<Array>>>;
}

/// Gradients by variable.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<u64, Array>);

impl Gradients {
    /// The gradient of the variable `leaf`; `None` if the result does not depend on it.
    pub fn get(&self, leaf: &Traced) -> Option<&Array> {
        self.0.get(&leaf.node.as_ref()?.number)
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Traced {
    /// A constant.
    pub fn constant(array: Array) -> Traced {
        Traced { array, node: None }
    }

    /// A variable: gradients arrive at it. It takes memory of its own, which [`assign`](Traced::assign) overwrites.
    pub fn variable(array: &Array) -> Result<Traced> {
        let own = Array::map(&[array], array.kind(), "a", &[])?;
        let number = next_number();
        let dims = own.dims().to_vec();
        let op = Op::Leaf;
        Ok(Traced {
            array: own,
            node: Some(Arc::new(Node { number, dims, op })),
        })
    }

    /// Overwrites the values; same shape and type.
    pub fn assign(&self, values: &Array) -> Result<()> {
        if self.array.dims() != values.dims() {
            let expected = format!("{:?}", self.array.dims());
            return Err(Error::shape("assign", expected, values.dims()));
        }
        self.array.overwrite(values)
    }

    /// The values.
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// Sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        self.array.dims()
    }

    /// Whether a gradient can flow back from it to a variable.
    pub fn tracked(&self) -> bool {
        self.node.is_some()
    }

    /// The same values without history.
    pub fn detach(&self) -> Traced {
        Traced::constant(self.array.clone())
    }

    /// A result; remembers `op` only if a gradient can flow through it.
    fn made(array: Array, inputs: &[&Traced], op: impl FnOnce() -> Op) -> Traced {
        let tracked = inputs.iter().any(|input| input.tracked());
        let node = tracked.then(|| {
            let dims = array.dims().to_vec();
            let (number, op) = (next_number(), op());
            Arc::new(Node { number, dims, op })
        });
        Traced { array, node }
    }

    /// The result of a kernel of its own.
    pub(crate) fn custom(array: Array, inputs: Vec<Traced>, rule: Box<dyn Backward>) -> Traced {
        let all: Vec<Traced> = inputs.clone();
        let all: Vec<&Traced> = all.iter().collect();
        Traced::made(array, &all, || Op::Custom(inputs, rule))
    }

    /// Derivatives of the sum of all elements with respect to every variable that it was made from.
    pub fn backward(&self) -> Result<Gradients> {
        let mut found = Gradients::default();
        let mut waiting: BTreeMap<u64, (Arc<Node>, Array)> = BTreeMap::new();
        if let Some(node) = &self.node {
            let ones = Array::full(self.array.context(), 1.0, &node.dims)?;
            waiting.insert(node.number, (node.clone(), ones));
        }
        // Whatever depends on a result has a larger number: when its turn comes its gradient is whole.
        while let Some((number, (node, gradient))) = waiting.pop_last() {
            if let Op::Leaf = node.op {
                found.0.insert(number, gradient);
                continue;
            }
            node.op.backward(&gradient, &mut |input, amount| {
                let Some(node) = &input.node else {
                    return Ok(());
                };
                let sum = match waiting.remove(&node.number) {
                    None => amount,
                    Some((_, before)) => before.pair(&amount, Kind::F32, "a + b")?,
                };
                waiting.insert(node.number, (node.clone(), sum));
                Ok(())
            })?;
        }
        Ok(found)
    }
}

/// Takes in what a gradient says about one input.
type Give<'a> = dyn FnMut(&Traced, Array) -> Result<()> + 'a;

impl Op {
    fn backward(&self, g: &Array, give: &mut Give<'_>) -> Result<()> {
        match self {
            Op::Leaf => Ok(()),
            Op::Map {
                inputs,
                numbers,
                slopes,
            } => map_backward(inputs, numbers, slopes, g, give),
            Op::Matmul(a, b) => {
                let last = g.dims().len() - 1;
                if a.tracked() {
                    let turned = b.array.transpose(last - 1, last)?;
                    give(a, g.matmul(&turned)?)?;
                }
                if b.tracked() {
                    let turned = a.array.transpose(last - 1, last)?;
                    give(b, turned.matmul(g)?)?;
                }
                Ok(())
            }
            Op::Reshape(x) => give(x, g.reshape(x.dims())?),
            Op::Transpose(x, a, b) => give(x, g.transpose(*a, *b)?),
            Op::Narrow(x, axis, start) => give(x, g.pad(*axis, *start, x.dims())?),
            Op::Broadcast(x) => give(x, g.sum_to(x.dims())?),
            Op::Cat(parts, axis) => {
                let mut start = 0;
                for part in parts {
                    let len = part.dims()[*axis];
                    give(part, g.narrow(*axis, start, len)?)?;
                    start += len;
                }
                Ok(())
            }
            Op::Sum(x) => give(x, g.broadcast_as(x.dims())?),
            Op::Max(x, largest) => {
                let (largest, g) = (largest.broadcast_as(x.dims())?, g.broadcast_as(x.dims())?);
                let inputs = [&x.array, &largest, &g];
                give(
                    x,
                    Array::map(&inputs, Kind::F32, "select(0.0, g, a == b)", &[])?,
                )
            }
            Op::Cumsum(x, axis) => give(x, g.cumsum(*axis, true)?),
            Op::Select { x, ids, axis, each } => give(x, g.scatter(ids, *axis, *each, x.dims())?),
            Op::Custom(inputs, rule) => {
                for (input, gradient) in inputs.iter().zip(rule.backward(g)?) {
                    if let Some(gradient) = gradient {
                        give(input, gradient)?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn map_backward(
    inputs: &[Traced],
    numbers: &[f64],
    slopes: &[Option<&'static str>],
    g: &Array,
    give: &mut Give<'_>,
) -> Result<()> {
    for (input, slope) in inputs.iter().zip(slopes) {
        let (true, Some(slope)) = (input.tracked(), slope) else {
            continue;
        };
        if *slope == "g" {
            give(input, g.clone())?;
            continue;
        }
        let mut arrays: Vec<&Array> = inputs.iter().map(|input| &input.array).collect();
        arrays.push(g);
        give(input, Array::map(&arrays, Kind::F32, slope, numbers)?)?;
    }
    Ok(())
}
