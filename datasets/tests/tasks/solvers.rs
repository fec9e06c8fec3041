//! A solver for every task, which reads words as a person would.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::OnceLock;

static LISTS: OnceLock<[Vec<Vec<usize>>; 2]> = OnceLock::new();

/// The word that comes after the words fed, if it is one that is asked for.
pub(crate) fn solve(id: &str, settings: &Value, w: &[&str]) -> String {
    let n = w.len();
    let now = w[n - 1];
    let count = |key: &str| settings[key].as_u64().unwrap() as usize;
    let first = |word: &str| w.iter().position(|other| *other == word).unwrap();
    let last = |word: &str| w.iter().rposition(|other| *other == word).unwrap();
    let all = |word: &str, before: usize| -> Vec<usize> {
        (0..before).filter(|&i| w[i] == word).collect()
    };
    let name = || {
        w.iter()
            .rposition(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
            .unwrap()
    };
    let number = |word: &str| {
        word.trim_start_matches(['#', '=', 'g'])
            .parse::<usize>()
            .unwrap()
    };
    // Place of the mark before the target, and symbols of the target that were said.
    let target = |mark: &str| (first(mark), n - 1 - first(mark));
    let or_end = |symbol: Option<&&str>| symbol.map_or("<end>", |word| word).to_string();
    match id {
        "passkey" => w[first("<mark>") + n - last("<mark>")].into(),
        "needle" => w[first(w[name()]) + n - name()].into(),
        "multi-value" => w[all(w[name()], name())[n - 1 - name()] + 1].into(),
        "multi-query" | "mqar" => w[first(now) + 1].into(),
        "variable-tracking" => {
            let bound = w[..first("<ask>")]
                .windows(3)
                .find(|s| s[0] == "<set>" && s[2] == now);
            bound.unwrap()[1].into()
        }
        "common-words" => {
            let (end, said) = target("<ask>");
            let mut common: Vec<&str> = Vec::new();
            for word in &w[1..end] {
                if all(word, end).len() == count("often") && !common.contains(word) {
                    common.push(word);
                }
            }
            common[said].into()
        }
        "frequent-words" => {
            let (end, said) = target("<ask>");
            let mut counts: HashMap<&str, usize> = HashMap::new();
            for word in w[1..end].iter().filter(|word| **word != "<dot>") {
                *counts.entry(word).or_default() += 1;
            }
            let mut counts: Vec<(usize, &str)> = counts.into_iter().map(|(w, n)| (n, w)).collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            assert!(
                counts
                    .get(said + 1)
                    .is_none_or(|next| next.0 < counts[said].0),
                "a tie: {counts:?}"
            );
            counts[said].1.into()
        }
        "key-value" => {
            let (key, unit) = (
                count("key_symbols"),
                count("key_symbols") + count("value_symbols"),
            );
            let pair = |i: usize| &w[1 + i * unit..];
            let asked = (n - 1) / unit;
            let found = (0..asked)
                .find(|&i| pair(i)[..key] == pair(asked)[..key])
                .unwrap();
            pair(found)[(n - 1) % unit].into()
        }
        "rewritten-keys" => w[all(now, first("<ask>")).last().unwrap() + 1].into(),
        "kth-occurrence" => w[all(now, first("<ask>"))[number(w[n - 2]) - 1] + 1].into(),
        "n-back" => {
            let back = number(w[first("<ask>") + 1]);
            w[all(now, first("<ask>")).iter().rev().nth(back - 1).unwrap() + 1].into()
        }
        "random-access" => match settings["from"].as_str().unwrap() {
            "front" => w[number(now)].into(),
            _ => w[n - 2 - number(now)].into(),
        },
        "flip-flop" => w[last("<w>") + 1].into(),
        "counting" => {
            let mut value = 0;
            for pair in w[..n - 2].windows(2).filter(|pair| pair[1] == now) {
                value = if pair[0] == "<set>" { 0 } else { value + 1 };
            }
            value.to_string()
        }
        "word-problem" => {
            let group = settings["group"].as_str().unwrap();
            let elements = w[1..].iter().map(|word| number(word));
            let product = match group {
                "z60" => elements.sum::<usize>() % 60,
                _ => {
                    let list = &LISTS.get_or_init(|| [permutations(false), permutations(true)])
                        [usize::from(group == "a5")];
                    let together = elements.fold(list[0].clone(), |product, next| {
                        list[next].iter().map(|&x| product[x]).collect()
                    });
                    list.iter().position(|other| *other == together).unwrap()
                }
            };
            format!("g{product}")
        }
        "alternating-blocks" => {
            let blocks = 1 + w[1..].windows(2).filter(|pair| pair[0] != pair[1]).count();
            usize::from(blocks == count("blocks")).to_string()
        }
        "selective-copy" => {
            let (end, said) = target("<copy>");
            w[1..end]
                .iter()
                .filter(|word| **word != "<blank>")
                .nth(said)
                .unwrap()
                .to_string()
        }
        "copy" | "reverse" | "sort" => {
            let (end, said) = target("<to>");
            let mut source = w[1..end].to_vec();
            match id {
                "reverse" => source.reverse(),
                "sort" => source.sort_by_key(|word| (word.len(), *word)),
                _ => {}
            }
            or_end(source.get(said))
        }
        "copy-twice" => {
            let (end, said) = target("<to>");
            match said {
                _ if said < end - 1 => w[1 + said].into(),
                _ if said == end - 1 => "<to>".into(),
                _ => or_end(w[1..end].get(said - end)),
            }
        }
        "odds-first" => {
            let (end, said) = target("<to>");
            let odd = (end - 1).div_ceil(2);
            w[if said < odd {
                1 + 2 * said
            } else {
                2 + 2 * (said - odd)
            }]
            .into()
        }
        "missing-duplicate" => {
            let (end, hole) = (first("<to>"), first("<hole>"));
            let half = (end - 1) / 2;
            w[if hole > half {
                hole - half
            } else {
                hole + half
            }]
            .into()
        }
        "summation" => {
            let sum: usize = w[1..n - 1].iter().map(|word| number(word)).sum();
            format!("={}", sum % count("modulus"))
        }
        "parity" => format!(
            "odd{}",
            w[1..n - 1].iter().map(|word| number(word)).sum::<usize>() % 2
        ),
        "addition" => {
            let (end, said) = target("<to>");
            let (base, plus) = (count("base"), first("<+>"));
            let reverse = settings["reverse"].as_bool().unwrap();
            let column = |digits: &[&str], i: usize| {
                let place = if reverse {
                    Some(i)
                } else {
                    digits.len().checked_sub(i + 1)
                };
                place
                    .and_then(|place| digits.get(place))
                    .map_or(0, |digit| number(digit))
            };
            let (a, b) = (&w[1..plus], &w[plus + 1..end]);
            let mut digits = Vec::new();
            let mut carry = 0;
            for i in 0..a.len().max(b.len()) {
                let sum = column(a, i) + column(b, i) + carry;
                digits.push((sum % base).to_string());
                carry = sum / base;
            }
            let padded = settings["padded"] == true;
            if carry > 0 || padded {
                digits.push(carry.to_string());
            }
            if !reverse {
                digits.reverse();
            }
            digits.get(said).cloned().unwrap_or("<end>".into())
        }
        // Not to be known, but to be guessed as well as anything can.
        "correlated" => n
            .checked_sub(count("range"))
            .map_or("a", |from| w[from])
            .into(),
        _ => panic!("{id} has no solver: write one that knows only the words"),
    }
}

/// Permutations of 0 to 4 in the order of a dictionary; even ones only, or all.
fn permutations(even: bool) -> Vec<Vec<usize>> {
    let mut list = vec![Vec::new()];
    for _ in 0..5 {
        let longer = |start: &Vec<usize>| -> Vec<Vec<usize>> {
            let left = (0..5).filter(|x| !start.contains(x));
            left.map(|x| [&start[..], &[x]].concat()).collect()
        };
        list = list.iter().flat_map(longer).collect();
    }
    // Even, if five less the number of cycles is.
    let cycles = |images: &Vec<usize>| {
        let mut seen = [false; 5];
        let mut cycles = 0;
        for start in 0..5 {
            let mut at = start;
            cycles += usize::from(!seen[start]);
            while !seen[at] {
                seen[at] = true;
                at = images[at];
            }
        }
        cycles
    };
    list.retain(|images| !even || cycles(images) % 2 == 1);
    list
}
