//! Writes result sets: as a table for people, as CSV or JSON for programs.
//!
//! CSV and JSON are written batch by batch and never collected. A table needs widths before its first line, so it holds
//! back some rows ([`table`]) and streams the rest.

mod cells;
mod csv;
mod json;
mod table;

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

pub(crate) use table::TableOptions;

/// The formats of `--format` and `\format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, a row count and command tags
    #[default]
    Table,
    /// A header line and comma-separated values; NULL is empty, the empty text is ""
    Csv,
    /// One array of objects per result set, each on a line of its own
    Json,
}

impl Format {
    /// The format of that name.
    pub(crate) fn named(name: &str) -> Option<Format> {
        <Format as clap::ValueEnum>::from_str(name, true).ok()
    }
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The output is closed or full.
    #[error("cannot write the result: {0}")]
    Io(#[from] io::Error),
    /// A value has no text form.
    #[error("cannot show the result as text: {0}")]
    Value(#[from] ArrowError),
}

/// Writes one result set.
pub(crate) enum ResultWriter {
    /// See [`table::TableWriter`].
    Table(table::TableWriter),
    /// See [`csv::CsvWriter`].
    Csv(csv::CsvWriter),
    /// See [`json::JsonWriter`].
    Json(json::JsonWriter),
}

impl ResultWriter {
    /// Begins a result set with these columns. `table` says how a table should look; the other formats ignore it.
    pub(crate) fn begin(format: Format, schema: SchemaRef, table: TableOptions) -> Self {
        match format {
            Format::Table => ResultWriter::Table(table::TableWriter::new(schema, table)),
            Format::Csv => ResultWriter::Csv(csv::CsvWriter::new(schema)),
            Format::Json => ResultWriter::Json(json::JsonWriter::new(schema)),
        }
    }

    /// Writes rows, or holds them back until widths are known.
    pub(crate) fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), OutputError> {
        match self {
            ResultWriter::Table(writer) => writer.batch(batch, out),
            ResultWriter::Csv(writer) => writer.batch(batch, out),
            ResultWriter::Json(writer) => writer.batch(batch, out),
        }
    }

    /// Ends the result set.
    pub(crate) fn end(self, out: &mut dyn Write) -> Result<(), OutputError> {
        match self {
            ResultWriter::Table(writer) => writer.end(out),
            ResultWriter::Csv(writer) => writer.end(out),
            ResultWriter::Json(writer) => writer.end(out),
        }
    }

    /// Whether lines have gone out, so that a spinner must not stand on the same screen.
    pub(crate) fn has_written(&self) -> bool {
        match self {
            ResultWriter::Table(writer) => writer.has_written(),
            ResultWriter::Csv(_) | ResultWriter::Json(_) => true,
        }
    }
}

/// `(1 row)`, `(1,000 rows)`: how many rows a table had.
pub(crate) fn row_count(rows: u64) -> String {
    match rows {
        1 => "(1 row)".to_owned(),
        n => format!("({} rows)", grouped(n)),
    }
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
