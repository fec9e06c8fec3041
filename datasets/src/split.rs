//! Which text is trained on, which is only looked at.

use crate::corpus::Document;
use crate::rng::Stream;
use std::collections::HashMap;

/// Seed of the deal: a constant, so that every run on the same text has the same test part.
const SEED: u64 = 0;
/// Deals that are tried. The first is good where documents are many; of few, such as ten books, only some sets have
/// the right size.
const DEALS: usize = 200;
/// A deal that misses no part by more than this share of it is taken at once ...
const GOOD: f64 = 0.02;
/// ... and one that misses more than this is no deal.
const FAR: f64 = 0.5;

/// What was not taken apart in dividing a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// Groups of documents: no group is in two parts.
    Groups,
    /// Documents: none is in two parts.
    Documents,
    /// Everything: all of it is measured on.
    Measured,
    /// Nothing: each document gives a piece to every part.
    Nothing,
}

/// The three parts, each in the order of the corpus.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) train: Vec<Document>,
    pub(crate) validation: Vec<Document>,
    pub(crate) test: Vec<Document>,
    /// What was kept whole.
    pub(crate) whole: Whole,
}

/// Deals whole groups of documents to the parts, so that their bytes come as close to the fractions as whole groups
/// allow; all to test if its fraction is 1. If that misses a part by more than half of it (few groups, or one that outweighs the rest), or if the corpus
/// has no groups, whole documents are dealt; if that misses too, every document is cut: its beginning is trained on,
/// then comes validation, then test.
pub(crate) fn split(documents: Vec<Document>, validation: f64, test: f64) -> Split {
    if test == 1.0 {
        return Split {
            train: vec![],
            validation: vec![],
            test: documents,
            whole: Whole::Measured,
        };
    }
    let mut ways = vec![(Whole::Documents, (0..documents.len()).collect())];
    if documents.iter().any(|d| d.group.is_some()) {
        ways.insert(0, (Whole::Groups, numbers(&documents)));
    }
    for (whole, numbers) in ways {
        let mut sizes = vec![0; numbers.iter().max().map_or(0, |last| last + 1)];
        for (number, document) in numbers.iter().zip(&documents) {
            sizes[*number] += document.text.len();
        }
        if let Some(places) = best_deal(&sizes, validation, test) {
            let mut parts = Split {
                train: vec![],
                validation: vec![],
                test: vec![],
                whole,
            };
            for (number, document) in numbers.into_iter().zip(documents) {
                let part = match places[number] {
                    Place::Train => &mut parts.train,
                    Place::Validation => &mut parts.validation,
                    Place::Test => &mut parts.test,
                };
                part.push(document);
            }
            return parts;
        }
    }
    cut(documents, validation, test)
}

/// For each document the number of its group, in the order in which groups begin.
fn numbers(documents: &[Document]) -> Vec<usize> {
    let mut known = HashMap::new();
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    documents
        .iter()
        .map(|document| match document.group {
            Some(group) => *known.entry(group).or_insert_with(&mut fresh),
            None => fresh(),
        })
        .collect()
}

/// Places of things of these sizes, if any deal comes near the fractions.
fn best_deal(sizes: &[usize], validation: f64, test: f64) -> Option<Vec<Place>> {
    let mut stream = Stream::new(SEED, "text/split");
    let mut best: Option<Deal> = None;
    for _ in 0..DEALS {
        let deal = deal(sizes, validation, test, &mut stream);
        if best.as_ref().is_none_or(|best| deal.miss < best.miss) {
            best = Some(deal);
        }
        if best.as_ref().is_some_and(|best| best.miss <= GOOD) {
            break;
        }
    }
    best.filter(|deal| deal.miss <= FAR).map(|deal| deal.places)
}

#[derive(Clone, Copy)]
enum Place {
    Train,
    Validation,
    Test,
}

struct Deal {
    places: Vec<Place>,
    /// How far the worse of the held-out parts is from its fraction, as a share of it.
    miss: f64,
}

