//! Writing of Parquet tables, which pandas, DuckDB and clip-retrieval read.

use crate::files::write_atomic;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Writes a table of texts, whole or not at all. Each column has a name and a text for every row.
///
/// # Errors
/// Returns the error of the file system.
pub(super) fn write_parquet(path: &Path, columns: &[(&str, &[String])]) -> io::Result<()> {
    let table = table(columns).map_err(io::Error::other)?;
    write_atomic(path, |out| out.write_all(&table))
}

/// Returns the bytes of a table, without compression and with a dictionary of the texts that occur often.
fn table(columns: &[(&str, &[String])]) -> Result<Vec<u8>, ParquetError> {
    let field = |(name, _): &(&str, _)| {
        let text = Type::primitive_type_builder(name, Physical::BYTE_ARRAY);
        let text = text.with_repetition(Repetition::REQUIRED).with_logical_type(Some(LogicalType::String));
        text.build().map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    let mut bytes = vec![];
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(WriterProperties::builder().build()))?;
    let mut rows = writer.next_row_group()?;
    for (_, texts) in columns {
        let texts: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(text.as_str())).collect();
        let mut column = rows.next_column()?.expect("a column for each field");
        column.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
        column.close()?;
    }
    rows.close()?;
    writer.close()?;
    Ok(bytes)
}
