use super::*;
use crate::fixture::{self, Options};
use crate::store::LoadedRun;
use crate::summary::{Interval, Options as Choice, Outcome, Summary, summarise_with};

fn summary(run: &LoadedRun) -> Summary {
    summarise_with(
        run,
        &Choice {
            resamples: 400,
            ..Choice::default()
        },
    )
}

fn findings(study: &StudySummary, start: &str) -> Vec<String> {
    let of = study
        .verdict
        .iter()
        .filter(|s| s.kind == SentenceKind::Finding);
    of.map(|s| s.text.clone())
        .filter(|t| t.starts_with(start))
        .collect()
}

/// The effective length of what headlines.
fn effective(study: &StudySummary, label: &str) -> Option<crate::summary::EffectiveLength> {
    let key = &study.compared().next()?.key;
    let curve = study.curves.iter().find(|c| c.label == label)?;
    curve.measured(key)?.effective.clone()
}

/// Whether `label` is named: not as a part of a longer label.
fn names(text: &str, label: &str) -> bool {
    let tuned = format!("{label} (fine-tuned)");
    text.replace(&tuned, "")
        .split([' ', ',', ';', ':', '.', '\''])
        .any(|word| word == label)
        || (label.ends_with(')') && text.contains(label))
}

/// Scales what every curve adds to its loss past the trained length, from nothing to much.
fn stretched(factor: f64, seeds: u64) -> LoadedRun {
    let options = Options {
        retrieval: false,
        seeds: (0..seeds).collect(),
        ..Options::default()
    };
    let mut run = fixture::run(&options);
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        for m in &mut record.measures {
            let near = m.points.iter().find(|p| p.length == 128).cloned();
            let Some(near) = near.filter(|_| m.measure == "perplexity") else {
                continue;
            };
            for p in m.points.iter_mut().filter(|p| p.length > 128) {
                for i in 0..p.value.len() {
                    let base = near.value[i] / near.weight[i] * p.weight[i];
                    p.value[i] = base + factor * (p.value[i] - base);
                }
            }
        }
    }
    run
}

/// Over a range of effect sizes: no sentence says more than its interval.
#[test]
fn no_sentence_contradicts_its_interval() {
    let mut seen = [0; 6];
    let factors = [-1.0, 0.0, 0.02, 0.1, 0.3, 1.0].into_iter();
    for (factor, seeds) in factors.flat_map(|f| [(f, 2), (f, 5)]) {
        let summary = summary(&stretched(factor, seeds));
        let study = &summary.studies[0];
        for curve in &study.curves {
            let measured = study.compared().next().and_then(|m| curve.measured(&m.key));
            let point = measured.and_then(|m| m.at(1024));
            let Some(change) = point.and_then(|p| p.change) else {
                continue;
            };
            let interval = change.mean.interval.expect("32 units");
            let said = |words: &str| {
                let mut here = findings(study, "At 8×").into_iter();
                here.find(|t| t.contains(words) && names(t, &curve.label))
            };
            let (risen, excluded, open) = (
                said("has risen for"),
                said("or more is excluded for"),
                said("it is not shown whether the loss rises by 0.05 nats"),
            );
            assert_eq!(
                risen.is_some(),
                interval.low >= 0.05,
                "{factor} {interval:?}"
            );
            assert_eq!(
                excluded.is_some(),
                (0.0..0.05).contains(&interval.high),
                "{factor} {}: {interval:?}",
                curve.label
            );
            assert_eq!(open.is_some(), interval.low < 0.05 && interval.high >= 0.05);
            seen[0] += usize::from(risen.is_some());
            seen[1] += usize::from(excluded.is_some());
            seen[2] += usize::from(open.is_some());
            // Significance is told where the size of a rise is not.
            if let Some(text) = excluded.or(open) {
                let mine = text.split(&format!("{} (change ", curve.label)).nth(1);
                let mine = mine
                    .and_then(|rest| rest.split(')').next())
                    .expect("its change");
                assert_eq!(
                    mine.contains("a significant rise"),
                    interval.low > 0.0,
                    "{text}"
                );
                seen[3] += usize::from(interval.low > 0.0);
            }
            let below = findings(study, "At 8×")
                .iter()
                .any(|t| t.contains("is below") && names(t, &curve.label));
            assert_eq!(below, interval.high < 0.0);
            seen[4] += usize::from(below);
        }
        for sentence in findings(study, "Against rope in loss at 8×") {
            for d in study.differences.iter().filter(|d| d.length == 1024) {
                let better = sentence
                    .split("better")
                    .next()
                    .is_some_and(|s| sentence.contains("better") && names(s, &d.label));
                assert_eq!(
                    better,
                    d.outcome == Outcome::Better,
                    "{factor} {}: {sentence}",
                    d.label
                );
                assert_eq!(better, d.difference.interval.is_some_and(|i| i.high < 0.0));
                seen[5] += usize::from(better);
            }
        }
    }
    assert!(
        seen.iter().all(|&n| n > 0),
        "each kind of sentence must have been said: {seen:?}"
    );
}

#[test]
fn identical_curves_are_not_told_apart() {
    let mut run = fixture::run(&Options {
        retrieval: false,
        mishaps: false,
        ..Options::default()
    });
    let model = run.cells[1].result.clone().expect("rope has a result");
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        record.measures.clone_from(&model.measures);
    }
    let summary = summary(&run);
    let study = &summary.studies[0];
    assert!(
        study
            .differences
            .iter()
            .all(|d| d.outcome == Outcome::NoDifference)
    );
    let sentences = findings(study, "Against rope in loss");
    assert_eq!(sentences.len(), 2);
    assert!(
        !sentences
            .iter()
            .any(|s| s.contains("better") || s.contains("worse")),
        "{sentences:?}"
    );
    assert_eq!(findings(study, "Fine-tuning"), Vec::<String>::new());
}

