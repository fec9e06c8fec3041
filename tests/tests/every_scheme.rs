//! Properties that hold for every scheme of the registry: a new one is tested the moment its line exists.

#[path = "every_scheme/bench.rs"]
mod bench;
#[path = "every_scheme/outputs.rs"]
mod outputs;
#[path = "every_scheme/variants.rs"]
mod variants;

use bench::MODEL;
use farspan_attention::plan::{Cache, Geometry, Plan};
use farspan_pe::{AnyScheme, Card, Entry, Len, Needs, PlanError, Registry, settings};
use serde_json::{Value, json};
use variants::{alternatives, bounds};

const TRAINED: usize = MODEL.trained_length;
/// One token, an odd few, one less than the trained length, far past it.
const LENGTHS: [usize; 4] = [1, 7, 63, 4 * TRAINED];

/// Every scheme as it comes, and with every setting changed in every way that [`alternatives`] knows.
fn all() -> Vec<(String, Box<dyn AnyScheme>)> {
    let mut all = Vec::new();
    for entry in Registry::builtin().entries() {
        let settings = [json!({})].into_iter().chain(alternatives(entry));
        all.extend(
            settings.map(|settings| (format!("{} {settings}", entry.id), parsed(entry, settings))),
        );
    }
    assert!(all.len() > 60, "{} variants", all.len());
    all
}

fn parsed(entry: &Entry, settings: Value) -> Box<dyn AnyScheme> {
    entry
        .parse(settings)
        .unwrap_or_else(|e| panic!("{}: {e}", entry.id))
}

/// The plans of all layers, each once; none where the scheme does not serve the length.
fn layers(name: &str, scheme: &dyn AnyScheme, length: usize) -> Vec<Plan> {
    let Some(first) = served(name, scheme, length) else {
        return Vec::new();
    };
    let mut plans = scheme
        .layer_plans(&MODEL, Len(length))
        .unwrap_or_else(|e| panic!("{name} at {length}: {e}"));
    assert_eq!(plans.len(), MODEL.layers, "{name}");
    assert_eq!(plans[0], first, "{name}: plan() is that of layer 0");
    plans.dedup();
    plans
}

/// The plan; `None` where the scheme does not serve the length, which only lengths past the trained one may meet.
fn served(name: &str, scheme: &dyn AnyScheme, length: usize) -> Option<Plan> {
    match scheme.plan(&MODEL, Len(length)) {
        Ok(plan) => Some(plan),
        Err(PlanError::NotServed { asked, limit, why }) => {
            assert!(
                asked == length && limit < length && !why.is_empty(),
                "{name}"
            );
            // A table made shorter on purpose serves less.
            assert!(length > TRAINED || limit < TRAINED, "{name}: {length}");
            None
        }
        Err(e) => panic!("{name} at {length}: {e}"),
    }
}

/// All plans of all variants at `length`.
fn plans(length: usize) -> Vec<(String, Plan)> {
    let of = |(name, scheme): (String, Box<dyn AnyScheme>)| {
        let plans = layers(&name, scheme.as_ref(), length).into_iter();
        plans.map(|plan| (name.clone(), plan)).collect::<Vec<_>>()
    };
    all().into_iter().flat_map(of).collect()
}

#[test]
fn ids_are_unique_and_kebab_case() {
    let registry = Registry::builtin();
    let ids: Vec<_> = registry.ids().collect();
    for (i, id) in ids.iter().enumerate() {
        assert!(!ids[..i].contains(id), "{id} twice");
        let fits = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        assert!(id.split('-').all(fits), "{id}");
        assert_eq!(
            registry.get(id).unwrap().parse(json!({})).unwrap().id(),
            *id
        );
    }
}

