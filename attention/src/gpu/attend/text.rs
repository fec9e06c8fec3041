//! The functions that generated kernels call. A text holds those that it needs.

/// Queries, and keys, of a tile that is skipped as a whole.
pub(super) const TILE: usize = 64;

/// Whether `text` has `name` as a whole word.
pub(super) fn mentions(text: &str, name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !inside(c)).any(|word| word == name)
}

/// Those of the helpers that `text` mentions, and those that they mention in turn.
pub(super) fn helpers(text: &str) -> String {
    let all: Vec<&str> = [SIZES, MASK, ELEMENT]
        .iter()
        .flat_map(|part| part.split("\n\n"))
        .map(str::trim)
        .collect();
    let name = |helper: &str| {
        let from = helper.find("fn ").map_or(helper, |at| &helper[at + 3..]);
        from.split('(').next().unwrap_or_default().to_string()
    };
    let mut wanted = vec![false; all.len()];
    let mut read = text.to_string();
    // Helpers stand before those that call them.
    for (at, helper) in all.iter().enumerate().rev() {
        wanted[at] = mentions(&read, &name(helper));
        if wanted[at] {
            read += helper;
        }
    }
    let mut found = format!("const NONE = 0xffffffffu;\nconst TILE = {TILE}u;\n");
    for (helper, wanted) in all.iter().zip(wanted) {
        if wanted {
            found += helper;
            found += "\n";
        }
    }
    found
}

/// The words of a call by name; what the formulas read follows them. Helpers are set apart by empty lines.
const SIZES: &str = "
// Heads of all windows.
fn lines() -> u32 { return word(0u); }

fn heads() -> u32 { return word(1u); }

fn kv_heads() -> u32 { return word(2u); }

fn queries() -> u32 { return word(3u); }

fn keys() -> u32 { return word(4u); }

// Token numbers of the first query and of the first key.
fn first_query() -> u32 { return word(5u); }

fn first_key() -> u32 { return word(6u); }

fn causal() -> bool { return word(7u) != 0u; }

// Tokens that a query sees, itself included; NONE is all.
fn window() -> u32 { return word(8u); }

// Tokens at the start that every query sees.
fn sinks() -> u32 { return word(9u); }

// Address of the document of each token, or NONE.
fn documents() -> u32 { return word(10u); }

fn scale() -> f32 { return real(11u); }

// Address of what says which tiles the score hides, or NONE.
fn hidden_tiles() -> u32 { return word(12u); }

// A constant, by address.
fn datum(at: u32) -> f32 { return bitcast<f32>(data[at]); }
";

/// Which pairs are seen.
const MASK: &str = "
// Whether the mask lets query qi see key kj.
fn sees(qi: u32, kj: u32) -> bool {
    let i = qi + first_query();
    let j = kj + first_key();
    if (causal() && j > i) { return false; }
    if (max(i, j) - min(i, j) >= window() && j >= sinks()) { return false; }
    if (documents() == NONE) { return true; }
    return data[documents() + i] == data[documents() + j];
}

// Whether the score hides the whole tile that the pair lies in.
fn skips(qi: u32, kj: u32) -> bool {
    if (hidden_tiles() == NONE) { return false; }
    let across = (keys() + TILE - 1u) / TILE;
    return data[hidden_tiles() + qi / TILE * across + kj / TILE] != 0u;
}

// Whether the mask lets none of SIDE queries from qi on see any of SIDE keys from kj on.
fn apart(qi: u32, kj: u32) -> bool {
    let i = qi + first_query();
    let j = kj + first_key();
    if (causal() && j >= i + SIDE) { return true; }
    if (max(i, j) - min(i, j) < SIDE) { return false; }
    return max(i, j) - min(i, j) - (SIDE - 1u) >= window() && j >= sinks();
}

// Keys that query qi may see: from x to before y.
fn reach_of_query(qi: u32) -> vec2<u32> {
    var reach = vec2<u32>(0u, keys());
    let next = qi + first_query() + 1u;
    if (causal()) { reach.y = min(keys(), max(next, first_key()) - first_key()); }
    // Sinks among the keys are in reach.
    if (window() < next && sinks() <= first_key()) {
        reach.x = max(next - window(), first_key()) - first_key();
    }
    return reach;
}

// Queries that may see key kj: from x to before y.
fn reach_of_key(kj: u32) -> vec2<u32> {
    var reach = vec2<u32>(0u, queries());
    let j = kj + first_key();
    if (causal()) { reach.x = max(j, first_query()) - first_query(); }
    if (window() < NONE - j && j >= sinks()) {
        reach.y = min(queries(), max(j + window(), first_query()) - first_query());
    }
    return reach;
}

// Whether a score is -inf; by its bits, since a compiler may take every float for finite.
fn hidden(score: f32) -> bool { return bitcast<u32>(score) == 0xff800000u; }
";

/// What formulas call.
const ELEMENT: &str = "
// The row of a table at index x, rounded down; the first or last one beyond the ends.
fn row(x: f32, count: u32) -> u32 { return u32(clamp(floor(x), 0.0, f32(count - 1u))); }

// The built-in one may overflow.
fn steady_tanh(x: f32) -> f32 { return tanh(clamp(x, -20.0, 20.0)); }

fn log1p(x: f32) -> f32 {
    // The series where 1 + x would lose the digits of x.
    if (abs(x) < 0.01) { return x * (1.0 - x * (0.5 - x * (0.33333334 - x * 0.25))); }
    return log(1.0 + x);
}

fn positive_power(x: f32, y: f32) -> f32 {
    if (x <= 0.0) { return 0.0; }
    return pow(x, y);
}
";
