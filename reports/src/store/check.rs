//! What must hold of a record, of a plan and of a cost before anybody computes with them.

use crate::record::{
    CellRecord, Cost, PasskeyRecord, PerplexityRecord, PositionRecord, RunPlan, TrainRecord,
};
use std::collections::{BTreeMap, BTreeSet};

/// Longest file name made from a cell's identity.
const MAX_ID: usize = 80;
/// Nats per token by which a loss may be below 0 from rounding: an f32 of a logit in the hundreds.
const ROUNDING: f64 = 1e-3;
/// Bytes of one token that nobody has seen: a bound for damage.
const TOKEN_BYTES: u64 = 1 << 20;
/// Most tokens of a unit.
const MOST_TOKENS: u64 = 1 << 32;
/// Largest count whose f64 is exact.
const MAX_COUNT: u64 = 1 << 53;

type Checked = Result<(), String>;

/// `Err` with the words of `what` unless `holds`.
fn hold(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// The invariants of a record that everything downstream relies on; in words what is broken.
pub(super) fn record(record: &CellRecord, id: &str) -> Checked {
    hold(record.id == id, || {
        format!("expected the result of cell {id}, found {}", record.id)
    })?;
    hold(record.trained_length > 0, || "trained_length is 0".into())?;
    let model = &record.model;
    let sizes = [
        model.layers,
        model.width,
        model.heads,
        model.kv_heads,
        model.head_dim,
        model.vocab,
    ];
    let counts = model.scheme_parameters <= model.parameters && model.parameters <= MAX_COUNT;
    hold(counts && !sizes.contains(&0), || {
        format!(
            "model: sizes {sizes:?} with {} parameters cannot be",
            model.parameters
        )
    })?;
    train(&record.train)?;
    for part in &record.data.parts {
        hold(part.tokens <= MAX_COUNT, || {
            format!("data, {}: {} tokens cannot be", part.name, part.tokens)
        })?;
    }
    for (name, values) in &record.learned {
        hold(values.iter().all(|x| x.is_finite()), || {
            format!("learned {name}: a value is no finite number")
        })?;
    }
    if let Some(search) = &record.search {
        let mut losses = search.rivals.iter().map(|r| r.nll).chain([search.nll]);
        hold(losses.all(possible), || "search: a loss is below 0".into())?;
    }
    let mut seen = BTreeSet::new();
    for p in &record.perplexity {
        perplexity(p)?;
        hold(seen.insert((p.protocol, p.length)), || {
            format!(
                "perplexity ({:?}, length {}): recorded twice",
                p.protocol, p.length
            )
        })?;
    }
    record.position.as_ref().map_or(Ok(()), position)?;
    let mut seen = BTreeSet::new();
    for p in &record.passkey {
        passkey(p)?;
        hold(seen.insert((p.length, p.depth.to_bits())), || {
            format!(
                "passkey (length {}, depth {}): recorded twice",
                p.length, p.depth
            )
        })?;
    }
    Ok(())
}

/// Whether a mean loss can be: not below 0 by more than rounding. It may be infinite or no number at all.
fn possible(mean: f64) -> bool {
    mean.is_nan() || mean >= -ROUNDING
}

fn train(t: &TrainRecord) -> Checked {
    hold(t.steps.max(t.base_steps).max(t.tokens) <= MAX_COUNT, || {
        format!("train: {} steps of {} tokens cannot be", t.steps, t.tokens)
    })?;
    hold(t.lr.is_finite() && t.lr >= 0.0, || {
        format!("train: lr {} cannot be", t.lr)
    })?;
    for (name, curve) in [("curve", &t.curve), ("validation", &t.validation)] {
        let ascending = curve.windows(2).all(|w| w[0].0 < w[1].0);
        let within = curve.last().is_none_or(|last| last.0 <= t.steps);
        hold(ascending && within, || {
            format!("train, {name}: steps do not ascend up to {}", t.steps)
        })?;
        // JSON has no other numbers, and a training that meets one has diverged.
        let fine = |point: &(u64, f64)| point.1.is_finite() && possible(point.1);
        hold(curve.iter().all(fine), || {
            format!("train, {name}: a loss is below 0 or no finite number")
        })?;
    }
    Ok(())
}

fn perplexity(p: &PerplexityRecord) -> Checked {
    let at = || format!("perplexity ({:?}, length {})", p.protocol, p.length);
    hold(p.length > 0 && !p.nll.is_empty(), || {
        format!("{}: no length or no units", at())
    })?;
    let (losses, tokens, bytes) = (p.nll.len(), p.tokens.len(), p.bytes.len());
    hold(tokens == losses && bytes == losses, || {
        format!(
            "{}: expected one entry per unit, found {losses} losses, {tokens} token counts, {bytes} byte counts",
            at()
        )
    })?;
    for (i, (&tokens, &bytes)) in p.tokens.iter().zip(&p.bytes).enumerate() {
        let nll = p.nll[i];
        hold(tokens > 0, || {
            format!("{}: a unit has no scored token", at())
        })?;
        hold(tokens <= MOST_TOKENS, || {
            format!("{}: {tokens} tokens of a unit cannot be", at())
        })?;
        hold(bytes <= tokens * TOKEN_BYTES, || {
            format!("{}: {bytes} bytes of {tokens} tokens cannot be", at())
        })?;
        hold(possible(nll / tokens as f64), || {
            format!("{}: a loss of {nll} nats is below 0", at())
        })?;
    }
    Ok(())
}

fn position(p: &PositionRecord) -> Checked {
    let ascending = p.starts.windows(2).all(|w| w[0] < w[1]);
    let within = p.starts.last().is_some_and(|&last| last < p.length);
    hold(ascending && within, || {
        format!(
            "position: bucket starts do not ascend below length {}",
            p.length
        )
    })?;
    for (unit, row) in p.nll.iter().enumerate() {
        hold(row.len() == p.starts.len(), || {
            format!(
                "position: unit {unit} does not have {} buckets",
                p.starts.len()
            )
        })?;
        hold(row.iter().all(|&x| possible(x)), || {
            format!("position: a loss of unit {unit} is below 0")
        })?;
    }
    Ok(())
}

fn passkey(p: &PasskeyRecord) -> Checked {
    let at = || format!("passkey (length {}, depth {})", p.length, p.depth);
    hold((0.0..=1.0).contains(&p.depth) && p.length > 0, || {
        format!("{}: depth outside 0..=1 or no length", at())
    })?;
    hold(p.distance <= p.length, || {
        format!("{}: a key {} tokens back cannot be", at(), p.distance)
    })?;
    let (hits, symbols, found) = (p.hits.len(), p.symbols.len(), p.log_prob.len());
    hold(hits > 0 && symbols == hits && found == hits, || {
        format!(
            "{}: expected one entry per trial, found {hits} hits, {symbols} symbol counts, {found} log-probabilities",
            at()
        )
    })?;
    let all = p.symbols.iter().copied().max().unwrap_or(0);
    hold(all as usize <= p.length, || {
        format!("{}: {all} symbols of {} tokens cannot be", at(), p.length)
    })?;
    let symbols = f64::from(all.max(1));
    hold(p.log_prob.iter().all(|&x| possible(-x / symbols)), || {
        format!("{}: a log-probability is above 0", at())
    })
}

/// Identities become folder names, and a plan may come from elsewhere.
pub(super) fn plan(plan: &RunPlan) -> Checked {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let fine = |id: &str| {
        !id.is_empty() && id.len() <= MAX_ID && !id.starts_with('.') && id.chars().all(plain)
    };
    let mut bases = BTreeMap::new();
    for cell in &plan.cells {
        hold(fine(&cell.id), || {
            format!(
                "expected cell ids of 1 to {MAX_ID} characters a-z 0-9 . _ -, found {:?}",
                cell.id
            )
        })?;
        let new = bases.insert(&cell.id, &cell.base).is_none();
        hold(new, || format!("two cells have the id {:?}", cell.id))?;
        let forecast = [cell.flops, cell.memory_bytes];
        hold(forecast.iter().all(|x| x.is_finite() && *x >= 0.0), || {
            format!("cell {}: a forecast of {forecast:?} cannot be", cell.id)
        })?;
    }
    for cell in &plan.cells {
        let known = |base: &String| bases.get(base).is_some_and(|of_base| of_base.is_none());
        hold(cell.base.as_ref().is_none_or(known), || {
            format!(
                "cell {}: its base is no cell that is trained in this run",
                cell.id
            )
        })?;
    }
    hold(plan.margin > 0.0 && plan.margin.is_finite(), || {
        format!(
            "margin: expected a finite number of nats above 0, found {}",
            plan.margin
        )
    })?;
    hold(plan.confidence > 0.0 && plan.confidence < 1.0, || {
        format!(
            "confidence: expected a number between 0 and 1, found {}",
            plan.confidence
        )
    })?;
    hold((0.0..=1.0).contains(&plan.passkey_threshold), || {
        format!(
            "passkey_threshold: expected 0 to 1, found {}",
            plan.passkey_threshold
        )
    })
}

/// Times and speeds are numbers from 0 on.
pub(super) fn cost(cost: &Cost) -> Checked {
    let numbers = [
        cost.train_seconds,
        cost.evaluate_seconds,
        cost.train_tokens_per_second,
    ];
    hold(numbers.iter().all(|x| x.is_finite() && *x >= 0.0), || {
        format!("times and speeds {numbers:?} cannot be")
    })
}
