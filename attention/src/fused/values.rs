//! Numbers of one call: parameters, and tables of all that depends on one thing only.

use super::columns::Column;
use super::compile::{Compiled, Table};
use super::network::Network;
use crate::expr::ParamValues;
use crate::{Error, Result};

/// Values of a table in f32: one row for all heads or one per head, and per batch entry for token vectors, padded so
/// that whole tiles may be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    values: Vec<f32>,
    /// From one batch entry to the next, and from one head to the next; 0 where all share.
    strides: (usize, usize),
    len: usize,
}

impl Lanes {
    pub(super) fn row(&self, batch: usize, head: usize) -> &[f32] {
        &self.values[batch * self.strides.0 + head * self.strides.1..][..self.len]
    }
}

/// Parameters and tables of one call.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) params: ParamValues,
    pub(super) tables: Vec<Lanes>,
    pub(super) weights: Vec<Vec<f32>>,
    pub(super) networks: Vec<Network>,
}

impl Compiled {
    /// Values for a call; `learned` holds the parameters that are not constants of the plan.
    pub(super) fn values(&self, learned: ParamValues) -> Result<Values> {
        let mut params = self.constants.clone();
        params.extend(learned);
        let table = |(table, ready): (&Table, &Option<Lanes>)| match (ready, &table.token) {
            (Some(ready), _) => Ok(ready.clone()),
            (None, Some(name)) => self.token_lanes(table, name, &params),
            (None, None) => self.tabulate(table, &params),
        };
        let tables = self
            .tables
            .iter()
            .zip(&self.ready)
            .map(table)
            .collect::<Result<_>>()?;
        let weight = |(name, _): &(String, bool)| match params.get(name) {
            Some(values) => Ok(values.iter().map(|x| *x as f32).collect()),
            None => Err(Error::expr(format!("no parameter {name:?}"))),
        };
        let weights: Vec<Vec<f32>> = self.weights.iter().map(weight).collect::<Result<_>>()?;
        let network =
            |first: &usize| Network::new([0, 1, 2, 3].map(|part| &*weights[first + part]));
        Ok(Values {
            params,
            tables,
            networks: self.networks.iter().map(network).collect(),
            weights,
        })
    }

    pub(super) fn tabulate(&self, table: &Table, params: &ParamValues) -> Result<Lanes> {
        let places = self.positions(table.axis);
        let len = self.padded_places(table.axis);
        let rows = if table.per_head { self.heads } else { 1 };
        let mut values = vec![0.0; rows * len];
        for (head, row) in values.chunks_exact_mut(len.max(1)).enumerate() {
            let column: Column = self.columns(&places, head, params).eval(&table.expr)?;
            for (place, x) in row[..places.i.len()].iter_mut().enumerate() {
                *x = column.at(place) as f32;
            }
        }
        let strides = (0, if table.per_head { len } else { 0 });
        Ok(Lanes {
            values,
            strides,
            len,
        })
    }

    /// A token vector (batch, heads, places) with its rows padded.
    fn token_lanes(&self, table: &Table, name: &str, params: &ParamValues) -> Result<Lanes> {
        let (places, len) = (self.places(table.axis), self.padded_places(table.axis));
        let given = params.get(name).map_or(&[][..], Vec::as_slice);
        let per_entry = (self.heads * places).max(1);
        if given.is_empty() || !given.len().is_multiple_of(per_entry) {
            let why = format!(
                "token vector {name}: expected {} heads of {places} values per batch entry, found {} values",
                self.heads,
                given.len()
            );
            return Err(Error::expr(why));
        }
        let mut values = vec![0.0; given.len() / places * len];
        let rows = values.chunks_exact_mut(len).zip(given.chunks_exact(places));
        for (row, given) in rows {
            row.iter_mut()
                .zip(given)
                .for_each(|(x, given)| *x = *given as f32);
        }
        Ok(Lanes {
            values,
            strides: (self.heads * len, len),
            len,
        })
    }

    /// Adds to `into` what the gradients of a table's places (one row per head) say about the parameters.
    pub(super) fn chain(
        &self,
        table: &Table,
        mut sums: Vec<Vec<f64>>,
        params: &ParamValues,
        into: &mut ParamValues,
    ) -> Result<()> {
        let places = self.positions(table.axis);
        if !table.per_head {
            // All heads read the same values.
            for head in 1..sums.len() {
                let (first, rest) = sums.split_at_mut(head);
                first[0]
                    .iter_mut()
                    .zip(&rest[0])
                    .for_each(|(sum, x)| *sum += x);
            }
            sums.truncate(1);
        }
        for (head, mut sums) in sums.into_iter().enumerate() {
            sums.truncate(places.i.len());
            self.columns(&places, head, params)
                .backward(&table.expr, sums, into)?;
        }
        Ok(())
    }
}
