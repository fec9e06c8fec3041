//! Arithmetic, reductions, and reading and adding at indices.

use super::{Array, GROUP, Kind, collapse, kernels};
use crate::gpu::driver::{Product, Side};
use crate::gpu::kernels::{Fold, PATCH, SERIAL, SIDE};
use crate::{Error, Result};

/// Both sides of products of matrices: (m, depth) by (depth, n).
struct Factors {
    /// Of the result.
    dims: Vec<usize>,
    batch: usize,
    m: usize,
    depth: usize,
    n: usize,
    a: Array,
    a_batch: usize,
    b: Array,
    b_batch: usize,
}

impl Factors {
    /// Into `y`, by a kernel.
    fn run(&self, y: &Array, apart: bool) -> Result<()> {
        let (batch, m, n) = (self.batch, self.m, self.n);
        let mut info = vec![m, self.depth, n];
        for (x, batch) in [(&self.a, self.a_batch), (&self.b, self.b_batch)] {
            info.extend([x.offset, batch]);
            info.extend(&x.strides[x.strides.len() - 2..]);
        }
        let info: Vec<u32> = info.into_iter().map(|x| x as u32).collect();
        let (shader, groups) = if apart {
            let patches = batch * m.div_ceil(PATCH) * n.div_ceil(PATCH);
            (kernels::matmul_apart(), patches.div_ceil(GROUP))
        } else {
            let micro = if m.max(n) <= 2 * SIDE { 1 } else { 4 };
            let tile = SIDE * micro;
            let tiles = batch * m.div_ceil(tile) * n.div_ceil(tile);
            (kernels::matmul(micro), tiles)
        };
        y.run_as(&shader, (batch, groups), &info, &[&self.a, &self.b, y])
    }
}

/// Arithmetic.
impl Array {
    /// Shape that both repeat to.
    pub(in crate::gpu) fn common(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
        let rank = a.len().max(b.len());
        let size = |dims: &[usize], axis: usize| {
            let missing = rank - dims.len();
            if axis < missing {
                1
            } else {
                dims[axis - missing]
            }
        };
        let axes = (0..rank).map(|axis| match (size(a, axis), size(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, x) | (x, 1) => Ok(x),
            _ => Err(Error::shape(
                "broadcasting",
                format!("one that meets {a:?}"),
                b,
            )),
        });
        axes.collect()
    }

    /// `formula` (WGSL) of the elements `a`, `b`, … of up to four inputs of one shape, and of the numbers `p(0)`, ….
    pub(in crate::gpu) fn map(
        inputs: &[&Array],
        output: Kind,
        formula: &str,
        numbers: &[f64],
    ) -> Result<Array> {
        let first = inputs[0];
        for other in &inputs[1..] {
            first.same_shape(other, "an elementwise operation")?;
        }
        let array = Array::empty(&first.context, output, &first.dims)?;
        let strides: Vec<&[usize]> = inputs.iter().map(|x| &x.strides[..]).collect();
        let (sizes, strides) = collapse(&first.dims, &strides);
        let mut info: Vec<u32> = sizes.iter().map(|x| *x as u32).collect();
        for (input, strides) in inputs.iter().zip(&strides) {
            info.push(input.offset as u32);
            info.extend(strides.iter().map(|x| *x as u32));
        }
        info.extend(numbers.iter().map(|x| (*x as f32).to_bits()));
        let kinds: Vec<Kind> = inputs.iter().map(|x| x.kind).collect();
        let mut bound = inputs.to_vec();
        bound.push(&array);
        array.run(
            &kernels::map(&kinds, output, formula, sizes.len()),
            &info,
            &bound,
        )?;
        Ok(array)
    }

    /// [`map`](Array::map) of two inputs with broadcasting.
    pub(in crate::gpu) fn pair(&self, other: &Array, output: Kind, formula: &str) -> Result<Array> {
        let dims = Array::common(&self.dims, &other.dims)?;
        let (a, b) = (self.broadcast_as(&dims)?, other.broadcast_as(&dims)?);
        Array::map(&[&a, &b], output, formula, &[])
    }

