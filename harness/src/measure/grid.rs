//! The grid of a task's factors.

use crate::config::Rules;
use farspan_datasets::tasks::{Factor, Point, shares};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Values of a factor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Axis {
    /// So many, evenly spaced from 0 to 1.
    Shares(usize),
    /// These.
    Values(Vec<f64>),
}

/// All points of a length, the last factor fastest: of each factor the values that `grid` names, or else its own.
pub(crate) fn points(
    grid: &BTreeMap<String, Axis>,
    factors: &[Factor],
    length: usize,
) -> Vec<Point> {
    let mut found = vec![Vec::new()];
    for factor in factors {
        let values = match grid.get(factor.name) {
            None => factor.values.clone(),
            Some(Axis::Shares(count)) => shares(*count),
            Some(Axis::Values(values)) => values.clone(),
        };
        let longer = |at: &Vec<f64>| {
            let at = at.clone();
            let with = move |value: &f64| at.iter().copied().chain([*value]).collect();
            values.iter().map(with).collect::<Vec<Vec<f64>>>()
        };
        found = found.iter().flat_map(longer).collect();
    }
    let point = |at| Point { length, at };
    found.into_iter().map(point).collect()
}

impl Axis {
    /// Reports values that `factor` cannot have.
    pub(crate) fn check(&self, factor: &Factor, key: &str, rules: &mut Rules<'_>) {
        match self {
            Axis::Shares(count) => {
                let rule = match factor.share {
                    true => "1 to 1000 values, or a list of them",
                    false => "a list of values",
                };
                let holds = factor.share && (1..=1000).contains(count);
                rules.rule(key, rule, count, holds);
            }
            Axis::Values(values) => {
                let rule = match factor.share {
                    true => "rising shares from 0 to 1",
                    false => "rising whole numbers from 1 to 10^6",
                };
                let rising = values.windows(2).all(|pair| pair[0] < pair[1]);
                let holds = !values.is_empty() && rising && values.iter().all(|&x| factor.takes(x));
                rules.rule(key, rule, format!("{values:?}"), holds);
            }
        }
    }
}
