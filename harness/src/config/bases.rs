//! Which weights a scheme of the config reads.

use super::problem::{Problems, join};
use super::schemes::{EXTENDS, Written};
use super::suggest::hint;
use farspan_pe::{Card, Needs, Registry};
use std::collections::{HashMap, HashSet};

/// What the schemes of a config are called.
pub(super) struct Names<'a> {
    pub(super) all: HashSet<&'a str>,
    /// Names and ids of those that could be read, in the order of the file.
    pub(super) ids: Vec<(&'a str, &'a str)>,
    pub(super) id_of: HashMap<&'a str, &'a str>,
}

pub(super) fn refuse_base(scheme: &Written<'_>, problems: &mut Problems) {
    if let Some((base, at)) = &scheme.base {
        let what = format!(
            "{} is trained from scratch and takes no base without a `finetune`, found {base:?}; a number is its frequency base",
            scheme.id
        );
        problems.add(at, join(&scheme.path, "base"), what);
    }
}

/// Whether the extension names a base that it can extend.
pub(super) fn base_fits(
    scheme: &Written<'_>,
    needs: Needs,
    names: &Names<'_>,
    registry: &Registry,
    problems: &mut Problems,
) -> bool {
    let card = |id: &str| registry.get(id).map(|entry| entry.card).ok();
    let family = match needs {
        Needs::Base(family) => Some(family),
        Needs::Scratch => None,
    };
    let is_base = |card: &Card| match family {
        Some(family) => card.is_base_of(family),
        // What goes on from other weights by learning may go on from any.
        None => card.needs == Needs::Scratch,
    };
    let fits = |id: &str| card(id).is_some_and(|card| is_base(&card));
    let choice = || {
        let fitting = names.ids.iter().filter(|(_, id)| fits(id));
        let fitting: Vec<_> = fitting.map(|(name, _)| format!("{name:?}")).collect();
        if fitting.is_empty() {
            let able: Vec<&str> = registry.ids().filter(|id| fits(id)).collect();
            return format!(
                "a scheme that this config lacks: add [schemes.NAME.ID] with ID {}",
                able.join(" or ")
            );
        }
        fitting.join(" or ")
    };
    let path = join(&scheme.path, EXTENDS);
    let Some((base, at)) = &scheme.base else {
        let what = format!(
            "{} extends weights that were trained under another scheme: expected extends = {}",
            scheme.id,
            choice()
        );
        problems.add(&scheme.at, path, what);
        return false;
    };
    if !names.all.contains(base.as_str()) {
        let hint = hint(base, names.ids.iter().map(|(name, _)| *name));
        let choice = choice();
        problems.add(
            at,
            path,
            format!("no scheme is named {base:?}: expected {choice}{hint}"),
        );
        return false;
    }
    // A base that could not be read was reported already.
    let Some(id) = names.id_of.get(base.as_str()) else {
        return false;
    };
    let Some(found) = card(id) else { return false };
    let why = match found.needs {
        Needs::Base(_) => format!(
            "{base:?} ({id}) is an extension itself: expected {}",
            choice()
        ),
        Needs::Scratch if let Some(family) = family.filter(|_| !is_base(&found)) => format!(
            "{} extends the {family} family, {base:?} ({id}) is of the {} family: expected {}",
            scheme.id,
            found.family,
            choice()
        ),
        Needs::Scratch => return true,
    };
    problems.add(at, path, why);
    false
}
