//! "Did you mean": the known word closest to a mistyped one.

/// Bytes of a word beyond which it is no slip of a word that anybody knows.
const LONGEST: usize = 200;

/// The closest of `known`, if it is close enough to be meant.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let near = known.into_iter().map(|candidate| {
        let candidate_plain = plain(candidate);
        let distance = strsim::damerau_levenshtein(&word, &candidate_plain);
        let prefix = word.len() >= 3 && candidate_plain.starts_with(&word);
        // One slip per three letters; a word cut short counts as one slip.
        let slips = if prefix { distance.min(1) } else { distance };
        (slips, candidate)
    });
    let longest_slip = (word.chars().count() / 3).max(1);
    near.filter(|(slips, _)| *slips <= longest_slip)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, c)| c)
}

/// `; did you mean …?` or nothing.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known)
        .map(|c| format!("; did you mean `{c}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn close_words_are_found_and_far_ones_are_not() {
        let known = ["steps", "length", "validate_every", "lr"];
        assert_eq!(closest("stesp", known), Some("steps"));
        assert_eq!(closest("validate-every", known), Some("validate_every"));
        assert_eq!(closest("valid", known), Some("validate_every"));
        assert_eq!(closest("Length", known), Some("length"));
        assert_eq!(closest("lt", known), Some("lr"));
        assert_eq!(closest("dropout", known), None);
        assert_eq!(closest("x", []), None);
    }
}
