//! `Shift`: how the ids that a task gives are moved in training, so that those of longer examples have been seen.

use super::{Uniform, whole};

/// Moves given ids. An id of 0 stays: its token has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// All ids of a batch by one number from 0 to this (Abacus: McLeish et al. 2024, arXiv 2405.17399).
    Together {
        /// The largest.
        most: usize,
    },
    /// Those of each window by a number of its own, from 0 to what makes its largest id this one (position coupling: Cho
    /// et al. 2024, arXiv 2405.20671). Windows with larger ids stay.
    Within {
        /// Largest id afterwards.
        largest: usize,
    },
}

impl Shift {
    /// Moves the ids of windows of `len` tokens, row-major.
    pub fn apply(&self, ids: &mut [f64], len: usize, uniform: Uniform<'_>) {
        let move_by = |ids: &mut [f64], shift: usize| {
            let given = ids.iter_mut().filter(|id| **id > 0.0);
            given.for_each(|id| *id += shift as f64);
        };
        match *self {
            Shift::Together { most } => move_by(ids, whole(uniform, 0, most)),
            Shift::Within { largest } => {
                for window in ids.chunks_mut(len.max(1)) {
                    let top = window.iter().copied().fold(0.0, f64::max);
                    // Ids are whole and not negative.
                    let room = largest.saturating_sub(top as usize);
                    move_by(window, whole(uniform, 0, room));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Shifts of two windows with ids 0 1 2 and 0 3 0, over many draws.
    fn shifts(shift: Shift) -> BTreeSet<(i64, i64)> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let draw = |_| {
            let mut ids = vec![0.0, 1.0, 2.0, 0.0, 3.0, 0.0];
            shift.apply(&mut ids, 3, &mut uniform);
            assert_eq!((ids[0], ids[3], ids[5]), (0.0, 0.0, 0.0));
            assert_eq!(ids[2], ids[1] + 1.0);
            (ids[1] as i64 - 1, ids[4] as i64 - 3)
        };
        (0..2000).map(draw).collect()
    }

    #[test]
    fn ids_move_together_or_within_a_table() {
        let together = shifts(Shift::Together { most: 4 });
        assert_eq!(together, (0..=4).map(|k| (k, k)).collect());
        let within = shifts(Shift::Within { largest: 5 });
        let each = |a| (0..=2).map(move |b| (a, b));
        assert_eq!(within, (0..=3).flat_map(each).collect());
        assert_eq!(shifts(Shift::Within { largest: 1 }), [(0, 0)].into());
    }
}
