//! The operations, each with the formula of its gradient beside it.

use super::{Array, Context, Fold, Kind, Op, Traced};
use crate::{Error, Result};

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident, $formula:literal, $slope:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> Result<Traced> {
            self.unary($formula, Some($slope), &[])
        }
    )*};
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident, $formula:literal, $left:literal, $right:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, other: &Traced) -> Result<Traced> {
            self.binary(other, $formula, $left, $right)
        }
    )*};
}

macro_rules! comparison {
    ($($(#[$doc:meta])* $name:ident, $sign:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, other: &Traced) -> Result<Traced> {
            let formula = concat!("select(0u, 1u, a ", $sign, " b)");
            let array = self.array.pair(&other.array, Kind::U32, formula)?;
            Ok(Traced::constant(array))
        }
    )*};
}

/// Element by element.
impl Traced {
    fn unary(&self, formula: &str, slope: Option<&'static str>, numbers: &[f64]) -> Result<Traced> {
        let array = Array::map(&[&self.array], Kind::F32, formula, numbers)?;
        if slope.is_none() {
            return Ok(Traced::constant(array));
        }
        Ok(Traced::made(array, &[self], || Op::Map {
            inputs: vec![self.clone()],
            numbers: numbers.to_vec(),
            slopes: vec![slope],
        }))
    }

    fn binary(
        &self,
        other: &Traced,
        formula: &str,
        left: &'static str,
        right: &'static str,
    ) -> Result<Traced> {
        let dims = Array::common(self.dims(), other.dims())?;
        let (a, b) = (self.broadcast_as(&dims)?, other.broadcast_as(&dims)?);
        let array = Array::map(&[&a.array, &b.array], self.array.kind(), formula, &[])?;
        Ok(Traced::made(array, &[self, other], || Op::Map {
            inputs: vec![a, b],
            numbers: Vec::new(),
            slopes: vec![Some(left), Some(right)],
        }))
    }

    binary! {
        /// Sum with broadcasting.
        add, "a + b", "g", "g";
        /// Difference with broadcasting.
        sub, "a - b", "g", "-g";
        /// Product with broadcasting.
        mul, "a * b", "g * b", "g * a";
        /// Quotient with broadcasting.
        div, "a / b", "g / b", "-g * a / (b * b)";
        /// Larger of the two, with broadcasting; on a tie each side gets half of the gradient.
        maximum, "max(a, b)",
            "g * select(select(0.0, 0.5, a == b), 1.0, a > b)",
            "g * select(select(0.0, 0.5, a == b), 1.0, a < b)";
        /// Smaller of the two, with broadcasting; on a tie each side gets half of the gradient.
        minimum, "min(a, b)",
            "g * select(select(0.0, 0.5, a == b), 1.0, a < b)",
            "g * select(select(0.0, 0.5, a == b), 1.0, a > b)";
    }

    comparison! {
        /// 1 where less, with broadcasting.
        lt, "<";
        /// 1 where greater, with broadcasting.
        gt, ">";
        /// 1 where not greater, with broadcasting.
        le, "<=";
        /// 1 where not less, with broadcasting.
        ge, ">=";
        /// 1 where equal, with broadcasting.
        eq, "==";
    }

    unary! {
        /// −x
        neg, "-a", "-g";
        /// eˣ
        exp, "exp(a)", "g * exp(a)";
        /// ln x
        log, "log(a)", "g / a";
        /// x²
        sqr, "a * a", "2.0 * a * g";
        /// √x
        sqrt, "sqrt(a)", "0.5 * g / sqrt(a)";
        /// 1/x
        recip, "1.0 / a", "-g / (a * a)";
        /// tanh x
        tanh, "steady_tanh(a)", "g * (1.0 - steady_tanh(a) * steady_tanh(a))";
        /// x · σ(x)
        silu, "a * sigmoid(a)", "g * sigmoid(a) * (1.0 + a * (1.0 - sigmoid(a)))";
        /// max(x, 0); derivative 1 at 0
        relu, "max(a, 0.0)", "select(0.0, g, a >= 0.0)";
        /// GELU with the tanh approximation
        gelu, "0.5 * a * (1.0 + steady_tanh(gelu_inner(a)))", "g * gelu_slope(a)";
        /// GELU with the error function
        gelu_erf, "a * normal_share(a)", "g * (normal_share(a) + a * 0.3989422804 * exp(-0.5 * a * a))";
        /// |x|; derivative 1 at 0
        abs, "abs(a)", "select(-g, g, a >= 0.0)";
        /// sin x
        sin, "sin(a)", "g * cos(a)";
        /// cos x
        cos, "cos(a)", "-g * sin(a)";
    }