#[test]
fn cards_are_complete() {
    let registry = Registry::builtin();
    for entry in registry.entries() {
        let (id, card) = (entry.id, entry.card);
        assert!(!card.title.is_empty(), "{id}");
        assert!(
            card.idea.len() > 20 && card.idea.ends_with('.'),
            "{id}: {}",
            card.idea
        );
        let published = (2015..2100).contains(&card.paper.year)
            && !card.paper.authors.is_empty()
            && !card.paper.section.is_empty();
        // What a config defines has no paper.
        assert!(
            published || card.paper == Card::BLANK.paper,
            "{id}: {}",
            card.paper
        );
        let arxiv = card.paper.arxiv.split_once('.');
        let digits = |text: &str, count: &[usize]| {
            count.contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit())
        };
        let known =
            arxiv.is_some_and(|(date, number)| digits(date, &[4]) && digits(number, &[4, 5]));
        assert!(known || card.paper.arxiv.is_empty(), "{id}: {}", card.paper);
        assert_eq!(card.formula.is_empty(), card.latex.is_empty(), "{id}");
        if let Needs::Base(family) = card.needs {
            let bases = registry.entries().iter();
            let fits = |e: &&Entry| e.card.needs == Needs::Scratch && e.card.family == family;
            assert!(
                bases.filter(fits).count() > 0,
                "{id}: no base of family {family}"
            );
        }
        for setting in settings(parsed(entry, json!({})).as_ref()) {
            assert!(
                !setting.doc.is_empty(),
                "{id}.{} has no description",
                setting.key
            );
        }
    }
}

#[test]
fn settings_survive_a_round_trip() {
    for (name, scheme) in all() {
        let written = scheme.settings();
        let again = Registry::builtin()
            .parse(scheme.id(), written.clone())
            .unwrap();
        assert_eq!(again.settings(), written, "{name}");
        let text = serde_json::to_string(&written).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, written, "{name}: as text");
        for length in LENGTHS {
            let hash =
                |scheme: &dyn AnyScheme| served(&name, scheme, length).map(|plan| plan.hash());
            assert_eq!(
                hash(scheme.as_ref()),
                hash(again.as_ref()),
                "{name} at {length}"
            );
        }
    }
}

#[test]
fn unknown_settings_are_refused() {
    for entry in Registry::builtin().entries() {
        let error = entry.parse(json!({ "no_such_setting": 1 })).unwrap_err();
        assert!(
            matches!(error, PlanError::UnknownSetting { .. }),
            "{}: {error}",
            entry.id
        );
        assert!(error.to_string().contains("`no_such_setting`"), "{error}");
    }
}

