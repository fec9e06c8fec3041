//! From the gradients of jobs to those of parameters.

use super::Node;
use crate::Result;
use crate::expr::ParamValues;
use crate::fused::program::Sums;
use crate::fused::scan::TABLE;
use crate::score::Axis;

impl Node {
    /// Gradients of the parameters, flat, from those of all jobs, in the order of the jobs.
    pub(super) fn chain(&self, sums: &[Sums]) -> Result<Vec<f32>> {
        let c = &*self.compiled;
        let given = self
            .learned
            .iter()
            .map(|(name, n)| (name.clone(), vec![0.0; *n]));
        let mut into: ParamValues = given.collect();
        let group = c.group();
        for (number, table) in c
            .tables
            .iter()
            .enumerate()
            .filter(|(_, table)| table.learned)
        {
            let places = c.padded_places(table.axis);
            if let Some(name) = &table.token {
                if let Some(into) = into.get_mut(name) {
                    self.chain_token(number, table.axis, sums, into);
                }
                continue;
            }
            let mut heads = vec![vec![0.0; places]; c.heads];
            for (job, sums) in sums.iter().enumerate() {
                let first = job % c.kv_heads * group;
                for (in_group, head) in heads[first..first + group].iter_mut().enumerate() {
                    let range = in_group * places..(in_group + 1) * places;
                    match table.axis {
                        Axis::Fixed | Axis::Query => {
                            let part = &sums.wide[number][range];
                            head.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
                        }
                        Axis::Key | Axis::Distance => {
                            let part = &sums.narrow[number][range];
                            head.iter_mut()
                                .zip(part)
                                .for_each(|(sum, x)| *sum += f64::from(*x));
                        }
                    }
                }
            }
            c.chain(table, heads, &self.values.params, &mut into)?;
        }
        for (number, (name, learned)) in c.weights.iter().enumerate() {
            let Some(into) = into.get_mut(name).filter(|_| *learned) else {
                continue;
            };
            for sums in sums {
                into.iter_mut()
                    .zip(&sums.weights[number])
                    .for_each(|(sum, x)| *sum += x);
            }
        }
        if let (Some(table), Some(into)) = (self.table(), into.get_mut(TABLE)) {
            for sums in sums {
                table.add(&sums.scan, into);
            }
        }
        Ok(into.values().flatten().map(|x| *x as f32).collect())
    }

    /// Gradient of a token vector (batch, heads, places): each job has its own part.
    fn chain_token(&self, number: usize, axis: Axis, sums: &[Sums], into: &mut [f64]) {
        let c = &*self.compiled;
        let (places, padded, group) = (c.places(axis), c.padded_places(axis), c.group());
        for (job, sums) in sums.iter().enumerate() {
            // Jobs count key/value heads, whose query heads follow each other.
            for in_group in 0..group {
                let to = &mut into[(job * group + in_group) * places..][..places];
                if axis == Axis::Query {
                    to.copy_from_slice(&sums.wide[number][in_group * padded..][..places]);
                } else {
                    let from = &sums.narrow[number][in_group * padded..][..places];
                    to.iter_mut()
                        .zip(from)
                        .for_each(|(x, y)| *x = f64::from(*y));
                }
            }
        }
    }
}
