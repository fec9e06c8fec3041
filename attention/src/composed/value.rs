//! The operations of `Expr` on numbers and tensors.
//!
//! Gradients are those of `expr::grad`: where an operation leaves its domain, or a pair is hidden, the argument is
//! replaced before the operation, so that 0 · ∞ never arises in the backward pass.

use crate::expr::{Binary, Unary};
use crate::{DType, Device, Error, Result, Tensor};

/// A number, or a tensor of rank 3 (heads, queries, keys) or 4 (batch before these), each axis 1 where all share.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Number(f64),
    Tensor(Tensor),
}

impl Value {
    /// The product with a tensor of scores or queries.
    pub(super) fn multiply(&self, by: &Tensor) -> Result<Tensor> {
        match self {
            Value::Number(x) => by.affine(*x, 0.0),
            Value::Tensor(x) => by.broadcast_mul(x),
        }
    }
}

/// `values` in another float type, cast last.
pub(crate) fn tensor(
    values: &[f64],
    shape: &[usize],
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    match dtype {
        DType::F64 => Tensor::from_vec(values.to_vec(), shape, device),
        _ => {
            let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
            Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
        }
    }
}

/// `yes` where `cond` is not 0, else `no`, with broadcasting.
pub(super) fn choose(cond: &Tensor, yes: &Tensor, no: &Value) -> Result<Tensor> {
    let no = match no {
        Value::Tensor(no) => no.clone(),
        Value::Number(x) => {
            let rank = yes.rank();
            tensor(&[*x], &vec![1; rank], yes.dtype(), &yes.device())?
        }
    };
    let mut shape = cond.shape().clone();
    for other in [yes, &no] {
        shape = shape.broadcast_shape_binary_op(other.shape(), "select")?;
    }
    cond.broadcast_as(&shape)?
        .where_cond(&yes.broadcast_as(&shape)?, &no.broadcast_as(&shape)?)
}

pub(super) fn unary(op: Unary, x: Value, live: Option<&Tensor>) -> Result<Value> {
    let x = match x {
        Value::Number(x) => return Ok(Value::Number(op.apply(x))),
        Value::Tensor(x) => x,
    };
    let guarded = x.tracked();
    Ok(Value::Tensor(match op {
        Unary::Neg => x.neg()?,
        Unary::Abs if guarded => {
            // candle gives |x| the slope 1 at 0.
            x.mul(&x.detach().sign()?)?
        }
        Unary::Abs => x.abs()?,
        Unary::Exp => match live {
            // Behind the mask an exponential may overflow.
            Some(live) if guarded => choose(live, &x, &Value::Number(0.0))?.exp()?,
            _ => x.exp()?,
        },
        Unary::Ln => inside(&x, 0.0, live, &|x| x.log())?,
        Unary::Log1p => inside(&x, -1.0, live, &log1p)?,
        Unary::Sqrt => inside(&x, 0.0, live, &|x| x.sqrt())?,
        Unary::Tanh => x.tanh()?,
        Unary::Floor => x.detach().floor()?,
        Unary::Cos => x.cos()?,
    }))
}

/// `op(x)`, whose derivative is 0 for x at or below `edge`.
fn inside(
    x: &Tensor,
    edge: f64,
    live: Option<&Tensor>,
    op: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    if !x.tracked() {
        // Outside of its domain at a pair out of use it would spoil the gradient of what it is multiplied with.
        return where_live(live, op(x)?);
    }
    let outside = below(x, edge)?;
    let safe = choose(
        &outside,
        &full_like(x, edge + 1.0)?,
        &Value::Tensor(x.clone()),
    )?;
    let value = choose(&outside, &op(&x.detach())?, &Value::Tensor(op(&safe)?))?;
    where_live(live, value)
}

/// `value` where it is used, 0 elsewhere.
pub(super) fn where_live(live: Option<&Tensor>, value: Tensor) -> Result<Tensor> {
    match live {
        Some(live) => choose(live, &value, &Value::Number(0.0)),
        None => Ok(value),
    }
}

/// 1 where x ≤ edge; 0 for NaN.
fn below(x: &Tensor, edge: f64) -> Result<Tensor> {
    x.le(edge)
}