/// The schema states bounds for editors and `explain`, `check()` enforces them: they must agree.
#[test]
fn bounds_of_the_schema_are_enforced() {
    let mut tried = 0;
    for entry in Registry::builtin().entries() {
        for (key, outside) in bounds(&entry.schema()) {
            let error = entry.parse(json!({ (key.clone()): outside })).unwrap_err();
            // An element of a list is named by its place, an entry of a table by its key.
            let own = |found: &str| found.split(['[', '.']).next() == Some(key.as_str());
            let named = matches!(&error, PlanError::Setting { key: found, .. } if own(found));
            assert!(named, "{}.{key} = {outside}: {error}", entry.id);
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried} bounds");
}

/// Nothing inside of the bounds is refused either: not the bound itself where it belongs to them, nor what lies right
/// behind one that does not, alone or beside one other setting.
#[test]
fn what_lies_at_a_bound_is_accepted() {
    let mut tried = 0;
    for entry in Registry::builtin().entries() {
        // Where one setting must be below another, the lower one goes further down.
        let lower = variants::edges(&entry.schema(), 1e-9).into_iter();
        let lower = lower.map(|(key, value)| json!({ (key): value }));
        let contexts: Vec<Value> = [json!({})]
            .into_iter()
            .chain(alternatives(entry))
            .chain(lower)
            .collect();
        for (key, inside) in variants::edges(&entry.schema(), 1e-6) {
            let change = json!({ (key.clone()): inside });
            let tables = contexts
                .iter()
                .map(|context| variants::merged(context, &change));
            let taken = tables.into_iter().any(|table| entry.parse(table).is_ok());
            let error = entry.parse(change).err().map(|e| e.to_string());
            assert!(taken, "{}.{key} = {inside}: {error:?}", entry.id);
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried} bounds");
}

/// No setting is without effect: each changes the plan, alone or beside one other.
#[test]
fn every_setting_changes_the_plan() {
    for entry in Registry::builtin().entries() {
        let hashes = |settings: &Value| -> Option<Vec<String>> {
            let scheme = entry.parse(settings.clone()).ok()?;
            let plans =
                [TRAINED, 4 * TRAINED].map(|length| layers(entry.id, scheme.as_ref(), length));
            let recipe = format!("{:?}", scheme.recipe(&MODEL));
            Some(
                plans
                    .iter()
                    .flatten()
                    .map(Plan::hash)
                    .chain([recipe])
                    .collect(),
            )
        };
        let changes: Vec<Value> = alternatives(entry).collect();
        let contexts: Vec<Value> = [json!({})].into_iter().chain(changes.clone()).collect();
        for property in settings(parsed(entry, json!({})).as_ref()) {
            let own = changes
                .iter()
                .filter(|change| change.get(&property.key).is_some());
            let changed =
                own.flat_map(|change| contexts.iter().map(move |context| (context, change)));
            let effect = changed.clone().any(|(context, change)| {
                let both = variants::merged(context, change);
                let (before, after) = (hashes(context), hashes(&both));
                before.is_some() && after.is_some() && before != after
            });
            assert!(effect, "{}.{} has no effect", entry.id, property.key);
        }
    }
}

#[test]
fn plans_are_pure_and_fit_the_model() {
    for (name, scheme) in all() {
        for length in LENGTHS {
            let Some(plan) = served(&name, scheme.as_ref(), length) else {
                continue;
            };
            plan.validate(&MODEL)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(
                served(&name, scheme.as_ref(), length),
                Some(plan),
                "{name} at {length}"
            );
        }
    }
}

/// What is said of cached keys is true: if rotated keys stay valid, then what is done to tokens and keys does not depend
/// on the length. Constants that the score reads may: a table of a bias with one value per distance is as long as the
/// text.
#[test]
fn the_cache_policy_is_true() {
    let mut moving = 0;
    for (name, scheme) in all() {
        let found: Vec<_> = LENGTHS
            .iter()
            .filter_map(|&length| served(&name, scheme.as_ref(), length))
            .collect();
        if found.iter().all(|plan| plan.cache == Cache::Rotated) {
            assert!(
                found
                    .iter()
                    .all(|plan| without_constants(plan) == without_constants(&found[0])),
                "{name} depends on the length"
            );
        } else {
            moving += 1;
        }
    }
    assert!(moving > 5, "{moving} plans that follow the length");
}

fn without_constants(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.params.retain(|spec| spec.constant().is_none());
    plan
}

/// Odd heads, heads too small, and lengths of zero are answered by an error or a plan, never by a panic.
#[test]
fn odd_models_are_refused_or_served() {
    for (name, scheme) in all() {
        for (head_dim, width) in [(1, 1), (2, 2), (3, 7), (15, 60), (128, 512)] {
            for trained_length in [0, 1, 100] {
                let model = Geometry {
                    head_dim,
                    width,
                    trained_length,
                    ..MODEL
                };
                for length in [0, 1, 100, 1000] {
                    let Ok(plan) = scheme.plan(&model, Len(length)) else {
                        continue;
                    };
                    plan.validate(&model)
                        .unwrap_or_else(|e| panic!("{name}: {e}"));
                }
            }
        }
    }
    let odd = Geometry {
        head_dim: 15,
        ..MODEL
    };
    for entry in Registry::builtin().entries() {
        let scheme = parsed(entry, json!({}));
        let plan = scheme.plan(&MODEL, Len(1)).unwrap();
        // A hook may turn channels itself.
        if !plan.hooks.is_empty() {
            continue;
        }
        let turns = plan.rotations.len();
        let refused = scheme.plan(&odd, Len(1)).is_err();
        assert_eq!(
            refused,
            turns > 0,
            "{}: only rotations need an even head_dim",
            entry.id
        );
    }
}
