//! A plan as readable text, and its hash.

use super::{
    Cache, Embed, Init, Mix, Pairing, ParamSpec, Plan, PositionIds, Positions, Rotation,
    SinusoidLayout, TokenVector, Waves,
};
use std::fmt::{self, Write};

impl fmt::Display for Plan {
    /// Several lines, one per part; for people. [`Plan::hash`] is for machines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.position_ids {
            PositionIds::Index => {}
            PositionIds::Segments { separators, places } => writeln!(
                f,
                "place          segments closed by {separators:?}, {places} places in each"
            )?,
            PositionIds::Given { ids, scores } => {
                let who = if *scores { "everywhere" } else { "embedding" };
                writeln!(f, "place          ids {ids:?} of the task, {who}")?;
            }
        }
        match &self.embed {
            Embed::Nothing => {}
            Embed::Sinusoid {
                layout,
                inv_freq,
                scale,
            } => {
                let layout = layout_name(*layout);
                writeln!(
                    f,
                    "embed          sinusoid, {layout}, {}, times {scale}",
                    range(inv_freq, "frequencies")
                )?;
            }
            Embed::Table {
                table,
                rows,
                resize: None,
            } => {
                writeln!(f, "embed          table {table} of {rows} rows")?;
            }
            Embed::Table {
                table,
                rows,
                resize: Some(to),
            } => {
                let how = if to.align_corners {
                    "corners aligned"
                } else {
                    "half-pixel centres"
                };
                writeln!(
                    f,
                    "embed          table {table} of {rows} rows, resized to {} ({how})",
                    to.rows
                )?;
            }
        }
        if self.infused {
            writeln!(f, "infused        into the queries and keys of every layer")?;
        }
        for (p, turn) in self.rotations.iter().enumerate() {
            let pairing = pairing_name(turn.pairing);
            writeln!(
                f,
                "turn {p}         {pairing}, {}",
                range(&turn.query.inv_freq, "frequencies")
            )?;
            write_side(f, "query", &turn.query)?;
            if turn.key.inv_freq != turn.query.inv_freq {
                writeln!(
                    f,
                    "  key          {}",
                    range(&turn.key.inv_freq, "frequencies of its own")
                )?;
            }
            write_side(f, "key", &turn.key)?;
        }
        if self.softmax_scale != 1.0 {
            writeln!(f, "softmax scale  {}", self.softmax_scale)?;
        }
        if let Some(scale) = &self.query_scale {
            writeln!(f, "query scale    {scale}")?;
        }
        writeln!(f, "score          {}", self.score)?;
        for token in &self.tokens {
            let sum = if token.cumulative {
                "running sum of "
            } else {
                ""
            };
            let (name, weight, value) = (&token.name, &token.weight, &token.value);
            writeln!(
                f,
                "token vector   {name} = {sum}{value}, raw = {weight}[h] · input"
            )?;
        }
        for hook in &self.hooks {
            writeln!(f, "hook           {}: {}", hook.stage(), hook.describe())?;
        }
        for spec in &self.params {
            writeln!(f, "parameter      {spec}")?;
        }
        write!(f, "cache          {}", cache_name(self.cache))
    }
}

impl fmt::Display for ParamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.learned { "learned" } else { "constant" };
        let sharing = if self.per_layer {
            "per layer"
        } else {
            "shared by layers"
        };
        write!(f, "{} {:?}, {kind}, {sharing}, ", self.name, self.shape)?;
        match &self.init {
            Init::Constant(x) => write!(f, "starts at {x}")?,
            Init::Values(values) => f.write_str(&range(values, "values"))?,
            Init::Uniform(low, high) => write!(f, "drawn from [{low}, {high})")?,
            Init::Normal(mean, std) => write!(f, "drawn from N({mean}, {std}²)")?,
        }
        match self.clamp {
            Some((low, high)) => write!(f, ", kept in [{low}, {high}]"),
            None => Ok(()),
        }
    }
}