    /// −1, 0 or 1; no gradient.
    pub fn sign(&self) -> Result<Traced> {
        self.unary("sign(a)", None, &[])
    }

    /// Larger of x and a constant; on a tie half of the gradient.
    pub fn at_least(&self, low: f64) -> Result<Traced> {
        let slope = "g * select(select(0.0, 0.5, a == p(0u)), 1.0, a > p(0u))";
        self.unary("max(a, p(0u))", Some(slope), &[low])
    }

    /// Smaller of x and a constant; on a tie half of the gradient.
    pub fn at_most(&self, high: f64) -> Result<Traced> {
        let slope = "g * select(select(0.0, 0.5, a == p(0u)), 1.0, a < p(0u))";
        self.unary("min(a, p(0u))", Some(slope), &[high])
    }

    /// 1 where the comparison `sign` (of WGSL) with a constant holds.
    pub fn compare(&self, sign: &str, value: f64) -> Result<Traced> {
        let formula = format!("select(0u, 1u, f32(a) {sign} p(0u))");
        let array = Array::map(&[&self.array], Kind::U32, &formula, &[value])?;
        Ok(Traced::constant(array))
    }

    /// Largest integer not above x; no gradient.
    pub fn floor(&self) -> Result<Traced> {
        self.unary("floor(a)", None, &[])
    }

    /// `mul · x + add`
    pub fn affine(&self, mul: f64, add: f64) -> Result<Traced> {
        self.unary("p(0u) * a + p(1u)", Some("p(0u) * g"), &[mul, add])
    }

    /// x to a constant power.
    pub fn powf(&self, exponent: f64) -> Result<Traced> {
        let slope = "g * p(0u) * power(a, p(1u))";
        self.unary("power(a, p(0u))", Some(slope), &[exponent, exponent - 1.0])
    }

    /// f32 of whole numbers, and of conditions.
    pub fn to_real(&self) -> Result<Traced> {
        match self.array.kind() {
            Kind::F32 => Ok(self.clone()),
            Kind::U32 => self.unary("f32(a)", None, &[]),
        }
    }

    /// Whole parts as u32; no gradient.
    pub fn to_whole(&self) -> Result<Traced> {
        let array = Array::map(&[&self.array], Kind::U32, "u32(a)", &[])?;
        Ok(Traced::constant(array))
    }

    /// Where `self` (u32) is not zero, `yes`, else `no`. All three of one shape.
    pub fn where_cond(&self, yes: &Traced, no: &Traced) -> Result<Traced> {
        let inputs = [&self.array, &yes.array, &no.array];
        let array = Array::map(&inputs, yes.array.kind(), "select(c, b, a != 0u)", &[])?;
        Ok(Traced::made(array, &[yes, no], || Op::Map {
            inputs: vec![self.clone(), yes.clone(), no.clone()],
            numbers: Vec::new(),
            slopes: vec![
                None,
                Some("select(0.0, g, a != 0u)"),
                Some("select(g, 0.0, a != 0u)"),
            ],
        }))
    }
}

/// Shapes.
impl Traced {
    fn viewed(&self, array: Array, op: impl FnOnce(Traced) -> Op) -> Traced {
        Traced::made(array, &[self], || op(self.clone()))
    }

    /// The same elements in row-major order under another shape.
    pub fn reshape(&self, dims: &[usize]) -> Result<Traced> {
        Ok(self.viewed(self.array.reshape(dims)?, Op::Reshape))
    }

    /// Swaps two axes, without moving data.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Traced> {
        let array = self.array.transpose(a, b)?;
        Ok(self.viewed(array, |x| Op::Transpose(x, a, b)))
    }

    /// `len` elements of `axis` from `start`.
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Traced> {
        let array = self.array.narrow(axis, start, len)?;
        Ok(self.viewed(array, |x| Op::Narrow(x, axis, start)))
    }

    /// Repeats axes of size 1, and along new axes in front, without moving data.
    pub fn broadcast_as(&self, dims: &[usize]) -> Result<Traced> {
        if self.dims() == dims {
            return Ok(self.clone());
        }
        Ok(self.viewed(self.array.broadcast_as(dims)?, Op::Broadcast))
    }

    /// Row-major in memory; a copy only if it is not yet.
    pub fn contiguous(&self) -> Result<Traced> {
        let (array, node) = (self.array.packed()?, self.node.clone());
        Ok(Traced { array, node })
    }

    /// Inserts an axis of size 1.
    pub fn unsqueeze(&self, axis: usize) -> Result<Traced> {
        if axis > self.dims().len() {
            let expected = format!("{axis} axes or more");
            return Err(Error::shape("unsqueeze", expected, self.dims()));
        }
        Ok(self.viewed(self.array.unsqueeze(axis), Op::Reshape))
    }

    /// Removes an axis of size 1.
    pub fn squeeze(&self, axis: usize) -> Result<Traced> {
        if self.dims().get(axis) != Some(&1) {
            let expected = format!("one whose axis {axis} has size 1");
            return Err(Error::shape("squeeze", expected, self.dims()));
        }
        Ok(self.viewed(self.array.squeeze(axis), Op::Reshape))
    }

    /// Joins along `axis`.
    pub fn cat(parts: &[&Traced], axis: usize) -> Result<Traced> {
        let arrays: Vec<&Array> = parts.iter().map(|part| &part.array).collect();
        let array = Array::cat(&arrays, axis)?;
        let kept = || parts.iter().map(|part| (*part).clone()).collect();
        Ok(Traced::made(array, parts, || Op::Cat(kept(), axis)))
    }
}

