//! Copies to and from places along an axis, and at indices.

use super::frame::{kernel, reads, writes};
use crate::gpu::kind::Kind;

/// Copies (outer, len, inner) to `start` of the axis of y. Info: count, len, inner, start, length of y's axis.
pub(in crate::gpu) fn paste(kind: Kind) -> String {
    let body = "    if (at >= word(0u)) { return; }
    let inner = word(2u);
    let row = at / inner;
    let place = (row / word(1u)) * word(4u) + word(3u) + row % word(1u);
    y[place * inner + at % inner] = x0[at];";
    kernel(&[reads("x0", kind), writes("y", kind)], "", body)
}

/// The transpose of narrowing: x0 from `start` of the axis on, zeros around it. Info: count, len, inner, start, length of
/// y's axis.
pub(in crate::gpu) fn pad() -> String {
    let body = "    if (at >= word(0u)) { return; }
    let inner = word(2u);
    let place = at / inner % word(4u);
    let line = at / (inner * word(4u));
    var x = 0.0;
    if (place >= word(3u) && place - word(3u) < word(1u)) {
        x = x0[(line * word(1u) + place - word(3u)) * inner + at % inner];
    }
    y[at] = x;";
    kernel(&[reads("x0", Kind::F32), writes("y", Kind::F32)], "", body)
}

/// Sets every element to a word. Info: count, word.
pub(in crate::gpu) fn fill() -> String {
    let body = "    if (at < word(0u)) { y[at] = word(1u); }";
    kernel(&[writes("y", Kind::U32)], "", body)
}

/// Elements of the axis of (outer, rows, inner) at `ids`, which are the same for all lines, or one per element of y.
/// An index past the end reads NaN. Info: count, chosen, inner, rows.
pub(in crate::gpu) fn select(kind: Kind, each: bool) -> String {
    let which = if each {
        "at"
    } else {
        "(at / inner) % word(1u)"
    };
    let nothing = match kind {
        Kind::F32 => "nan()",
        Kind::U32 => "0xffffffffu",
    };
    let body = format!(
        "    if (at >= word(0u)) {{ return; }}
    let inner = word(2u);
    let row = ids[{which}];
    let line = at / (inner * word(1u));
    if (row < word(3u)) {{
        y[at] = x0[(line * word(3u) + row) * inner + at % inner];
    }} else {{
        y[at] = {nothing};
    }}"
    );
    let bindings = [
        reads("x0", kind),
        reads("ids", Kind::U32),
        writes("y", kind),
    ];
    kernel(&bindings, "", &body)
}

/// The transpose of [`select`]: adds to y, whose sums may be made in any order. Info as there.
pub(in crate::gpu) fn scatter(each: bool) -> String {
    let which = if each {
        "at"
    } else {
        "(at / inner) % word(1u)"
    };
    let body = format!(
        "    if (at >= word(0u)) {{ return; }}
    let inner = word(2u);
    let row = ids[{which}];
    if (row >= word(3u)) {{ return; }}
    let line = at / (inner * word(1u));
    let place = (line * word(3u) + row) * inner + at % inner;
    // No device adds floats atomically for certain, but every device can compare and exchange their bits.
    var old = atomicLoad(&y[place]);
    loop {{
        let sum = bitcast<u32>(bitcast<f32>(old) + x0[at]);
        let tried = atomicCompareExchangeWeak(&y[place], old, sum);
        if (tried.exchanged) {{ break; }}
        old = tried.old_value;
    }}"
    );
    let target = ("y".to_string(), "atomic<u32>", true);
    kernel(
        &[reads("x0", Kind::F32), reads("ids", Kind::U32), target],
        "",
        &body,
    )
}
