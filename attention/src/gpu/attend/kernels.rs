//! The kernels of attention: outputs by blocks of queries, then gradients by blocks of queries and by blocks of keys. A
//! workgroup walks over blocks of the other side and keeps running sums, so that memory is linear in the length.

mod backward;
mod forward;
mod tile;
mod warps;

use super::program::Formula;
use super::text::{helpers, mentions};
use crate::Result;
use crate::gpu::context::GROUP;
use crate::gpu::kernels::{Binding, kernel_of, reads};
use crate::gpu::kind::Kind;
use tile::Tile;

/// A kernel whose workgroups have a block of rows each.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// Rows of a block.
    pub(super) side: usize,
    /// Workgroups that share a block, each with channels of its own.
    pub(super) shares: usize,
}

/// What the texts depend on.
#[derive(Debug)]
pub(super) struct Shape {
    /// Channels of a head.
    pub(super) dim: usize,
    /// Raw scores.
    pub(super) turns: usize,
    pub(super) score: Formula,
    pub(super) query_scale: Option<Formula>,
    /// Addresses whose gradients are gathered per query.
    pub(super) fixed: Vec<String>,
}

const ARGUMENTS: &str = "batch: u32, head: u32, qi: u32, kj: u32";

/// Which functions of the formulas a kernel calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    Score,
    /// Derivatives by raw scores as well.
    ToRaws,
    /// Derivatives by all that is learned as well.
    ToAll,
}

const GIVE: &str = "
// Adds to a gradient that others add to as well. No device adds floats atomically for certain, but every device can
// compare and exchange their bits.
fn give(at: u32, x: f32) {
    var old = atomicLoad(&grads[at]);
    loop {
        let sum = bitcast<u32>(bitcast<f32>(old) + x);
        let tried = atomicCompareExchangeWeak(&grads[at], old, sum);
        if (tried.exchanged) { break; }
        old = tried.old_value;
    }
}
";

impl Shape {
    /// The kernel of `body`, with the functions that it calls. One thread does not know of others.
    pub(super) fn kernel(&self, more: &[Binding], calls: Calls, body: &str) -> String {
        self.assembled(more, calls, GROUP, "", body)
    }

    /// The kernel of `body`, whose workgroups share tiles of `numbers` of each pair and sum over `arrays` arrays, with the
    /// functions that it calls and the `parts` of tiles. Fails if that is more than a workgroup's memory holds.
    fn tiled(
        &self,
        more: &[Binding],
        calls: Calls,
        [numbers, arrays]: [usize; 2],
        parts: &[String],
        body: &str,
    ) -> Result<Text> {
        let tile = Tile::new(self.dim, numbers, arrays)?;
        let parts = tile.declared() + &parts.concat();
        Ok(Text {
            text: self.assembled(more, calls, tile.threads, &parts, body),
            side: tile.side,
            shares: 1,
        })
    }

    fn assembled(
        &self,
        more: &[Binding],
        calls: Calls,
        threads: usize,
        parts: &str,
        body: &str,
    ) -> String {
        let Shape { dim, turns, .. } = self;
        let mut bindings = vec![reads("data", Kind::U32), reads("learned", Kind::F32)];
        bindings.extend(["q", "k", "v"].map(|name| reads(name, Kind::F32)));
        bindings.extend_from_slice(more);
        let own = self.functions(calls);
        let helpers = helpers(&format!("{own}{body}"));
        let sizes = format!("\nconst DIM = {dim}u;\nconst TURNS = {turns}u;\n");
        let functions = format!("{sizes}{parts}{helpers}{own}");
        kernel_of(threads, &bindings, &functions, body)
    }

    /// Lines for each raw score; # stands for its number.
    fn each_turn(&self, line: &str) -> String {
        let each = (0..self.turns).map(|t| line.replace('#', &t.to_string()));
        each.collect()
    }

    /// Score, its derivatives, and the factor of a query.
    fn functions(&self, calls: Calls) -> String {
        let score = &self.score;
        let mut text = format!(
            "
// What softmax sees of a pair.
fn score({ARGUMENTS}, raws: array<f32, TURNS>) -> f32 {{
{}    return {};
}}
// What multiplies every raw score of a query.
",
            score.forward, score.value
        );
        text += &match &self.query_scale {
            None => format!("fn query_factor({ARGUMENTS}) -> f32 {{ return scale(); }}\n"),
            Some(factor) => format!(
                "fn query_factor({ARGUMENTS}) -> f32 {{\n{}    return scale() * {};\n}}\n",
                factor.forward, factor.value
            ),
        };
        let back = match calls {
            Calls::Score => return text,
            Calls::ToRaws => &score.to_raws,
            Calls::ToAll => &score.backward,
        };
        text += &format!(
            "// From the derivative by the score, `up`, to those by the raw scores{}.
fn score_back({ARGUMENTS}, raws: array<f32, TURNS>, up: f32) -> array<f32, TURNS> {{
    var raws_back: array<f32, TURNS>;
{back}    return raws_back;
}}
",
            match calls {
                Calls::ToAll => ", and by what is learned",
                _ => "",
            }
        );
        if calls == Calls::ToAll {
            text += &self.factor_back();
            text = self.gathering(&text) + &text;
        }
        text
    }

    /// How derivatives by what is learned are added up.
    fn gathering(&self, text: &str) -> String {
        match self.fixed.len() {
            0 if !mentions(text, "give") => String::new(),
            0 => GIVE.to_string(),
            slots => format!(
                "\n// Derivatives by what all pairs of a query read.\nvar<private> fixed: array<f32, {slots}>;{GIVE}"
            ),
        }
    }

    fn factor_back(&self) -> String {
        let Some(factor) = &self.query_scale else {
            return String::new();
        };
        format!(
            "// From the derivative by the factor to those by what is learned.
fn query_factor_back({ARGUMENTS}, up: f32) {{\n{}}}\n",
            factor.backward
        )
    }
}

/// Statements that go on to the next tile where the mask or the score hides all of this one.
const SKIP: &str = "        if (skips(q0, k0) || apart(q0, k0)) { continue; }
";
