//! The same kernels on tensor cores: a warp, 32 threads that run in step, multiplies blocks of 16 rows at once. What is
//! multiplied is rounded to bf16 on the way into workgroup memory; scores, weights, derivatives and sums are f32.
//!
//! Which thread holds which number of a block is what the hardware wants (PTX ISA, "Matrix Fragments for mma.m16n8k16"):
//! thread 4g + t holds the rows g and g + 8, and of eight columns 2t and 2t + 1. A block of weights is held as the left
//! side of the next product is, so it goes from one product into the other without leaving its thread.

mod backward;
mod forward;

use super::{Calls, Shape, Text};
use crate::gpu::kernels::Binding;
use crate::{Error, Result};

/// Bytes of memory that a kernel may declare for a workgroup (CUDA C++ Programming Guide, "Compute Capabilities").
const MEMORY: usize = 49152;

/// Rows of a warp's block, and of the other side's blocks.
const BLOCK: usize = 16;

/// Sizes of a tile: as many queries as keys, rows of several arrays at once.
#[derive(Clone, Copy, Debug)]
struct Tile {
    side: usize,
    dim: usize,
    /// Arrays whose rows lie in workgroup memory.
    arrays: usize,
    /// Workgroups that share the channels of a block's sums.
    shares: usize,
}

/// Numbers that a thread keeps in registers; workgroups share the channels where there would be more. Up to here NVRTC spills
/// few words (docs/log.md, 2026-12-01).
const KEPT: usize = 160;

impl Tile {
    /// For heads of `dim` channels, with rows of so many arrays in workgroup memory. Fails if these do not fit.
    fn new(dim: usize, arrays: usize) -> Result<Tile> {
        let tiles = [64, 32, 16].map(|side| Tile {
            side,
            dim,
            arrays,
            shares: 1,
        });
        let mut fitting = tiles
            .into_iter()
            .filter(|tile| 4 * arrays * tile.words() <= MEMORY);
        fitting.next().ok_or_else(|| Error::Unsupported {
            name: "fused",
            why: format!("{arrays} arrays of {dim} channels in bf16 are too many for a tile; without +bf16 tiles are smaller"),
        })
    }

    /// Where sums over so many arrays are more than a thread can keep, two workgroups share a block.
    fn summing(self, arrays: usize) -> Tile {
        // Its sums, and the pairs of a block: what goes into each array, and what that was made of.
        let kept = arrays * (self.dim.div_ceil(8) * 4 + 16);
        let shares = 1 + usize::from(kept > KEPT);
        Tile { shares, ..self }
    }

    /// Words of a row, two channels each, in whole steps of 16 channels.
    fn width(&self) -> usize {
        self.dim.div_ceil(BLOCK) * BLOCK / 2
    }

    /// From one row to the next: four more, so that threads that read neighbouring rows meet other banks.
    fn pitch(&self) -> usize {
        self.width() + 4
    }

    /// Words of one array.
    fn words(&self) -> usize {
        self.side * self.pitch()
    }

    fn threads(&self) -> usize {
        2 * self.side
    }

    fn declared(&self) -> String {
        format!(
            "// Queries, and keys, of a tile; words of a row, and from one to the next.
const SIDE = {side}u;
const THREADS = {threads}u;
const WIDTH = {width}u;
const PITCH = {pitch}u;
const ROWS = {words}u;
// Blocks of eight channels that a workgroup sums, and workgroups that share a block of rows.
const SUMS = {sums}u;
const SHARES = {shares}u;
var<workgroup> rows: array<u32, {all}>;
{PARTS}",
            side = self.side,
            threads = self.threads(),
            width = self.width(),
            pitch = self.pitch(),
            words = self.words(),
            sums = self.dim.div_ceil(8).div_ceil(self.shares),
            shares = self.shares,
            all = self.arrays * self.words(),
        )
    }
}

const PARTS: &str = "
// A number as bf16: rounded to nearest, ties to even.
fn half_word(x: f32) -> u32 {
    let whole = bitcast<u32>(x);
    if ((whole & 0x7fffffffu) > 0x7f800000u) { return 0x7fffu; }
    return (whole + 0x7fffu + (whole >> 16u & 1u)) >> 16u;
}

