//! Standard output and standard error, and what is known about the screen behind them.

use std::io::{self, BufWriter, IsTerminal, Write};

use crate::failure::Failure;

/// Columns that a screen needs per column of a table before lines are wrapped inside columns: below this, wrapped cells are
/// harder to read than long lines.
const CHARACTERS_PER_COLUMN_MIN: usize = 10;

/// Where results, notices and errors go.
pub(crate) struct Console {
    out: BufWriter<Box<dyn Write + Send>>,
    /// Whether results appear on a terminal.
    pub(crate) out_is_terminal: bool,
    /// Whether notices and progress appear on a terminal.
    pub(crate) err_is_terminal: bool,
}

impl Console {
    /// The process's own.
    pub(crate) fn stdio() -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 16, Box::new(io::stdout())),
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Where results are written; buffered until [`Console::flush`].
    pub(crate) fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Makes what was written visible.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// A sentence beside the results, after those that came before it.
    pub(crate) fn notice(&mut self, sentence: &str) -> io::Result<()> {
        self.flush()?;
        // Nobody reading standard error is no reason to stop.
        let _ = writeln!(io::stderr(), "NOTICE: {sentence}");
        Ok(())
    }

    /// A failure that does not end the program.
    pub(crate) fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        self.flush()?;
        let _ = writeln!(io::stderr(), "{}", failure.line());
        Ok(())
    }

    /// The width in which a table of `columns` columns should fit, if it should be fitted at all.
    pub(crate) fn table_width(&self, columns: usize) -> Option<u16> {
        if !self.out_is_terminal {
            return None;
        }
        let width = comfy_table::Table::new().width()?;
        (usize::from(width) >= columns.saturating_mul(CHARACTERS_PER_COLUMN_MIN)).then_some(width)
    }
}
