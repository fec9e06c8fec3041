//! Checks that a plan is whole and fits a model, so that nothing fails later in the middle of a run.

mod checks;
mod rotations;
mod sizes;

use super::{Embed, Geometry, Init, ParamSpec, Plan};
use crate::expr::{Expr, is_name};
use crate::hook::Stage;
use crate::{Error, Result};
use checks::{check_finite, forbid};
use rotations::check_turn;
use sizes::check_sizes;

const NAME_RULE: &str =
    "a name has at most 64 letters, digits, `_` and `.`, and starts with no digit";

impl Plan {
    /// Whether the layer's own input must be given to attention.
    pub fn reads_input(&self) -> bool {
        !self.tokens.is_empty() || self.hooks.iter().any(|hook| hook.reads_input())
    }

    /// Whether attention must be given what the feed-forward part of the layer before added.
    pub fn reads_feed_forward(&self) -> bool {
        self.hooks.iter().any(|hook| hook.reads_feed_forward())
    }

    /// Whether the plan is whole and fits `geometry`. Implementations may rely on everything checked here.
    pub fn validate(&self, geometry: &Geometry) -> Result<()> {
        check_geometry(geometry)?;
        // Before anything walks through them.
        check_sizes(self)?;
        for (i, spec) in self.params.iter().enumerate() {
            check_param(spec)?;
            if self.params[..i].iter().any(|other| other.name == spec.name) {
                return Err(Error::plan(format!("params.{}", spec.name), "named twice"));
            }
        }
        for (p, turn) in self.rotations.iter().enumerate() {
            check_turn(turn, geometry, &format!("rotations[{p}]"))?;
        }
        check_finite("softmax_scale", &[self.softmax_scale])?;
        if let Some(scale) = &self.query_scale {
            let place = "query_scale";
            forbid(scale, place, "raw scores, k and token vectors", &|part| {
                matches!(part, Expr::Raw(_) | Expr::Key | Expr::Token(..))
            })?;
            self.check_names(scale, place, geometry)?;
        }
        self.check_score(geometry)?;
        self.check_tokens(geometry)?;
        self.check_hooks()?;
        self.check_embed(geometry)?;
        self.check_all_used()
    }

    /// Number of raw scores that the score may name.
    pub fn raw_scores(&self) -> usize {
        self.rotations.len().max(1)
    }

    fn check_score(&self, geometry: &Geometry) -> Result<()> {
        let (asked, given) = (self.score.raw_count(), self.raw_scores());
        if asked > given {
            let why = format!(
                "names raw score {} in `{}`, but {given} given by rotations",
                asked - 1,
                self.score
            );
            return Err(Error::plan("score", why));
        }
        for (name, _) in self.score.token_names() {
            if !self.tokens.iter().any(|token| token.name == *name) {
                let known: Vec<_> = self
                    .tokens
                    .iter()
                    .map(|token| token.name.as_str())
                    .collect();
                let known = known.join(", ");
                let why =
                    format!("uses {name:?}, which is no token vector; token vectors: [{known}]");
                return Err(Error::plan("score", why));
            }
        }
        self.check_names(&self.score, "score", geometry)
    }

    fn check_tokens(&self, geometry: &Geometry) -> Result<()> {
        let (heads, width) = (geometry.heads, geometry.width);
        let read = self.score.token_names();
        for (t, token) in self.tokens.iter().enumerate() {
            let place = format!("tokens.{}", token.name);
            if !is_name(&token.name) {
                return Err(Error::plan(place, NAME_RULE));
            }
            if self.tokens[..t]
                .iter()
                .any(|other| other.name == token.name)
            {
                return Err(Error::plan(place, "named twice"));
            }
            if !read.iter().any(|(name, _)| **name == token.name) {
                return Err(Error::plan(place, "nothing reads it"));
            }
            let expected = format!("[{heads}, {width}]");
            self.check_shape(&place, &token.weight, &expected, &|s| s == [heads, width])?;
            forbid(
                &token.value,
                &place,
                "k, token vectors and raw scores but the first",
                &|part| matches!(part, Expr::Key | Expr::Token(..) | Expr::Raw(1..)),
            )?;
            self.check_names(&token.value, &place, geometry)?;
        }
        Ok(())
    }

