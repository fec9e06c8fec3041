//! Which text is trained on, which is only looked at.

use crate::corpus::Document;
use crate::rng::Stream;

/// Seed of the deal: a constant, so that every run on the same text has the same test part.
const SEED: u64 = 0;

/// The three parts, each in the order of the corpus.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) train: Vec<Document>,
    pub(crate) validation: Vec<Document>,
    pub(crate) test: Vec<Document>,
    /// Whether documents were cut because whole ones would have missed the fractions by far.
    pub(crate) is_cut: bool,
}

/// Deals whole documents to the parts, so that their bytes come as close to the fractions as whole documents allow. If
/// that misses a part by more than half of it (few documents, or one that outweighs the rest), every document is cut
/// instead: its beginning is trained on, then comes validation, then test.
pub(crate) fn split(documents: Vec<Document>, validation: f64, test: f64) -> Split {
    let total: usize = documents.iter().map(|d| d.text.len()).sum();
    let mut order: Vec<usize> = (0..documents.len()).collect();
    Stream::new(SEED, "text/split").shuffle(&mut order);
    let mut deal = |fraction: f64| {
        let target = total as f64 * fraction;
        let mut dealt = 0.0;
        let mut chosen = Vec::new();
        order.retain(|&index| {
            let bytes = documents[index].text.len() as f64;
            let is_closer = (dealt + bytes - target).abs() < (dealt - target).abs();
            if is_closer {
                dealt += bytes;
                chosen.push(index);
            }
            !is_closer
        });
        ((dealt - target).abs() <= target / 2.0).then_some(chosen)
    };
    let (Some(tests), Some(validations)) = (deal(test), deal(validation)) else {
        return cut(documents, validation, test);
    };
    let mut parts = Split {
        train: vec![],
        validation: vec![],
        test: vec![],
        is_cut: false,
    };
    for (index, document) in documents.into_iter().enumerate() {
        let part = if tests.contains(&index) {
            &mut parts.test
        } else if validations.contains(&index) {
            &mut parts.validation
        } else {
            &mut parts.train
        };
        part.push(document);
    }
    parts
}

fn cut(documents: Vec<Document>, validation: f64, test: f64) -> Split {
    let mut parts = Split {
        train: vec![],
        validation: vec![],
        test: vec![],
        is_cut: true,
    };
    for Document { name, text } in documents {
        let at = |fraction: f64| text.floor_char_boundary((text.len() as f64 * fraction) as usize);
        let (first, second) = (at(1.0 - validation - test), at(1.0 - test));
        for (part, piece) in [
            (&mut parts.train, &text[..first]),
            (&mut parts.validation, &text[first..second]),
            (&mut parts.test, &text[second..]),
        ] {
            if !piece.is_empty() {
                part.push(Document {
                    name: name.clone(),
                    text: piece.to_string(),
                });
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn documents(sizes: &[usize]) -> Vec<Document> {
        let name = |i| format!("d{i}");
        let text = |i, n| format!("é{i} ").chars().cycle().take(n).collect();
        sizes
            .iter()
            .enumerate()
            .map(|(i, &n)| Document {
                name: name(i),
                text: text(i, n),
            })
            .collect()
    }

    fn bytes(part: &[Document]) -> usize {
        part.iter().map(|d| d.text.len()).sum()
    }

    fn names(part: &[Document]) -> Vec<&str> {
        part.iter().map(|d| d.name.as_str()).collect()
    }

    #[test]
    fn many_documents_are_dealt_whole() {
        let all = documents(&(100..400).collect::<Vec<_>>());
        let total = bytes(&all) as f64;
        let parts = split(all.clone(), 0.05, 0.10);
        assert!(!parts.is_cut);
        // No document is longer than half a percent of the whole.
        assert!((bytes(&parts.test) as f64 / total - 0.10).abs() < 0.005);
        assert!((bytes(&parts.validation) as f64 / total - 0.05).abs() < 0.005);
        let mut dealt: Vec<_> = [&parts.train, &parts.validation, &parts.test]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        dealt.sort_by_key(|d| d.name[1..].parse::<usize>().unwrap());
        assert_eq!(all, dealt);
        // A deal, not a slice: the test part comes from the whole corpus.
        let first = names(&parts.test)[0][1..].parse::<usize>().unwrap();
        let last = names(&parts.test).last().unwrap()[1..]
            .parse::<usize>()
            .unwrap();
        assert!(first < 60 && last > 240, "{first} {last}");
    }

    /// Against a separate implementation of the deal (in Python).
    #[test]
    fn golden() {
        let parts = split(documents(&[500; 40]), 0.05, 0.10);
        assert_eq!(["d6", "d20", "d22", "d35"], names(&parts.test)[..]);
        assert_eq!(["d28", "d29"], names(&parts.validation)[..]);
    }

    #[test]
    fn few_documents_are_cut() {
        for sizes in [
            &[1000][..],
            &[1000, 900, 1100],
            &[10_000, 5, 5, 5, 5, 5, 5, 5, 5],
        ] {
            let all = documents(sizes);
            let parts = split(all.clone(), 0.1, 0.2);
            assert!(parts.is_cut);
            for document in &all {
                let pieces = [&parts.train, &parts.validation, &parts.test].map(|part| {
                    part.iter()
                        .find(|d| d.name == document.name)
                        .map_or("", |d| &d.text)
                });
                assert_eq!(
                    document.text,
                    pieces.concat(),
                    "in the order train, validation, test"
                );
            }
            let total = bytes(&all) as f64;
            assert!((bytes(&parts.test) as f64 / total - 0.2).abs() < 0.02);
        }
    }

    proptest! {
        /// Nothing is lost or doubled, and no document left for training would bring a part closer to its fraction.
        #[test]
        fn deals_are_partitions(
            sizes in prop::collection::vec(1_usize..3000, 1..80),
            validation in 0.01..0.4,
            test in 0.01..0.4,
        ) {
            let all = documents(&sizes);
            let total = bytes(&all);
            let parts = split(all, validation, test);
            prop_assert_eq!(
                total,
                bytes(&parts.train) + bytes(&parts.validation) + bytes(&parts.test)
            );
            if !parts.is_cut {
                let mut all: Vec<_> = names(&parts.train);
                all.extend(names(&parts.validation));
                all.extend(names(&parts.test));
                all.sort_unstable();
                all.dedup();
                prop_assert_eq!(sizes.len(), all.len());
                let target = total as f64 * validation;
                let dealt = bytes(&parts.validation) as f64;
                for document in &parts.train {
                    let with = dealt + document.text.len() as f64;
                    prop_assert!((with - target).abs() >= (dealt - target).abs());
                }
                prop_assert!((dealt - target).abs() <= target / 2.0);
            }
        }
    }
}
