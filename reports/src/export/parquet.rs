//! The rows as Parquet, column by column, for DuckDB, polars and pandas.

use super::ExportError;
use super::rows::{Item, Kind, all, columns};
use crate::store::LoadedRun;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

pub(super) fn write(run: &LoadedRun) -> Result<Vec<u8>, ExportError> {
    encode(run).map_err(|e| ExportError::Encode {
        format: "parquet",
        what: e.to_string(),
    })
}

fn encode(run: &LoadedRun) -> Result<Vec<u8>, ParquetError> {
    let columns = columns(run);
    let fields: String = columns
        .iter()
        .map(|(name, kind, _)| match kind {
            Kind::Text => format!("optional binary {name} (UTF8); "),
            Kind::Int => format!("optional int64 {name}; "),
            Kind::Real => format!("optional double {name}; "),
        })
        .collect();
    let schema = Arc::new(parse_message_type(&format!(
        "message results {{ {fields} }}"
    ))?);
    let about = |key: &str, value: &str| KeyValue::new(key.to_string(), value.to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(format!("farspan {}", run.plan.version))
        .set_key_value_metadata(Some(vec![
            about("farspan.run", &run.plan.name),
            about("farspan.config_hash", &run.plan.config_hash),
            about(
                "farspan.derived",
                "rebuilt from the run folder; the run folder is the original",
            ),
        ]))
        .build();
    let rows: Vec<_> = all(run).collect();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (_, kind, field) in &columns {
        let items = rows
            .iter()
            .map(|(cell, row)| field(run, cell, row))
            .collect();
        if let Some(column) = group.next_column()? {
            fill(column, *kind, items)?;
        }
    }
    group.close()?;
    writer.into_inner()
}

/// Writes one column; an empty item is a null.
fn fill(
    mut column: SerializedColumnWriter<'_>,
    kind: Kind,
    items: Vec<Item>,
) -> Result<(), ParquetError> {
    let defined: Vec<i16> = items
        .iter()
        .map(|x| i16::from(*x != Item::Nothing))
        .collect();
    let levels = Some(defined.as_slice());
    let items = items.into_iter();
    match column.untyped() {
        ColumnWriter::ByteArrayColumnWriter(w) => {
            let values: Vec<ByteArray> = items
                .filter_map(|x| {
                    if let Item::Text(x) = x {
                        Some(ByteArray::from(x.into_bytes()))
                    } else {
                        None
                    }
                })
                .collect();
            w.write_batch(&values, levels, None)?
        }
        ColumnWriter::Int64ColumnWriter(w) => {
            let values: Vec<i64> = items
                .filter_map(|x| if let Item::Int(x) = x { Some(x) } else { None })
                .collect();
            w.write_batch(&values, levels, None)?
        }
        ColumnWriter::DoubleColumnWriter(w) => {
            let values: Vec<f64> = items
                .filter_map(|x| if let Item::Real(x) = x { Some(x) } else { None })
                .collect();
            w.write_batch(&values, levels, None)?
        }
        _ => {
            return Err(ParquetError::General(format!(
                "no column writer for {kind:?}"
            )));
        }
    };
    column.close()
}
