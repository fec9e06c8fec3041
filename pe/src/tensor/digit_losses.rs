//! SeqPE's two losses on the encodings of positions (arXiv 2506.13277, section 3.3), in the numbers of the authors' code
//! (`pe_criterion.py`, `pe_sampler.py` of text_seqpe).
//!
//! Contrastive: of 32 other positions, the encoding of the one nearest to a pivot is to have the largest product with the
//! pivot's; mean cross-entropy over 16 pivots. The 32 are drawn, in six of ten cases, from 256 neighbouring positions that
//! begin anywhere, else from all positions, up to eight of them in place of which stand numbers that the pivot's digits
//! become by one to three insertions, exchanges, replacements or deletions, as far as they are not nearer than all others.
//!
//! Transfer: 32 places t of a trained window, and the same moved by a shift s, 16 shifts from a quarter of the window on:
//! products of the encodings of t + s, head by head and softmax by row, are to be as those of t, which stay as they are. The
//! sum of both Kullback–Leibler divergences, each as the mean over all elements.

use super::encoder::{Source, encode};
use super::rotation::split;
use crate::recipe::{AddedLoss, Learned, Uniform};
use farspan_attention::{Result, Tensor};
use std::collections::HashSet;

/// Pivots, and shifts, of a batch.
const ROWS: usize = 16;
/// Positions beside each.
const OTHERS: usize = 32;
/// Neighbouring positions that others are drawn from.
const NEIGHBOURS: usize = 256;
/// Share of pivots whose others are spread over all positions.
const SPREAD: f64 = 0.4;
/// Others that are made of the pivot's digits.
const EDITED: usize = OTHERS / 4;
/// Attempts at editing a number; most succeed.
const ATTEMPTS: usize = 64;

/// The losses, with what the encoder is.
#[derive(Debug)]
pub(crate) struct DigitLosses {
    pub(crate) digits: usize,
    pub(crate) blocks: usize,
    /// Weight of the contrastive loss.
    pub(crate) contrastive: f64,
    /// Weight of the transfer.
    pub(crate) transfer: f64,
    /// Positions are drawn from 0 to this, exclusive.
    pub(crate) positions: usize,
    /// Tokens of a trained window.
    pub(crate) trained: usize,
}

fn below(n: usize, chance: Uniform<'_>) -> usize {
    ((chance() * n as f64) as usize).min(n - 1)
}

/// `count` different numbers of `range`, in the order drawn; all of them where there are no more.
fn sample(range: std::ops::Range<usize>, count: usize, chance: Uniform<'_>) -> Vec<usize> {
    let mut all: Vec<usize> = range.collect();
    let count = count.min(all.len());
    for i in 0..count {
        let j = i + below(all.len() - i, chance);
        all.swap(i, j);
    }
    all.truncate(count);
    all
}

/// `number` with one digit inserted, exchanged, replaced or deleted; `None` where the result is none below `limit`.
fn edited(
    number: &[usize],
    limit: usize,
    digits: usize,
    chance: Uniform<'_>,
) -> Option<Vec<usize>> {
    let mut new = number.to_vec();
    let place = below(new.len(), chance);
    match below(4, chance) {
        0 => new.insert(below(number.len() + 1, chance), below(10, chance)),
        1 => new.swap(place, below(number.len(), chance)),
        2 => new[place] = below(10, chance),
        _ => {
            new.remove(place);
        }
    }
    let plain = !new.is_empty() && new.len() <= digits && (new.len() == 1 || new[0] != 0);
    (plain && value(&new) < limit && new != number).then_some(new)
}

fn value(digits: &[usize]) -> usize {
    digits.iter().fold(0, |sum, digit| 10 * sum + digit)
}

impl DigitLosses {
    /// Positions beside `pivot`, all different from it and from each other, and which of them is nearest.
    fn others(&self, pivot: usize, chance: Uniform<'_>) -> (Vec<usize>, usize) {
        let mut spread = sample(0..self.positions, OTHERS + 1, chance);
        let first = if chance() > SPREAD {
            let near = NEIGHBOURS.max(5 * OTHERS).min(self.positions);
            let start = below(self.positions - near + 1, chance);
            sample(start..start + near, OTHERS, chance)
        } else {
            let kept = &spread[..spread.len() - EDITED];
            let nearest = kept.iter().map(|x| x.abs_diff(pivot)).min().unwrap_or(0);
            self.edits(pivot, nearest, chance)
        };
        let mut seen = HashSet::from([pivot]);
        let mut all = first;
        all.append(&mut spread);
        all.retain(|&x| seen.insert(x));
        all.truncate(OTHERS);
        let nearest = (0..all.len()).min_by_key(|&i| all[i].abs_diff(pivot));
        (all, nearest.unwrap_or(0))
    }

