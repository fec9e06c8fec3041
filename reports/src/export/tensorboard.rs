//! Event files of TensorBoard, one per cell: training and validation loss by step, what was measured by length. Trackio and
//! others read them, too.
//!
//! A file is a row of records: length, masked CRC-32C of the length, payload, masked CRC-32C of the payload, numbers in
//! little-endian order. A payload is an `Event` in the wire format of Protocol Buffers (tensorflow/core/util/event.proto):
//! `wall_time` (1, double), `step` (2), `file_version` (3), `summary` (5), which holds `value`s (1) of `tag` (1) and
//! `simple_value` (2, float).

use super::lm_eval::{cell_name, slug, tasks};
use crate::record::{CellRecord, Role};
use crate::store::LoadedRun;
use std::path::PathBuf;

/// `<study>__<scheme>__<stage>__s<seed>/events.out.tfevents.<seconds>.farspan` for every cell with a result.
pub(super) fn files(run: &LoadedRun) -> Vec<(PathBuf, Vec<u8>)> {
    let begun = run.plan.created.parse::<jiff::Timestamp>();
    let seconds = begun.map_or(0, jiff::Timestamp::as_second);
    let of = |record: &CellRecord| {
        let name = format!("events.out.tfevents.{seconds}.farspan");
        let path = PathBuf::from(slug(&cell_name(record))).join(name);
        (path, events(record, seconds as f64))
    };
    run.results().map(|(_, record)| of(record)).collect()
}

/// All numbers of a cell. Their time is that of the run: results know no other.
fn events(record: &CellRecord, time: f64) -> Vec<u8> {
    let mut file = Vec::new();
    let mut first = double(1, time);
    first.extend(bytes(3, b"brain.Event:2"));
    file.extend(framed(&first));
    let mut scalar = |tag: &str, step: u64, value: f64| {
        let value = [bytes(1, tag.as_bytes()), float(2, value as f32)].concat();
        let summary = bytes(5, &bytes(1, &value));
        file.extend(framed(
            &[double(1, time), varint(2, step), summary].concat(),
        ));
    };
    for (tag, curve) in [
        ("loss/training", &record.train.curve),
        ("loss/validation", &record.train.validation),
    ] {
        for &(step, loss) in curve {
            scalar(tag, step, loss);
        }
    }
    let by_length = record.measures.iter().filter(|m| m.role == Role::ByLength);
    for task in by_length.flat_map(tasks) {
        for metric in &task.metrics {
            scalar(
                &format!("{}_by_length/{}", task.of, metric.0),
                task.length as u64,
                metric.1,
            );
        }
    }
    file
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let check = |bytes: &[u8]| masked(crc(bytes)).to_le_bytes();
    [&length[..], &check(&length), payload, &check(payload)].concat()
}

/// CRC-32C (Castagnoli).
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// As records keep it, so that the check of a file that holds checks is none of its own.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn plain(mut x: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while x >= 0x80 {
        out.push((x as u8) | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
    out
}

/// A field's number with the type of what follows.
fn key(field: u64, wire: u64) -> Vec<u8> {
    plain(field << 3 | wire)
}

fn varint(field: u64, x: u64) -> Vec<u8> {
    [key(field, 0), plain(x)].concat()
}

fn double(field: u64, x: f64) -> Vec<u8> {
    [key(field, 1), x.to_le_bytes().to_vec()].concat()
}

fn bytes(field: u64, x: &[u8]) -> Vec<u8> {
    [key(field, 2), plain(x.len() as u64), x.to_vec()].concat()
}

fn float(field: u64, x: f32) -> Vec<u8> {
    [key(field, 5), x.to_le_bytes().to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_those_of_the_standard() {
        // The check value of CRC-32C, and RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc(b"123456789"), 0xe306_9283);
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_record_is_what_tensorboard_writes() {
        // `SummaryWriter.add_scalar("a", 1.5, 300, walltime=2.0)` of tensorboard; checked with its own reader in the
        // acceptance tests, where it is there.
        let value = [bytes(1, b"a"), float(2, 1.5)].concat();
        let event = [double(1, 2.0), varint(2, 300), bytes(5, &bytes(1, &value))].concat();
        let expected = [
            &[
                0x09, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 0xac, 0x02, 0x2a, 0x0a, 0x0a, 0x08,
            ][..],
            &[0x0a, 0x01, b'a', 0x15, 0, 0, 0xc0, 0x3f],
        ]
        .concat();
        assert_eq!(event, expected);
        let record = framed(&event);
        assert_eq!(record.len(), 8 + 4 + event.len() + 4);
        assert_eq!(record[..8], 24_u64.to_le_bytes());
    }
}
