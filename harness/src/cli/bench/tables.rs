//! The tables that are printed for people.

use super::super::table::Table;
use super::{Asked, PeerRow, Row};
use farspan_attention::Traffic;

pub(super) fn asked(rows: &[Asked]) -> Table {
    let mut table = Table::new(&[
        "scheme",
        "pass",
        ">length",
        ">kernels",
        ">submissions",
        ">copies to it",
        ">copies back",
    ]);
    for row in rows {
        let Traffic {
            kernels,
            submissions,
            uploads,
            read_backs,
        } = row.traffic;
        let counts = [kernels, submissions, uploads, read_backs].map(|x| x.to_string());
        let which = [
            row.scheme.clone(),
            row.pass.name().into(),
            row.length.to_string(),
        ];
        table.row(which.into_iter().chain(counts));
    }
    table
}

pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "scheme",
        "pass",
        ">length",
        ">ms",
        ">relative",
        ">tokens/s",
        ">GFLOP/s",
        ">of peak",
        ">MiB",
        "by",
        "peer",
        ">peer ms",
        ">peer/ours",
        "range",
        ">peer MiB",
        "",
    ]);
    let mebibytes = |bytes: Option<u64>| bytes.map_or(String::new(), |b| (b >> 20).to_string());
    for row in rows {
        let own = [
            row.scheme.clone(),
            row.pass.name().into(),
            row.length.to_string(),
            format!("{:.1}", row.seconds * 1e3),
            format!("{:.2}", row.relative),
            format!("{:.0}", row.tokens_per_second),
            format!("{:.1}", row.flops_per_second * 1e-9),
            format!("{:.0} %", row.of_peak * 100.0),
            mebibytes(row.peak_bytes),
            row.implementation.into(),
        ];
        let none = PeerRow {
            way: String::new(),
            seconds: None,
            ratio: None,
            ratio_range: None,
            peak_bytes: None,
            error: None,
        };
        let peers = match row.peers.as_slice() {
            [] => std::slice::from_ref(&none),
            some => some,
        };
        for (i, peer) in peers.iter().enumerate() {
            let own = own.iter().map(|cell| match i {
                0 => cell.clone(),
                _ => String::new(),
            });
            let theirs = [
                peer.way.clone(),
                peer.seconds
                    .map_or(String::new(), |s| format!("{:.1}", s * 1e3)),
                peer.ratio.map_or(String::new(), |r| format!("{r:.2}")),
                peer.ratio_range
                    .map_or(String::new(), |[low, high]| format!("{low:.2}–{high:.2}")),
                mebibytes(peer.peak_bytes),
                peer.error.clone().unwrap_or_default(),
            ];
            table.row(own.chain(theirs));
        }
    }
    table
}
