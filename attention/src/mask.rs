//! Which pairs take part. Causality, windows and document boundaries belong to the call, never to a scheme.

use crate::{Error, Result};
use std::ops::Range;

/// Hides pairs. All fields act together; [`Mask::default`] hides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Hides keys after the query.
    pub causal: bool,
    /// Keeps only keys less than this many positions away.
    pub window: Option<usize>,
    /// Keeps the first keys of the sequence in spite of `window`.
    pub sinks: usize,
    /// Document of each position, from 0; hides keys of other documents.
    pub documents: Option<Vec<u32>>,
}

impl Mask {
    /// Hides keys after the query, nothing else.
    pub fn causal() -> Mask {
        Mask {
            causal: true,
            ..Mask::default()
        }
    }

    /// Whether the query at position `i` sees the key at position `j`.
    pub fn sees(&self, i: usize, j: usize) -> bool {
        let in_time = !self.causal || j <= i;
        let near = self.window.is_none_or(|window| i.abs_diff(j) < window) || j < self.sinks;
        let same = self
            .documents
            .as_ref()
            .is_none_or(|documents| documents[i] == documents[j]);
        in_time && near && same
    }

    /// The keys among `keys` that some query of `queries` may see: a range that holds them all.
    pub(crate) fn reachable(&self, queries: &Range<usize>, keys: &Range<usize>) -> Range<usize> {
        if queries.is_empty() || keys.is_empty() {
            return keys.start..keys.start;
        }
        let mut range = keys.clone();
        if self.causal {
            range.end = range.end.min(queries.end);
        }
        if let (Some(window), true) = (self.window, self.sinks <= keys.start) {
            range.start = range.start.max((queries.start + 1).saturating_sub(window));
            range.end = range.end.min(queries.end - 1 + window);
        }
        if range.start < range.end {
            range
        } else {
            keys.start..keys.start
        }
    }

    /// Whether every query of `queries` sees every key of `keys`.
    pub(crate) fn hides_nothing(&self, queries: &Range<usize>, keys: &Range<usize>) -> bool {
        if queries.is_empty() || keys.is_empty() {
            return true;
        }
        let in_time = !self.causal || keys.end <= queries.start + 1;
        let far = (queries.end - 1)
            .abs_diff(keys.start)
            .max(queries.start.abs_diff(keys.end - 1));
        in_time && self.window.is_none_or(|window| far < window) && self.documents.is_none()
    }

    /// Whether the window alone hides every key of `keys` from every query of `queries`, neither being empty.
    pub(crate) fn is_past(&self, queries: &Range<usize>, keys: &Range<usize>) -> bool {
        let last = keys.end.saturating_sub(1);
        let past = |window| queries.start.saturating_sub(last) >= window;
        keys.start >= self.sinks && last < queries.start && self.window.is_some_and(past)
    }

    /// Fails if a document is missing for a position below `end`.
    pub(crate) fn check(&self, end: usize) -> Result<()> {
        match &self.documents {
            Some(documents) if documents.len() < end => Err(Error::Argument {
                what: "mask.documents",
                expected: format!("a document for each of {end} positions"),
                found: format!("{}", documents.len()),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_by_hand() {
        let seen = |mask: &Mask, i: usize| (0..6).filter(|&j| mask.sees(i, j)).collect::<Vec<_>>();
        assert_eq!(seen(&Mask::default(), 3), [0, 1, 2, 3, 4, 5]);
        assert_eq!(seen(&Mask::causal(), 3), [0, 1, 2, 3]);
        let window = Mask {
            window: Some(2),
            ..Mask::causal()
        };
        assert_eq!(seen(&window, 4), [3, 4]);
        assert_eq!(
            seen(
                &Mask {
                    sinks: 2,
                    ..window.clone()
                },
                4
            ),
            [0, 1, 3, 4]
        );
        assert_eq!(
            seen(
                &Mask {
                    causal: false,
                    ..window
                },
                3
            ),
            [2, 3, 4]
        );
        let documents = Some(vec![7, 7, 3, 3, 3, 7]);
        assert_eq!(
            seen(
                &Mask {
                    documents: documents.clone(),
                    ..Mask::causal()
                },
                4
            ),
            [2, 3, 4]
        );
        assert_eq!(
            seen(
                &Mask {
                    documents,
                    ..Mask::causal()
                },
                5
            ),
            [0, 1, 5]
        );
    }

    #[test]
    fn shortcuts_agree_with_the_pairs() {
        let documents = vec![0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2];
        for causal in [false, true] {
            for window in [None, Some(0), Some(1), Some(3)] {
                for sinks in [0, 2] {
                    for documents in [None, Some(documents.clone())] {
                        let mask = Mask {
                            causal,
                            window,
                            sinks,
                            documents,
                        };
                        check(&mask);
                    }
                }
            }
        }
    }

    fn check(mask: &Mask) {
        for queries in [0..4, 3..4, 5..12, 2..2] {
            for keys in [0..12, 0..1, 4..9, 7..7] {
                let range = mask.reachable(&queries, &keys);
                assert!(range.is_empty() || (keys.start <= range.start && range.end <= keys.end));
                let pairs = queries
                    .clone()
                    .flat_map(|i| keys.clone().map(move |j| (i, j)));
                let (seen, hidden): (Vec<_>, Vec<_>) = pairs.partition(|&(i, j)| mask.sees(i, j));
                assert!(
                    seen.iter().all(|(_, j)| range.contains(j)),
                    "{mask:?} {queries:?} {keys:?}"
                );
                if mask.is_past(&queries, &keys) {
                    assert!(seen.is_empty(), "{mask:?} {queries:?} {keys:?}");
                }
                if mask.hides_nothing(&queries, &keys) {
                    assert!(hidden.is_empty(), "{mask:?} {queries:?} {keys:?}");
                }
            }
        }
    }
}
