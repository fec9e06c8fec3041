//! A scheme written in a config: its score as text, its frequencies as numbers, its biases as a table.
//!
//! score = the expression + bias\[h\]\[q − k\];  raw = ⟨Rot(q), Rot(k)⟩ / √head_dim if frequencies are given
//!
//! The language is the one that plans print (`farspan explain ID`): `raw`, `q`, `k`, `n`, numbers, `+ - * /`, functions,
//! `select(a < b, x, y)`, parameters `slope[h]`, tables `t[q - k]` and `t[h, q - k]`; docs/custom.md has the grammar. Every
//! name stands in `params`: one that does not is taken for a slip of the pen.

mod extension;
mod reading;

pub use extension::CustomExtension;

use crate::angles::{PairingSchema, Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model, hint};
use crate::registry::Entry;
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, distance, lookup, shared_lookup};
use farspan_attention::plan::{Cache, Geometry, Init, Pairing, ParamSpec, Plan, PositionIds};
use reading::{Kind, finite, kinds, parsed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[Entry::of::<Custom>(), Entry::of::<CustomExtension>()];

/// Settings of a scheme that a config defines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Custom {
    /// Score of a pair of tokens: an expression over `raw`, `q`, `k`, `n` and parameters.
    #[schemars(example = "raw - slope[h] * log1p(q - k)")]
    pub score: String,
    /// Factor of all raw scores of a query: an expression over `q`, `n` and parameters. Left out: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "1 + slope[h] * log1p(q)")]
    pub query_scale: Option<String>,
    /// Parameters of the expressions by name; `{}` is learned from 1, one number per head and layer.
    #[schemars(example = serde_json::json!({ "slope": { "values": [0.5] } }))]
    pub params: BTreeMap<String, CustomParam>,
    /// Which ids that the task gives its tokens `q`, `k` and turns read in the place of indices, such as "place" or
    /// "coupled"; a text has "place" for its digits. Left out: indices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"coupled")]
    pub ids: Option<String>,
    /// Biases by distance 0, 1, 2, …: one list per head, or one for all; past its end the last number counts.
    pub bias: Vec<Vec<f64>>,
    /// Inverse frequencies in radians per token, one per pair of channels. None: those of `base`, if that is set.
    pub inv_freq: Vec<f64>,
    /// Turn queries and keys as RoPE with this base does; for an extension, the base scheme's unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: Option<f64>,
    /// Which two channels make a pair; for an extension, the base scheme's unless set. Only read where something turns.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Share of each head's channels that `base` turns, from the first; for an extension, the base scheme's unless set.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub partial: f64,
    /// Factor of cosines and sines.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub attention_factor: f64,
}

/// A parameter of an expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CustomParam {
    /// Values before training: one for all heads or one per head; for a table, its rows.
    pub values: Vec<f64>,
    /// Whether training changes them.
    pub learned: bool,
    /// Whether each layer has its own.
    pub per_layer: bool,
    /// Least value that training may reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value that training may reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Default for CustomParam {
    fn default() -> CustomParam {
        CustomParam {
            values: vec![1.0],
            learned: true,
            per_layer: true,
            min: None,
            max: None,
        }
    }
}

impl Default for Custom {
    fn default() -> Custom {
        let Rotary {
            pairing, partial, ..
        } = Rotary::DEFAULT;
        Custom {
            score: "raw".into(),
            query_scale: None,
            params: BTreeMap::new(),
            ids: None,
            bias: Vec::new(),
            inv_freq: Vec::new(),
            base: None,
            pairing,
            partial,
            attention_factor: 1.0,
        }
    }
}

/// What both cards say.
const CARD: Card = Card {
    title: "Custom",
    paper: Paper {
        authors: "unpublished",
        year: 0,
        arxiv: "",
        section: "",
    },
    family: Family::Custom,
    idea: "A scheme that the config defines by an expression, frequencies or a table of biases.",
    ..Card::BLANK
};

