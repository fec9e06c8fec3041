//! `Array`: numbers on the device, and the operations on them that know nothing of gradients.

mod ops;

use super::context::{Buffer, Context, GROUP};
use super::kernels::{self, Rows};
use super::kind::Kind;
use crate::{Error, Result};
use std::sync::Arc;

/// An n-dimensional array on a device. Cheap to clone; transposing, narrowing and repeating move no data.
#[derive(Clone, Debug)]
pub struct Array {
    context: Context,
    buffer: Arc<Buffer>,
    kind: Kind,
    dims: Vec<usize>,
    /// Elements from one index to the next, by axis; 0 repeats.
    strides: Vec<usize>,
    /// Place of the first element.
    offset: usize,
}

/// Strides of an array that is row-major in memory.
fn row_major(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// Making and reading arrays.
impl Array {
    fn new(context: &Context, buffer: Arc<Buffer>, kind: Kind, dims: &[usize]) -> Array {
        Array {
            context: context.clone(),
            buffer,
            kind,
            dims: dims.to_vec(),
            strides: row_major(dims),
            offset: 0,
        }
    }

    fn from_words(context: &Context, words: &[u32], kind: Kind, dims: &[usize]) -> Result<Array> {
        let count: usize = dims.iter().product();
        if words.len() != count {
            let expected = format!("one of {} elements", words.len());
            return Err(Error::shape("Array::from", expected, dims));
        }
        Ok(Array::new(context, context.upload(words)?, kind, dims))
    }

    /// f32 `data` in row-major order as `dims`.
    pub fn from_f32(context: &Context, data: &[f32], dims: &[usize]) -> Result<Array> {
        Array::from_words(context, bytemuck::cast_slice(data), Kind::F32, dims)
    }

    /// u32 `data` in row-major order as `dims`.
    pub fn from_u32(context: &Context, data: &[u32], dims: &[usize]) -> Result<Array> {
        Array::from_words(context, data, Kind::U32, dims)
    }

    /// Memory whose contents are left over: for kernels that write every element.
    pub(super) fn empty(context: &Context, kind: Kind, dims: &[usize]) -> Result<Array> {
        let buffer = context.alloc(dims.iter().product())?;
        Ok(Array::new(context, buffer, kind, dims))
    }

    /// The same f32 everywhere, in memory of its own.
    pub fn full(context: &Context, value: f32, dims: &[usize]) -> Result<Array> {
        let array = Array::empty(context, Kind::F32, dims)?;
        array.run(&kernels::fill(), &[value.to_bits()], &[&array])?;
        Ok(array)
    }

    /// Overwrites the elements, in the memory that clones and histories share. `self` must be row-major.
    pub(super) fn overwrite(&self, values: &Array) -> Result<()> {
        values.expect(self.kind, "overwrite")?;
        let values = values.packed()?;
        let count = self.count() as u32;
        let info = [count, 1, 0, count];
        values.run(&kernels::paste(self.kind), &info, &[&values, self])
    }

    /// All elements in row-major order; waits for the device.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.expect(Kind::F32, "to_f32")?;
        let words = self.to_words()?;
        Ok(words.into_iter().map(f32::from_bits).collect())
    }

    /// All elements in row-major order; waits for the device.
    pub fn to_u32(&self) -> Result<Vec<u32>> {
        self.expect(Kind::U32, "to_u32")?;
        self.to_words()
    }

    fn to_words(&self) -> Result<Vec<u32>> {
        let whole = self.packed()?;
        self.context.download(&whole.buffer, whole.count())
    }

    /// Sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.dims.iter().product()
    }

    /// Element type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it lives.
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Runs a kernel of [`Rows::kernel`] over as many rows as the first word of `info` says.
    pub(super) fn by_rows(
        form: Rows,
        context: &Context,
        shader: &str,
        info: &[u32],
        arrays: &[&Array],
    ) -> Result<()> {
        let buffers: Vec<&Buffer> = arrays.iter().map(|array| array.buffer()).collect();
        context.dispatch(shader, info, &buffers, form.groups(info[0] as usize))
    }

    fn expect(&self, kind: Kind, what: &'static str) -> Result<()> {
        if self.kind == kind {
            return Ok(());
        }
        Err(Error::Argument {
            what,
            expected: format!("{} elements", kind.text()),
            found: self.kind.text().into(),
        })
    }

    fn axis(&self, axis: usize, what: &str) -> Result<usize> {
        match self.dims.get(axis) {
            Some(size) => Ok(*size),
            None => {
                let expected = format!("one with axis {axis}");
                Err(Error::shape(what, expected, &self.dims))
            }
        }
    }

    /// Product of the sizes before and behind `axis`.
    fn around(&self, axis: usize) -> (usize, usize) {
        let outer = self.dims[..axis].iter().product();
        (outer, self.dims[axis + 1..].iter().product())
    }

    fn same_shape(&self, other: &Array, what: &str) -> Result<()> {
        if self.dims == other.dims {
            return Ok(());
        }
        Err(Error::shape(what, format!("{:?}", self.dims), &other.dims))
    }

    /// Runs a kernel with one thread per element of `self`, whose number comes first in `info`.
    pub(super) fn run(&self, shader: &str, info: &[u32], arrays: &[&Array]) -> Result<()> {
        let count = self.count();
        self.run_as(shader, (count, count.div_ceil(GROUP)), info, arrays)
    }

    fn run_as(
        &self,
        shader: &str,
        (count, groups): (usize, usize),
        info: &[u32],
        arrays: &[&Array],
    ) -> Result<()> {
        let mut words = vec![count as u32];
        words.extend_from_slice(info);
        let buffers: Vec<&Buffer> = arrays.iter().map(|array| array.buffer()).collect();
        self.context.dispatch(shader, &words, &buffers, groups)
    }
}