/// Shuffles the things and goes through them twice, for test and for validation: one is taken if that brings the
/// closer to its fraction.
fn deal(sizes: &[usize], validation: f64, test: f64, stream: &mut Stream) -> Deal {
    let total: usize = sizes.iter().sum();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    stream.shuffle(&mut order);
    let mut places = vec![Place::Train; sizes.len()];
    let mut miss = 0.0_f64;
    for (place, fraction) in [(Place::Test, test), (Place::Validation, validation)] {
        let target = total as f64 * fraction;
        let mut dealt = 0.0;
        order.retain(|&index| {
            let with = dealt + sizes[index] as f64;
            let is_closer = (with - target).abs() < (dealt - target).abs();
            if is_closer {
                dealt = with;
                places[index] = place;
            }
            !is_closer
        });
        miss = miss.max((dealt - target).abs() / target);
    }
    Deal { places, miss }
}

/// Where a text is cut that should be cut at a byte: behind the end of a line that is near before it, or else behind a
/// blank, so that no word is cut and no piece begins with the blank that belongs to the word before.
fn seam(text: &str, at: usize, near: usize) -> usize {
    let at = text.floor_char_boundary(at);
    let near = &text.as_bytes()[at.saturating_sub(near)..at];
    let back = |is_seam: fn(&u8) -> bool| near.iter().rev().position(is_seam);
    let back = back(|byte| *byte == b'\n').or_else(|| back(u8::is_ascii_whitespace));
    at - back.unwrap_or(0)
}

fn cut(documents: Vec<Document>, validation: f64, test: f64) -> Split {
    let mut parts = Split {
        train: vec![],
        validation: vec![],
        test: vec![],
        whole: Whole::Nothing,
    };
    for Document { name, text, group } in documents {
        // Near enough that the fractions stay what they are.
        let near = (text.len() / 64).min(256);
        let at = |fraction: f64| seam(&text, (text.len() as f64 * fraction) as usize, near);
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
                    group,
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
    use std::collections::BTreeSet;

    fn documents(sizes: &[usize]) -> Vec<Document> {
        let name = |i| format!("d{i}");
        let text = |i, n| format!("é{i} ").chars().cycle().take(n).collect();
        sizes
            .iter()
            .enumerate()
            .map(|(i, &n)| Document {
                name: name(i),
                text: text(i, n),
                group: None,
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
        assert_eq!(Whole::Documents, parts.whole);
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
            assert_eq!(Whole::Nothing, parts.whole);
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

    #[test]
    fn groups_stay_whole_where_they_can() {
        let grouped = |n: u32| {
            let mut all = documents(&[500; 120]);
            (0..).zip(&mut all).for_each(|(i, d)| d.group = Some(i % n));
            all
        };
        let parts = split(grouped(40), 0.05, 0.10);
        assert_eq!(Whole::Groups, parts.whole);
        let groups =
            |part: &[Document]| -> BTreeSet<u32> { part.iter().filter_map(|d| d.group).collect() };
        let sets = [&parts.train, &parts.validation, &parts.test].map(|part| groups(part));
        assert_eq!([34, 2, 4], sets.each_ref().map(BTreeSet::len));
        assert_eq!(
            40,
            sets.into_iter().flatten().collect::<BTreeSet<_>>().len()
        );
        assert_eq!((6, 12), (parts.validation.len(), parts.test.len()));
        // Of three groups none is a tenth of the whole: documents are dealt.
        assert_eq!(Whole::Documents, split(grouped(3), 0.05, 0.10).whole);
    }

    #[test]
    fn texts_are_cut_between_lines_or_words() {
        let at = |text, at| seam(text, at, 10);
        assert_eq!("one two\n".len(), at("one two\nthree four", 15));
        assert_eq!("one two ".len(), at("one two three four", 11));
        assert_eq!("one two ".len(), at("one two three four", 8));
        assert_eq!(7, at("onetwothreefour", 7));
        assert_eq!(1, at("aéé", 2));
        assert_eq!(0, at("", 0));
        assert_eq!(14, at("one two\nthree four", 15 + 3));
        assert_eq!(21, at("one threefourfivesix seven", 25));
        assert_eq!(18, at("one threefourfivesix seven", 18));
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
            if parts.whole == Whole::Documents {
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