    fn check_hooks(&self) -> Result<()> {
        let own = self
            .hooks
            .iter()
            .filter(|hook| hook.stage() != Stage::Inputs);
        if own.clone().any(|hook| hook.stage() == Stage::Attention) && own.count() > 1 {
            let why = "a hook of the stage `attention` leaves no scores to other hooks";
            return Err(Error::plan("hooks", why));
        }
        for hook in &self.hooks {
            let unknown = hook
                .params()
                .into_iter()
                .find(|name| self.param(name).is_none());
            if let Some(name) = unknown {
                let why = format!("{} reads {name:?}, which is no parameter", hook.describe());
                return Err(Error::plan("hooks", why));
            }
        }
        Ok(())
    }

    /// Every parameter that `expr` names exists in the right shape.
    fn check_names(&self, expr: &Expr, place: &str, geometry: &Geometry) -> Result<()> {
        let heads = geometry.heads;
        match expr {
            Expr::Param(name) => {
                self.check_shape(place, name, &format!("[{heads}]"), &|s| s == [heads])?
            }
            Expr::Lookup {
                table,
                per_head: true,
                ..
            } => {
                let expected = format!("[{heads}, rows]");
                self.check_shape(place, table, &expected, &|s| s.len() == 2 && s[0] == heads)?;
            }
            Expr::Lookup {
                table,
                per_head: false,
                ..
            } => {
                self.check_shape(place, table, "[rows]", &|s| s.len() == 1)?;
            }
            Expr::Net { name, .. } => {
                let w1 = format!("{name}.w1");
                self.check_shape(place, &w1, "[hidden]", &|s| s.len() == 1)?;
                let hidden = self.param(&w1).map_or(0, ParamSpec::len);
                let b1 = format!("{name}.b1");
                self.check_shape(place, &b1, &format!("[{hidden}]"), &|s| s == [hidden])?;
                let w2 = format!("[{heads}, {hidden}]");
                self.check_shape(place, &format!("{name}.w2"), &w2, &|s| s == [heads, hidden])?;
                let b2 = format!("[{heads}]");
                self.check_shape(place, &format!("{name}.b2"), &b2, &|s| s == [heads])?;
            }
            _ => {}
        }
        expr.children()
            .iter()
            .try_for_each(|child| self.check_names(child, place, geometry))
    }

    fn check_shape(
        &self,
        place: &str,
        name: &str,
        expected: &str,
        fits: &dyn Fn(&[usize]) -> bool,
    ) -> Result<()> {
        match self.param(name) {
            Some(spec) if fits(&spec.shape) => Ok(()),
            Some(spec) => {
                let why = format!(
                    "uses {name:?} as of shape {expected}, but its shape is {:?}",
                    spec.shape
                );
                Err(Error::plan(place, why))
            }
            None => {
                let known: Vec<_> = self.params.iter().map(|spec| spec.name.as_str()).collect();
                let why = format!(
                    "uses {name:?}, which is no parameter; parameters: [{}]",
                    known.join(", ")
                );
                Err(Error::plan(place, why))
            }
        }
    }

    /// The parameter of this name.
    pub fn param(&self, name: &str) -> Option<&ParamSpec> {
        self.params.iter().find(|spec| spec.name == name)
    }

