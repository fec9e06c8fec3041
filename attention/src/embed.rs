//! What a plan adds to the token embeddings, as a tensor.

use crate::params::Params;
use crate::plan::{Embed, Resize, SinusoidLayout};
use crate::{Device, Error, Result, Tensor};
use std::ops::Range;

/// The rows to add at `positions`: (positions, width), differentiable with respect to a learned table; `None` if the
/// plan adds nothing. A position past a learned table is an error.
pub fn embedding(
    embed: &Embed,
    width: usize,
    positions: Range<usize>,
    params: &Params,
    device: &Device,
) -> Result<Option<Tensor>> {
    let positions: Vec<f64> = positions.map(|x| x as f64).collect();
    embedding_at(embed, width, &positions, params, device)
}

/// The same at any positions; a learned table is read at the whole number below.
pub fn embedding_at(
    embed: &Embed,
    width: usize,
    positions: &[f64],
    params: &Params,
    device: &Device,
) -> Result<Option<Tensor>> {
    match embed {
        Embed::Nothing => Ok(None),
        Embed::Sinusoid {
            layout,
            inv_freq,
            scale,
        } => {
            if 2 * inv_freq.len() != width {
                let expected = format!("width / 2 = {} frequencies", width / 2);
                return Err(Error::shape("sinusoid", expected, &[inv_freq.len()]));
            }
            let values = sinusoid(*layout, inv_freq, *scale, positions);
            let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
            Ok(Some(Tensor::from_vec(
                values,
                (positions.len(), width),
                device,
            )?))
        }
        Embed::Table {
            table,
            rows,
            resize,
        } => {
            let tensor = params.get(table).ok_or_else(|| Error::MissingParam {
                name: table.clone(),
                shape: vec![*rows, width],
                given: params
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            if tensor.dims() != [*rows, width] {
                let expected = format!("[{rows}, {width}]");
                return Err(Error::shape(
                    format!("parameter {table}"),
                    expected,
                    tensor.dims(),
                ));
            }
            let end = resize.map_or(*rows, |to| to.rows);
            // Positions are not negative.
            let at: Vec<usize> = positions.iter().map(|x| *x as usize).collect();
            if let Some(&position) = at.iter().max().filter(|position| **position >= end) {
                let what = format!("learned embedding {table}");
                return Err(Error::Position {
                    what,
                    position,
                    rows: end,
                });
            }
            match resize {
                None => Ok(Some(read(tensor, &at)?)),
                Some(to) => Ok(Some(resized(tensor, *rows, *to, &at)?)),
            }
        }
    }
}

/// Sines and cosines in f64: (positions, 2 · frequencies), row-major.
pub fn sinusoid(
    layout: SinusoidLayout,
    inv_freq: &[f64],
    scale: f64,
    positions: &[f64],
) -> Vec<f64> {
    let pairs = inv_freq.len();
    let mut values = vec![0.0; positions.len() * 2 * pairs];
    for (row, position) in values.chunks_mut((2 * pairs).max(1)).zip(positions) {
        for (m, frequency) in inv_freq.iter().enumerate() {
            let (sin, cos) = (position * frequency).sin_cos();
            let (a, b) = match layout {
                SinusoidLayout::Interleaved => (2 * m, 2 * m + 1),
                SinusoidLayout::Halves => (m, pairs + m),
            };
            row[a] = scale * sin;
            row[b] = scale * cos;
        }
    }
    values
}

/// Where row `row` of a table resized from `rows` lies in the original: lower row, and the share of the next one.
pub fn resized_row(rows: usize, to: Resize, row: usize) -> (usize, f64) {
    let (from, into, row) = (rows as f64, to.rows as f64, row as f64);
    let x = if !to.align_corners {
        ((row + 0.5) * from / into - 0.5).max(0.0)
    } else if to.rows > 1 {
        row * (from - 1.0) / (into - 1.0)
    } else {
        0.0
    };
    let lower = (x as usize).min(rows - 1);
    (lower, x - lower as f64)
}

/// Rows of a table: a view where they follow each other.
fn read(table: &Tensor, at: &[usize]) -> Result<Tensor> {
    match at.first() {
        None => table.narrow(0, 0, 0),
        Some(&first) if at.iter().enumerate().all(|(i, x)| *x == first + i) => {
            table.narrow(0, first, at.len())
        }
        Some(_) => {
            let rows: Vec<u32> = at.iter().map(|x| *x as u32).collect();
            table.index_select(&Tensor::from_vec(rows, at.len(), &table.device())?, 0)
        }
    }
}

fn resized(table: &Tensor, rows: usize, to: Resize, positions: &[usize]) -> Result<Tensor> {
    let count = positions.len();
    if count == 0 {
        return table.narrow(0, 0, 0);
    }
    let device = table.device();
    let places: Vec<_> = positions
        .iter()
        .map(|row| resized_row(rows, to, *row))
        .collect();
    let pick = |rows: Vec<u32>| table.index_select(&Tensor::from_vec(rows, count, &device)?, 0);
    let last = rows as u32 - 1;
    let lower = pick(places.iter().map(|place| place.0 as u32).collect())?;
    let upper = pick(
        places
            .iter()
            .map(|place| (place.0 as u32 + 1).min(last))
            .collect(),
    )?;
    let share = places.iter().map(|place| place.1 as f32).collect();
    let share = Tensor::from_vec(share, (count, 1), &device)?.to_dtype(table.dtype())?;
    lower.add(&upper.sub(&lower)?.broadcast_mul(&share)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var;

    #[test]
    fn sinusoids_start_with_sin_0_and_cos_0() {
        let row = |layout| sinusoid(layout, &[1.0, 0.5], 3.0, &[0.0, 1.0]);
        let (sin, cos) = (3.0 * 1f64.sin(), 3.0 * 1f64.cos());
        let (slow_sin, slow_cos) = (3.0 * 0.5f64.sin(), 3.0 * 0.5f64.cos());
        let interleaved = row(SinusoidLayout::Interleaved);
        assert_eq!(
            interleaved,
            [0.0, 3.0, 0.0, 3.0, sin, cos, slow_sin, slow_cos]
        );
        let halves = row(SinusoidLayout::Halves);
        assert_eq!(halves, [0.0, 0.0, 3.0, 3.0, sin, slow_sin, cos, slow_cos]);
    }

    #[test]
    fn tables_are_read_resized_and_refused() {
        let device = Device::cpu();
        // Row r holds r³ in its first channel: linear interpolation by hand is easy to follow.
        let values: Vec<f32> = (0..4).flat_map(|r: i32| [r.pow(3) as f32, 1.0]).collect();
        let var = Var::new(Tensor::from_vec(values, (4, 2), &device).unwrap()).unwrap();
        let params = Params::from([("wpe".to_string(), var.tensor().clone())]);
        let read = |resize, positions| {
            let embed = Embed::Table {
                table: "wpe".into(),
                rows: 4,
                resize,
            };
            embedding(&embed, 2, positions, &params, &device)
        };
        let plain = read(None, 1..3).unwrap().unwrap();
        assert_eq!(plain.to_vec2::<f32>().unwrap(), [[1.0, 1.0], [8.0, 1.0]]);
        let message = read(None, 0..5).unwrap_err().to_string();
        assert!(
            message.contains("position 4 is past the 4 rows"),
            "{message}"
        );

        // By hand from x = (k + 1/2)/2 − 1/2 and from x = 3k/7.
        let half = Some(Resize {
            rows: 8,
            align_corners: false,
        });
        let first = |resize| {
            let rows = read(resize, 0..8)
                .unwrap()
                .unwrap()
                .to_vec2::<f32>()
                .unwrap();
            rows.into_iter()
                .map(|row| f64::from(row[0]))
                .collect::<Vec<_>>()
        };
        let expected = [0.0, 0.25, 0.75, 2.75, 6.25, 12.75, 22.25, 27.0];
        assert_eq!(first(half), expected);
        let corners = first(Some(Resize {
            rows: 8,
            align_corners: true,
        }));
        assert_eq!((corners[0], corners[7]), (0.0, 27.0));
        assert!(
            (corners[3] - (1.0 + 2.0 / 7.0 * 7.0)).abs() < 1e-5,
            "{corners:?}"
        );

        let gradient = read(half, 0..8)
            .unwrap()
            .unwrap()
            .backward()
            .unwrap()
            .get(&var)
            .unwrap();
        assert_eq!(gradient.to_vec2::<f32>().unwrap(), vec![[2.0, 2.0]; 4]);
    }
}
