//! CSV as RFC 4180 has it: a header, `"` quotes where needed. NULL is an empty field, the empty text `""`, so that both
//! survive a round trip; vectors are pgvector's text, other nested values JSON.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::OutputError;
use super::cells::{self, Nested};

/// Writes one result set as CSV.
pub(crate) struct CsvWriter {
    schema: SchemaRef,
    header_written: bool,
}

impl CsvWriter {
    /// A result set with these columns.
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, header_written: false }
    }

    /// Writes rows.
    pub(super) fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), OutputError> {
        self.header(out)?;
        let options = cells::json_options();
        let mut columns = cells::all(batch, Nested::Json, usize::MAX, &options)?;
        let (mut line, mut value) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            line.clear();
            for (index, column) in columns.iter_mut().enumerate() {
                if index > 0 {
                    line.push(',');
                }
                value.clear();
                if column.write(row, &mut value)? {
                    push_field(&value, &mut line);
                }
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    /// Ends the result set; without rows the header stands alone.
    pub(super) fn end(mut self, out: &mut dyn Write) -> Result<(), OutputError> {
        self.header(out)
    }

    fn header(&mut self, out: &mut dyn Write) -> Result<(), OutputError> {
        if self.header_written {
            return Ok(());
        }
        self.header_written = true;
        let mut line = String::new();
        for (index, field) in self.schema.fields().iter().enumerate() {
            if index > 0 {
                line.push(',');
            }
            push_field(field.name(), &mut line);
        }
        line.push('\n');
        Ok(out.write_all(line.as_bytes())?)
    }
}

fn push_field(value: &str, line: &mut String) {
    // A quoted empty field is the empty text: an unquoted one is NULL.
    let plain = !value.is_empty()
        && !value.contains(['"', ',', '\n', '\r'])
        && !value.starts_with(' ')
        && !value.ends_with(' ');
    if plain {
        line.push_str(value);
        return;
    }
    line.push('"');
    for character in value.chars() {
        if character == '"' {
            line.push('"');
        }
        line.push(character);
    }
    line.push('"');
}
