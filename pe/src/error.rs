//! What can be wrong with a scheme's settings, or with asking it for a plan.

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No scheme has this id.
    #[error("no scheme is called {:?}{hint}{}`farspan list schemes` shows all {known}", short(.asked), then(.hint))]
    UnknownScheme {
        /// The id asked for.
        asked: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
        /// How many there are.
        known: usize,
    },
    /// Two schemes of a registry have this id.
    #[error("two schemes are called {id:?}: give one of them another ID")]
    Twice {
        /// The id.
        id: &'static str,
    },
    /// A setting that the scheme does not have.
    #[error("{scheme} has no setting `{}`{hint}{}settings: {known}", short(.key), then(.hint))]
    UnknownSetting {
        /// Id of the scheme.
        scheme: &'static str,
        /// The key.
        key: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
        /// All settings of the scheme.
        known: String,
    },
    /// A setting out of its bounds, of the wrong type, or at odds with another one.
    #[error("setting `{}` = {}: must be {rule}{hint}", short(.key), short(.value))]
    Setting {
        /// Key path within the scheme's settings.
        key: String,
        /// The value found, as JSON writes it.
        value: String,
        /// What would do.
        rule: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
    /// A size of the model that the scheme cannot work with.
    #[error("{what} = {value}: must be {rule}")]
    Model {
        /// Which size.
        what: &'static str,
        /// The value found.
        value: String,
        /// What would do.
        rule: String,
    },
    /// A length that the scheme cannot serve.
    #[error("length {asked} cannot be served, the limit is {limit}: {why}")]
    NotServed {
        /// The length, in tokens.
        asked: usize,
        /// The longest length that can be served.
        limit: usize,
        /// What sets the limit, and which setting moves it.
        why: String,
    },
    /// The plan contradicts itself or the model.
    #[error(transparent)]
    Plan(#[from] farspan_attention::Error),
}

/// The first 200 characters: a message need not repeat a whole file.
fn short(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text.into(),
    }
}

/// Fails unless `holds`: setting `key` has `value`, and `rule` says what it must be (`"at least 1"`).
pub fn check(
    key: &str,
    value: impl std::fmt::Display,
    rule: &str,
    holds: bool,
) -> Result<(), PlanError> {
    if holds {
        return Ok(());
    }
    Err(PlanError::Setting {
        key: key.into(),
        value: value.to_string(),
        rule: rule.into(),
        hint: String::new(),
    })
}

/// Fails unless `holds`: the model's `what` has `value`, and `rule` says what it must be.
pub fn check_model(
    what: &'static str,
    value: impl std::fmt::Display,
    rule: &str,
    holds: bool,
) -> Result<(), PlanError> {
    if holds {
        return Ok(());
    }
    Err(PlanError::Model {
        what,
        value: value.to_string(),
        rule: rule.into(),
    })
}

/// What stands between a hint and what follows.
fn then(hint: &str) -> &'static str {
    if hint.ends_with('?') { " " } else { "; " }
}

/// `; did you mean …?` if one of `known` is close to `asked`.
pub(crate) fn hint<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // No name is as long, and comparing takes the product of the lengths.
    if asked.len() > 100 {
        return String::new();
    }
    let near = |name: &&str| strsim::damerau_levenshtein(asked, name);
    let allowed = 1 + asked.chars().count() / 4;
    let best = known.into_iter().min_by_key(near).filter(|name| {
        near(name) <= allowed || (asked.len() > 2 && name.starts_with(asked)) || loose(asked, name)
    });
    best.map_or(String::new(), |name| format!("; did you mean {name:?}?"))
}

/// Equal but for case and separators.
fn loose(a: &str, b: &str) -> bool {
    let bare = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn hints_are_near_or_absent() {
        let ids = ["rope", "yarn", "dynamic-ntk", "alibi"];
        assert_eq!(hint("yran", ids), "; did you mean \"yarn\"?");
        assert_eq!(hint("Dynamic_NTK", ids), "; did you mean \"dynamic-ntk\"?");
        assert_eq!(hint("dynamic", ids), "; did you mean \"dynamic-ntk\"?");
        assert_eq!(hint("transformer-xl", ids), "");
    }
}
