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

/// The one of `known` names that `name` spells in another way, or with one slip: a name that is merely near, or another
/// version, is another thing.
pub(crate) fn spelt<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LEAST: usize = 4;
    if name.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| -> String {
        let kept = text.chars().filter(|c| c.is_alphanumeric());
        kept.flat_map(char::to_lowercase).collect()
    };
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let name = plain(name);
    let near = known.into_iter().filter_map(|known| {
        let candidate = plain(known);
        let slips = strsim::damerau_levenshtein(&name, &candidate);
        let long = name.len().min(candidate.len()) >= LEAST;
        let slip = slips == 1 && long && digits(&name) == digits(&candidate);
        (slips == 0 || slip).then_some((slips, known))
    });
    near.min_by_key(|(slips, _)| *slips).map(|(_, known)| known)
}

/// `; did you mean …?` or nothing.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known)
        .map(|c| format!("; did you mean `{c}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{closest, spelt};

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

    #[test]
    fn a_name_is_another_spelling_or_another_thing() {
        let known = [
            "gemma2",
            "gemma3_text",
            "gpt_oss",
            "mixtral",
            "mpt",
            "qwen3_moe",
        ];
        for (name, meant) in [
            ("GPT-OSS", Some("gpt_oss")),
            ("Qwen3Moe", Some("qwen3_moe")),
            ("mixtal", Some("mixtral")),
            ("gemma3text", Some("gemma3_text")),
            ("gemma3", None),
            ("mamba2", None),
            ("gemma4", None),
            ("qwen3", None),
            ("opt", None),
            ("m", None),
            ("", None),
        ] {
            assert_eq!(spelt(name, known), meant, "{name}");
        }
    }
}
