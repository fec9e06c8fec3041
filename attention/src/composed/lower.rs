//! `Expr` to tensor operations by broadcasting over (batch, heads, queries, keys).
//!
//! What no learned parameter enters is computed on the host in f64; what depends on q − k only is computed once per
//! distance and spread.

use super::value::{Value, binary, choose, unary, where_live};
use crate::expr::{Env, Expr, Side, TokenValues, Unary};
use crate::mask::Mask;
use crate::params::Params;
use crate::score::{self, axis, reads_content, reads_learned};
use crate::tables::Tables;
use crate::{DType, Device, Error, Result, Tensor};
use std::ops::Range;

/// The pairs that an expression is evaluated on.
pub(super) struct Grid<'a> {
    tables: &'a Tables,
    params: &'a Params,
    queries: Axis,
    keys: Axis,
    dtype: DType,
    /// Raw scores by turn; `None` where the plan's score does not name one.
    pub(super) raws: Vec<Option<Tensor>>,
    /// 1 where a pair is visible: (1, queries, keys); `None` if all are.
    visible: Option<Tensor>,
    /// All distances that a visible pair may have; `None` on a grid of distances.
    distances: Option<Range<i64>>,
}

/// Coordinates along one axis of the grid.
#[derive(Clone, Debug)]
enum Axis {
    /// Positions of these tokens.
    Tokens(Range<usize>),
    /// q − k on the key axis, with k = 0.
    Distances(Range<i64>),
    Zero,
}