    /// Numbers that the digits of `pivot` become, farther from it than `nearest`.
    fn edits(&self, pivot: usize, nearest: usize, chance: Uniform<'_>) -> Vec<usize> {
        let own: Vec<usize> = pivot
            .to_string()
            .bytes()
            .map(|b| usize::from(b - b'0'))
            .collect();
        let mut found = Vec::new();
        for _ in 0..EDITED {
            let mut number = own.clone();
            let mut edits = 1 + below(3, chance);
            for _ in 0..ATTEMPTS {
                if edits == 0 {
                    break;
                }
                if let Some(new) = edited(&number, self.positions, self.digits, chance) {
                    number = new;
                    edits -= 1;
                }
            }
            if value(&number).abs_diff(pivot) > nearest {
                found.push(value(&number));
            }
        }
        found
    }

    fn encode(&self, source: &dyn Source, at: &[usize]) -> Result<Tensor> {
        let at: Vec<f64> = at.iter().map(|&x| x as f64).collect();
        encode(source, &at, self.digits, self.blocks)
    }

    /// Mean cross-entropy of the nearest of `others` by products with the pivots' encodings.
    fn contrast(
        &self,
        learned: &Learned<'_>,
        pivots: &[usize],
        others: &[(Vec<usize>, usize)],
    ) -> Result<Tensor> {
        let rows = pivots.len();
        let columns = others[0].0.len();
        let all: Vec<usize> = others.iter().flat_map(|(all, _)| all.clone()).collect();
        let width = learned.geometry.width;
        let ours = self.encode(learned, pivots)?.reshape((rows, 1, width))?;
        let theirs = self
            .encode(learned, &all)?
            .reshape((rows, columns, width))?;
        let products = ours.matmul(&theirs.transpose(1, 2)?.contiguous()?)?;
        let shares = logs(&products.reshape((rows, columns))?)?;
        let mut nearest = vec![0.0; rows * columns];
        for (row, (_, at)) in others.iter().enumerate() {
            nearest[row * columns + at] = -1.0 / rows as f64;
        }
        shares
            .mul(&learned.constant(&nearest, &[rows, columns])?)?
            .sum_all()
    }

    /// Both divergences between products at `places`, one list for each of `shifts`, and at the same places moved.
    fn transferred(
        &self,
        learned: &Learned<'_>,
        shifts: &[usize],
        places: &[Vec<usize>],
    ) -> Result<Tensor> {
        let heads = learned.geometry.heads;
        let shares = |moved: bool| -> Result<Tensor> {
            let of = |(shift, at): (&usize, &Vec<usize>)| -> Vec<usize> {
                at.iter()
                    .map(|t| if moved { t + shift } else { *t })
                    .collect()
            };
            let all: Vec<usize> = shifts.iter().zip(places).flat_map(of).collect();
            let encoded = self.encode(learned, &all)?;
            let (_, _, width) = encoded.dims3()?;
            let rows = encoded.reshape((shifts.len(), places[0].len(), width))?;
            let rows = split(&rows, heads)?;
            logs(&rows.matmul(&rows.transpose(2, 3)?.contiguous()?)?)
        };
        let (near, far) = (shares(false)?.detach(), shares(true)?);
        let forth = near.exp()?.mul(&near.sub(&far)?)?;
        let back = far.exp()?.mul(&far.sub(&near)?)?;
        let count = near.elem_count() as f64;
        forth.add(&back)?.sum_all()?.affine(1.0 / count, 0.0)
    }
}

/// ln softmax over the last axis.
fn logs(x: &Tensor) -> Result<Tensor> {
    let last = x.rank() - 1;
    let shifted = x.broadcast_sub(&x.detach().max_keepdim(last)?)?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(last)?.log()?)
}

impl AddedLoss for DigitLosses {
    fn describe(&self) -> String {
        format!(
            "seqpe, {} · contrastive loss of positions + {} · transfer from the trained {} to others, below {}",
            self.contrastive, self.transfer, self.trained, self.positions
        )
    }

    fn loss(&self, learned: &Learned<'_>, chance: Uniform<'_>) -> Result<Tensor> {
        let mut parts = Vec::new();
        if self.contrastive > 0.0 {
            let pivots: Vec<usize> = (0..ROWS).map(|_| below(self.positions, chance)).collect();
            let others: Vec<_> = pivots.iter().map(|&p| self.others(p, chance)).collect();
            let loss = self.contrast(learned, &pivots, &others)?;
            parts.push(loss.affine(self.contrastive, 0.0)?);
        }
        if self.transfer > 0.0 {
            let (least, most) = (self.trained / 4, self.positions - self.trained);
            let shifts: Vec<usize> = (0..ROWS)
                .map(|_| least + below(most - least, chance))
                .collect();
            let mut places = || sample(0..self.trained, OTHERS, chance);
            let places: Vec<_> = shifts.iter().map(|_| places()).collect();
            let loss = self.transferred(learned, &shifts, &places)?;
            parts.push(loss.affine(self.transfer, 0.0)?);
        }
        let mut parts = parts.into_iter();
        let first = parts
            .next()
            .map_or_else(|| learned.constant(&[0.0], &[]), Ok)?;
        parts.try_fold(first, |sum, part| sum.add(&part))
    }
}

#[cfg(test)]
mod tests;
