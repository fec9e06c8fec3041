//! A scheme whose learned parameters are those of one layer of a trained model.

use crate::cli::Failure;
use crate::model::{Decoder, scheme_name};
use crate::{checkpoint, origin};
use farspan_attention::Device;
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_pe::recipe::Recipe;
use farspan_pe::{AnyScheme, Card, Len, PlanError, Registry};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The scheme that a model was trained under, with what it learned in one layer in the place of what training starts from.
#[derive(Debug)]
pub(super) struct Trained {
    scheme: Arc<dyn AnyScheme>,
    layer: usize,
    /// Values by the name that they have in a checkpoint.
    values: BTreeMap<String, Vec<f64>>,
    /// Sizes of the model.
    pub(super) model: Geometry,
}

impl Trained {
    /// Layer `layer` of the model that `name` means, which is opened as by every command that runs one.
    pub(super) fn open(
        name: &str,
        layer: usize,
        registry: &Registry,
    ) -> Result<(Trained, Decoder), Failure> {
        let files = checkpoint::files::Files::open(&origin::folder(name)?)?;
        let decoder = checkpoint::of_files(&files, registry, None, &Device::cpu())?;
        Ok((Trained::of(&decoder, layer)?, decoder))
    }

    fn of(decoder: &Decoder, layer: usize) -> Result<Trained, Failure> {
        let model = decoder.architecture.geometry;
        if layer >= model.layers {
            let text = format!(
                "--layer: expected a layer below {}, found {layer}",
                model.layers
            );
            return Err(Failure::usage(text));
        }
        let values = decoder.scheme_values()?.into_iter();
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        Ok(Trained {
            scheme: Arc::clone(&decoder.scheme),
            layer,
            values: values.map(|(name, of)| (name, wide(of))).collect(),
            model,
        })
    }

    fn filled(&self, mut plan: Plan) -> Plan {
        for spec in plan.params.iter_mut().filter(|spec| spec.learned) {
            if let Some(values) = self.values.get(&scheme_name(spec, self.layer)) {
                spec.init = Init::Values(values.clone());
                spec.learned = false;
            }
        }
        plan
    }
}

impl AnyScheme for Trained {
    fn id(&self) -> &'static str {
        self.scheme.id()
    }

    fn card(&self) -> &'static Card {
        self.scheme.card()
    }

    fn settings(&self) -> Value {
        self.scheme.settings()
    }

    fn schema(&self) -> Value {
        self.scheme.schema()
    }

    fn check(&self) -> Result<(), PlanError> {
        self.scheme.check()
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        let mut plans = self.scheme.layer_plans(model, context_len)?;
        Ok(self.filled(plans.swap_remove(self.layer)))
    }

    fn layer_plans(&self, model: &Geometry, context_len: Len) -> Result<Vec<Plan>, PlanError> {
        let plan = self.plan(model, context_len)?;
        Ok(vec![plan; model.layers])
    }

    fn recipe(&self, model: &Geometry) -> Result<Recipe, PlanError> {
        self.scheme.recipe(model)
    }
}