impl<'a> Grid<'a> {
    pub(super) fn new(
        (tables, params): (&'a Tables, &'a Params),
        queries: Range<usize>,
        keys: Range<usize>,
        dtype: DType,
        mask: Option<&Mask>,
    ) -> Result<Grid<'a>> {
        let device = tables.device();
        let visible = match mask {
            None => None,
            Some(mask) => {
                let pairs = queries
                    .clone()
                    .flat_map(|i| keys.clone().map(move |j| (i, j)));
                let seen = pairs.map(|(i, j)| u8::from(mask.sees(i, j))).collect();
                Some(Tensor::from_vec(
                    seen,
                    (1, queries.len(), keys.len()),
                    device,
                )?)
            }
        };
        let causal = mask.is_some_and(|mask| mask.causal);
        let end = queries.end as i64 - keys.start as i64;
        let start = queries.start as i64 - (keys.end as i64 - 1);
        let distances = match tables.is_regular() {
            false => None,
            true if causal => Some(start.max(0)..end.max(1)),
            true => Some(start..end),
        };
        Ok(Grid {
            tables,
            params,
            queries: Axis::Tokens(queries),
            keys: Axis::Tokens(keys),
            dtype,
            raws: Vec::new(),
            visible,
            distances,
        })
    }

    /// The same call on one row of distances.
    fn of_distances(&self, distances: Range<i64>) -> Grid<'a> {
        Grid {
            tables: self.tables,
            params: self.params,
            queries: Axis::Distances(distances),
            keys: Axis::Zero,
            dtype: self.dtype,
            raws: Vec::new(),
            visible: None,
            distances: None,
        }
    }

    pub(super) fn visible(&self) -> Option<&Tensor> {
        self.visible.as_ref()
    }

    /// `value` as a tensor.
    pub(super) fn full(&self, value: Value) -> Result<Tensor> {
        match value {
            Value::Tensor(tensor) => Ok(tensor),
            Value::Number(x) => Tensor::from_numbers(&[x], &[1, 1, 1], self.dtype, self.device()),
        }
    }

    pub(super) fn lower(&self, expr: &Expr) -> Result<Value> {
        self.part(expr, self.visible.as_ref())
    }

    fn device(&self) -> &Device {
        self.tables.device()
    }

    /// `live` is 1 where the value is used.
    fn part(&self, expr: &Expr, live: Option<&Tensor>) -> Result<Value> {
        if let Some(value) = self.shortcut(expr, live)? {
            return Ok(value);
        }
        match expr {
            Expr::Number(x) => Ok(Value::Number(*x)),
            Expr::Raw(turn) => match self.raws.get(*turn) {
                Some(Some(raw)) => Ok(Value::Tensor(raw.clone())),
                _ => Err(Error::expr(format!("raw score {turn} is not at hand"))),
            },
            Expr::Query | Expr::Key | Expr::Reach => self.host(expr, live),
            Expr::Param(name) => {
                let tensor = self.param(name)?;
                Ok(Value::Tensor(tensor.reshape((
                    tensor.elem_count(),
                    1,
                    1,
                ))?))
            }
            Expr::Lookup {
                table,
                per_head,
                index,
            } => {
                let row = (**index).clone().unary(Unary::Floor);
                self.lookup(&self.param(table)?, *per_head, self.part(&row, live)?)
            }
            Expr::Token(name, side) => self.token(name, *side),
            Expr::Net { name, input } => self.network(name, self.part(input, live)?),
            Expr::Unary(op, x) => unary(*op, self.part(x, live)?, live),
            Expr::Binary(op, x, y) => {
                let (a, b) = (self.part(x, live)?, self.part(y, live)?);
                binary(*op, a, b, y.has_raw() && !x.has_raw(), live)
            }
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let (a, b) = (self.part(a, live)?, self.part(b, live)?);
                let less = self.full(a)?.broadcast_lt(&self.full(b)?)?;
                let both = |x: &Tensor| match live {
                    None => Ok(x.clone()),
                    Some(live) => live.broadcast_mul(x),
                };
                let not = less.eq(0.0)?;
                let then = self.full(self.part(then, Some(&both(&less)?))?)?;
                let otherwise = self.part(otherwise, Some(&both(&not)?))?;
                Ok(Value::Tensor(choose(&less, &then, &otherwise)?))
            }
        }
    }

    /// On the host if nothing learned enters; by distance if that is cheaper.
    fn shortcut(&self, expr: &Expr, live: Option<&Tensor>) -> Result<Option<Value>> {
        if matches!(expr, Expr::Number(_)) || reads_content(expr) {
            return Ok(None);
        }
        let constant = !reads_learned(expr, self.tables.constants());
        let along = axis(expr, true);
        let both = matches!(along, None | Some(score::Axis::Distance));
        if constant && (!both || self.distances.is_none()) {
            return self.host(expr, live).map(Some);
        }
        let Some(distances) = &self.distances else {
            return Ok(None);
        };
        // A difference of positions is made faster than it is spread.
        let cheap = *expr == Expr::Query - Expr::Key;
        if cheap || along != Some(score::Axis::Distance) {
            return Ok(None);
        }
        let row = self.of_distances(distances.clone());
        let row = row.full(row.part(expr, None)?)?;
        let (heads, len, _) = row.dims3()?;
        if len == 1 {
            return Ok(Some(Value::Tensor(row)));
        }
        let (queries, keys) = (self.queries.len(), self.keys.len());
        let places = self.places(distances.start)?;
        let spread = row.reshape((heads, len))?.index_select(&places, 1)?;
        Ok(Some(Value::Tensor(spread.reshape((heads, queries, keys))?)))
    }

    /// Place of each pair's distance, counted from `first`. Smaller ones are hidden and share its place.
    fn places(&self, first: i64) -> Result<Tensor> {
        let mut places = Vec::with_capacity(self.queries.len() * self.keys.len());
        for i in 0..self.queries.len() {
            let distance = |j| (self.at(&self.queries, i) - self.at(&self.keys, j)) as i64;
            places.extend((0..self.keys.len()).map(|j| (distance(j) - first).max(0) as u32));
        }
        let count = places.len();
        Tensor::from_vec(places, count, self.device())
    }

    /// Evaluates an expression that only constants enter, in f64, over the axes that it reads.
    fn host(&self, expr: &Expr, live: Option<&Tensor>) -> Result<Value> {
        let tables = self.tables;
        let heads = if expr.depends_on_head() {
            tables.geometry().heads
        } else {
            1
        };
        let along = |axis: &Axis, atom: Expr| {
            if expr.any(&|part| *part == atom) {
                axis.clone()
            } else {
                Axis::Zero
            }
        };
        let (queries, keys) = (
            along(&self.queries, Expr::Query),
            along(&self.keys, Expr::Key),
        );
        let tokens = TokenValues::new();
        let mut values = Vec::with_capacity(heads * queries.len() * keys.len());
        for head in 0..heads {
            for i in 0..queries.len() {
                for j in 0..keys.len() {
                    let env = Env {
                        i: self.at(&queries, i),
                        j: self.at(&keys, j),
                        n: tables.context_len(),
                        head,
                        heads: tables.geometry().heads,
                        raw: &[],
                        params: tables.constants(),
                        tokens: &tokens,
                    };
                    values.push(expr.eval(&env)?);
                }
            }
        }
        if let [one] = values.as_slice() {
            return Ok(Value::Number(*one));
        }
        let shape = [heads, queries.len(), keys.len()];
        let value = Tensor::from_numbers(&values, &shape, self.dtype, self.device())?;
        // What stands at a pair out of use (say ln of a negative distance) has no effect on the
        // value, but infinite or NaN it would spoil the gradient of what it is multiplied with.
        let calm = values.iter().all(|x| x.is_finite());
        Ok(Value::Tensor(if calm {
            value
        } else {
            where_live(live, value)?
        }))
    }

    /// Coordinate of a place of an axis.
    fn at(&self, axis: &Axis, place: usize) -> f64 {
        match axis {
            Axis::Tokens(range) => self.tables.position(range.start + place),
            Axis::Distances(range) => (range.start + place as i64) as f64,
            Axis::Zero => 0.0,
        }
    }

    /// A parameter in the compute type, learned or not.
    fn param(&self, name: &str) -> Result<Tensor> {
        if let Some(tensor) = self.params.get(name) {
            return tensor.to_dtype(self.dtype);
        }
        let tables = self.tables;
        let spec = tables.plan().param(name);
        match (spec, tables.constants().get(name)) {
            (Some(spec), Some(values)) => {
                Tensor::from_numbers(values, &spec.shape, self.dtype, self.device())
            }
            _ => Err(Error::expr(format!("no parameter {name:?}"))),
        }
    }

    /// A token vector along its axis of the grid: (batch, heads, queries, 1) or (batch, heads, 1, keys).
    fn token(&self, name: &str, side: Side) -> Result<Value> {
        let name = format!("{name}@{side}");
        let Some(vector) = self.params.get(&name) else {
            return Err(Error::expr(format!("token vector {name} is not given")));
        };
        let (axis, first, unit) = match side {
            Side::Query => (&self.queries, self.tables.queries().start, 3),
            Side::Key => (&self.keys, self.tables.keys().start, 2),
        };
        let Axis::Tokens(range) = axis else {
            return Err(Error::expr(format!(
                "token vector {name} is not read by distance"
            )));
        };
        let part = vector.narrow(2, range.start - first, range.len())?;
        Ok(Value::Tensor(part.to_dtype(self.dtype)?.unsqueeze(unit)?))
    }

    fn lookup(&self, table: &Tensor, per_head: bool, row: Value) -> Result<Value> {
        let rows = table.dim(table.rank() - 1)?;
        let row = self
            .full(row)?
            .detach()
            .maximum(0.0)?
            .minimum((rows - 1) as f64)?;
        let heads = self.tables.geometry().heads;
        if !per_head {
            let places = row.to_dtype(DType::U32)?.reshape(row.elem_count())?;
            let found = table.index_select(&places, 0)?.reshape(row.dims())?;
            return Ok(Value::Tensor(found));
        }
        if row.rank() == 3 && row.dim(0)? == 1 {
            let (_, queries, keys) = row.dims3()?;
            let places = row.to_dtype(DType::U32)?.reshape(queries * keys)?;
            let found = table
                .index_select(&places, 1)?
                .reshape((heads, queries, keys))?;
            return Ok(Value::Tensor(found));
        }
        let starts: Vec<f64> = (0..heads).map(|head| (head * rows) as f64).collect();
        let starts = Tensor::from_numbers(&starts, &[heads, 1, 1], self.dtype, self.device())?;
        let places = row.broadcast_add(&starts)?.to_dtype(DType::U32)?;
        let flat = table.reshape(heads * rows)?;
        let found = flat.index_select(&places.reshape(places.elem_count())?, 0)?;
        Ok(Value::Tensor(found.reshape(places.dims())?))
    }

    fn network(&self, name: &str, input: Value) -> Result<Value> {
        let [w1, b1, w2, b2] =
            ["w1", "b1", "w2", "b2"].map(|part| self.param(&format!("{name}.{part}")));
        let (w1, b1, w2, b2) = (w1?, b1?, w2?, b2?);
        let (heads, hidden) = w2.dims2()?;
        let x = self.full(input)?;
        let mut shape = x.dims().to_vec();
        let flat = x.reshape((x.elem_count(), 1))?;
        let before = flat
            .broadcast_mul(&w1.reshape((1, hidden))?)?
            .broadcast_add(&b1.reshape((1, hidden))?)?;
        let positive = before.gt(0.0)?;
        let after = choose(&positive, &before, &Value::Number(0.0))?;
        let per_head = shape.len() == 4 || shape[0] != 1;
        let output = if per_head {
            // Each place has its own head already: only that head's output is wanted.
            shape.push(hidden);
            let rank = shape.len();
            let mut own = vec![1; rank];
            (own[rank - 4], own[rank - 1]) = (heads, hidden);
            let products = after
                .reshape(shape.as_slice())?
                .broadcast_mul(&w2.reshape(own)?)?;
            products.sum_keepdim(rank - 1)?.squeeze(rank - 1)?
        } else {
            let (_, queries, keys) = x.dims3()?;
            after
                .matmul(&w2.t()?)?
                .t()?
                .contiguous()?
                .reshape((heads, queries, keys))?
        };
        Ok(Value::Tensor(
            output.broadcast_add(&b2.reshape((heads, 1, 1))?)?,
        ))
    }
}

impl Axis {
    fn len(&self) -> usize {
        match self {
            Axis::Tokens(range) => range.len(),
            Axis::Distances(range) => (range.end - range.start).max(0) as usize,
            Axis::Zero => 1,
        }
    }
}