impl Scheme for Custom {
    const ID: &'static str = "custom";
    const CARD: Card = CARD;

    fn check(&self) -> Result<(), PlanError> {
        self.expressions()?;
        self.rotary().check()?;
        finite("inv_freq", &self.inv_freq)?;
        self.ids.as_ref().map_or(Ok(()), |ids| {
            let letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let holds = !ids.is_empty() && ids.chars().all(letter);
            check("ids", ids, "a name of letters, digits and -", holds)
        })?;
        let factor = self.attention_factor;
        let positive = factor > 0.0 && factor.is_finite();
        check("attention_factor", factor, "above 0 and finite", positive)?;
        for (head, row) in self.bias.iter().enumerate() {
            let key = format!("bias[{head}]");
            let rule = "at least one number";
            check(&key, format!("{row:?}"), rule, !row.is_empty())?;
            finite(&key, row)?;
            let (found, first) = (row.len(), self.bias[0].len());
            let rule = format!("as long as the first list, {first} numbers");
            check(&key, format!("{found} numbers"), &rule, found == first)?;
        }
        for (name, param) in &self.params {
            let key = format!("params.{name}");
            let found = format!("{:?}", param.values);
            let rule = "at least one number";
            check(
                &format!("{key}.values"),
                found,
                rule,
                !param.values.is_empty(),
            )?;
            finite(&format!("{key}.values"), &param.values)?;
            let (min, max) = param.range();
            let rule = format!("at most max = {max}");
            check(&format!("{key}.min"), min, &rule, min <= max)?;
        }
        Ok(())
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let (score, query_scale) = self.expressions()?;
        let mut plan = self.turned(model)?;
        let mut params = self.specs(&score, query_scale.as_ref(), model)?;
        plan.score = score;
        if let Some((bias, spec)) = self.bias_term(model)? {
            plan.score = plan.score + bias;
            params.push(spec);
        }
        plan.query_scale = query_scale;
        plan.params = params;
        if let Some(ids) = &self.ids {
            plan.position_ids = PositionIds::Given {
                ids: ids.clone(),
                scores: true,
            };
        }
        if plan.score.any(&|part| *part == Expr::Reach) {
            plan.cache = Cache::Unrotated;
        }
        Ok(plan)
    }
}

/// The parameter that holds `bias`.
const BIAS: &str = "bias";

impl Custom {
    fn expressions(&self) -> Result<(Expr, Option<Expr>), PlanError> {
        let score = parsed("score", &self.score)?;
        let query_scale = self.query_scale.as_deref();
        let query_scale = query_scale
            .map(|text| parsed("query_scale", text))
            .transpose()?;
        let mut used: BTreeSet<String> = score.param_names().into_iter().collect();
        used.extend(query_scale.iter().flat_map(Expr::param_names));
        self.all_declared("score", &self.score, &score)?;
        if let (Some(text), Some(scale)) = (&self.query_scale, &query_scale) {
            self.all_declared("query_scale", text, scale)?;
        }
        for name in self.params.keys() {
            let rule = "the name of a parameter that `score` or `query_scale` reads";
            check(&format!("params.{name}"), name, rule, used.contains(name))?;
        }
        let rule = "another name: `bias` is the table's";
        check(
            "score",
            &self.score,
            rule,
            self.bias.is_empty() || !used.contains(BIAS),
        )?;
        Ok((score, query_scale))
    }

    /// Fails if `expr`, the setting `key`, reads a name that `params` lacks.
    fn all_declared(&self, key: &str, text: &str, expr: &Expr) -> Result<(), PlanError> {
        let known = |name: &String| self.params.contains_key(name);
        // A table beside the expression has a complaint of its own.
        let own = |name: &String| name == BIAS && !self.bias.is_empty();
        let names = expr.param_names().into_iter();
        let Some(name) = names.filter(|name| !own(name)).find(|name| !known(name)) else {
            return Ok(());
        };
        Err(PlanError::Setting {
            key: key.into(),
            value: format!("{text:?}"),
            rule: format!(
                "an expression over names that `params` declares; `{name}` is none: params.{name} = {{}} learns it from 1"
            ),
            hint: hint(&name, self.params.keys().map(String::as_str)),
        })
    }