/// Sums, products, choices.
impl Traced {
    /// Zeros, f32.
    pub fn zeros(context: &Context, dims: &[usize]) -> Result<Traced> {
        Array::full(context, 0.0, dims).map(Traced::constant)
    }

    /// Matrix product of the last two axes; the others must agree.
    pub fn matmul(&self, other: &Traced) -> Result<Traced> {
        let array = self.array.matmul(&other.array)?;
        let op = || Op::Matmul(self.clone(), other.clone());
        Ok(Traced::made(array, &[self, other], op))
    }

    /// Sum over one axis, which stays with size 1.
    pub fn sum_keepdim(&self, axis: usize) -> Result<Traced> {
        Ok(self.viewed(self.array.sum_keepdim(axis)?, Op::Sum))
    }

    /// Mean over one axis, which stays with size 1.
    pub fn mean_keepdim(&self, axis: usize) -> Result<Traced> {
        let sum = self.sum_keepdim(axis)?;
        sum.affine(1.0 / self.dims()[axis] as f64, 0.0)
    }

    /// Sum of all elements, a scalar.
    pub fn sum_all(&self) -> Result<Traced> {
        Ok(self.viewed(self.array.sum_all()?, Op::Sum))
    }

    /// Mean of all elements, a scalar.
    pub fn mean_all(&self) -> Result<Traced> {
        self.sum_all()?.affine(1.0 / self.array.count() as f64, 0.0)
    }

    /// Largest over one axis, which stays with size 1.
    pub fn max_keepdim(&self, axis: usize) -> Result<Traced> {
        let array = self.array.reduce(Fold::Max, axis)?;
        Ok(self.viewed(array.clone(), |x| Op::Max(x, array)))
    }

    /// Index (u32) of the largest over one axis, which goes.
    pub fn argmax(&self, axis: usize) -> Result<Traced> {
        Traced::constant(self.array.reduce(Fold::ArgMax, axis)?).squeeze(axis)
    }

    /// Sums so far along `axis`.
    pub fn cumsum(&self, axis: usize) -> Result<Traced> {
        let array = self.array.cumsum(axis, false)?;
        Ok(self.viewed(array, |x| Op::Cumsum(x, axis)))
    }

    /// Softmax over one axis.
    pub fn softmax(&self, axis: usize) -> Result<Traced> {
        // The shift by the maximum changes no value, so it takes no part in the gradient either.
        let weights = self.sub(&self.detach().max_keepdim(axis)?)?.exp()?;
        weights.div(&weights.sum_keepdim(axis)?)
    }

    /// ln Σ eˣ over one axis, which stays with size 1.
    pub fn log_sum_exp(&self, axis: usize) -> Result<Traced> {
        let largest = self.detach().max_keepdim(axis)?;
        let sum = self.sub(&largest)?.exp()?.sum_keepdim(axis)?;
        sum.log()?.add(&largest)
    }

    fn select(&self, ids: &Traced, axis: usize, each: bool) -> Result<Traced> {
        let array = self.array.select(&ids.array, axis, each)?;
        Ok(self.viewed(array, |x| Op::Select {
            x,
            ids: ids.array.clone(),
            axis,
            each,
        }))
    }

    /// Slices of `axis` at `ids` (u32 vector).
    pub fn index_select(&self, ids: &Traced, axis: usize) -> Result<Traced> {
        self.select(ids, axis, false)
    }

    /// One element along `axis` for each place of `ids` (u32, sizes as `self` but for `axis`).
    pub fn gather(&self, ids: &Traced, axis: usize) -> Result<Traced> {
        self.select(ids, axis, true)
    }
}
