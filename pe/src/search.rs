//! `Search`: settings of a scheme that are found by trying them on a trained model, before anything else is done.

use crate::error::{PlanError, check};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A number from 0 to 1, exclusive.
type Uniform<'a> = &'a mut dyn FnMut() -> f64;

/// Divisors that are drawn are whole numbers of hundredths.
const GRID: f64 = 100.0;
/// Tries to make a child that is new, after which the other way of making one is taken.
const TRIES: usize = 20;
/// Tries of mutation alone, after which the space is taken to be exhausted.
const LAST_TRIES: usize = 10_000;

/// What a rotation divides its frequencies by, and how many tokens it leaves alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Genes {
    /// λ of each pair; it never falls from one pair to the next.
    pub divisors: Vec<f64>,
    /// n̂.
    pub first_tokens: usize,
}

/// One set of genes and what it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What was tried.
    pub genes: Genes,
    /// Mean loss in nats per token; not a number counts as worst.
    pub loss: f64,
}

/// Settings of an evolution; the defaults are those of LongRoPE (Ding et al. 2024, arXiv 2402.13753, section 3.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evolution {
    /// Tokens of the validation windows whose loss is to be small, if not the stretched length.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub length: Option<usize>,
    /// How many of these windows.
    #[schemars(range(min = 1))]
    pub windows: usize,
    /// What is searched.
    pub space: Space,
    /// Size of the first population.
    #[schemars(range(min = 1))]
    pub population: usize,
    /// Best of all that have been tried, from which children come.
    #[schemars(range(min = 1))]
    pub parents: usize,
    /// Mutants in each iteration.
    pub mutations: usize,
    /// Crossovers in each iteration.
    pub crossovers: usize,
    /// Iterations after the first population.
    pub iterations: usize,
    /// Probability that a gene changes.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub chance: f64,
}

/// Where an evolution starts and how far it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// From PI, NTK and YaRN; divisors up to 1.25·s; n̂ is searched too: the paper.
    Paper,
    /// From YaRN alone; divisors up to 1 + s; n̂ stays: the authors' code.
    Released,
}

impl Default for Evolution {
    fn default() -> Evolution {
        Evolution {
            length: None,
            windows: 5,
            space: Space::Paper,
            population: 64,
            parents: 32,
            mutations: 16,
            crossovers: 16,
            iterations: 40,
            chance: 0.3,
        }
    }
}

impl Evolution {
    /// Whether the settings make sense by themselves; `key` is where they stand.
    pub fn check(&self, key: &str) -> Result<(), PlanError> {
        let at_least = |name: &str, value: usize, least: usize| {
            let key = format!("{key}.{name}");
            check(&key, value, &format!("at least {least}"), value >= least)
        };
        self.length
            .map_or(Ok(()), |length| at_least("length", length, 2))?;
        at_least("windows", self.windows, 1)?;
        at_least("population", self.population, 1)?;
        at_least("parents", self.parents, 1)?;
        let children = self.mutations + self.crossovers;
        let rule = "not 0 beside crossovers = 0, for there would be no children";
        check(
            &format!("{key}.mutations"),
            self.mutations,
            rule,
            children > 0,
        )?;
        let possible = self.chance > 0.0 && self.chance <= 1.0;
        check(
            &format!("{key}.chance"),
            self.chance,
            "above 0 and at most 1",
            possible,
        )
    }
}

/// Evolution of divisors (LongRoPE, section 3.2 and algorithm 1).
///
/// A first population holds known stretches and mutants of them. Every iteration then adds mutants and crossovers of the
/// best found so far; children that were tried before, or whose divisors fall somewhere, are not tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Sizes and chances.
    pub evolution: Evolution,
    /// Tokens of the validation windows whose loss is to be small.
    pub length: usize,
    /// Genes that it starts from.
    pub start: Vec<Genes>,
    /// Largest divisor.
    pub highest: f64,
    /// Choices of n̂; none: it stays as it is.
    pub first_tokens: &'static [usize],
    /// Schemes, by id and settings, that the result is compared with on the same windows.
    pub rivals: Vec<(&'static str, Value)>,
    /// Settings of the searching scheme that the found one lacks or changes, beside the genes.
    pub settled: Map<String, Value>,
}