#[test]
fn a_loss_that_is_not_finite_has_risen() {
    let mut run = fixture::run(&Options {
        retrieval: false,
        ..Options::default()
    });
    for record in run
        .cells
        .iter_mut()
        .filter_map(|c| c.result.as_mut())
        .filter(|r| r.scheme.name == "alibi")
    {
        let perplexities = record
            .measures
            .iter_mut()
            .filter(|m| m.measure == "perplexity");
        for p in perplexities
            .flat_map(|m| &mut m.points)
            .filter(|p| p.length == 1024)
        {
            p.value[3] = f64::NAN;
        }
    }
    let summary = summary(&run);
    let study = &summary.studies[0];
    let risen = findings(study, "At 8×")
        .into_iter()
        .find(|t| t.contains("has risen"))
        .expect("rope rises");
    assert!(
        risen.contains("alibi from") && risen.contains("to not a number"),
        "{risen}"
    );
    assert_eq!(
        effective(study, "alibi").map(|e| (e.length, e.at_end)),
        Some((512, false))
    );
}

#[test]
fn one_seed_and_few_units_are_said() {
    let one = summary(&fixture::run(&Options {
        units: 6,
        trials: 2,
        ..Options::default()
    }));
    let caveats = |study: &StudySummary| {
        let of = study
            .verdict
            .iter()
            .filter(|s| s.kind == SentenceKind::Caveat);
        of.map(|s| s.text.clone()).collect::<Vec<_>>().join(" ")
    };
    let language = caveats(&one.studies[0]);
    let design = |study: &StudySummary| {
        let mut all = study
            .verdict
            .iter()
            .filter(|s| s.kind == SentenceKind::Design);
        all.next()
            .map(|s| s.text.clone())
            .expect("there is a reference")
    };
    // 25 comparisons: of eight curves at the trained length, of seven at three others.
    let said = design(&one.studies[0]);
    assert!(
        said.starts_with("One seed: a difference from rope is one between trainings"),
        "{said}"
    );
    assert!(said.contains("4 or more seeds"), "{said}");
    assert!(language.contains("Only 6 test segments"), "{language}");
    assert!(
        language.contains("wild_50% has no result: loss inf at step 313"),
        "{language}"
    );
    assert!(caveats(&one.studies[1]).contains("Only 22 prompts at a length"));
    let three = summary(&fixture::run(&Options {
        seeds: vec![0, 1, 2],
        ..Options::default()
    }));
    let said = design(&three.studies[0]);
    assert!(
        said.starts_with("3 seeds and 25 comparisons cannot show a difference from rope"),
        "{said}"
    );
    assert!(said.contains("Use 4 seeds or more"), "{said}");
    assert!(caveats(&three.studies[1]).contains("2 to 3 seeds"));
}

#[test]
fn doubts_about_a_checkpoint_are_said_once() {
    let mut run = fixture::run(&Options::default());
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        record.model.notes = vec!["the config leaves L open".into()];
    }
    let text = |study: &StudySummary| {
        let all: Vec<&str> = study.verdict.iter().map(|s| s.text.as_str()).collect();
        all.join(" ")
    };
    let said = text(&summary(&run).studies[0]);
    let sentence = "Of the checkpoint: the config leaves L open.";
    assert_eq!(said.matches(sentence).count(), 1, "{said}");
}

#[test]
fn a_length_that_another_measure_read_can_be_read() {
    let mut run = fixture::run(&Options::default());
    for result in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        if (result.study.as_str(), result.scheme.name.as_str()) == ("language", "alibi") {
            result.refused = vec![crate::record::Refusal {
                measure: "long_ppl".into(),
                of: String::new(),
                length: 256,
                reason: "no token is key".into(),
            }];
        }
    }
    let summary = summary(&run);
    let said = refusals(&summary.studies[0]).join("\n");
    assert!(
        said.contains("long_ppl of alibi has no value at 256 tokens: no token is key."),
        "{said}"
    );
}

#[test]
fn numbers_as_words() {
    for (x, words) in [
        (6.514, "6.51"),
        (23.44, "23.4"),
        (1234.5, "1234"),
        (2.0e6, "2.0e6"),
        (9.996, "10.0"),
        (f64::INFINITY, "infinite"),
    ] {
        assert_eq!(number(x), words);
    }
    assert_eq!(signed(-0.0123), "−0.012");
    assert_eq!(signed(0.0001), "0.000");
    assert_eq!(joined(&["a".into(), "b".into(), "c".into()]), "a, b and c");
}

#[test]
fn small_factors_do_not_read_as_none() {
    let summary = summary(&fixture::run(&Options::default()));
    let study = &summary.studies[0];
    let info = study.compared().next().expect("losses");
    let factor = |change| About { study, info }.factor(change);
    let interval = Some(Interval {
        low: 0.001,
        high: 0.005,
    });
    assert_eq!(
        factor(Estimate {
            value: 0.003,
            interval
        }),
        " (×1.003 [1.001, 1.005])"
    );
    let interval = Some(Interval {
        low: 1.2,
        high: 1.3,
    });
    assert_eq!(
        factor(Estimate {
            value: 1.25,
            interval
        }),
        " (×3.49 [3.32, 3.67])"
    );
}

mod quoted;
mod retrieval;
