//! Results of schema versions 1 to 3 in the form of version 4: losses by protocol, losses by position and trials of
//! retrieving a passkey become records of measures. Nothing else of the crate knows the earlier form.

use crate::record::{
    AlsoRecord, Better, Column, FactorRecord, MeasureRecord, PointRecord, Role, Samples, Scale,
    Served, non_finite,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// How windows were laid over the text, by name, from the last to the first that is preferred.
pub(crate) const VIEWS: [(&str, &str); 3] = [
    (
        "non-overlap",
        "each token is scored given only its own window",
    ),
    (
        "sliding",
        "a window scores the tokens that no window before it held",
    ),
    (
        "fixed-target",
        "the same tokens are scored at every length, each by the window that ends with it",
    ),
];

/// What plans of these versions say where they say nothing else.
const THRESHOLD: f64 = 0.8;

#[derive(Deserialize)]
struct Before {
    #[serde(default)]
    perplexity: Vec<Perplexity>,
    position: Option<Position>,
    #[serde(default)]
    passkey: Vec<Passkey>,
}

#[derive(Deserialize)]
struct Perplexity {
    protocol: String,
    length: usize,
    stride: f64,
    #[serde(with = "non_finite::vec")]
    nll: Vec<f64>,
    tokens: Vec<f64>,
    bytes: Vec<f64>,
}

#[derive(Deserialize)]
struct Position {
    length: usize,
    starts: Vec<f64>,
    #[serde(with = "non_finite::rows")]
    nll: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Passkey {
    length: usize,
    depth: f64,
    distance: f64,
    hits: Vec<bool>,
    symbols: Vec<f64>,
    #[serde(with = "non_finite::vec")]
    log_prob: Vec<f64>,
}

/// The accuracy from which on a length counts as served, as the plan beside an old result says.
pub(super) fn threshold(plan: &Path) -> f64 {
    let text = std::fs::read(plan).unwrap_or_default();
    let plan: Option<Value> = serde_json::from_slice(&text).ok();
    plan.and_then(|p| p.get("passkey_threshold")?.as_f64())
        .unwrap_or(THRESHOLD)
}

/// Brings the result of a cell into the form of version 4; one that has it is left alone.
pub(super) fn record(value: &mut Value, threshold: f64) -> Result<(), String> {
    if value.get("measures").is_some() {
        return Ok(());
    }
    let before = Before::deserialize(&*value).map_err(|e| e.to_string())?;
    let table = value.as_object_mut().ok_or("expected a table")?;
    for name in ["perplexity", "position", "passkey"] {
        table.remove(name);
    }
    let refused = table.get_mut("refused").and_then(Value::as_array_mut);
    for refusal in refused.into_iter().flatten() {
        if refusal["measure"] == "passkey" {
            refusal["measure"] = "task".into();
            refusal["of"] = "passkey".into();
        }
    }
    let measures = serde_json::to_value(measures(before, threshold)?).map_err(|e| e.to_string())?;
    table.insert("measures".into(), measures);
    Ok(())
}

fn measures(before: Before, threshold: f64) -> Result<Vec<MeasureRecord>, String> {
    let mut all = Vec::new();
    for (view, _) in VIEWS {
        let mine = before.perplexity.iter().filter(|p| p.protocol == view);
        let points: Vec<PointRecord> = mine.map(loss).collect();
        all.extend((!points.is_empty()).then(|| perplexity(view, points)));
    }
    let found: usize = all.iter().map(|m| m.points.len()).sum();
    if found != before.perplexity.len() {
        return Err("perplexity: a protocol is not known".into());
    }
    all.extend(before.position.map(buckets).transpose()?);
    if !before.passkey.is_empty() {
        all.push(passkey(trials(before.passkey), threshold));
    }
    Ok(all)
}

fn loss(p: &Perplexity) -> PointRecord {
    PointRecord {
        length: p.length,
        value: p.nll.clone(),
        weight: p.tokens.clone(),
        columns: BTreeMap::from([("bytes".into(), Column(p.bytes.clone()))]),
        facts: BTreeMap::from([("stride".into(), p.stride)]),
        ..PointRecord::default()
    }
}

pub(crate) fn perplexity(view: &str, points: Vec<PointRecord>) -> MeasureRecord {
    let place = VIEWS.iter().position(|v| v.0 == view).unwrap_or(0);
    let how = VIEWS[place].1;
    MeasureRecord {
        measure: "perplexity".into(),
        of: String::new(),
        view: view.into(),
        preference: (VIEWS.len() - 1 - place) as u32,
        title: format!("Perplexity ({view})"),
        about: format!(
            "Exponential of the mean loss in nats per scored token of held-out text; {how}."
        ),
        quantity: "perplexity".into(),
        units: "test segments".into(),
        scale: Scale::Exp,
        better: Better::Lower,
        samples: Samples::Panel,
        role: Role::ByLength,
        chance: None,
        served: Served::Margin,
        factors: Vec::new(),
        also: vec![AlsoRecord {
            quantity: "bits per byte".into(),
            value: String::new(),
            weight: "bytes".into(),
            times: std::f64::consts::LOG2_E,
            scale: Scale::Plain,
        }],
        points,
    }
}

fn buckets(p: Position) -> Result<MeasureRecord, String> {
    let column = |(i, &start): (usize, &f64)| {
        let value: Option<Vec<f64>> = p.nll.iter().map(|row| row.get(i).copied()).collect();
        Some(PointRecord {
            length: p.length,
            at: vec![start],
            value: value?,
            ..PointRecord::default()
        })
    };
    let points: Option<Vec<PointRecord>> = p.starts.iter().enumerate().map(column).collect();
    points
        .map(position)
        .ok_or_else(|| "position: rows do not have a loss for every bucket".into())
}

pub(crate) fn position(points: Vec<PointRecord>) -> MeasureRecord {
    MeasureRecord {
        measure: "position".into(),
        of: String::new(),
        view: String::new(),
        preference: 0,
        title: "Loss by position in the window".into(),
        about: "Mean loss of the token at each position of non-overlapping windows of the longest length served.".into(),
        quantity: "perplexity".into(),
        units: "test segments".into(),
        scale: Scale::Exp,
        better: Better::Lower,
        samples: Samples::Panel,
        role: Role::Profile,
        chance: None,
        served: Served::Never,
        factors: vec![FactorRecord {
            name: "position".into(),
            title: "position in the window (tokens)".into(),
            share: false,
        }],
        also: Vec::new(),
        points,
    }
}

fn trials(mut all: Vec<Passkey>) -> Vec<PointRecord> {
    all.sort_by(|a, b| a.length.cmp(&b.length).then(a.depth.total_cmp(&b.depth)));
    let point = |p: Passkey| PointRecord {
        length: p.length,
        at: vec![p.depth],
        value: p
            .hits
            .into_iter()
            .map(|hit| f64::from(u8::from(hit)))
            .collect(),
        weight: Vec::new(),
        columns: BTreeMap::from([
            ("symbols".into(), Column(p.symbols)),
            ("log-probability".into(), Column(p.log_prob)),
        ]),
        facts: BTreeMap::from([("distance".into(), p.distance)]),
        chance: None,
    };
    all.into_iter().map(point).collect()
}

pub(crate) fn passkey(points: Vec<PointRecord>, threshold: f64) -> MeasureRecord {
    MeasureRecord {
        measure: "task".into(),
        of: "passkey".into(),
        view: String::new(),
        preference: 0,
        title: "Passkey retrieval".into(),
        about: "Prompts with a key at all depths; a trial counts if every symbol of the key is the most probable one.".into(),
        quantity: "keys found".into(),
        units: "prompts".into(),
        scale: Scale::Share,
        better: Better::Higher,
        samples: Samples::Trials,
        role: Role::ByLength,
        chance: None,
        served: Served::AtLeast(threshold),
        factors: vec![FactorRecord {
            name: "depth".into(),
            title: "depth of the key".into(),
            share: true,
        }],
        also: Vec::new(),
        points,
    }
}

#[cfg(test)]
mod tests;
