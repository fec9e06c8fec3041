//! How a workgroup shares a tile: a block of queries against a block of keys.
//!
//! One side of the tile is *kept*: its sums stay in registers while the workgroup walks over blocks of the other side. Numbers
//! of pairs lie in workgroup memory, all kept rows of one other row side by side, and so do rows that are staged: channels
//! of both sides for products, some rows of one array for sums.

use crate::{Error, Result};

/// Bytes of workgroup memory that every device of WebGPU allows.
const MEMORY: usize = 16384;

/// Threads of a workgroup that every device of WebGPU allows.
const THREADS: usize = 256;

/// Kept rows of one thread, in products and in sums.
const ROWS: usize = 4;

/// Sums that a thread keeps in registers; more threads share a tile where there would be more.
const SUMS: usize = 32;

/// Sizes of a tile and of what is staged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// Queries, and keys.
    pub(super) side: usize,
    pub(super) threads: usize,
    /// Channels that are staged at a time for products.
    channels: usize,
    /// From one of them to the next: the rows, and a gap such that neighbouring channels lie in other banks.
    pitch: usize,
    /// Rows that are staged at a time for sums.
    rows: usize,
    /// Channels of a kept row that one thread sums.
    columns: usize,
    /// Of these, how many are neighbours.
    wide: usize,
    dim: usize,
    numbers: usize,
}

impl Tile {
    /// For heads of `dim` channels, `numbers` kept of each pair, and sums over `arrays` arrays. Fails if that is more than
    /// a workgroup's memory holds.
    pub(super) fn new(dim: usize, numbers: usize, arrays: usize) -> Result<Tile> {
        let sizes = [(32, 16), (32, 8), (16, 16), (16, 8), (8, 8)].into_iter();
        let tiles = sizes.map(|(side, channels)| Tile::of(dim, numbers, arrays, side, channels));
        let mut fitting = tiles.filter(|tile| 4 * tile.floats() <= MEMORY);
        fitting.next().ok_or_else(|| Error::Unsupported {
            name: "fused",
            why: format!("{numbers} numbers of a pair and {dim} channels are too many for a tile"),
        })
    }

    fn of(dim: usize, numbers: usize, arrays: usize, side: usize, channels: usize) -> Tile {
        let bands = side / ROWS;
        let most = (side * bands).min(THREADS);
        let mut threads = (2 * side).min(most);
        while arrays * side * dim > SUMS * threads && threads < most {
            threads *= 2;
        }
        let across = threads / bands;
        let columns = dim.div_ceil(across);
        let even = dim.is_multiple_of(across);
        let wide = [4, 2]
            .into_iter()
            .find(|x| even && columns.is_multiple_of(*x));
        let pitch = side + 4;
        let mut rows = side;
        while rows > 1 && rows * dim > 2 * channels * pitch {
            rows /= 2;
        }
        Tile {
            side,
            threads,
            channels,
            pitch,
            rows,
            columns,
            wide: wide.unwrap_or(1),
            dim,
            numbers,
        }
    }

    /// Threads that share the pairs of one kept row, and those that share its sums.
    fn shares(&self) -> [usize; 2] {
        [self.threads / self.side, self.threads * ROWS / self.side]
    }

    /// Numbers that are staged at most.
    fn staged(&self) -> usize {
        let sums = (self.rows - 1) * self.dim + self.shares()[1] * self.columns;
        sums.max(2 * self.channels * self.pitch)
    }

    /// Numbers in workgroup memory.
    fn floats(&self) -> usize {
        self.numbers * self.side * self.side + self.staged() + self.threads
    }

    /// Sizes, memory, and what joins threads.
    pub(super) fn declared(&self) -> String {
        let Tile {
            side,
            threads,
            channels,
            pitch,
            rows,
            columns,
            wide,
            numbers,
            ..
        } = self;
        let [slices, across] = self.shares();
        let mine = side / across;
        let (pairs, staged) = (side * side, self.staged());
        format!(
            "// Queries, and keys, of a tile, and the pairs of one.
const SIDE = {side}u;
const PAIRS = {pairs}u;
const THREADS = {threads}u;
// Threads that share the pairs of a row, and those that share its sums.
const SLICES = {slices}u;
const ACROSS = {across}u;
const BANDS = THREADS / ACROSS;
// Of the other rows those of one thread in products.
const MINE = {mine}u;
// Channels that are staged for products, and how far apart; rows that are staged for sums.
const CHANNELS = {channels}u;
const PITCH = {pitch}u;
const ROWS = {rows}u;
// Channels that one thread sums, and how many of them are neighbours.
const COLUMNS = {columns}u;
const WIDE = {wide}u;
const SUMS = {sums}u;
var<workgroup> pairs: array<f32, {all}>;
var<workgroup> staged: array<f32, {staged}>;
var<workgroup> joined: array<f32, THREADS>;

// The channel of a thread's sum number j.
fn channel(lane: u32, j: u32) -> u32 {{
    return j / WIDE * WIDE * ACROSS + lane / BANDS * WIDE + j % WIDE;
}}

// The sum of what the threads of a row say, for each row, and of what all say.
fn row_sum(lane: u32, x: f32) -> f32 {{
    workgroupBarrier();
    joined[lane] = x;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = lane % SIDE; i < THREADS; i += SIDE) {{ sum += joined[i]; }}
    return sum;
}}
fn whole_sum(lane: u32, x: f32) -> f32 {{
    workgroupBarrier();
    joined[lane] = x;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {{
        workgroupBarrier();
        if (lane < half) {{ joined[lane] += joined[lane + half]; }}
    }}
    workgroupBarrier();
    return joined[0];
}}

// Multiplies sums by what the threads of each row say.
fn scale_sums(lane: u32, factor: f32, sums: ptr<function, array<f32, SUMS>>) {{
    workgroupBarrier();
    if (lane < SIDE) {{ joined[lane] = factor; }}
    workgroupBarrier();
    for (var i = 0u; i < {ROWS}u; i++) {{
        let of_row = joined[lane % BANDS * {ROWS}u + i];
        for (var j = 0u; j < COLUMNS; j++) {{ (*sums)[i * COLUMNS + j] *= of_row; }}
    }}
}}
",
            sums = ROWS * columns,
            all = numbers * pairs,
        )
    }
}

