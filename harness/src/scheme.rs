//! A scheme by its id and settings, and the scheme that given weights are read with: that of their config, or another one
//! that takes over what it leaves open.

use crate::model::Architecture;
use crate::{Error, Result, config};
use farspan_attention::plan::{Geometry, Plan, PositionIds};
use farspan_pe::{AnyScheme, Len, Needs, OVER, PlanError, Registry};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Settings that say how the weights were trained, whatever scheme reads them.
const OF_THE_WEIGHTS: [&str; 3] = ["base", "partial", "pairing"];

/// Stands for the scheme of the config, as it is.
pub const OWN: &str = "own";

/// What the reference library calls `rope_type`, and the id of the same scheme here where that differs.
const TYPES: [(&str, &str); 3] = [
    ("default", "rope"),
    ("linear", "pi"),
    ("dynamic", "dynamic-ntk"),
];
/// The library's keys, and the settings of the same meaning.
const KEYS: [(&str, &str); 5] = [
    ("long_factor", "long_factors"),
    ("original_max_position_embeddings", "trained_length"),
    ("partial_rotary_factor", "partial"),
    ("rope_theta", "base"),
    ("short_factor", "short_factors"),
];

/// Our word for the library's `word`; any other is ours already.
fn ours<'w>(words: &[(&'static str, &'static str)], word: &'w str) -> &'w str {
    let known = words.iter().find(|(theirs, _)| *theirs == word);
    known.map_or(word, |(_, ours)| ours)
}

/// A scheme by its id, with settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Positional {
    /// Id in the registry.
    pub id: String,
    /// Settings that differ from, or confirm, its defaults.
    pub settings: Map<String, Value>,
}

impl Positional {
    /// The scheme `id` with `settings`.
    pub fn new(id: &str, settings: Map<String, Value>) -> Positional {
        Positional {
            id: id.to_string(),
            settings,
        }
    }

    /// No scheme at all.
    pub fn none() -> Positional {
        Positional::new("nope", Map::new())
    }

    /// What this one extends: the base that it names, or plain rotations with the settings that belong to the weights.
    /// `None` if it extends nothing.
    pub(crate) fn extended(&self, registry: &Registry) -> Result<Option<Positional>> {
        if !matches!(registry.get(&self.id)?.card.needs, Needs::Base(_)) {
            return Ok(None);
        }
        if let Some(Value::Object(over)) = self.settings.get(OVER)
            && let Some((id, Value::Object(settings))) = over.iter().next()
        {
            return Ok(Some(Positional::new(id, settings.clone())));
        }
        let settings = self.settings.iter();
        let of_the_weights = settings.filter(|(key, _)| OF_THE_WEIGHTS.contains(&key.as_str()));
        let settings = of_the_weights.map(|(key, value)| (key.clone(), value.clone()));
        Ok(Some(Positional::new("rope", settings.collect())))
    }

    /// `scheme` with all of its settings.
    pub fn of(scheme: &dyn AnyScheme) -> Positional {
        match scheme.settings() {
            Value::Object(settings) => Positional::new(scheme.id(), settings),
            _ => Positional::new(scheme.id(), Map::new()),
        }
    }
}

impl fmt::Display for Positional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        self.settings
            .iter()
            .try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

/// `yarn,factor=4`: an id and settings, in our words or in those of the reference library; `own` for the config's.
impl FromStr for Positional {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Positional, String> {
        let (id, rest) = match text.split_once(',') {
            Some((id, rest)) => (id, pieces(rest)),
            None => (text, Vec::new()),
        };
        if rest.iter().any(|piece| piece.trim().is_empty()) {
            return Err(format!(
                "expected KEY=VALUE behind each comma, found {text:?}"
            ));
        }
        Positional::in_words(id.trim(), &rest)
    }
}

