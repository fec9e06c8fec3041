//! JSON has no NaN or infinity. They are written as the strings `"nan"`, `"inf"`, `"-inf"` and read back.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Finite(f64),
    Word(&'a str),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Owned {
    Finite(f64),
    Word(String),
}

fn word(x: f64) -> Number<'static> {
    match x {
        x if x.is_finite() => Number::Finite(x),
        x if x.is_nan() => Number::Word("nan"),
        x if x > 0.0 => Number::Word("inf"),
        _ => Number::Word("-inf"),
    }
}

fn number<E: serde::de::Error>(value: Owned) -> Result<f64, E> {
    match value {
        Owned::Finite(x) => Ok(x),
        Owned::Word(w) => match w.as_str() {
            "nan" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            other => Err(E::custom(format!(
                "expected a number, \"nan\", \"inf\" or \"-inf\", found {other:?}"
            ))),
        },
    }
}

/// For one number.
pub mod one {
    use super::*;
    /// Writes the number.
    pub fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        word(*x).serialize(s)
    }
    /// Reads the number.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        number(Owned::deserialize(d)?)
    }
}

/// For a list of numbers.
pub mod vec {
    use super::*;
    /// Writes the list.
    pub fn serialize<S: Serializer>(xs: &[f64], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(xs.iter().map(|&x| word(x)))
    }
    /// Reads the list.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
        Vec::<Owned>::deserialize(d)?
            .into_iter()
            .map(number)
            .collect()
    }
}

/// For a list of lists.
pub mod rows {
    use super::*;
    /// Writes the rows.
    pub fn serialize<S: Serializer>(rows: &[Vec<f64>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(
            rows.iter()
                .map(|r| r.iter().map(|&x| word(x)).collect::<Vec<_>>()),
        )
    }
    /// Reads the rows.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Vec<f64>>, D::Error> {
        Vec::<Vec<Owned>>::deserialize(d)?
            .into_iter()
            .map(|row| row.into_iter().map(number).collect())
            .collect()
    }
}
