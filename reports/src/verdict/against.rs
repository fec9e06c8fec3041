//! Who differs significantly from the reference.

use super::words::{joined, small};
use super::{About, once, place};
use crate::record::Scale;
use crate::summary::{Difference, Outcome};

impl About<'_> {
    /// Who differs significantly from the reference, at the trained length and at the longest.
    pub(super) fn against_reference(self) -> Vec<String> {
        let all = self
            .study
            .differences
            .iter()
            .filter(|d| d.key == self.info.key);
        let mine: Vec<&Difference> = all.collect();
        let comparable = mine.iter().filter(|d| d.outcome != Outcome::NotComparable);
        let mut lengths = vec![self.study.trained(), comparable.map(|d| d.length).max()];
        lengths.dedup();
        let lengths = lengths.into_iter().flatten();
        lengths
            .filter_map(|length| self.at_length(&mine, length))
            .collect()
    }

    fn at_length(self, mine: &[&Difference], length: usize) -> Option<String> {
        let reference = &self.study.reference.as_ref()?.label;
        let here: Vec<&Difference> = mine
            .iter()
            .copied()
            .filter(|d| d.length == length)
            .collect();
        let named = |outcome: Outcome| -> Vec<String> {
            let all = here.iter().filter(|d| d.outcome == outcome);
            all.map(|d| d.label.clone()).collect()
        };
        let verb = |names: &[String]| if names.len() == 1 { "is" } else { "are" };
        let mut parts = Vec::new();
        for (outcome, words) in [
            (Outcome::Better, "better"),
            (Outcome::Worse, "worse"),
            (Outcome::BetterOnce, "better (one seed)"),
            (Outcome::WorseOnce, "worse (one seed)"),
        ] {
            let names = named(outcome);
            if !names.is_empty() {
                parts.push(format!("{} {} {words}", joined(&names), verb(&names)));
            }
        }
        let same = named(Outcome::NoDifference);
        if !same.is_empty() {
            let who = match same.len() == here.len() && same.len() > 1 {
                true => "any other curve".into(),
                false => joined(&same),
            };
            parts.push(format!(
                "no significant difference from {reference} for {who}"
            ));
        }
        if parts.is_empty() {
            return None;
        }
        let comparisons = here.iter().map(|d| d.comparisons).max().unwrap_or(0);
        let over = match comparisons {
            0 | 1 => String::new(),
            n => format!(", simultaneous over {n} comparisons"),
        };
        let limit = match once(here.iter().map(|d| d.seeds).min().unwrap_or(0)) {
            "" => String::new(),
            words => format!("; {words}"),
        };
        Some(format!(
            "Against {reference} in {} at {} (paired{over}{limit}): {}.",
            match self.info.record.scale {
                Scale::Exp => self.noun(),
                Scale::Share | Scale::Plain => small(&self.info.record.title),
            },
            place(self.study, length),
            parts.join("; ")
        ))
    }
}
