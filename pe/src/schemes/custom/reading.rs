//! How what a config says is read: expressions with the parameters they use, and numbers that must be finite.

use crate::error::{PlanError, check};
use farspan_attention::expr::Expr;
use std::collections::BTreeMap;

/// How an expression reads a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    PerHead,
    Table,
    TablePerHead,
}

pub(super) fn kinds(expr: &Expr, into: &mut BTreeMap<String, Kind>) {
    let (name, kind) = match expr {
        Expr::Param(name) => (Some(name), Kind::PerHead),
        Expr::Lookup {
            table,
            per_head: true,
            ..
        } => (Some(table), Kind::TablePerHead),
        Expr::Lookup {
            table,
            per_head: false,
            ..
        } => (Some(table), Kind::Table),
        _ => (None, Kind::Table),
    };
    // Two uses that do not agree are refused when the plan is checked.
    name.into_iter().for_each(|name| {
        into.entry(name.to_string()).or_insert(kind);
    });
    expr.children()
        .into_iter()
        .for_each(|child| kinds(child, into));
}

pub(super) fn parsed(key: &str, text: &str) -> Result<Expr, PlanError> {
    let expr: Expr = match text.parse() {
        Ok(expr) => expr,
        Err(error) => return Err(refused(key, text, format!("an {error}"))),
    };
    let beyond =
        expr.any(&|part| matches!(part, Expr::Token(..) | Expr::Net { .. } | Expr::Raw(1..)));
    if beyond {
        let rule = "without token vectors, networks and `raw1`, which need a scheme in Rust";
        return Err(refused(key, text, rule.into()));
    }
    Ok(expr)
}

fn refused(key: &str, text: &str, rule: String) -> PlanError {
    PlanError::Setting {
        key: key.into(),
        value: format!("{text:?}"),
        rule,
        hint: String::new(),
    }
}

pub(super) fn finite(key: &str, values: &[f64]) -> Result<(), PlanError> {
    let wrong = values.iter().position(|x| !x.is_finite());
    wrong.map_or(Ok(()), |i| {
        check(&format!("{key}[{i}]"), values[i], "finite", false)
    })
}