fn write_side(f: &mut fmt::Formatter<'_>, side: &str, rotation: &Rotation) -> fmt::Result {
    write!(f, "  {side:<12} at ")?;
    match &rotation.position {
        Positions::All(position) => write!(f, "{position}")?,
        Positions::PerHead(positions) => write!(f, "{} positions, one per head", positions.len())?,
        Positions::PerPair(positions) => write!(f, "{} positions, one per pair", positions.len())?,
    }
    match rotation.amplitude {
        1.0 => {}
        amplitude => write!(f, ", amplitude {amplitude}")?,
    }
    match &rotation.waves {
        Waves::Plain => writeln!(f),
        Waves::Growing { rates, origin } => {
            let rates = range(rates, "rates");
            writeln!(f, ", times exp(rate · (index - {origin})), {rates}")
        }
        Waves::Mixed(mix) => {
            let Mix {
                heads,
                mixed,
                pairs,
                rest: (cos, sin),
                ..
            } = mix;
            write!(
                f,
                ", {mixed} of {pairs} pairs mixed by weights of {heads} heads"
            )?;
            writeln!(f, ", the others {cos} and {sin}")
        }
    }
}

/// `32 frequencies 1 … 0.0001`
fn range(values: &[f64], what: &str) -> String {
    match values {
        [] => format!("0 {what}"),
        [one] => format!("1 {what}: {one}"),
        [first, .., last] => format!("{} {what}: {first} … {last}", values.len()),
    }
}

fn layout_name(layout: SinusoidLayout) -> &'static str {
    match layout {
        SinusoidLayout::Interleaved => "interleaved",
        SinusoidLayout::Halves => "halves",
    }
}

fn pairing_name(pairing: Pairing) -> &'static str {
    match pairing {
        Pairing::HalfSplit => "half-split",
        Pairing::Interleaved => "interleaved",
    }
}

fn cache_name(cache: Cache) -> &'static str {
    match cache {
        Cache::Rotated => "rotated keys stay valid",
        Cache::Unrotated => "only unrotated keys stay valid",
    }
}

impl Plan {
    /// blake3 of a canonical text that holds every field with the exact bits of every number, in hexadecimal.
    pub fn hash(&self) -> String {
        let mut text = String::from("farspan plan 1\n");
        // Writing to a String cannot fail.
        let _ = self.write_canonical(&mut text);
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    fn write_canonical(&self, out: &mut String) -> fmt::Result {
        match &self.position_ids {
            PositionIds::Index => {}
            PositionIds::Segments { separators, places } => {
                writeln!(out, "place segments {separators:?} {places}")?;
            }
            PositionIds::Given { ids, scores } => writeln!(out, "place given {ids:?} {scores}")?,
        }
        match &self.embed {
            Embed::Nothing => writeln!(out, "embed nothing")?,
            Embed::Sinusoid {
                layout,
                inv_freq,
                scale,
            } => {
                writeln!(
                    out,
                    "embed sinusoid {} {}",
                    layout_name(*layout),
                    bits(&[*scale])
                )?;
                writeln!(out, "{}", bits(inv_freq))?;
            }
            Embed::Table {
                table,
                rows,
                resize,
            } => {
                let resize = resize.map(|to| (to.rows, to.align_corners));
                writeln!(out, "embed table {table} {rows} {resize:?}")?;
            }
        }
        if self.infused {
            writeln!(out, "infused")?;
        }
        for turn in &self.rotations {
            writeln!(out, "turn {}", pairing_name(turn.pairing))?;
            for side in [&turn.query, &turn.key] {
                let (kind, positions) = match &side.position {
                    Positions::All(position) => ("all", std::slice::from_ref(position)),
                    Positions::PerHead(positions) => ("head", positions.as_slice()),
                    Positions::PerPair(positions) => ("pair", positions.as_slice()),
                };
                writeln!(
                    out,
                    "side {kind} {} {}",
                    bits(&[side.amplitude]),
                    bits(&side.inv_freq)
                )?;
                for position in positions {
                    writeln!(out, "at {position}")?;
                }
                match &side.waves {
                    Waves::Plain => {}
                    Waves::Growing { rates, origin } => {
                        writeln!(out, "growing {} {}", bits(rates), bits(&[*origin]))?;
                    }
                    Waves::Mixed(mix) => {
                        let Mix {
                            heads,
                            mixed,
                            pairs,
                            rest,
                            ..
                        } = mix;
                        writeln!(
                            out,
                            "mixed {heads} {mixed} {pairs} {}",
                            bits(&[rest.0, rest.1])
                        )?;
                        writeln!(out, "weights {} {}", bits(&mix.cos), bits(&mix.sin))?;
                    }
                }
            }
        }
        writeln!(out, "softmax {}", bits(&[self.softmax_scale]))?;
        // Expressions print their numbers so that they read back to the same bits.
        match &self.query_scale {
            Some(scale) => writeln!(out, "query {scale}")?,
            None => writeln!(out, "query none")?,
        }
        writeln!(out, "score {}", self.score)?;
        for token in &self.tokens {
            let TokenVector {
                name,
                weight,
                value,
                cumulative,
            } = token;
            writeln!(out, "token {name} {weight} {cumulative} {value}")?;
        }
        for hook in &self.hooks {
            writeln!(out, "hook {} {}", hook.stage(), hook.describe())?;
        }
        for spec in &self.params {
            let (kind, numbers) = match &spec.init {
                Init::Constant(x) => ("constant", vec![*x]),
                Init::Values(values) => ("values", values.clone()),
                Init::Uniform(low, high) => ("uniform", vec![*low, *high]),
                Init::Normal(mean, std) => ("normal", vec![*mean, *std]),
            };
            let clamp = spec
                .clamp
                .map_or("none".into(), |(low, high)| bits(&[low, high]));
            let (name, shape) = (&spec.name, &spec.shape);
            writeln!(
                out,
                "param {name} {shape:?} {} {} {clamp}",
                spec.learned, spec.per_layer
            )?;
            writeln!(out, "{kind} {}", bits(&numbers))?;
        }
        writeln!(out, "cache {}", cache_name(self.cache))
    }
}

fn bits(values: &[f64]) -> String {
    let words: Vec<_> = values
        .iter()
        .map(|x| format!("{:016x}", x.to_bits()))
        .collect();
    format!("{}:{}", values.len(), words.join(" "))
}

#[cfg(test)]
mod tests {
    use crate::expr::{distance, param, raw};
    use crate::plan::{Init, Pairing, ParamSpec, Plan, QkRotation};