impl Positional {
    /// The scheme `id` with settings as `KEY=VALUE`, in our words or in those of the reference library.
    pub fn in_words(id: &str, settings: &[String]) -> std::result::Result<Positional, String> {
        let given = match config::settings(settings)? {
            Value::Object(given) => given,
            other => return Err(format!("expected settings, found {other}")),
        };
        if id == OWN && !given.is_empty() {
            return Err(format!(
                "{OWN} is the scheme of the config as it stands and takes no settings; name the scheme to change it"
            ));
        }
        let mut found = Map::new();
        for (key, value) in given {
            let word = ours(&KEYS, &key);
            if found.insert(word.to_string(), value).is_some() {
                return Err(format!("{word} is given twice, once as {key}"));
            }
        }
        Ok(Positional::new(ours(&TYPES, id), found))
    }
}

/// Parts between commas that stand in no bracket, as lists have commas of their own.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                pieces.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

/// The scheme `asked`, or that of the config. Base, rotated share and pairing belong to the weights: a scheme that has
/// them as settings takes them over. Fails if it cannot be planned for this architecture.
pub fn resolve(
    registry: &Registry,
    architecture: &Architecture,
    asked: Option<&Positional>,
) -> Result<Arc<dyn AnyScheme>> {
    let own = &architecture.positional;
    let fits = |scheme: &dyn AnyScheme| {
        let context_len = Len(architecture.geometry.trained_length);
        match scheme.plan(&architecture.geometry, context_len) {
            // A table that ends before the trained length serves shorter texts.
            Ok(_) | Err(PlanError::NotServed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    };
    let Some(asked) = asked.filter(|asked| asked.id != OWN) else {
        let scheme = registry.parse(&own.id, Value::Object(own.settings.clone()));
        let scheme = scheme.and_then(|scheme| fits(scheme.as_ref()).map(|()| scheme));
        // What the keys ask for is a fault of the checkpoint, not of who reads it.
        return scheme
            .map(Arc::from)
            .map_err(|e| Error::Data(format!("config.json, read as scheme {}: {e}", own.id)));
    };
    let schema = registry.get(&asked.id)?.schema();
    let mut settings = asked.settings.clone();
    for key in OF_THE_WEIGHTS {
        let known = !schema["properties"][key].is_null();
        if let Some(value) = own.settings.get(key).filter(|_| known) {
            settings.entry(key).or_insert_with(|| value.clone());
        }
    }
    if !schema["properties"][OVER].is_null() {
        let over = json!({ (own.id.as_str()): own.settings });
        settings.entry(OVER).or_insert(over);
    }
    let offers = architecture.offers.as_ref();
    if let Some(offered) = offers.filter(|offered| offered.id == asked.id) {
        for (key, value) in &offered.settings {
            settings.entry(key).or_insert_with(|| value.clone());
        }
    }
    let scheme = registry.parse(&asked.id, Value::Object(settings))?;
    match fits(scheme.as_ref()) {
        Ok(()) => Ok(Arc::from(scheme)),
        Err(error @ PlanError::Model { .. }) => Err(Error::Data(format!(
            "scheme {} cannot read these weights: {error}",
            asked.id
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Schemes of the layers that keep one of their own; empty: none does.
pub type Apart = Vec<Option<Arc<dyn AnyScheme>>>;

/// Those of `architecture`.
pub fn apart(registry: &Registry, architecture: &Architecture) -> Result<Apart> {
    let parsed = |own: &Option<Positional>| {
        let Some(own) = own else { return Ok(None) };
        let scheme = registry.parse(&own.id, Value::Object(own.settings.clone()));
        let fault = |e| Error::Data(format!("config.json, read as scheme {}: {e}", own.id));
        scheme.map(|scheme| Some(Arc::from(scheme))).map_err(fault)
    };
    architecture.apart.iter().map(parsed).collect()
}

/// What all layers follow when `context_len` positions are in use: `scheme`, but for those that stand `apart`. What `scheme`
/// adds to the embeddings comes before all layers, whichever is the first.
pub fn layer_plans(
    scheme: &dyn AnyScheme,
    apart: &Apart,
    geometry: &Geometry,
    context_len: Len,
) -> std::result::Result<Vec<Plan>, PlanError> {
    let mut plans = scheme.layer_plans(geometry, context_len)?;
    for (layer, own) in apart.iter().enumerate() {
        let Some(own) = own else { continue };
        let main = &plans[layer];
        if main.infused || main.position_ids != PositionIds::Index {
            return Err(PlanError::Model {
                what: "layers",
                value: format!("{layer} with a scheme of its own"),
                rule: format!(
                    "all under {}, which places tokens for the whole decoder",
                    scheme.id()
                ),
            });
        }
        let embed = main.embed.clone();
        let own = own.layer_plans(geometry, context_len)?.swap_remove(layer);
        plans[layer] = Plan { embed, ..own };
    }
    Ok(plans)
}

/// The warning that weights which were trained under another scheme are read under one that extends none, if they are.
pub fn never_trained(architecture: &Architecture, scheme: &dyn AnyScheme) -> Option<String> {
    let own = &architecture.positional.id;
    (scheme.card().needs == Needs::Scratch && scheme.id() != own).then(|| {
        format!(
            "these weights were never trained under {}: its numbers say how far they depend on {own}, not how good it is",
            scheme.id()
        )
    })
}

/// What `scheme`, which turns queries and keys, has no setting for though weights were trained with it: the settings `own` of
/// their scheme that say how channels turn, where they are not the usual ones.
pub(crate) fn left_behind(own: &Map<String, Value>, schema: &Value) -> Option<String> {
    let has = |key: &str| !schema["properties"][key].is_null();
    let usual = |key: &str, value: &Value| match key {
        "partial" => value.as_f64() == Some(1.0),
        _ => value == "half-split",
    };
    let ways = ["partial", "pairing"].into_iter().filter(|key| !has(key));
    let mut odd = ways.filter_map(|key| own.get(key).map(|value| (key, value)));
    let (key, value) = odd.find(|(key, value)| has("base") && !usual(key, value))?;
    Some(format!(
        "it has no setting `{key}`, and these weights were trained with {value}: it does not begin as their scheme"
    ))
}

/// The warning that `scheme` takes the trained length from a config that leaves it open, if it does.
pub fn inherits_doubt(architecture: &Architecture, scheme: &dyn AnyScheme) -> Option<String> {
    let here = architecture.geometry.trained_length;
    let there = architecture.other_length?;
    let plan = |trained_length: usize, context_len: usize| {
        let geometry = Geometry {
            trained_length,
            ..architecture.geometry
        };
        scheme.plan(&geometry, Len(context_len)).ok()
    };
    let reaches = [here.min(there), here.max(there), 2 * here.max(there)];
    let follows = reaches
        .iter()
        .any(|&context_len| plan(here, context_len) != plan(there, context_len));
    follows.then(|| {
        format!(
            "scheme {} computes with the trained length, which the config leaves open: {here} is taken, {there} is possible",
            scheme.id()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let positional: Positional = text.parse().expect("a scheme");
        positional.to_string()
    }

    #[test]
    fn schemes_may_be_written_in_the_words_of_the_reference_library() {
        assert_eq!(read("linear,factor=4"), "pi,factor=4");
        assert_eq!(read("dynamic"), "dynamic-ntk");
        assert_eq!(
            read("yarn,factor=2,original_max_position_embeddings=512,rope_theta=1e4"),
            "yarn,factor=2,trained_length=512,base=10000.0"
        );
        assert_eq!(
            read("longrope,long_factor=[1.0,2.0],short_factor=[1.0]"),
            "longrope,long_factors=[1.0,2.0],short_factors=[1.0]"
        );
        assert_eq!(read("alibi"), "alibi");
    }

    #[test]
    fn nothing_that_is_asked_for_is_passed_over() {
        for (text, words) in [
            ("own,factor=2", "takes no settings"),
            ("yarn,factor=4,factor=8", "`factor` is given twice"),
            (
                "yarn,trained_length=8,original_max_position_embeddings=9",
                "trained_length is given twice",
            ),
            (
                "longrope,search={windows=1},search.windows=2",
                "`search.windows` is given twice",
            ),
            ("yarn,", "behind each comma"),
            ("yarn,,factor=4", "behind each comma"),
            ("yarn,factor", "expected KEY=VALUE"),
        ] {
            let error = text.parse::<Positional>().expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