    /// Matrix product of the last two axes; the others must agree. A library of the device's does it if it has one.
    pub fn matmul(&self, other: &Array) -> Result<Array> {
        let factors = self.factors(other)?;
        let y = Array::empty(&self.context, Kind::F32, &factors.dims)?;
        let side = |x: &Array, batch: usize| {
            let [.., row, column] = x.strides[..] else {
                return Err(Error::shape("matmul", "two axes or more", &x.dims));
            };
            Ok(Side {
                memory: x.buffer().memory(),
                offset: x.offset,
                batch,
                row,
                column,
            })
        };
        let done = self.context.product(&Product {
            batch: factors.batch,
            m: factors.m,
            depth: factors.depth,
            n: factors.n,
            a: side(&factors.a, factors.a_batch)?,
            b: side(&factors.b, factors.b_batch)?,
            y: y.buffer().memory(),
        })?;
        if !done {
            factors.run(&y, self.context.is_software())?;
        }
        Ok(y)
    }

    /// The same by one of two kernels: every thread for itself, or workgroups that share tiles.
    #[cfg(test)]
    #[cfg_attr(
        not(feature = "wgpu"),
        allow(dead_code, reason = "the tests of this engine open a device of wgpu")
    )]
    pub(in crate::gpu) fn product(&self, other: &Array, apart: bool) -> Result<Array> {
        let factors = self.factors(other)?;
        let y = Array::empty(&self.context, Kind::F32, &factors.dims)?;
        factors.run(&y, apart)?;
        Ok(y)
    }

    /// Both sides of a product, checked.
    fn factors(&self, other: &Array) -> Result<Factors> {
        self.expect(Kind::F32, "matmul")?;
        other.expect(Kind::F32, "matmul")?;
        let rank = self.dims.len();
        let (batch, depth) = match self.dims[..] {
            [.., _, depth] => (&self.dims[..rank - 2], depth),
            _ => return Err(Error::shape("matmul", "two axes or more", &self.dims)),
        };
        let n = match other.dims.split_last_chunk::<2>() {
            Some((rest, [d, n])) if rest == batch && *d == depth => *n,
            _ => {
                let expected = format!("{batch:?}, then {depth}, then any");
                return Err(Error::shape("matmul, right side", expected, &other.dims));
            }
        };
        let m = self.dims[rank - 2];
        let mut dims = batch.to_vec();
        dims.extend([m, n]);
        let batch: usize = batch.iter().product();
        let (a, a_batch) = self.matrices()?;
        let (b, b_batch) = other.matrices()?;
        Ok(Factors {
            dims,
            batch,
            m,
            depth,
            n,
            a,
            a_batch,
            b,
            b_batch,
        })
    }

    /// Itself or a copy such that one stride leads from each matrix of the last two axes to the next.
    fn matrices(&self) -> Result<(Array, usize)> {
        let batch = self.dims.len() - 2;
        let strides: &[usize] = &self.strides[..batch];
        match collapse(&self.dims[..batch], &[strides]) {
            (sizes, _) if sizes.is_empty() => Ok((self.clone(), 0)),
            (sizes, strides) if sizes.len() == 1 => Ok((self.clone(), strides[0][0])),
            _ => {
                let packed = Array::map(&[self], self.kind, "a", &[])?;
                let stride = self.dims[batch..].iter().product();
                Ok((packed, stride))
            }
        }
    }

    /// One value per line along `axis`, which stays with size 1.
    pub(in crate::gpu) fn reduce(&self, fold: Fold, axis: usize) -> Result<Array> {
        let len = self.axis(axis, "a reduction")?;
        if len == 0 && fold != Fold::Sum {
            let expected = format!("one with elements along axis {axis}");
            return Err(Error::shape("a reduction", expected, &self.dims));
        }
        self.expect(Kind::F32, "a reduction")?;
        let mut dims = self.dims.clone();
        dims[axis] = 1;
        let kind = match fold {
            Fold::ArgMax => Kind::U32,
            Fold::Sum | Fold::Max => Kind::F32,
        };
        let x = self.packed()?;
        let y = Array::empty(&self.context, kind, &dims)?;
        let serial = len <= SERIAL;
        let count = y.count();
        let groups = if serial { count.div_ceil(GROUP) } else { count };
        let info = [len as u32, self.around(axis).1 as u32];
        let shader = kernels::reduce(fold, serial);
        y.run_as(&shader, (count, groups), &info, &[&x, &y])?;
        Ok(y)
    }

    /// Sum over one axis, which stays with size 1.
    pub fn sum_keepdim(&self, axis: usize) -> Result<Array> {
        self.reduce(Fold::Sum, axis)
    }

    /// Sum of all elements, a scalar. Of many in two steps, so that the device is busy with both.
    pub fn sum_all(&self) -> Result<Array> {
        let count = self.count();
        let rows = (count / 4096).max(1);
        let even = self.reshape(&[count])?;
        let (head, tail) = (count / rows * rows, count % rows);
        if rows == 1 {
            return even.sum_keepdim(0)?.reshape(&[]);
        }
        let body = even.narrow(0, 0, head)?.reshape(&[rows, head / rows])?;
        let mut sums = body.sum_keepdim(1)?.reshape(&[rows])?;
        if tail > 0 {
            sums = Array::cat(&[&sums, &even.narrow(0, head, tail)?], 0)?;
        }
        sums.sum_keepdim(0)?.reshape(&[])
    }

    /// Sums over what broadcasting to this shape repeated: from this shape back to `dims`.
    pub(in crate::gpu) fn sum_to(&self, dims: &[usize]) -> Result<Array> {
        let new = self.dims.len() - dims.len();
        let mut sum = self.clone();
        for axis in 0..self.dims.len() {
            if self.dims[axis] != 1 && (axis < new || dims[axis - new] == 1) {
                sum = sum.sum_keepdim(axis)?;
            }
        }
        if sum.dims == dims {
            Ok(sum)
        } else {
            sum.reshape(dims)
        }
    }

    /// Sums so far along `axis`, from its start or from its end.
    pub fn cumsum(&self, axis: usize, from_end: bool) -> Result<Array> {
        let len = self.axis(axis, "cumsum")?;
        self.expect(Kind::F32, "cumsum")?;
        let x = self.packed()?;
        let y = Array::empty(&self.context, Kind::F32, &self.dims)?;
        let (outer, inner) = self.around(axis);
        let lines = outer * inner;
        let shader = kernels::cumsum(from_end);
        let info = [len as u32, inner as u32];
        y.run_as(&shader, (lines, lines.div_ceil(GROUP)), &info, &[&x, &y])?;
        Ok(y)
    }
}

