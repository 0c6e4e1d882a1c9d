//! JSON: one array of objects per result set, on one line. NULL is `null`, vectors and lists are arrays, NaN and infinities
//! are `null` because JSON has no word for them.

use std::fmt::Write as _;
use std::io::Write;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};

use super::OutputError;
use super::cells::{self, Cells, Nested};

/// Writes one result set as JSON.
pub(crate) struct JsonWriter {
    /// `"name":` of each column.
    names: Vec<String>,
    rows: u64,
}

impl JsonWriter {
    /// A result set with these columns.
    pub(super) fn new(schema: SchemaRef) -> Self {
        let names = schema.fields().iter().map(|field| format!("{}:", serde_json::Value::from(field.name().as_str())));
        Self { names: names.collect(), rows: 0 }
    }

    /// Writes rows.
    pub(super) fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), OutputError> {
        let options = cells::json_options();
        let schema = batch.schema_ref();
        let mut columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| Column::new(field, array, &options))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let mut bytes = Vec::new();
        for row in 0..batch.num_rows() {
            bytes.clear();
            bytes.push(if self.rows == 0 { b'[' } else { b',' });
            bytes.push(b'{');
            for (index, (name, column)) in self.names.iter().zip(&mut columns).enumerate() {
                if index > 0 {
                    bytes.push(b',');
                }
                bytes.extend_from_slice(name.as_bytes());
                column.write(row, &mut bytes)?;
            }
            bytes.push(b'}');
            out.write_all(&bytes)?;
            self.rows += 1;
        }
        Ok(())
    }

    /// Ends the array.
    pub(super) fn end(self, out: &mut dyn Write) -> Result<(), OutputError> {
        Ok(out.write_all(if self.rows == 0 { b"[]\n" } else { b"]\n" })?)
    }
}

/// The values of one column.
enum Column<'a> {
    /// As arrow writes them.
    Json(Box<NullableEncoder<'a>>, &'a ArrayRef),
    /// As text, for types that arrow does not write.
    Text(Cells<'a>),
}

impl<'a> Column<'a> {
    fn new(field: &'a FieldRef, array: &'a ArrayRef, options: &'a EncoderOptions) -> Result<Self, ArrowError> {
        if cells::has_json_form(array.data_type()) {
            return Ok(Column::Json(Box::new(make_encoder(field, array.as_ref(), options)?), array));
        }
        Ok(Column::Text(Cells::new(field, array, Nested::Display, usize::MAX, options)?))
    }

    fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self {
            Column::Json(encoder, array) => match cells::is_null(array, row) {
                true => out.extend_from_slice(b"null"),
                false => encoder.encode(row, out),
            },
            Column::Text(cells) => {
                let mut text = String::new();
                match cells.write(row, &mut text)? {
                    true => {
                        let mut quoted = String::new();
                        let _ = write!(quoted, "{}", serde_json::Value::from(text));
                        out.extend_from_slice(quoted.as_bytes());
                    }
                    false => out.extend_from_slice(b"null"),
                }
            }
        }
        Ok(())
    }
}
