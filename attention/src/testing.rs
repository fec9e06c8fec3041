//! Random plans and calls, and their outcome under an implementation: shared by the tests of every implementation.

mod draw;

pub(crate) use draw::{any_expr, case, expr, specs};

use crate::attend::{Implementation, Mask, Params, attend};
use crate::expr::{Env, Expr, ParamValues, TokenValues};
use crate::plan::{Geometry, ParamSpec, Plan};
use crate::prepared::Prepared;
use crate::{DType, Device, Tensor, Var};
use std::collections::BTreeMap;
use std::ops::Range;

/// One random call.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) plan: Plan,
    pub(crate) geometry: Geometry,
    pub(crate) batch: usize,
    pub(crate) queries: Range<usize>,
    pub(crate) keys: Range<usize>,
    pub(crate) mask: Mask,
    /// Positions of the tokens, if they are not their indices.
    pub(crate) positions: Option<Vec<f64>>,
    pub(crate) seed: u64,
}

/// Output and gradients by name ("q", "k", "v" and the learned parameters), flat.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) values: BTreeMap<String, Vec<f64>>,
}

/// Reproducible numbers in [−1, 1).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed ^ 0x9E37_79B9_7F4A_7C15;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..len).map(|_| next()).collect()
}

impl Case {
    /// The plan made ready for the call.
    pub(crate) fn prepared(&self) -> Prepared {
        let (queries, keys) = (self.queries.clone(), self.keys.clone());
        let (plan, geometry, device) = (&self.plan, &self.geometry, Device::cpu());
        match &self.positions {
            None => Prepared::new(plan, geometry, queries, keys, &device),
            Some(at) => Prepared::with_positions(plan, geometry, queries, keys, at, &device),
        }
        .unwrap()
    }

    /// Learned parameters and token vectors with their values.
    pub(crate) fn params(&self) -> Vec<(String, Vec<usize>, Vec<f64>)> {
        let learned = self.plan.params.iter().filter(|spec| spec.learned);
        let value = |(i, spec): (usize, &ParamSpec)| {
            let values = noise(self.seed + 10 + i as u64, spec.len());
            // Positive, so that powers and logarithms have something to do.
            let values = values.iter().map(|x| 0.6 + 0.5 * x).collect();
            (spec.name.clone(), spec.shape.clone(), values)
        };
        let mut params: Vec<_> = learned.enumerate().map(value).collect();
        for token in &self.plan.tokens {
            for (end, count) in [("q", self.queries.len()), ("k", self.keys.len())] {
                let shape = vec![self.batch, self.geometry.heads, count];
                let values = noise(self.seed + 30 + count as u64, shape.iter().product());
                params.push((format!("{}@{end}", token.name), shape, values));
            }
        }
        params
    }

    /// Values of the token vectors for one pair.
    fn tokens(
        &self,
        params: &ParamValues,
        (b, h): (usize, usize),
        i: usize,
        j: usize,
    ) -> TokenValues {
        let row = b * self.geometry.heads + h;
        let at = |name: &str, end: &str, count: usize, place: usize| {
            params[&format!("{name}@{end}")][row * count + place]
        };
        let tokens = self.plan.tokens.iter().map(|token| &token.name);
        tokens
            .map(|name| {
                let q = at(name, "q", self.queries.len(), i - self.queries.start);
                let k = at(name, "k", self.keys.len(), j - self.keys.start);
                (name.clone(), [q, k])
            })
            .collect()
    }

    /// Whether every part of the score that is in use has a finite value at every visible pair: past an infinity inside
    /// of a formula (say tanh(1/0)) the gradient depends on the order of operations.
    pub(crate) fn is_regular(&self) -> bool {
        let prepared = self.prepared();
        let mut params: ParamValues = self
            .params()
            .into_iter()
            .map(|(name, _, values)| (name, values))
            .collect();
        let constants = self
            .plan
            .params
            .iter()
            .filter_map(|spec| Some((spec.name.clone(), spec.constant()?)));
        params.extend(constants);
        let none = TokenValues::new();
        let holds = |expr: &Expr, i: usize, j: usize| {
            let heads = self.geometry.heads;
            [-1.6, -0.5, 0.0, 0.6, 1.7].into_iter().all(|raw| {
                let raw = [raw, -raw, 0.8 * raw];
                let params = &params;
                let own = expr.token_names().is_empty();
                let entries = (0..heads).flat_map(|h| (0..self.batch).map(move |b| (b, h)));
                entries.into_iter().all(|(b, head)| {
                    let tokens = if own {
                        none.clone()
                    } else {
                        self.tokens(params, (b, head), i, j)
                    };
                    let env = Env {
                        i: prepared.position(i),
                        j: prepared.position(j),
                        n: prepared.context_len(),
                        head,
                        heads,
                        raw: &raw,
                        params,
                        tokens: &tokens,
                    };
                    regular(expr, &env)
                })
            })
        };
        let scale = self.plan.query_scale.as_ref();
        if !self
            .queries
            .clone()
            .all(|i| scale.is_none_or(|scale| holds(scale, i, i)))
        {
            return false;
        }
        let pairs = self
            .queries
            .clone()
            .flat_map(|i| self.keys.clone().map(move |j| (i, j)));
        let mut seen = pairs.filter(|&(i, j)| self.mask.sees(i, j)).peekable();
        // Without any pair nothing shows whether a constant part is regular.
        seen.peek().is_some() && seen.all(|(i, j)| holds(&self.plan.score, i, j))
    }

