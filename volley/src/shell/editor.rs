//! The line editor: multi-line statements, history in the user's home, completion.

use std::path::PathBuf;
use std::sync::Arc;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Helper};
use volley::redacted;

use super::completion;
use super::names::Names;
use crate::failure::Failure;
use crate::statements::StatementBuffer;

const PROMPT: &str = "volley=> ";
const HISTORY_FILE: &str = ".volley_history";
const HISTORY_ENTRIES_MAX: usize = 2_000;
/// Longer entries are pasted data, not something to edit again.
const HISTORY_ENTRY_BYTES_MAX: usize = 1 << 16;

/// What the user entered.
pub(super) enum Input {
    /// Statements or a command.
    Text(String),
    /// Ctrl-C: the line was given up.
    Cleared,
    /// Ctrl-D: the shell is to end.
    End,
}

/// The editor with its history.
pub(super) struct Editor {
    inner: rustyline::Editor<SqlHelper, FileHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    /// Opens the editor. A history that cannot be read is no reason not to start.
    pub(super) fn open(names: Arc<Names>) -> Result<Self, Failure> {
        let config = Config::builder()
            .max_history_size(HISTORY_ENTRIES_MAX)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .auto_add_history(false)
            .build();
        let mut inner = rustyline::Editor::with_config(config)?;
        inner.set_helper(Some(SqlHelper { names, files: FilenameCompleter::new() }));
        let history = std::env::home_dir().map(|home| home.join(HISTORY_FILE));
        if let Some(path) = &history {
            let _ = inner.load_history(path);
        }
        Ok(Self { inner, history })
    }

    /// Reads whole statements or one command.
    pub(super) fn read(&mut self) -> Result<Input, Failure> {
        match self.inner.readline(PROMPT) {
            Ok(text) => {
                self.remember(&text);
                Ok(Input::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Input::Cleared),
            Err(ReadlineError::Eof) => Ok(Input::End),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds to the history at once, so that it survives however the shell ends. rustyline makes the file readable by its
    /// owner only. Passwords are left out all the same.
    fn remember(&mut self, text: &str) {
        let text = redacted(text.trim());
        if text.is_empty() || text.len() > HISTORY_ENTRY_BYTES_MAX {
            return;
        }
        if let (Ok(true), Some(path)) = (self.inner.add_history_entry(&*text), &self.history) {
            let _ = self.inner.append_history(path);
        }
    }
}

/// Whether Enter hands the text over: a command, nothing at all, or statements that have their `;`.
fn is_whole(text: &str) -> bool {
    let first = text.trim_start();
    if first.is_empty() || (first.starts_with('\\') && !first.contains('\n')) {
        return true;
    }
    let mut buffer = StatementBuffer::default();
    for line in text.split_inclusive('\n') {
        if !(buffer.is_blank() && line.trim_start().starts_with('\\')) {
            buffer.push(line.as_bytes());
        }
        while buffer.next_complete().is_some() {}
    }
    // The Enter that asks stands for a line break: it ends a comment that follows the last `;`.
    buffer.push(b"\n");
    buffer.next_complete();
    buffer.is_blank()
}

/// What rustyline asks while a line is edited.
struct SqlHelper {
    names: Arc<Names>,
    files: FilenameCompleter,
}

impl Completer for SqlHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        if line.trim_start().starts_with("\\i ") {
            return self.files.complete(line, pos, context);
        }
        let offer = completion::complete(&line[..pos], || self.names.known());
        let pairs = offer.words.into_iter().map(|word| Pair { display: word.clone(), replacement: word });
        Ok((offer.start, pairs.collect()))
    }
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_whole(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Highlighter for SqlHelper {}

impl Helper for SqlHelper {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_waits_for_the_semicolon() {
        for whole in [
            "",
            "  ",
            "\\q",
            "select 1;",
            "select\n1;",
            "select 1; -- note",
            "select 1;\n\\x\nselect 2;",
            "select ';';",
        ] {
            assert!(is_whole(whole), "{whole:?}");
        }
        for open in ["select 1", "select 1; select 2", "select ';", "select 1 -- ;", "/* ; ", "select $$;"] {
            assert!(!is_whole(open), "{open:?}");
        }
    }
}