    fn example(frequency: f64) -> Plan {
        Plan {
            rotations: vec![QkRotation::rotary(
                vec![1.0, frequency],
                1.0,
                Pairing::HalfSplit,
            )],
            score: raw() - param("slope") * distance(),
            params: vec![ParamSpec {
                name: "slope".into(),
                shape: vec![2],
                init: Init::Values(vec![0.5, 0.25]),
                learned: false,
                per_layer: false,
                clamp: None,
            }],
            ..Plan::default()
        }
    }

    #[test]
    fn the_text_names_every_part() {
        let text = example(0.01).to_string();
        let expected = "turn 0         half-split, 2 frequencies: 1 … 0.01\n  query        at q\n  key          at k\n\
            score          raw - slope[h] * (q - k)\n\
            parameter      slope [2], constant, shared by layers, 2 values: 0.5 … 0.25\n\
            cache          rotated keys stay valid";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_hash_stays_the_same_between_builds() {
        let hash = "867a335b427f378ec23ce5e9d0f24a515cc833d73d9370f746ad6e7c0b05f0ef";
        assert_eq!(example(0.01).hash(), hash);
    }

    #[test]
    fn the_hash_sees_the_last_bit_and_every_field() {
        let plan = example(0.01);
        assert_eq!(plan.hash(), example(0.01).hash());
        assert_eq!(plan.hash().len(), 64);
        let mut others = vec![
            example(f64::from_bits(0.01f64.to_bits() + 1)),
            Plan::default(),
        ];
        let change = |edit: fn(&mut Plan)| {
            let mut other = plan.clone();
            edit(&mut other);
            other
        };
        others.extend([
            change(|plan| plan.rotations[0].pairing = Pairing::Interleaved),
            change(|plan| plan.rotations[0].key.amplitude = 1.1),
            change(|plan| plan.softmax_scale = 2.0),
            change(|plan| plan.score = raw()),
            change(|plan| plan.query_scale = Some(param("slope"))),
            change(|plan| plan.params[0].init = Init::Values(vec![0.5, 0.26])),
            change(|plan| plan.params[0].clamp = Some((0.0, 1.0))),
            change(|plan| plan.params[0].per_layer = true),
            change(|plan| plan.cache = crate::plan::Cache::Unrotated),
        ]);
        let mut hashes: Vec<_> = others.iter().map(Plan::hash).chain([plan.hash()]).collect();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), others.len() + 1);
    }
}
