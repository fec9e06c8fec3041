//! Token vectors of a plan: one number per token and query head, computed from the layer's input.

use crate::params::{INPUT, Params, names};
use crate::tables::Tables;
use crate::{Error, Result, Tensor, composed, ops};

/// Adds the plan's token vectors to `params` as `name@q` (batch, heads, queries) and `name@k` (batch, heads, keys).
/// `params` holds the parameters that they read and, if there are any, the layer's input under [`INPUT`]
/// (batch, tokens, width). Differentiable with respect to both. Queries and keys must be the same tokens, because a
/// running sum needs all that come before; a vector that `params` already holds at both ends is taken as it is.
pub(crate) fn add(tables: &Tables, params: &mut Params) -> Result<()> {
    let given = |name: &str, params: &Params| {
        ["q", "k"]
            .iter()
            .all(|end| params.contains_key(&format!("{name}@{end}")))
    };
    let tokens = tables.plan().tokens.iter();
    let tokens: Vec<_> = tokens.filter(|token| !given(&token.name, params)).collect();
    if tokens.is_empty() {
        return check_given(tables, params);
    }
    if tables.queries() != tables.keys() {
        return Err(Error::Argument {
            what: "token vectors, prepared",
            expected: "queries and keys at the same positions".into(),
            found: format!("{:?} and {:?}", tables.queries(), tables.keys()),
        });
    }
    let missing = |name: &str, shape: Vec<usize>, params: &Params| Error::MissingParam {
        name: name.into(),
        shape,
        given: names(params),
    };
    let geometry = tables.geometry();
    let (count, width) = (tables.queries().len(), geometry.width);
    let input = params
        .get(INPUT)
        .ok_or_else(|| missing(INPUT, vec![count, width], params))?;
    let batch = input.dims().first().copied().unwrap_or(0);
    if input.dims() != [batch, count, width] {
        let expected = format!("(batch, tokens, width) = {:?}", [batch, count, width]);
        return Err(Error::shape(
            "attend, the layer's input",
            expected,
            input.dims(),
        ));
    }
    let mut found = Vec::new();
    for token in tokens {
        let weight = params.get(&token.weight);
        let shape = vec![geometry.heads, width];
        let weight = weight.ok_or_else(|| missing(&token.weight, shape, params))?;
        // (batch, tokens, heads) to (batch, heads, tokens).
        let raw = ops::linear(input, weight)?.transpose(1, 2)?.contiguous()?;
        let value = composed::per_token(tables, params, &token.value, &raw)?;
        let value = if token.cumulative {
            ops::running_sum(&value)?
        } else {
            value
        };
        found.push((token.name.clone(), value));
    }
    for (name, value) in found {
        params.insert(format!("{name}@k"), value.clone());
        params.insert(format!("{name}@q"), value);
    }
    check_given(tables, params)
}

/// Vectors that the caller gave, because it kept them from earlier tokens, must have the shapes of this call.
fn check_given(tables: &Tables, params: &Params) -> Result<()> {
    let heads = tables.geometry().heads;
    for token in &tables.plan().tokens {
        for (end, count) in [("q", tables.queries().len()), ("k", tables.keys().len())] {
            let name = format!("{}@{end}", token.name);
            match params.get(&name).map(Tensor::dims) {
                Some([_, h, n]) if (*h, *n) == (heads, count) => {}
                found => {
                    let expected = format!("(batch, {heads}, {count})");
                    return Err(Error::shape(name, expected, found.unwrap_or(&[])));
                }
            }
        }
    }
    Ok(())
}