impl Search {
    /// Genes that are tried in all.
    pub fn trials(&self) -> usize {
        self.first() + self.evolution.iterations * self.children()
    }

    /// Tokens that they read, all together.
    pub fn tokens(&self) -> usize {
        self.trials() * self.evolution.windows * self.length
    }

    /// Size of the first population, in which all that it starts from has a place.
    fn first(&self) -> usize {
        self.evolution.population.max(self.start.len())
    }

    fn children(&self) -> usize {
        self.evolution.mutations + self.evolution.crossovers
    }

    /// The settings of the scheme with these genes.
    pub fn settings(&self, genes: &Genes) -> Map<String, Value> {
        let mut settings = self.settled.clone();
        settings.insert("long_factors".into(), genes.divisors.clone().into());
        settings.insert("first_tokens".into(), genes.first_tokens.into());
        settings
    }

    /// What to try after `trials`, which must be all so far and in their order; `None` at the end, or if the space is
    /// exhausted. It depends on nothing else, so that a search can be taken up again anywhere.
    pub fn next(&self, trials: &[Trial], uniform: Uniform<'_>) -> Option<Genes> {
        let done = trials.len();
        if done >= self.trials() {
            return None;
        }
        if let Some(genes) = self.start.get(done) {
            return Some(genes.clone());
        }
        let first = self.first();
        if done < first {
            let parents: Vec<&Genes> = self.start.iter().collect();
            return self.mutant(&parents, trials, uniform);
        }
        let child = (done - first) % self.children();
        let best = best_first(&trials[..done - child]);
        let parents = best.iter().take(self.evolution.parents);
        let parents: Vec<&Genes> = parents.map(|trial| &trial.genes).collect();
        let crossed = (child >= self.evolution.mutations)
            .then(|| self.crossover(&parents, trials, uniform))
            .flatten();
        crossed.or_else(|| self.mutant(&parents, trials, uniform))
    }

    /// A mutant of one of `parents` that was not tried yet.
    fn mutant(&self, parents: &[&Genes], trials: &[Trial], uniform: Uniform<'_>) -> Option<Genes> {
        (0..LAST_TRIES)
            .map(|_| {
                let mut genes = parents[pick(parents.len(), uniform)].clone();
                for pair in 0..genes.divisors.len() {
                    if uniform() < self.evolution.chance {
                        self.mutate(&mut genes.divisors, pair, uniform);
                    }
                }
                if !self.first_tokens.is_empty() && uniform() < self.evolution.chance {
                    genes.first_tokens = self.first_tokens[pick(self.first_tokens.len(), uniform)];
                }
                genes
            })
            .find(|genes| is_new(genes, trials))
    }

    /// A divisor of the grid between those of the neighbours.
    fn mutate(&self, divisors: &mut [f64], pair: usize, uniform: Uniform<'_>) {
        let low = pair.checked_sub(1).map_or(1.0, |left| divisors[left]);
        let high = divisors.get(pair + 1).copied().unwrap_or(self.highest);
        // A hair of room, for a grid point that is also a bound.
        let from = (low * GRID - 1e-6).ceil() as usize;
        let to = (high * GRID + 1e-6).floor() as usize;
        if from <= to {
            let found = (from + pick(to - from + 1, uniform)) as f64 / GRID;
            divisors[pair] = found.clamp(low, high);
        }
    }

    /// One parent with single genes of another; the first that is new and does not fall.
    fn crossover(
        &self,
        parents: &[&Genes],
        trials: &[Trial],
        uniform: Uniform<'_>,
    ) -> Option<Genes> {
        (0..TRIES).find_map(|_| {
            let mut child = parents[pick(parents.len(), uniform)].clone();
            let other = parents[pick(parents.len(), uniform)];
            if !self.first_tokens.is_empty() && uniform() < self.evolution.chance {
                child.first_tokens = other.first_tokens;
            }
            for pair in 0..child.divisors.len() {
                if uniform() < self.evolution.chance && uniform() < 0.5 {
                    child.divisors[pair] = other.divisors[pair];
                    if rises(&child.divisors) && is_new(&child, trials) {
                        return Some(child);
                    }
                }
            }
            None
        })
    }
}