    fn check_embed(&self, geometry: &Geometry) -> Result<()> {
        let width = geometry.width;
        if self.infused && self.embed == Embed::Nothing {
            return Err(Error::plan("infused", "true, but `embed` is nothing"));
        }
        match &self.embed {
            Embed::Nothing => Ok(()),
            Embed::Sinusoid {
                inv_freq, scale, ..
            } => {
                check_finite("embed.inv_freq", inv_freq)?;
                check_finite("embed.scale", &[*scale])?;
                if 2 * inv_freq.len() == width {
                    return Ok(());
                }
                let why = format!(
                    "{} frequencies make {} channels, width is {width}",
                    inv_freq.len(),
                    2 * inv_freq.len()
                );
                Err(Error::plan("embed.inv_freq", why))
            }
            Embed::Table {
                table,
                rows,
                resize,
            } => {
                let expected = format!("[{rows}, {width}]");
                self.check_shape("embed.table", table, &expected, &|s| s == [*rows, width])?;
                if *rows == 0 || resize.is_some_and(|to| to.rows == 0) {
                    return Err(Error::plan(
                        "embed.rows",
                        "expected at least 1 row, found 0",
                    ));
                }
                Ok(())
            }
        }
    }

    /// A learned parameter that nothing reads would stay at its initial value without a word.
    fn check_all_used(&self) -> Result<()> {
        let mut used = self.score.param_names();
        if let Some(scale) = &self.query_scale {
            used.extend(scale.param_names());
        }
        if let Embed::Table { table, .. } = &self.embed {
            used.push(table.clone());
        }
        for token in &self.tokens {
            used.push(token.weight.clone());
            used.extend(token.value.param_names());
        }
        used.extend(self.hooks.iter().flat_map(|hook| hook.params()));
        match self
            .params
            .iter()
            .find(|spec| spec.learned && !used.contains(&spec.name))
        {
            Some(spec) => Err(Error::plan(
                format!("params.{}", spec.name),
                "learned, but nothing reads it",
            )),
            None => Ok(()),
        }
    }
}

fn check_geometry(geometry: &Geometry) -> Result<()> {
    let Geometry {
        heads,
        kv_heads,
        head_dim,
        ..
    } = *geometry;
    if heads == 0 || kv_heads == 0 || head_dim == 0 {
        let why = format!(
            "expected at least 1 each, found heads {heads}, kv_heads {kv_heads}, head_dim {head_dim}"
        );
        return Err(Error::plan("geometry", why));
    }
    if !heads.is_multiple_of(kv_heads) {
        return Err(Error::plan(
            "geometry",
            format!("{kv_heads} kv_heads do not divide {heads} heads"),
        ));
    }
    Ok(())
}

fn check_param(spec: &ParamSpec) -> Result<()> {
    let place = format!("params.{}", spec.name);
    if !is_name(&spec.name) {
        return Err(Error::plan(place, NAME_RULE));
    }
    if spec.is_empty() {
        return Err(Error::plan(
            place,
            format!("shape {:?} has no elements", spec.shape),
        ));
    }
    match &spec.init {
        Init::Constant(x) => check_finite(&place, &[*x])?,
        Init::Values(values) if values.len() != spec.len() => {
            let why = format!(
                "shape {:?} wants {} values, found {}",
                spec.shape,
                spec.len(),
                values.len()
            );
            return Err(Error::plan(place, why));
        }
        Init::Values(values) => check_finite(&place, values)?,
        Init::Uniform(low, high) => {
            check_finite(&place, &[*low, *high])?;
            check_order(&place, *low, *high)?;
        }
        Init::Normal(mean, std) => {
            check_finite(&place, &[*mean, *std])?;
            check_order(&place, 0.0, *std)?;
        }
    }
    match spec.clamp {
        // A side without a limit is ±∞.
        Some((low, high)) if low.is_nan() || high.is_nan() => {
            Err(Error::plan(place, "clamp with a NaN"))
        }
        Some((low, high)) => check_order(&place, low, high),
        None => Ok(()),
    }
}

fn check_order(place: &str, low: f64, high: f64) -> Result<()> {
    if low <= high {
        return Ok(());
    }
    Err(Error::plan(place, format!("expected {low} <= {high}")))
}

#[cfg(test)]
mod tests;
