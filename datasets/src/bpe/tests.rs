use super::*;

/// Merges after the 256 bytes, as text.
fn learned(texts: &[&str], new: usize) -> Vec<String> {
    let json: Value = serde_json::from_str(&train(texts, 256 + new).unwrap()).unwrap();
    let merges = json["model"]["merges"].as_array().unwrap();
    merges
        .iter()
        .map(|m| format!("{}+{}", m[0].as_str().unwrap(), m[1].as_str().unwrap()))
        .collect()
}

/// The first merges of the example in section 3.2 of the paper, without its end-of-word sign: counted by hand.
#[test]
fn merges_follow_the_paper() {
    let text = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)]
        .map(|(word, n)| format!("{word}\n").repeat(n))
        .concat();
    // es 9, est 9, lo 7, low 7; then ne, ew, west at 6 each: the pair of the lowest ids is e+w.
    assert_eq!(["e+s", "es+t", "l+o", "lo+w"], learned(&[&text], 4)[..]);
    assert_eq!("e+w", learned(&[&text], 5)[4]);
}

#[test]
fn rare_pairs_are_not_merged() {
    assert_eq!(Vec::<String>::new(), learned(&["abcdefg"], 50));
    assert_eq!(["a+b"], learned(&["ab\n", "ab\n"], 50)[..]);
}

/// Against the plainest form of the algorithm: count all pairs anew before each merge.
#[test]
fn merges_equal_those_of_a_full_recount() {
    let text = include_str!("../bpe.rs");
    let splitter = ByteLevel::new(false, true, true);
    let mut words: Vec<(Vec<String>, i64)> = count_words(&splitter, text)
        .unwrap()
        .into_iter()
        .map(|(word, n)| (word.chars().map(String::from).collect(), n))
        .collect();
    let mut alphabet: Vec<String> = ByteLevel::alphabet().iter().map(char::to_string).collect();
    alphabet.sort_unstable();
    let mut expected: Vec<String> = Vec::new();
    while alphabet.len() < 256 + 150 {
        let mut counts: HashMap<(&str, &str), i64> = HashMap::new();
        for (word, n) in &words {
            for pair in word.windows(2) {
                *counts.entry((&pair[0], &pair[1])).or_default() += n;
            }
        }
        let id = |token: &str| alphabet.iter().position(|t| t == token).unwrap();
        let ((a, b), _) = counts
            .into_iter()
            .max_by_key(|((a, b), n)| (*n, Reverse((id(a), id(b)))))
            .unwrap();
        let (a, b) = (a.to_string(), b.to_string());
        let joined = format!("{a}{b}");
        for (word, _) in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if word[at] == a && word[at + 1] == b {
                    word[at] = joined.clone();
                    word.remove(at + 1);
                }
                at += 1;
            }
        }
        if !alphabet.contains(&joined) {
            alphabet.push(joined);
        }
        let rule = format!("{a}+{b}");
        if !expected.contains(&rule) {
            expected.push(rule);
        }
    }
    assert_eq!(expected, learned(&[text], 150));
}