// Two numbers as one word, x below.
fn packed(x: f32, y: f32) -> u32 { return half_word(x) | (half_word(y) << 16u); }

// The lower halves of two words, or the upper ones.
fn halves(x: u32, y: u32, upper: bool) -> u32 {
    if (upper) { return (x >> 16u) | (y & 0xffff0000u); }
    return (x & 0xffffu) | (y << 16u);
}

// x · y over both halves.
fn both(x: u32, y: u32) -> f32 {
    return bitcast<f32>(x << 16u) * bitcast<f32>(y << 16u) + bitcast<f32>(x & 0xffff0000u) * bitcast<f32>(y & 0xffff0000u);
}

// sums + a · b over a warp: 16 rows of a, 8 columns of b, 16 deep. Thread 4g + t, whose `spot` that is, holds of a row g (x)
// and row g + 8 (y) at 2t and 2t + 1 of the depth, and eight on (z, w); of b column g there (x) and eight on (y); of the sums
// row g (x, y) and row g + 8 (z, w) at columns 2t and 2t + 1.
fn mma(sums: vec4<f32>, a: vec4<u32>, b: vec2<u32>, spot: u32) -> vec4<f32> {
    var all = sums;
    for (var deep = 0u; deep < 4u; deep++) {
        let row = spot / 4u * 4u + deep;
        let x = subgroupShuffle(a.x, row);
        let y = subgroupShuffle(a.y, row);
        let z = subgroupShuffle(a.z, row);
        let w = subgroupShuffle(a.w, row);
        let column = spot % 4u * 8u + deep;
        let left = subgroupShuffle(b.x, column);
        let left_on = subgroupShuffle(b.y, column);
        let right = subgroupShuffle(b.x, column + 4u);
        let right_on = subgroupShuffle(b.y, column + 4u);
        all.x += both(x, left) + both(z, left_on);
        all.y += both(x, right) + both(z, right_on);
        all.z += both(y, left) + both(w, left_on);
        all.w += both(y, right) + both(w, right_on);
    }
    return all;
}

// The sum, and the largest, of the four threads that share rows. What is no number is the largest.
fn quad_sum(x: f32) -> f32 {
    let two = x + subgroupShuffleXor(x, 1u);
    return two + subgroupShuffleXor(two, 2u);
}
fn larger(x: f32, y: f32) -> f32 {
    if (y <= x) { return x; }
    return y;
}
fn quad_max(x: f32) -> f32 {
    let two = larger(x, subgroupShuffleXor(x, 1u));
    return larger(two, subgroupShuffleXor(two, 2u));
}

// Products of a warp's rows from `near` on, of the array at `kept`, with 16 rows from `start` on of that at `other`.
fn dots(spot: u32, near: u32, kept: u32, other: u32, start: u32) -> array<f32, 8> {
    var left = vec4<f32>();
    var right = vec4<f32>();
    let a = kept + near * PITCH + spot % 4u;
    let b = other + (start + spot / 4u) * PITCH + spot % 4u;
    for (var c = 0u; c < WIDTH; c += 8u) {
        let own = vec4<u32>(rows[a + c], rows[a + 8u * PITCH + c], rows[a + c + 4u], rows[a + 8u * PITCH + c + 4u]);
        left = mma(left, own, vec2<u32>(rows[b + c], rows[b + c + 4u]), spot);
        right = mma(right, own, vec2<u32>(rows[b + 8u * PITCH + c], rows[b + 8u * PITCH + c + 4u]), spot);
    }
    return array<f32, 8>(left.x, left.y, left.z, left.w, right.x, right.y, right.z, right.w);
}

// Numbers of a block of pairs as the left side of a product.
fn sided(x: array<f32, 8>) -> vec4<u32> {
    return vec4<u32>(packed(x[0], x[1]), packed(x[2], x[3]), packed(x[4], x[5]), packed(x[6], x[7]));
}