/// The best trial; the earliest of several.
pub fn best(trials: &[Trial]) -> Option<&Trial> {
    best_first(trials).first().copied()
}

fn best_first(trials: &[Trial]) -> Vec<&Trial> {
    let mut sorted: Vec<&Trial> = trials.iter().collect();
    let worth = |trial: &Trial| {
        if trial.loss.is_nan() {
            f64::INFINITY
        } else {
            trial.loss
        }
    };
    sorted.sort_by(|a, b| worth(a).total_cmp(&worth(b)));
    sorted
}

fn pick(n: usize, uniform: Uniform<'_>) -> usize {
    ((uniform() * n as f64) as usize).min(n - 1)
}

fn rises(divisors: &[f64]) -> bool {
    divisors.windows(2).all(|pair| pair[0] <= pair[1])
}

fn is_new(genes: &Genes, trials: &[Trial]) -> bool {
    trials.iter().all(|trial| trial.genes != *genes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    fn search() -> Search {
        let genes = |divisors: &[f64]| Genes {
            divisors: divisors.to_vec(),
            first_tokens: 0,
        };
        Search {
            evolution: Evolution {
                population: 12,
                parents: 6,
                mutations: 6,
                crossovers: 6,
                ..Evolution::default()
            },
            length: 64,
            start: vec![genes(&[4.0; 6]), genes(&[1.0, 1.0, 2.0, 3.0, 4.0, 4.0])],
            highest: 5.0,
            first_tokens: &[0, 1, 2, 4],
            rivals: Vec::new(),
            settled: Map::new(),
        }
    }

    /// A bowl whose bottom keeps all bounds.
    fn loss(genes: &Genes) -> f64 {
        let bottom = [1.0, 1.2, 1.9, 2.4, 4.4, 4.9];
        let far = genes.divisors.iter().zip(bottom);
        far.map(|(a, b)| (a - b).powi(2)).sum::<f64>()
            + 0.1 * (genes.first_tokens as f64 - 2.0).abs()
    }

    fn run(search: &Search) -> Vec<Trial> {
        let mut trials = Vec::new();
        while let Some(genes) = search.next(&trials, &mut uniform(trials.len() as u64 + 1)) {
            let loss = loss(&genes);
            trials.push(Trial { genes, loss });
        }
        trials
    }

    #[test]
    fn it_tries_what_it_says_keeps_its_bounds_and_repeats_nothing() {
        let search = search();
        let trials = run(&search);
        assert_eq!(trials.len(), search.trials());
        for (i, trial) in trials.iter().enumerate() {
            let divisors = &trial.genes.divisors;
            assert!(rises(divisors), "{divisors:?}");
            assert!(divisors[0] >= 1.0 && divisors[5] <= 5.0, "{divisors:?}");
            assert!(search.first_tokens.contains(&trial.genes.first_tokens));
            assert!(is_new(&trial.genes, &trials[..i]));
        }
        assert_eq!(run(&search), trials);
    }

    #[test]
    fn it_finds_the_bottom_of_a_bowl() {
        let trials = run(&search());
        let started = best(&trials[..2]).unwrap().loss;
        let found = best(&trials).unwrap();
        assert!(found.loss < started / 20.0, "{started} {found:?}");
        assert_eq!(found.genes.first_tokens, 2);
    }

    #[test]
    fn a_loss_that_is_no_number_is_never_best() {
        let trial = |loss| Trial {
            genes: search().start[0].clone(),
            loss,
        };
        let trials = [trial(f64::NAN), trial(2.0), trial(1.0), trial(1.0)];
        assert!(std::ptr::eq(best(&trials).unwrap(), &raw const trials[2]));
    }
}
