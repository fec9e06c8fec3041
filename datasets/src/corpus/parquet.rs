//! Parquet: one document per row, the text in one string column.

use super::{Flow, Gather};
use crate::error::DataError;
use crate::foreign;
use parquet::basic::{LogicalType, Type};
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use std::path::{Path, PathBuf};

/// Rows that are decoded at a time.
const ROWS: usize = 256;
/// Largest decompressed size of the column in one row group, bytes, by the file's own account.
const MAX_GROUP: u64 = 1 << 30;

/// Reads the column of every file.
pub(super) fn read(paths: &[PathBuf], column: &str, gather: &mut Gather) -> Result<(), DataError> {
    for path in paths {
        // The reader can panic on hostile files; what was gathered until then goes with the error.
        let flow = foreign::guarded(|| read_file(path, column, gather))
            .map_err(|found| broken(path, found))??;
        if flow == Flow::Full {
            break;
        }
    }
    Ok(())
}

/// Takes the text of one row; none is a null.
fn push(
    path: &Path,
    number: u64,
    row: Option<&[u8]>,
    gather: &mut Gather,
) -> Result<Flow, DataError> {
    let Some(bytes) = row else {
        return Ok(gather.missing());
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => gather.push(
            path,
            format!("{} row {number}", path.display()),
            text.into(),
        ),
        Err(e) => {
            gather.bad(DataError::Record {
                path: path.into(),
                unit: "row",
                number,
                expected: "UTF-8".into(),
                found: format!("an invalid byte at offset {} of the text", e.valid_up_to()),
            })?;
            Ok(Flow::More)
        }
    }
}

/// Reads the column of one file, row by row: a dictionary lets a small file hold one long text very often.
fn read_file(path: &Path, column: &str, gather: &mut Gather) -> Result<Flow, DataError> {
    let wrong = |e: ParquetError| broken(path, e.to_string());
    let (file, _) = foreign::open(path)?;
    let reader = SerializedFileReader::new(file).map_err(wrong)?;
    let meta = reader.metadata();
    let leaf = find_column(path, meta.file_metadata().schema_descr(), column)?;
    let mut number = 0;
    for index in 0..reader.num_row_groups() {
        let in_group = |e: ParquetError| broken(path, format!("row group {index}: {e}"));
        let size = meta.row_group(index).column(leaf).uncompressed_size();
        if size < 0 || size as u64 > MAX_GROUP {
            return Err(DataError::TooLarge {
                path: path.into(),
                what: "text in one row group",
                limit: MAX_GROUP,
                hint: "write the file with smaller row groups",
            });
        }
        let group = reader.get_row_group(index).map_err(in_group)?;
        let ColumnReader::ByteArrayColumnReader(mut cells) =
            group.get_column_reader(leaf).map_err(in_group)?
        else {
            return Err(broken(
                path,
                format!("row group {index}: no byte-array column"),
            ));
        };
        let is_nullable = meta
            .file_metadata()
            .schema_descr()
            .column(leaf)
            .max_def_level()
            > 0;
        loop {
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let wanted = is_nullable.then_some(&mut levels);
            let (records, _, _) = cells
                .read_records(ROWS, wanted, None, &mut values)
                .map_err(in_group)?;
            if records == 0 {
                break;
            }
            let mut values = values.iter();
            for row in 0..records {
                let is_null = levels.get(row).is_some_and(|level| *level == 0);
                let value = if is_null { None } else { values.next() };
                number += 1;
                if push(path, number, value.map(ByteArray::data), gather)? == Flow::Full {
                    return Ok(Flow::Full);
                }
            }
        }
    }
    Ok(Flow::More)
}

/// Index of the leaf that is the string column at the top level of the schema.
fn find_column(path: &Path, schema: &SchemaDescriptor, column: &str) -> Result<usize, DataError> {
    let columns = schema.columns();
    let Some(leaf) = columns.iter().position(|c| c.path().parts() == [column]) else {
        return Err(DataError::Column {
            path: path.into(),
            place: "schema".into(),
            column: column.into(),
            columns: columns.iter().map(|c| c.path().string()).collect(),
        });
    };
    if !is_text(&columns[leaf]) {
        return Err(DataError::File {
            path: path.into(),
            expected: format!("strings in column \"{column}\" (data.column)"),
            found: format!("{}", columns[leaf].physical_type()),
        });
    }
    Ok(leaf)
}

/// A flat column of byte arrays that are strings, or are not said to be anything else.
fn is_text(column: &ColumnDescriptor) -> bool {
    column.physical_type() == Type::BYTE_ARRAY
        && column.max_rep_level() == 0
        && column.max_def_level() <= 1
        && matches!(column.logical_type_ref(), None | Some(LogicalType::String))
}

fn broken(path: &Path, found: String) -> DataError {
    DataError::File {
        path: path.into(),
        expected: "a Parquet file".into(),
        found,
    }
}