    /// Runs the call and differentiates a random weighting of its output.
    pub(crate) fn run(&self, which: Implementation, dtype: DType) -> crate::Result<Outcome> {
        let device = Device::cpu();
        let Geometry {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.geometry;
        let var = |seed: u64, shape: &[usize]| {
            let values = noise(self.seed + seed, shape.iter().product());
            Var::new(Tensor::from_vec(values, shape, &device)?.to_dtype(dtype)?)
        };
        let queries = [self.batch, heads, self.queries.len(), head_dim];
        let keys = [self.batch, kv_heads, self.keys.len(), head_dim];
        let mut vars = vec![
            ("q".to_string(), var(1, &queries)?),
            ("k".to_string(), var(2, &keys)?),
            ("v".to_string(), var(3, &keys)?),
        ];
        let mut params = Params::new();
        for (name, shape, values) in self.params() {
            let var = Var::new(Tensor::from_vec(values, shape, &device)?.to_dtype(dtype)?)?;
            params.insert(name.clone(), var.tensor().clone());
            vars.push((name, var));
        }
        let prepared = self.prepared();
        let [q, k, v] = [0, 1, 2].map(|i| vars[i].1.tensor());
        let output = attend(q, k, v, &prepared, &params, &self.mask, which)?.output;
        let weights = noise(self.seed + 4, output.elem_count());
        let weights = Tensor::from_vec(weights, output.shape(), &device)?.to_dtype(dtype)?;
        let gradients = output.mul(&weights)?.sum_all()?.backward()?;
        let flat = |x: &Tensor| x.to_dtype(DType::F64)?.to_flat::<f64>();
        let mut values = BTreeMap::from([("output".to_string(), flat(&output)?)]);
        for (name, var) in &vars {
            let gradient = match gradients.get(var) {
                Some(gradient) => flat(&gradient)?,
                None => vec![0.0; var.tensor().elem_count()],
            };
            values.insert(name.clone(), gradient);
        }
        Ok(Outcome { values })
    }
}

fn regular(expr: &Expr, env: &Env) -> bool {
    let value = |expr: &Expr| expr.eval(env).unwrap_or(f64::NAN);
    match expr {
        Expr::Number(_) => true,
        Expr::Select {
            a,
            b,
            then,
            otherwise,
        } => {
            let chosen = if value(a) < value(b) { then } else { otherwise };
            [a, b, chosen].into_iter().all(|part| regular(part, env))
        }
        _ => value(expr).is_finite() && expr.children().into_iter().all(|part| regular(part, env)),
    }
}

impl Outcome {
    /// Whether all numbers are finite and small enough for a comparison to mean something.
    pub(crate) fn is_tame(&self) -> bool {
        self.values
            .values()
            .flatten()
            .all(|x| x.is_finite() && x.abs() < 1e4)
    }

    /// Largest difference relative to the largest number of the same tensor (at least 1), and where.
    pub(crate) fn distance(&self, other: &Outcome) -> (f64, String) {
        let mut worst = (0.0, String::from("nowhere"));
        for (name, values) in &self.values {
            let others = &other.values[name];
            assert_eq!(values.len(), others.len(), "{name}");
            let size = values.iter().fold(1.0, |size: f64, x| size.max(x.abs()));
            for (place, (x, y)) in values.iter().zip(others).enumerate() {
                let difference = (x - y).abs() / size;
                // A NaN on one side counts as far away.
                if difference > worst.0 || difference.is_nan() {
                    worst = (difference, format!("{name}[{place}]: {x} and {y}"));
                }
                if difference.is_nan() {
                    return worst;
                }
            }
        }
        worst
    }
}