    fn rotary(&self) -> Rotary {
        Rotary {
            base: self.base.unwrap_or(Rotary::DEFAULT.base),
            pairing: self.pairing,
            partial: self.partial,
        }
    }

    /// The rotation, if there is one.
    fn turned(&self, model: &Geometry) -> Result<Plan, PlanError> {
        let inv_freq = match (self.base, self.inv_freq.is_empty()) {
            (_, false) => {
                let (found, most) = (self.inv_freq.len(), model.head_dim / 2);
                let rule = format!(
                    "at most {most} numbers for heads of {} channels",
                    model.head_dim
                );
                check("inv_freq", format!("{found} numbers"), &rule, found <= most)?;
                self.inv_freq.clone()
            }
            (Some(base), true) => inv_freq(base, self.rotary().dim(model, 2)?),
            (None, true) => return Ok(Plan::default()),
        };
        Ok(self.rotary().plan(inv_freq, self.attention_factor))
    }

    fn specs(
        &self,
        score: &Expr,
        query_scale: Option<&Expr>,
        model: &Geometry,
    ) -> Result<Vec<ParamSpec>, PlanError> {
        let mut found = BTreeMap::new();
        kinds(score, &mut found);
        query_scale
            .into_iter()
            .for_each(|scale| kinds(scale, &mut found));
        let spec = |(name, kind): (String, Kind)| {
            let param = self.params.get(&name).cloned().unwrap_or_default();
            let (values, heads) = (param.values.clone(), model.heads);
            let (shape, values) = match kind {
                Kind::PerHead => {
                    let count = values.len();
                    let rule = format!("1 number, or one for each of the {heads} heads");
                    let fits = count == 1 || count == heads;
                    let key = format!("params.{name}.values");
                    check(&key, format!("{count} numbers"), &rule, fits)?;
                    (
                        vec![heads],
                        values.into_iter().cycle().take(heads).collect(),
                    )
                }
                Kind::Table => (vec![values.len()], values),
                Kind::TablePerHead => (vec![heads, values.len()], values.repeat(heads)),
            };
            let clamp = (param.min.is_some() || param.max.is_some()).then(|| param.range());
            Ok(ParamSpec {
                name,
                shape,
                init: Init::Values(values),
                learned: param.learned,
                per_layer: param.per_layer && param.learned,
                clamp,
            })
        };
        found.into_iter().map(spec).collect()
    }

    /// The table as a term of the score.
    fn bias_term(&self, model: &Geometry) -> Result<Option<(Expr, ParamSpec)>, PlanError> {
        let (lists, heads) = (self.bias.len(), model.heads);
        let (term, shape) = match lists {
            0 => return Ok(None),
            1 => (shared_lookup(BIAS, distance()), vec![self.bias[0].len()]),
            _ => {
                check_model(
                    "lists of `bias`",
                    lists,
                    &format!("1 or {heads}, one per head"),
                    lists == heads,
                )?;
                (lookup(BIAS, distance()), vec![heads, self.bias[0].len()])
            }
        };
        let spec = ParamSpec {
            name: BIAS.into(),
            shape,
            init: Init::Values(self.bias.concat()),
            learned: false,
            per_layer: false,
            clamp: None,
        };
        Ok(Some((term, spec)))
    }
}

impl CustomParam {
    fn range(&self) -> (f64, f64) {
        let (min, max) = (self.min, self.max);
        (
            min.unwrap_or(f64::NEG_INFINITY),
            max.unwrap_or(f64::INFINITY),
        )
    }
}

#[cfg(test)]
mod tests;
