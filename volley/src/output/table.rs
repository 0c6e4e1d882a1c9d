//! Tables for people, as psql prints them.
//!
//! Widths come from the first rows, which are held back until there are [`BUFFERED_ROWS_MAX`] of them, they take
//! [`BUFFERED_BYTES_MAX`], or the result ends. Later rows follow in blocks of the same widths (a longer value pushes its
//! own line out), so a result of any size needs little memory.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::cells::{self, Nested};
use super::{OutputError, row_count};

/// Rows held back to find the widths, at most.
const BUFFERED_ROWS_MAX: usize = 1_000;
/// Bytes of text held back, at most (about: the row that passes it is still taken).
const BUFFERED_BYTES_MAX: usize = 4 << 20;
/// How many elements of a longer vector are shown where vectors are shortened.
const VECTOR_ELEMENTS_SHOWN: usize = 3;
/// Vectors of up to so many elements are never shortened.
const SHORT_VECTOR: usize = 8;
/// Columns are separated by this many characters: ` | `, and a space at either end.
const PADDING: u16 = 2;

/// How a table looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TableOptions {
    /// One value per line, for rows wider than the screen.
    pub(crate) expanded: bool,
    /// Long vectors are shortened.
    pub(crate) shorten_vectors: bool,
    /// Long lines are wrapped inside their columns to fit so many characters.
    pub(crate) width: Option<u16>,
}

/// Writes one result set as a table.
pub(crate) struct TableWriter {
    names: Vec<String>,
    numeric: Vec<bool>,
    options: TableOptions,
    held: Vec<Vec<String>>,
    held_bytes: usize,
    widths: Option<Vec<u16>>,
    rows: u64,
}

impl TableWriter {
    /// A result set with these columns.
    pub(super) fn new(schema: SchemaRef, options: TableOptions) -> Self {
        let fields = schema.fields();
        Self {
            names: fields.iter().map(|field| printable(field.name())).collect(),
            numeric: fields.iter().map(|field| is_number(field.data_type())).collect(),
            options,
            held: Vec::new(),
            held_bytes: 0,
            widths: None,
            rows: 0,
        }
    }

    /// Whether lines have gone out.
    pub(super) fn has_written(&self) -> bool {
        self.rows > self.held.len() as u64
    }

    /// Takes rows; writes when enough are held.
    pub(super) fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), OutputError> {
        let options = cells::json_options();
        let shorten = self.options.shorten_vectors;
        let mut columns = batch
            .schema_ref()
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| {
                let long = matches!(array.data_type(), DataType::FixedSizeList(_, n) if *n as usize > SHORT_VECTOR);
                let shown = if shorten && long { VECTOR_ELEMENTS_SHOWN } else { usize::MAX };
                cells::Cells::new(field, array, Nested::Display, shown, &options)
            })
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let mut line = Vec::with_capacity(columns.len());
            for column in &mut columns {
                let mut value = String::new();
                if !column.write(row, &mut value)? {
                    value.push_str("NULL");
                }
                // The last line break of a plan or a text shows nothing but an empty line.
                let value = printable(value.strip_suffix('\n').unwrap_or(&value));
                self.held_bytes += value.len();
                line.push(value);
            }
            self.held.push(line);
            self.rows += 1;
            if self.held.len() >= BUFFERED_ROWS_MAX || self.held_bytes >= BUFFERED_BYTES_MAX {
                self.write_held(out)?;
            }
        }
        Ok(())
    }

    /// Writes what is held and the number of rows.
    pub(super) fn end(mut self, out: &mut dyn Write) -> Result<(), OutputError> {
        let never_written = !self.has_written();
        if !self.held.is_empty() || (never_written && !self.options.expanded) {
            self.write_held(out)?;
        }
        Ok(writeln!(out, "{}", row_count(self.rows))?)
    }

    fn write_held(&mut self, out: &mut dyn Write) -> Result<(), OutputError> {
        let rows = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        if self.options.expanded {
            let first = self.rows - rows.len() as u64 + 1;
            return self.write_expanded(first, &rows, out);
        }
        if self.names.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).force_no_tty();
        table.set_style(comfy_table::TableComponent::VerticalLines, '|');
        if self.widths.is_none() {
            table.set_style(comfy_table::TableComponent::HeaderLines, '-');
            table.set_style(comfy_table::TableComponent::MiddleHeaderIntersections, '+');
            table.set_header(self.names.iter().map(|name| Cell::new(name).set_alignment(CellAlignment::Center)));
        }
        match self.options.width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        for row in rows {
            table.add_row(row.into_iter().map(Cell::new_owned));
        }
        self.shape(&mut table);
        self.widths.get_or_insert_with(|| table.column_max_content_widths());
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Aligns numbers to the right and gives later blocks the widths of the first.
    fn shape(&self, table: &mut Table) {
        for (index, numeric) in self.numeric.iter().enumerate() {
            let Some(column) = table.column_mut(index) else { continue };
            column.set_padding((1, 1));
            if *numeric {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if let Some(width) = self.widths.as_ref().and_then(|widths| widths.get(index)) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + PADDING)));
            }
        }
    }

    fn write_expanded(&mut self, first: u64, rows: &[Vec<String>], out: &mut dyn Write) -> Result<(), OutputError> {
        let width = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for (index, row) in rows.iter().enumerate() {
            let title = format!("-[ RECORD {} ]", first + index as u64);
            // The bar meets the column of `|` where the title leaves room.
            let corner = if title.len() <= width + 1 { '+' } else { '-' };
            writeln!(out, "{title:-<0$}{corner}{1:-<20}", width + 1, "")?;
            for (name, value) in self.names.iter().zip(row) {
                // Continued lines stand under the value they continue.
                let value = value.replace('\n', &format!("\n{:width$} | ", ""));
                writeln!(out, "{name:width$} | {value}")?;
            }
        }
        Ok(())
    }
}

/// Whether values stand at the right of their column.
fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_number(value),
        other => other.is_numeric(),
    }
}

/// Text that cannot move the cursor or change colours: data must not write on the terminal.
fn printable(text: &str) -> String {
    let dangerous = |c: char| c.is_control() && c != '\n';
    if !text.contains(dangerous) {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\t' => safe.push_str("    "),
            '\r' => safe.push_str("\\r"),
            c if dangerous(c) => safe.push_str(&format!("\\x{:02X}", c as u32)),
            c => safe.push(c),
        }
    }
    safe
}