// Adds 16 rows from `start` on of the array at `other`, their channels of this share, each times the numbers of its pairs.
fn add(spot: u32, share: u32, numbers: vec4<u32>, other: u32, start: u32, sums: ptr<function, array<vec4<f32>, SUMS>>) {
    let first = other + (start + spot % 4u * 2u) * PITCH + spot / 8u + share * SUMS * 4u;
    let upper = spot / 4u % 2u == 1u;
    for (var c = 0u; c < SUMS; c++) {
        let at = first + 4u * c;
        let near = halves(rows[at], rows[at + PITCH], upper);
        let far = halves(rows[at + 8u * PITCH], rows[at + 9u * PITCH], upper);
        (*sums)[c] = mma((*sums)[c], numbers, vec2<u32>(near, far), spot);
    }
}

// Multiplies sums of a thread's first row and of its second one.
fn scale_sums(first: f32, second: f32, sums: ptr<function, array<vec4<f32>, SUMS>>) {
    for (var c = 0u; c < SUMS; c++) {
        (*sums)[c].x *= first;
        (*sums)[c].y *= first;
        (*sums)[c].z *= second;
        (*sums)[c].w *= second;
    }
}
";

/// The function that rounds rows of an array into workgroup memory.
fn stages(array: &str) -> String {
    format!(
        "
// Rows of {array}, `n` from `first` on, to `slot`; those that are not there are zero.
fn stage_{array}(lane: u32, first: u32, n: u32, slot: u32) {{
    for (var x = lane; x < SIDE * WIDTH; x += THREADS) {{
        let row = x / WIDTH;
        let c = x % WIDTH * 2u;
        let at = (first + row) * DIM + c;
        var left = 0.0;
        var right = 0.0;
        if (row < n && c < DIM) {{ left = {array}[at]; }}
        if (row < n && c + 1u < DIM) {{ right = {array}[at + 1u]; }}
        rows[slot + row * PITCH + x % WIDTH] = packed(left, right);
    }}
}}
"
    )
}

/// The function that writes a warp's sums as rows of an array.
fn stores(array: &str) -> String {
    format!(
        "
// Writes sums of a thread's rows, `near` and 8 on, to {array}, whose row `first` that of the tile is; it has `m`.
fn store_{array}(spot: u32, share: u32, near: u32, first: u32, m: u32, sums: ptr<function, array<vec4<f32>, SUMS>>) {{
    for (var i = 0u; i < SUMS; i++) {{
        let c = 8u * (share * SUMS + i) + spot % 4u * 2u;
        let at = (first + near) * DIM + c;
        if (near < m && c < DIM) {{ {array}[at] = (*sums)[i].x; }}
        if (near < m && c + 1u < DIM) {{ {array}[at + 1u] = (*sums)[i].y; }}
        if (near + 8u < m && c < DIM) {{ {array}[at + 8u * DIM] = (*sums)[i].z; }}
        if (near + 8u < m && c + 1u < DIM) {{ {array}[at + 8u * DIM + 1u] = (*sums)[i].w; }}
    }}
}}
"
    )
}

/// Statements behind those of every kernel: the place of a thread.
const PLACE: &str =
    "    // The thread in its warp, the first of its two rows, and the first of its columns.
    let spot = lane % 32u;
    let near = lane / 32u * 16u + spot / 4u;
    let across = spot % 4u * 2u;
";

/// Statements about a thread's two rows, which are queries.
const QUERIES: &str = "    let query0 = min(q0 + near, queries() - 1u);
    let query1 = min(q0 + near + 8u, queries() - 1u);
    let factor0 = query_factor(batch, head, query0, 0u);
    let factor1 = query_factor(batch, head, query1, 0u);
";

/// A number of a block: its row of the thread's two, and its column from the thread's first on.
fn place(number: usize) -> (usize, usize) {
    (number / 2 % 2, number / 4 * 8 + number % 2)
}

impl Shape {
    /// The kernel of `body` in tiles of so many `arrays`.
    fn by_warps(
        &self,
        more: &[Binding],
        calls: Calls,
        tile: Tile,
        parts: &[String],
        body: &str,
    ) -> Text {
        let parts = tile.declared() + &parts.concat();
        Text {
            text: self.assembled(more, calls, tile.threads(), &parts, body),
            side: tile.side,
            shares: tile.shares,
        }
    }
}
