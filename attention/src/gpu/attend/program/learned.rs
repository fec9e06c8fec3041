//! Tables that are looked up, and small networks.

use super::{Lowering, Rule, read, set};
use crate::Result;

impl Lowering<'_> {
    /// A row of a table, by an index that runs per pair.
    pub(super) fn lookup(
        &mut self,
        (table, learned): (&str, bool),
        per_head: bool,
        index: usize,
    ) -> Result<(String, Vec<Rule>)> {
        let heads = if per_head {
            self.tables.geometry().heads
        } else {
            1
        };
        let spec = self.tables.plan().param(table);
        let len = spec.map_or(0, |spec| spec.len());
        let start = self.start(table)?;
        let rows = self.words.add(len / heads);
        let head = match per_head {
            true => format!("head * {rows} + "),
            false => String::new(),
        };
        let at = format!("{start} + {head}row(s{index}, {rows})");
        let text = read(learned, &at);
        let back = learned.then(|| Rule::Learned(format!("give({at}, D);")));
        Ok((set(&text, table), back.into_iter().collect()))
    }

    /// A network of one hidden layer: b2 + Σ w2 · max(w1 · x + b1, 0).
    pub(super) fn net(
        &mut self,
        weights: &[(String, bool)],
        input: usize,
    ) -> Result<(String, Vec<Rule>)> {
        let (first, _) = &weights[0];
        let name = first.strip_suffix(".w1").unwrap_or(first);
        let spec = self.tables.plan().param(first);
        let hidden = spec.map_or(0, |spec| spec.len());
        let mut starts = Vec::new();
        for (name, learned) in weights {
            starts.push((*learned, self.start(name)?));
        }
        // Of hidden unit `l`, a number or the variable of a loop: addresses and whether they are learned.
        let unit = |l: &str| {
            let places = [
                l.to_string(),
                l.to_string(),
                format!("head * {hidden}u + {l}"),
            ];
            let parts = starts.iter().zip(places);
            let parts =
                parts.map(|((learned, start), place)| (*learned, format!("{start} + {place}")));
            parts.collect::<Vec<_>>()
        };
        let texts = |parts: &[(bool, String)]| -> Vec<String> {
            parts
                .iter()
                .map(|(learned, at)| read(*learned, at))
                .collect()
        };
        let (learned, start) = &starts[3];
        let (b2_learned, b2) = (*learned, format!("{start} + head"));
        let each = texts(&unit("l"));
        let [w1, b1, w2] = [&each[0], &each[1], &each[2]];
        let text = format!(
            "    var $ = {}; // the network {name}
    for (var l = 0u; l < {hidden}u; l++) {{ $ += {w2} * max({w1} * s{input} + {b1}, 0.0); }}
",
            read(b2_learned, &b2)
        );
        let mut back = Vec::new();
        if !self.steps[input].back.is_empty() {
            let slope = format!(
                "
        for (var l = 0u; l < {hidden}u; l++) {{
            if ({w1} * s{input} + {b1} > 0.0) {{ d{input} += D * {w2} * {w1}; }}
        }}"
            );
            back.push(Rule::Operand(input, slope));
        }
        let mut lines = String::new();
        for l in 0..hidden {
            let parts = unit(&format!("{l}u"));
            let each = texts(&parts);
            let [w1, b1, w2] = [&each[0], &each[1], &each[2]];
            let before = format!("{w1} * s{input} + {b1}");
            let slopes = [
                format!("D * {w2} * s{input}"),
                format!("D * {w2}"),
                format!("D * ({before})"),
            ];
            let mut adds = String::new();
            for ((learned, at), slope) in parts.iter().zip(slopes) {
                if *learned {
                    adds += &format!("fixed[{}] += {slope}; ", self.slot(at));
                }
            }
            if !adds.is_empty() {
                lines += &format!("\n        if ({before} > 0.0) {{ {adds}}}");
            }
        }
        if b2_learned {
            lines += &format!("\n        fixed[{}] += D;", self.slot(&b2));
        }
        if !lines.is_empty() {
            back.push(Rule::Learned(lines));
        }
        Ok((text, back))
    }

    /// Where a parameter begins, learned or constant, as text.
    fn start(&mut self, name: &str) -> Result<String> {
        match self.tables.constants().get(name) {
            Some(values) => Ok(self.words.add(self.data.add(values))),
            None => self.learned(name),
        }
    }
}
