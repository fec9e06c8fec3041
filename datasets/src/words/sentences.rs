//! Cutting a text into sentences.

/// Longest sentence, bytes; what is longer ends between two words.
const LONGEST: usize = 1000;
/// Words whose full stop ends no sentence.
const SHORT: [&str; 12] = [
    "mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "etc.", "e.g.", "i.e.", "cf.", "no.",
];

/// The sentences of a text, blanks and line breaks made one blank. Paragraphs end sentences.
pub fn sentences(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut sentence = String::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            end(&mut sentence, &mut found);
        }
        for word in line.split_whitespace() {
            if !sentence.is_empty() && sentence.len() + 1 + word.len() > LONGEST {
                end(&mut sentence, &mut found);
            }
            if !sentence.is_empty() {
                sentence.push(' ');
            }
            sentence.push_str(word);
            if ends_sentence(word) {
                end(&mut sentence, &mut found);
            }
        }
    }
    end(&mut sentence, &mut found);
    found
}

fn end(sentence: &mut String, found: &mut Vec<String>) {
    if !sentence.is_empty() {
        found.push(std::mem::take(sentence));
    }
}

fn ends_sentence(word: &str) -> bool {
    let quoted = ['"', '\'', ')', ']', '”', '’', '»'];
    let bare = word.trim_end_matches(quoted);
    if bare.ends_with(['!', '?']) {
        return true;
    }
    let Some(stem) = bare.strip_suffix('.') else {
        return false;
    };
    let stem = stem.trim_start_matches(['"', '\'', '(', '[', '“', '‘', '«']);
    let is_initial = stem.chars().count() == 1 && stem.chars().all(char::is_uppercase);
    !is_initial && !SHORT.contains(&format!("{stem}.").to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_readers_end_them() {
        let text = "It was late. \"Who?\" asked Mr. Fox,\nwho had J. Smith with him. See e.g. this!\n\nA heading\n\nThe end";
        let expected = [
            "It was late.",
            "\"Who?\"",
            "asked Mr. Fox, who had J. Smith with him.",
            "See e.g. this!",
            "A heading",
            "The end",
        ];
        assert_eq!(expected.as_slice(), sentences(text));
        assert!(sentences(" \n\n\t").is_empty());
        let long = "word ".repeat(1000);
        let cut = sentences(&long);
        assert!(
            cut.iter()
                .all(|s| s.len() <= LONGEST && s.ends_with("word"))
        );
        assert_eq!(
            1000,
            cut.iter().map(|s| s.split(' ').count()).sum::<usize>()
        );
        // One word that is longer than a sentence may be is kept whole.
        assert_eq!(vec!["é".repeat(5000)], sentences(&"é".repeat(5000)));
    }
}