/// Reading and adding at indices. Indices past the end read NaN and add nothing.
impl Array {
    /// Slices of `axis` at `ids` (u32 vector), or with `each`, one element per element of `ids` (sizes as `self` but for
    /// `axis`).
    pub(in crate::gpu) fn select(&self, ids: &Array, axis: usize, each: bool) -> Result<Array> {
        let dims = self.selected(ids, axis, each)?;
        let (x, ids) = (self.packed()?, ids.packed()?);
        let y = Array::empty(&self.context, self.kind, &dims)?;
        let info = [dims[axis], self.around(axis).1, self.dims[axis]].map(|x| x as u32);
        y.run(&kernels::select(self.kind, each), &info, &[&x, &ids, &y])?;
        Ok(y)
    }

    /// The transpose of [`select`](Array::select): zeros of `dims`, with `self` added at `ids`. Sums are made in any
    /// order, so that the last bit may differ from call to call.
    pub(in crate::gpu) fn scatter(
        &self,
        ids: &Array,
        axis: usize,
        each: bool,
        dims: &[usize],
    ) -> Result<Array> {
        self.expect(Kind::F32, "scatter")?;
        let y = Array::full(&self.context, 0.0, dims)?;
        let expected = y.selected(ids, axis, each)?;
        if self.dims != expected {
            return Err(Error::shape("scatter", format!("{expected:?}"), &self.dims));
        }
        let (x, ids) = (self.packed()?, ids.packed()?);
        let info = [self.dims[axis], self.around(axis).1, dims[axis]].map(|x| x as u32);
        x.run(&kernels::scatter(each), &info, &[&x, &ids, &y])?;
        Ok(y)
    }

    /// Shape of what [`select`](Array::select) finds.
    fn selected(&self, ids: &Array, axis: usize, each: bool) -> Result<Vec<usize>> {
        self.axis(axis, "index_select or gather")?;
        ids.expect(Kind::U32, "indices")?;
        let mut dims = self.dims.clone();
        let place = if each { axis } else { 0 };
        dims[axis] = ids.dims.get(place).copied().unwrap_or(0);
        let fits = match each {
            true => dims == ids.dims,
            false => ids.dims.len() == 1,
        };
        if fits {
            return Ok(dims);
        }
        let expected = match each {
            true => format!("{:?} but for axis {axis}", self.dims),
            false => "a vector".into(),
        };
        Err(Error::shape("indices", expected, &ids.dims))
    }
}