/// The function that multiplies rows of the array `kept` with rows of the array `other`.
pub(super) fn products(kept: &str, other: &str) -> String {
    format!(
        "
// Products of rows of {kept}, `m` from `a` on, with rows of {other}, `n` from `b` on: to `pairs` from `slot` on. Rows that are not
// there are zero.
fn products_{kept}_{other}(lane: u32, a: u32, m: u32, b: u32, n: u32, slot: u32) {{
    let r = lane % BANDS * {ROWS}u;
    let s = lane / BANDS * MINE;
    var dots: array<f32, {ROWS}u * MINE>;
    for (var first = 0u; first < DIM; first += CHANNELS) {{
        workgroupBarrier();
        for (var x = lane; x < SIDE * CHANNELS; x += THREADS) {{
            let row = x / CHANNELS;
            let c = first + x % CHANNELS;
            let to = x % CHANNELS * PITCH + row;
            var left = 0.0;
            var right = 0.0;
            if (c < DIM && row < m) {{ left = {kept}[(a + row) * DIM + c]; }}
            if (c < DIM && row < n) {{ right = {other}[(b + row) * DIM + c]; }}
            staged[to] = left;
            staged[CHANNELS * PITCH + to] = right;
        }}
        workgroupBarrier();
        for (var c = 0u; c < CHANNELS; c++) {{
            for (var i = 0u; i < {ROWS}u; i++) {{
                let left = staged[c * PITCH + r + i];
                for (var j = 0u; j < MINE; j++) {{
                    dots[i * MINE + j] += left * staged[(CHANNELS + c) * PITCH + s + j];
                }}
            }}
        }}
    }}
    for (var i = 0u; i < {ROWS}u; i++) {{
        for (var j = 0u; j < MINE; j++) {{ pairs[slot + (s + j) * SIDE + r + i] = dots[i * MINE + j]; }}
    }}
}}
"
    )
}

/// The function that adds rows of an array, weighed by numbers of pairs, to a thread's sums.
pub(super) fn adds(array: &str) -> String {
    format!(
        "
// Adds rows of {array}, `n` from `b` on, each times the numbers of its pairs from `slot` on.
fn add_{array}(lane: u32, b: u32, n: u32, slot: u32, sums: ptr<function, array<f32, SUMS>>) {{
    let r = lane % BANDS * {ROWS}u;
    for (var first = 0u; first < SIDE; first += ROWS) {{
        workgroupBarrier();
        for (var x = lane; x < ROWS * DIM; x += THREADS) {{
            var value = 0.0;
            if (first + x / DIM < n) {{ value = {array}[(b + first) * DIM + x]; }}
            staged[x] = value;
        }}
        workgroupBarrier();
        for (var row = 0u; row < ROWS; row++) {{
            for (var i = 0u; i < {ROWS}u; i++) {{
                let share = pairs[slot + (first + row) * SIDE + r + i];
                for (var j = 0u; j < COLUMNS; j++) {{
                    (*sums)[i * COLUMNS + j] += share * staged[row * DIM + channel(lane, j)];
                }}
            }}
        }}
    }}
}}
"
    )
}

/// The function that writes a thread's sums as rows of an array.
pub(super) fn stores(array: &str) -> String {
    format!(
        "
// Writes sums as rows of {array}, `m` from `a` on.
fn store_{array}(lane: u32, a: u32, m: u32, sums: ptr<function, array<f32, SUMS>>) {{
    let r = lane % BANDS * {ROWS}u;
    for (var i = 0u; i < {ROWS}u; i++) {{
        for (var j = 0u; j < COLUMNS; j++) {{
            let c = channel(lane, j);
            if (r + i < m && c < DIM) {{ {array}[(a + r + i) * DIM + c] = (*sums)[i * COLUMNS + j]; }}
        }}
    }}
}}
"
    )
}
