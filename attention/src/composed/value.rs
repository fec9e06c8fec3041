//! The operations of `Expr` on numbers and tensors.
//!
//! Gradients are those of `expr::grad`: where an operation leaves its domain, or a pair is hidden, the argument is
//! replaced before the operation, so that 0 · ∞ never arises in the backward pass.

use crate::expr::{Binary, Unary};
use crate::{Error, Result, Tensor};

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

/// `yes` where `cond` is not 0, else `no`, with broadcasting.
pub(super) fn choose(cond: &Tensor, yes: &Tensor, no: &Value) -> Result<Tensor> {
    let no = match no {
        Value::Tensor(no) => no.clone(),
        Value::Number(x) => {
            let rank = yes.rank();
            Tensor::from_numbers(&[*x], &vec![1; rank], yes.dtype(), &yes.device())?
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
        // candle gives |x| the slope 1 at 0.
        Unary::Abs => match guarded {
            true => x.mul(&x.detach().sign()?)?,
            false => x.abs()?,
        },
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
    Tensor::from_numbers(&[value], &vec![1; x.rank()], x.dtype(), &x.device())
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
    use Value::Number;
    if let (Number(x), Number(y)) = (&x, &y) {
        return Ok(Number(op.apply(*x, *y)));
    }
    let product = |c: f64| c.is_finite().then_some((c, 0.0));
    Ok(Value::Tensor(match op {
        Binary::Add => Pair(x, y).by(
            |c| Some((1.0, c)),
            |c| Some((1.0, c)),
            Tensor::broadcast_add,
        )?,
        Binary::Sub => Pair(x, y).by(
            |c| Some((1.0, -c)),
            |c| Some((-1.0, c)),
            Tensor::broadcast_sub,
        )?,
        Binary::Mul => Pair(x, y).by(product, product, Tensor::broadcast_mul)?,
        Binary::Div => Pair(x, y).by(reciprocal, |_| None, |x, y| divide(x, y, live))?,
        Binary::Min => Pair(x, y).whole(|x, y| smaller(x, y, second))?,
        Binary::Max => Pair(x, y).whole(|x, y| larger(x, y, second))?,
        Binary::Pow => raised(x, y, live)?,
    }))
}

/// Two operands, one of which is a tensor.
struct Pair(Value, Value);

impl Pair {
    /// Where one side is a number c: factor of the other and what is added to it, if it is that simple; else `whole`.
    fn by(
        self,
        right: impl Fn(f64) -> Option<(f64, f64)>,
        left: impl Fn(f64) -> Option<(f64, f64)>,
        whole: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let simple = match (&self.0, &self.1) {
            (Value::Tensor(x), Value::Number(c)) => right(*c).map(|by| (x, by)),
            (Value::Number(c), Value::Tensor(y)) => left(*c).map(|by| (y, by)),
            _ => None,
        };
        match simple {
            Some((x, (factor, term))) => x.affine(factor, term),
            None => self.whole(whole),
        }
    }

    /// With numbers as tensors.
    fn whole(self, whole: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let tensor = |value: &Value, like: &Value| match (value, like) {
            (Value::Tensor(x), _) => Ok(x.clone()),
            (Value::Number(c), Value::Tensor(like)) => full_like(like, *c),
            (Value::Number(_), Value::Number(_)) => Err(Error::expr("two numbers stay a number")),
        };
        whole(&tensor(&self.0, &self.1)?, &tensor(&self.1, &self.0)?)
    }
}

fn reciprocal(c: f64) -> Option<(f64, f64)> {
    (c != 0.0).then_some((1.0 / c, 0.0))
}

fn smaller(x: &Tensor, y: &Tensor, second: bool) -> Result<Tensor> {
    match second {
        true => choose(&x.broadcast_le(y)?, x, &Value::Tensor(y.clone())),
        false => choose(&y.broadcast_lt(x)?, y, &Value::Tensor(x.clone())),
    }
}

fn larger(x: &Tensor, y: &Tensor, second: bool) -> Result<Tensor> {
    match second {
        true => choose(&x.broadcast_ge(y)?, x, &Value::Tensor(y.clone())),
        false => choose(&y.broadcast_gt(x)?, y, &Value::Tensor(x.clone())),
    }
}

/// x^y by its own operation where y is a number.
fn raised(x: Value, y: Value, live: Option<&Tensor>) -> Result<Tensor> {
    match (x, y) {
        (Value::Tensor(x), Value::Number(c)) => power(&x, live, &|x| x.powf(c)),
        (x, y) => Pair(x, y).whole(|x, y| power(x, live, &|x| x.log()?.broadcast_mul(y)?.exp())),
    }
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
