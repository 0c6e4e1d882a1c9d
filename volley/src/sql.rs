//! `volley sql`: statements one by one, each committed and its output flushed before the next begins.

use std::fs::File;
use std::io::Read;

use crate::arguments::Source;
use crate::console::Console;
use crate::failure::Failure;
use crate::run::Runner;
use crate::statements::StatementBuffer;

/// Bytes read at once: what a pipe holds.
const BLOCK: usize = 1 << 16;

/// A script to run.
pub(crate) struct Script {
    /// Its name for messages; `None` for `-c`, where every line is in sight.
    name: Option<String>,
    text: Box<dyn Read>,
}

impl Script {
    /// Opens what `-c` or `-f` names. Done before any data is touched, so that a missing file changes nothing.
    pub(crate) fn open(source: &Source) -> Result<Self, Failure> {
        if let Some(sql) = &source.command {
            return Ok(Script { name: None, text: Box::new(std::io::Cursor::new(sql.clone().into_bytes())) });
        }
        let Some(path) = source.file.as_deref().filter(|path| *path != std::path::Path::new("-")) else {
            return Ok(Script { name: Some("standard input".to_owned()), text: Box::new(std::io::stdin()) });
        };
        Self::file(path)
    }

    /// Opens a file.
    pub(crate) fn file(path: &std::path::Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let unreadable = |source| Failure::Read { path: name.clone(), source };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(unreadable(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        Ok(Script { name: Some(name), text: Box::new(file) })
    }

    /// Runs every statement as it becomes complete; the first failure stops.
    pub(crate) async fn run(mut self, runner: &Runner, console: &mut Console) -> Result<(), Failure> {
        let mut buffer = StatementBuffer::default();
        let mut block = vec![0; BLOCK];
        loop {
            let length = match self.text.read(&mut block) {
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(Failure::Read { path: self.name.unwrap_or_default(), source });
                }
            };
            buffer.push(&block[..length]);
            let ended = length == 0;
            while let Some(statement) = if ended { buffer.next_at_end() } else { buffer.next_complete() } {
                let statement = statement.map_err(|error| self.without_line(error))?;
                let done = runner.run(&statement.sql, console).await;
                done.map_err(|failure| self.at_line(statement.line, failure))?;
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Says where in the script a failure happened.
    fn at_line(&self, line: u64, failure: Failure) -> Failure {
        match &self.name {
            Some(script) if !failure.nobody_reads() => {
                Failure::InScript { source: Box::new(failure), line, script: script.clone() }
            }
            _ => failure,
        }
    }

    /// The same for a failure that names its line.
    fn without_line(&self, error: crate::statements::NotText) -> Failure {
        match &self.name {
            Some(script) => {
                Failure::Refused { kind: volley::ErrorKind::InvalidText, sentence: format!("{error} in {script}") }
            }
            None => error.into(),
        }
    }
}
