//! Where a worker's cells run: how many at once, and on which cards.

use crate::cli::work::Work;
use crate::{Error, Result, machine};
use farspan_attention::{Device, DeviceSpec};
use farspan_reports::record::RunPlan;

/// A place for one cell at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Variable of the cell's process that says which card is its own.
    pub(super) card: Option<(&'static str, String)>,
}

/// What a worker says of its slots.
pub(super) fn slots(work: &Work, plan: &RunPlan) -> Result<Vec<Slot>> {
    let device = plan
        .cells
        .first()
        .and_then(|cell| cell.config["device"].as_str());
    let device = device.unwrap_or("cpu");
    let cards = cards(work, device)?;
    let each = work.per_gpu.max(1);
    let count = match (work.jobs, cards.len()) {
        (Some(jobs), _) => jobs.max(1),
        (None, 0) => machine::default_jobs(device).max(1),
        (None, cards) => cards * each,
    };
    let card = |i: usize| cards.get(i % cards.len().max(1)).cloned();
    Ok((0..count).map(|i| Slot { card: card(i) }).collect())
}

/// The cards to deal out: those asked for, or all alike that this process sees, where there are several.
fn cards(work: &Work, device: &str) -> Result<Vec<(&'static str, String)>> {
    let asked = &work.gpus;
    // What a card rounds to is no matter of which card it is.
    let kind = device.split('+').next().unwrap_or(device);
    let variable = match kind {
        "cuda" => "CUDA_VISIBLE_DEVICES",
        "wgpu" => machine::ADAPTER_VARIABLE,
        _ if asked.is_empty() => return Ok(Vec::new()),
        _ => {
            return Err(Error::Config(format!(
                "--gpus: expected a run whose device is cuda or wgpu, found {device}"
            )));
        }
    };
    let odd = asked.iter().find(|gpu| gpu.parse::<usize>().is_err());
    if let Some(found) = odd.filter(|_| kind == "wgpu") {
        return Err(Error::Config(format!(
            "--gpus: expected numbers of adapters of wgpu (`farspan list devices`), found {found:?}"
        )));
    }
    let chosen = match (asked.is_empty(), kind) {
        (false, _) => asked.clone(),
        (true, "cuda") => machine::cuda_cards(),
        (true, _) => adapters(),
    };
    let several = !asked.is_empty() || chosen.len() > 1;
    let cards = chosen.into_iter().filter(|_| several);
    Ok(cards.map(|card| (variable, card)).collect())
}

/// Numbers of the adapters of wgpu that are alike: another card beside them may round otherwise.
fn adapters() -> Vec<String> {
    let all = Device::all(DeviceSpec::Wgpu(0)).unwrap_or_default();
    let first = all.first().map(|(_, text)| text.clone());
    let alike = all
        .into_iter()
        .filter(|(_, text)| Some(text) == first.as_ref());
    let numbers = alike.filter_map(|(spec, _)| match spec {
        DeviceSpec::Wgpu(i) => Some(i.to_string()),
        _ => None,
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use farspan_reports::record::{PlannedCell, Stage};

    fn plan(device: &str) -> RunPlan {
        let cell = PlannedCell {
            id: "a".into(),
            label: "a".into(),
            study: "a".into(),
            scheme: "a".into(),
            stage: Stage::Trained,
            seed: 0,
            base: None,
            parameters: 1,
            train_tokens: 1,
            measured_tokens: 1,
            flops: 1.0,
            memory_bytes: 1.0,
            disk_bytes: 1,
            config: serde_json::json!({ "device": device }),
        };
        RunPlan {
            schema_version: 4,
            name: String::new(),
            config_hash: String::new(),
            command: String::new(),
            created: String::new(),
            version: String::new(),
            machine: String::new(),
            margin: 0.05,
            confidence: 0.95,
            reference: None,
            cells: vec![cell],
        }
    }

    fn dealt(work: &Work, device: &str) -> Result<Vec<Option<String>>> {
        let slots = slots(work, &plan(device))?;
        Ok(slots
            .into_iter()
            .map(|slot| slot.card.map(|card| card.1))
            .collect())
    }

    #[test]
    fn cells_are_dealt_to_cards() -> Result<()> {
        let work = |gpus: &[&str], per_gpu, jobs| Work {
            gpus: gpus.iter().map(ToString::to_string).collect(),
            per_gpu,
            jobs,
            ..Work::default()
        };
        let some = |cards: &[&str]| {
            cards
                .iter()
                .map(|c| Some(c.to_string()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            dealt(&work(&["2", "5"], 1, None), "cuda+bf16")?,
            some(&["2", "5"])
        );
        assert_eq!(
            dealt(&work(&["2", "5"], 2, None), "wgpu")?,
            some(&["2", "5", "2", "5"])
        );
        assert_eq!(
            dealt(&work(&["GPU-a"], 1, Some(2)), "cuda")?,
            some(&["GPU-a", "GPU-a"])
        );
        assert_eq!(dealt(&work(&[], 1, Some(3)), "cpu")?, [None, None, None]);
        for (gpus, device, words) in [
            ("0", "cpu", "found cpu"),
            ("0", "cuda:1", "cuda:1"),
            ("x", "wgpu", "\"x\""),
        ] {
            let error = dealt(&work(&[gpus], 1, None), device).expect_err("refused");
            assert!(error.to_string().contains(words), "{error}");
        }
        Ok(())
    }
}
