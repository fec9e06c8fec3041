//! The kernel that shows scores: what softmax would see, pair by pair. Attention itself never stores them.

use super::kernels::{Calls, Shape};
use crate::gpu::kernels::writes;
use crate::gpu::kind::Kind;

impl Shape {
    /// Scores \[lines, queries, keys\]; -∞ where the mask or the formula hides the pair. One thread per pair.
    pub(super) fn scores(&self) -> String {
        let body = "    // Never so; keeps every array bound, whatever the formula reads.
    if (lines() == 0u) { y[0] = learned[0] + v[0]; }
    let pairs = queries() * keys();
    let line = at / pairs;
    if (line >= lines()) { return; }
    let qi = at % pairs / keys();
    let kj = at % keys();
    y[at] = -inf();
    if (skips(qi, kj) || !sees(qi, kj)) { return; }
    let batch = line / heads();
    let head = line % heads();
    let kv_line = batch * kv_heads() + head / (heads() / kv_heads());
    let kv_lines = lines() / heads() * kv_heads();
    let factor = query_factor(batch, head, qi, 0u);
    var raws: array<f32, TURNS>;
    for (var t = 0u; t < TURNS; t++) {
        let query = ((t * lines() + line) * queries() + qi) * DIM;
        let key = ((t * kv_lines + kv_line) * keys() + kj) * DIM;
        var dot = 0.0;
        for (var c = 0u; c < DIM; c++) { dot += q[query + c] * k[key + c]; }
        raws[t] = dot * factor;
    }
    y[at] = score(batch, head, qi, kj, raws);";
        self.kernel(&[writes("y", Kind::F32)], Calls::Score, body)
    }
}
