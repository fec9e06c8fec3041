//! What must hold of a record, of a plan and of a cost before anybody computes with them.

use crate::record::{
    CellRecord, Cost, MeasureRecord, PointRecord, Role, RunPlan, Samples, Scale, Served,
    TrainRecord,
};
use std::collections::{BTreeMap, BTreeSet};

/// Longest file name made from a cell's identity.
const MAX_ID: usize = 80;
/// Nats per token by which a loss may be below 0 from rounding: an f32 of a logit in the hundreds.
const ROUNDING: f64 = 1e-3;
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
    for m in &record.measures {
        hold(seen.insert(m.key()), || {
            format!("{}: recorded twice", name(m))
        })?;
        measure(m)?;
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

/// `task copy`, `perplexity (sliding)`.
fn name(m: &MeasureRecord) -> String {
    let view = if m.view.is_empty() {
        String::new()
    } else {
        format!(" ({})", m.view)
    };
    format!("{} {}", m.measure, m.of).trim_end().to_string() + &view
}

fn measure(m: &MeasureRecord) -> Checked {
    let named = !m.measure.is_empty() && !m.quantity.is_empty() && !m.points.is_empty();
    hold(named, || {
        format!("{}: no id, no quantity or no points", name(m))
    })?;
    let share = m.scale == Scale::Share;
    let within = |x: f64| x.is_finite() && (!share || (0.0..=1.0).contains(&x));
    let served = match m.served {
        Served::AtLeast(bound) => within(bound),
        Served::OfOwn(part) => part.is_finite() && part > 0.0,
        Served::Margin | Served::Never => true,
    };
    let times = m.also.iter().all(|a| a.times.is_finite());
    hold(served && times && m.chance.is_none_or(within), || {
        format!("{}: a bound, a factor or a chance cannot be", name(m))
    })?;
    hold(m.samples != Samples::Trials || share, || {
        format!("{}: trials are shares", name(m))
    })?;
    let profile = m.factors.len() == 1 && m.lengths().len() == 1;
    hold(m.role == Role::ByLength || profile, || {
        format!("{}: a profile has one length and one factor", name(m))
    })?;
    let mut seen = BTreeSet::new();
    for p in &m.points {
        let at: Vec<u64> = p.at.iter().map(|x| x.to_bits()).collect();
        hold(seen.insert((p.length, at)), || {
            format!("{}: recorded twice", place(m, p))
        })?;
        point(m, p)?;
    }
    Ok(())
}

/// `task copy, length 64, at [0.5]`.
fn place(m: &MeasureRecord, p: &PointRecord) -> String {
    let at = if p.at.is_empty() {
        String::new()
    } else {
        format!(", at {:?}", p.at)
    };
    format!("{}, length {}{at}", name(m), p.length)
}

fn point(m: &MeasureRecord, p: &PointRecord) -> Checked {
    let place = || place(m, p);
    let units = p.value.len();
    hold(p.length > 0 && units > 0, || {
        format!("{}: no length or no units", place())
    })?;
    hold(p.at.len() == m.factors.len(), || {
        format!(
            "{}: {} values of {} factors",
            place(),
            p.at.len(),
            m.factors.len()
        )
    })?;
    let of_shares = p.at.iter().zip(&m.factors).filter(|(_, f)| f.share);
    let inside = of_shares.into_iter().all(|(x, _)| (0.0..=1.0).contains(x));
    hold(inside && p.at.iter().all(|x| x.is_finite()), || {
        format!("{}: a factor cannot have this value", place())
    })?;
    let share = |c: f64| c.is_finite() && (m.scale != Scale::Share || (0.0..=1.0).contains(&c));
    hold(p.chance.is_none_or(share), || {
        format!("{}: a chance of {:?} cannot be", place(), p.chance)
    })?;
    let weights = p.weight.len();
    hold(weights == 0 || weights == units, || {
        format!(
            "{}: expected one entry per unit, found {units} values, {weights} weights",
            place()
        )
    })?;
    for (column, found) in p.columns.iter().map(|(name, c)| (name, c.0.len())) {
        hold(found == units, || {
            format!(
                "{}: expected one entry per unit, found {units} values, {found} of {column}",
                place()
            )
        })?;
    }
    let divisors = m
        .also
        .iter()
        .filter_map(|a| Some((&a.weight, p.columns.get(&a.weight)?)));
    let divisors = divisors.map(|(name, column)| (name.as_str(), &column.0));
    for (what, all) in divisors.chain([("weight", &p.weight)]) {
        hold(
            all.iter().all(|w| (0.0..=MAX_COUNT as f64).contains(w)),
            || {
                format!(
                    "{}: a {what} of {:?} cannot be",
                    place(),
                    all.iter().find(|w| !(0.0..=MAX_COUNT as f64).contains(*w))
                )
            },
        )?;
    }
    hold((0..units).any(|i| p.weight(i) > 0.0), || {
        format!("{}: nothing was weighed", place())
    })?;
    let counted = |x: &f64| x.is_finite() && x.abs() <= MAX_COUNT as f64;
    hold(p.facts.values().all(counted), || {
        format!("{}: a fact is no finite number", place())
    })?;
    let back = p.facts.get("distance").copied().unwrap_or(0.0);
    hold((0.0..=p.length as f64).contains(&back), || {
        format!("{}: what is {back} tokens back cannot be", place())
    })?;
    for (i, &value) in p.value.iter().enumerate() {
        let weight = p.weight(i);
        hold(weight > 0.0 || value == 0.0, || {
            format!("{}: {value} of nothing cannot be", place())
        })?;
        let (can, why) = match (m.samples, m.scale) {
            (Samples::Trials, _) => (
                (value == 0.0 || value == 1.0) && weight == 1.0,
                "is no trial",
            ),
            (_, Scale::Share) => ((0.0..=weight).contains(&value), "is no part of it"),
            (_, Scale::Exp) => (weight == 0.0 || possible(value / weight), "is below 0"),
            (_, Scale::Plain) => (true, ""),
        };
        hold(can, || {
            format!("{}: a value of {value}, of {weight}, {why}", place())
        })?;
    }
    Ok(())
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
    })
}

/// Times and speeds are numbers from 0 on.
pub(super) fn cost(cost: &Cost) -> Checked {
    let numbers = [
        cost.train_seconds,
        cost.evaluate_seconds,
        cost.train_tokens_per_second,
        cost.cpu_seconds,
    ];
    hold(numbers.iter().all(|x| x.is_finite() && *x >= 0.0), || {
        format!("times and speeds {numbers:?} cannot be")
    })
}
