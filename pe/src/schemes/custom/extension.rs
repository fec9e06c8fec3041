//! The custom scheme as an extension of weights that are trained already.

use super::{CARD, Custom};
use crate::card::{Card, Family, Needs};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// [`Custom`] over weights that were trained under a rotary scheme, whose base, pairing and share it takes over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CustomExtension(pub Custom);

impl Scheme for CustomExtension {
    const ID: &'static str = "custom-extension";
    const CARD: Card = Card {
        title: "Custom extension",
        family: Family::Custom,
        idea: "An extension of RoPE that the config defines by frequencies, an expression or a table of biases.",
        needs: Needs::Base(Family::Rotary),
        ..CARD
    };

    fn check(&self) -> Result<(), PlanError> {
        self.0.check()
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.0.plan(model, context_len)
    }
}