/// Shapes.
impl Array {
    /// The same elements in row-major order under another shape.
    pub fn reshape(&self, dims: &[usize]) -> Result<Array> {
        if dims.iter().product::<usize>() != self.count() {
            let expected = format!("one of {} elements, as {:?}", self.count(), self.dims);
            return Err(Error::shape("reshape", expected, dims));
        }
        let mut array = self.packed()?;
        array.strides = row_major(dims);
        array.dims = dims.to_vec();
        Ok(array)
    }

    /// Swaps two axes, without moving data.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Array> {
        self.axis(a.max(b), "transpose")?;
        let mut array = self.clone();
        array.dims.swap(a, b);
        array.strides.swap(a, b);
        Ok(array)
    }

    /// Inserts an axis of size 1 at `axis`, which is at most the number of axes.
    pub(super) fn unsqueeze(&self, axis: usize) -> Array {
        let mut array = self.clone();
        array.dims.insert(axis, 1);
        array.strides.insert(axis, 0);
        array
    }

    /// Removes `axis`, which has size 1.
    pub(super) fn squeeze(&self, axis: usize) -> Array {
        let mut array = self.clone();
        array.dims.remove(axis);
        array.strides.remove(axis);
        array
    }

    /// `len` elements of `axis` from `start`, without moving data.
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Array> {
        let size = self.axis(axis, "narrow")?;
        if start.checked_add(len).is_none_or(|end| end > size) {
            return Err(Error::Argument {
                what: "narrow",
                expected: format!("a range within the {size} elements of axis {axis}"),
                found: format!("{len} elements from {start}"),
            });
        }
        let mut array = self.clone();
        array.dims[axis] = len;
        array.offset += start * self.strides[axis];
        Ok(array)
    }

    /// The transpose of [`narrow`](Array::narrow): zeros of `dims`, with `self` along `axis` from `start`.
    pub(super) fn pad(&self, axis: usize, start: usize, dims: &[usize]) -> Result<Array> {
        self.expect(Kind::F32, "pad")?;
        let x = self.packed()?;
        let y = Array::empty(&self.context, Kind::F32, dims)?;
        let (_, inner) = y.around(axis);
        let info = [self.dims[axis], inner, start, dims[axis]].map(|x| x as u32);
        y.run(&kernels::pad(), &info, &[&x, &y])?;
        Ok(y)
    }

    /// Repeats axes of size 1, and along new axes in front, without moving data.
    pub fn broadcast_as(&self, dims: &[usize]) -> Result<Array> {
        let fits = dims.len() >= self.dims.len() && {
            let tail = &dims[dims.len() - self.dims.len()..];
            self.dims.iter().zip(tail).all(|(a, b)| a == b || *a == 1)
        };
        if !fits {
            let expected = format!("one that {:?} repeats to", self.dims);
            return Err(Error::shape("broadcast_as", expected, dims));
        }
        let new = dims.len() - self.dims.len();
        let mut array = self.clone();
        array.strides = vec![0; dims.len()];
        for (axis, (size, stride)) in self.dims.iter().zip(&self.strides).enumerate() {
            array.strides[new + axis] = if *size == 1 { 0 } else { *stride };
        }
        array.dims = dims.to_vec();
        Ok(array)
    }

    /// Whether it is row-major in memory, from the first element of its buffer on.
    fn is_packed(&self) -> bool {
        let strides = row_major(&self.dims);
        let axes = self.dims.iter().zip(self.strides.iter().zip(&strides));
        self.offset == 0 && axes.into_iter().all(|(size, (a, b))| *size == 1 || a == b)
    }

    /// Row-major in memory; a copy only if it is not yet.
    pub fn packed(&self) -> Result<Array> {
        if self.is_packed() {
            let mut array = self.clone();
            array.strides = row_major(&self.dims);
            return Ok(array);
        }
        Array::map(&[self], self.kind, "a", &[])
    }

    /// Joins along `axis`.
    pub fn cat(parts: &[&Array], axis: usize) -> Result<Array> {
        let Some(first) = parts.first() else {
            return Err(Error::Argument {
                what: "cat",
                expected: "at least one part".into(),
                found: "none".into(),
            });
        };
        let mut dims = first.dims.clone();
        first.axis(axis, "cat")?;
        dims[axis] = 0;
        for part in parts {
            part.expect(first.kind, "cat")?;
            let mut like = part.dims.clone();
            if like.len() == dims.len() {
                like[axis] = dims[axis];
            }
            if like != dims {
                let expected = format!("{:?} but for axis {axis}", first.dims);
                return Err(Error::shape("cat", expected, &part.dims));
            }
            dims[axis] += part.dims[axis];
        }
        let whole = Array::empty(&first.context, first.kind, &dims)?;
        let mut start = 0;
        for part in parts {
            let part = part.packed()?;
            let (_, inner) = part.around(axis);
            let info = [part.dims[axis], inner, start, dims[axis]].map(|x| x as u32);
            part.run(&kernels::paste(part.kind), &info, &[&part, &whole])?;
            start += part.dims[axis];
        }
        Ok(whole)
    }
}

/// Joins neighbouring axes that all inputs walk through at one stride, and drops axes of size 1.
fn collapse(dims: &[usize], strides: &[&[usize]]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut sizes: Vec<usize> = Vec::new();
    let mut kept: Vec<Vec<usize>> = vec![Vec::new(); strides.len()];
    for (axis, &size) in dims.iter().enumerate() {
        if size == 1 {
            continue;
        }
        let joins = !sizes.is_empty() && {
            let walks = kept.iter().zip(strides);
            let mut steps = walks.map(|(kept, strides)| (kept[kept.len() - 1], strides[axis]));
            steps.all(|(before, stride)| before == stride * size)
        };
        if joins {
            let last = sizes.len() - 1;
            sizes[last] *= size;
            for (kept, strides) in kept.iter_mut().zip(strides) {
                kept[last] = strides[axis];
            }
        } else {
            sizes.push(size);
            for (kept, strides) in kept.iter_mut().zip(strides) {
                kept.push(strides[axis]);
            }
        }
    }
    (sizes, kept)
}
