//! Numbers of one call: parameters, and tables of all that depends on one thing only.

use super::compile::Compiled;
use super::lanes::{Lanes, tabulate};
use super::network::Network;
use crate::expr::ParamValues;
use crate::score::{Columns, Places, Tabled};
use crate::{Error, Result};

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
        let table = |(table, ready): (&Tabled, &Option<Lanes>)| match (ready, &table.token) {
            (Some(ready), _) => Ok(ready.clone()),
            (None, Some(name)) => self.token_lanes(table, name, &params),
            (None, None) => tabulate(&self.span, table, &params),
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

    /// A token vector (batch, heads, places) with its rows padded.
    fn token_lanes(&self, table: &Tabled, name: &str, params: &ParamValues) -> Result<Lanes> {
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
        table: &Tabled,
        mut sums: Vec<Vec<f64>>,
        params: &ParamValues,
        into: &mut ParamValues,
    ) -> Result<()> {
        let places = Places::of(&self.span, table.axis);
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
            Columns::new(&self.span, &places, head, params).backward(&table.expr, sums, into)?;
        }
        Ok(())
    }
}
