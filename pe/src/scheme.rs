//! `Scheme`: a positional encoding as a value. The config struct *is* the scheme.

use crate::card::Card;
use crate::error::PlanError;
use crate::recipe::Recipe;
use crate::settings;
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::{self, Debug};

/// A length in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Len(pub usize);

impl fmt::Display for Len {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0)
    }
}

/// A positional encoding: settings, and a pure function from them to a [`Plan`].
///
/// The struct's fields are the settings. Derive `Serialize`, `Deserialize` and `JsonSchema`, put
/// `#[serde(deny_unknown_fields, default)]` on it and give every field a doc comment: it becomes the setting's
/// description.
pub trait Scheme:
    Debug + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
    /// Name in configs, on the command line and in legends: kebab-case, unique.
    const ID: &'static str;
    /// What it is and where it comes from.
    const CARD: Card;

    /// Whether the settings are within their bounds and agree with each other, as far as that can be told without a
    /// model. Runs when settings are read, before any work starts; [`plan`](Scheme::plan) starts with it too.
    fn check(&self) -> Result<(), PlanError> {
        Ok(())
    }

    /// What the scheme does to a decoder of these sizes when `context_len` positions are in use. Pure: no device, file,
    /// clock, dice or cache. Fails if a setting is out of bounds, if the model does not fit, or with
    /// [`PlanError::NotServed`] if `context_len` is more than the scheme can serve.
    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError>;

    /// The plan of layer number `layer`, for schemes that treat layers differently; [`plan`](Scheme::plan) is then that
    /// of the first layer, whose embedding is the one that counts. Pure like `plan`.
    fn layer_plan(
        &self,
        model: &Geometry,
        context_len: Len,
        layer: usize,
    ) -> Result<Plan, PlanError> {
        let _ = layer;
        self.plan(model, context_len)
    }

    /// What training does differently for a model of these sizes; nothing for nearly every scheme.
    fn recipe(&self, model: &Geometry) -> Result<Recipe, PlanError> {
        let _ = model;
        Ok(Recipe::default())
    }
}

/// A [`Scheme`] of a type not known at compile time. Every scheme is one.
pub trait AnyScheme: Debug + Send + Sync {
    /// [`Scheme::ID`].
    fn id(&self) -> &'static str;
    /// [`Scheme::CARD`].
    fn card(&self) -> &'static Card;
    /// All settings, defaults filled in, as a JSON object.
    fn settings(&self) -> Value;
    /// JSON Schema (draft 7) of the settings, with defaults, bounds and descriptions.
    fn schema(&self) -> Value;
    /// [`Scheme::check`].
    fn check(&self) -> Result<(), PlanError>;
    /// [`Scheme::plan`]; the plan is whole and fits `model`.
    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError>;
    /// [`Scheme::layer_plan`] of every layer of `model`; whole and fitting too.
    fn layer_plans(&self, model: &Geometry, context_len: Len) -> Result<Vec<Plan>, PlanError>;
    /// [`Scheme::recipe`].
    fn recipe(&self, model: &Geometry) -> Result<Recipe, PlanError>;
}

impl<S: Scheme> AnyScheme for S {
    fn id(&self) -> &'static str {
        S::ID
    }

    fn card(&self) -> &'static Card {
        const { &S::CARD }
    }

    fn settings(&self) -> Value {
        serde_json::to_value(self).expect("settings are plain data, so JSON can hold them")
    }

    fn schema(&self) -> Value {
        settings::schema::<S>()
    }

    fn check(&self) -> Result<(), PlanError> {
        Scheme::check(self)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        let plan = Scheme::plan(self, model, context_len)?;
        plan.validate(model)?;
        Ok(plan)
    }

    fn layer_plans(&self, model: &Geometry, context_len: Len) -> Result<Vec<Plan>, PlanError> {
        let plan = |layer| {
            let plan = Scheme::layer_plan(self, model, context_len, layer)?;
            plan.validate(model)?;
            Ok(plan)
        };
        (0..model.layers).map(plan).collect()
    }

    fn recipe(&self, model: &Geometry) -> Result<Recipe, PlanError> {
        Scheme::recipe(self, model)
    }
}