fn full_like(x: &Tensor, value: f64) -> Result<Tensor> {
    tensor(&[value], &vec![1; x.rank()], x.dtype(), &x.device())
}

/// ln(1 + x), which keeps the digits of a small x.
fn log1p(x: &Tensor) -> Result<Tensor> {
    let u = x.affine(1.0, 1.0)?;
    let u_fixed = u.detach();
    // What rounding 1 + x lost, as a constant: the derivative of ln(u) is right already.
    let lost = x.detach().sub(&u_fixed.affine(1.0, -1.0)?)?.div(&u_fixed)?;
    u.log()?.add(&lost)
}

/// `second` tells that only y depends on a raw score: the comparison is then written so that its NaN gets through.
pub(super) fn binary(
    op: Binary,
    x: Value,
    y: Value,
    second: bool,
    live: Option<&Tensor>,
) -> Result<Value> {
    use Value::{Number, Tensor as T};
    Ok(T(match (op, x, y) {
        (op, Number(x), Number(y)) => return Ok(Number(op.apply(x, y))),
        (Binary::Add, T(x), Number(c)) | (Binary::Add, Number(c), T(x)) => x.affine(1.0, c)?,
        (Binary::Sub, T(x), Number(c)) => x.affine(1.0, -c)?,
        (Binary::Sub, Number(c), T(x)) => x.affine(-1.0, c)?,
        (Binary::Mul, T(x), Number(c)) | (Binary::Mul, Number(c), T(x)) if c.is_finite() => {
            x.affine(c, 0.0)?
        }
        (Binary::Div, T(x), Number(c)) if c != 0.0 => x.affine(1.0 / c, 0.0)?,
        (Binary::Pow, T(x), Number(c)) => power(&x, live, &|x| x.powf(c))?,
        (op, x, y) => {
            let like = match (&x, &y) {
                (T(x), _) => x.clone(),
                (_, T(y)) => y.clone(),
                (Number(_), Number(_)) => return Err(Error::expr("two numbers stay a number")),
            };
            let tensor = |value: Value| match value {
                Number(c) => full_like(&like, c),
                T(x) => Ok(x),
            };
            let (x, y) = (tensor(x)?, tensor(y)?);
            match op {
                Binary::Add => x.broadcast_add(&y)?,
                Binary::Sub => x.broadcast_sub(&y)?,
                Binary::Mul => x.broadcast_mul(&y)?,
                Binary::Div => divide(&x, &y, live)?,
                Binary::Min if second => choose(&x.broadcast_le(&y)?, &x, &T(y))?,
                Binary::Min => choose(&y.broadcast_lt(&x)?, &y, &T(x))?,
                Binary::Max if second => choose(&x.broadcast_ge(&y)?, &x, &T(y))?,
                Binary::Max => choose(&y.broadcast_gt(&x)?, &y, &T(x))?,
                Binary::Pow => power(&x, live, &|x| x.log()?.broadcast_mul(&y)?.exp())?,
            }
        }
    }))
}

/// x / y, whose derivatives are 0 where y is 0.
fn divide(x: &Tensor, y: &Tensor, live: Option<&Tensor>) -> Result<Tensor> {
    if !x.tracked() && !y.tracked() {
        return x.broadcast_div(y);
    }
    let pole = y.eq(0.0)?;
    let safe = choose(&pole, &full_like(y, 1.0)?, &Value::Tensor(y.clone()))?;
    let at_pole = x.detach().broadcast_div(&y.detach())?;
    where_live(
        live,
        choose(&pole, &at_pole, &Value::Tensor(x.broadcast_div(&safe)?))?,
    )
}

/// A power of x that is 0 with all its derivatives for x ≤ 0.
fn power(
    x: &Tensor,
    live: Option<&Tensor>,
    op: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut outside = below(x, 0.0)?;
    if let Some(live) = live {
        // Behind the mask a negative power may overflow.
        outside = outside.broadcast_maximum(&live.eq(0.0)?)?;
    }
    let safe = choose(&outside, &full_like(x, 1.0)?, &Value::Tensor(x.clone()))?;
    choose(&outside, &full_like(x, 0.0)?, &Value::Tensor(op(&safe)?))
}
