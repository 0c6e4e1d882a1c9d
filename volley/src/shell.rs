//! The interactive shell: `volley` without a command.
//!
//! On a terminal, rustyline edits a statement over as many lines as it takes ([`editor`]); otherwise lines are read from
//! standard input as they come. Both hand their text to [`Shell::submit`], which cuts it into statements and backslash
//! commands. The shell itself runs outside the async runtime, because completion asks for names while a line is
//! being edited.

mod command;
mod completion;
mod describe;
mod editor;
mod names;

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::backend::Backend;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::Format;
use crate::run::Runner;
use crate::statements::{NotText, Statement, StatementBuffer};
use command::Command;

/// `\i` inside `\i` inside …: deeper than this is a file that includes itself.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    Quit,
}

/// Runs the shell until the user leaves it.
pub(crate) fn run(backend: &Backend, runtime: &Runtime, console: Console) -> Result<(), Failure> {
    let interactive = std::io::IsTerminal::is_terminal(&std::io::stdin());
    let mut runner = Runner::new(backend.clone(), Format::Table);
    runner.interruptible = interactive;
    let names = {
        // A connection belongs to the runtime in which it is made.
        let _inside = runtime.enter();
        names::Names::new(backend.apart()?, runtime.handle().clone())
    };
    let mut shell = Shell {
        runner,
        runtime,
        console,
        names: Arc::new(names),
        buffer: StatementBuffer::default(),
        depth: 0,
        failed: false,
    };
    if interactive {
        return shell.interact();
    }
    shell.read_lines(&mut std::io::stdin().lock())?;
    match shell.failed {
        true => Err(Failure::Reported),
        false => Ok(()),
    }
}

/// The shell's state.
struct Shell<'a> {
    runner: Runner,
    runtime: &'a Runtime,
    console: Console,
    names: Arc<names::Names>,
    /// Text whose `;` has not come yet.
    buffer: StatementBuffer,
    /// Files that are being read by `\i`.
    depth: usize,
    /// Whether anything failed.
    failed: bool,
}

impl Shell<'_> {
    /// Reads from a terminal.
    fn interact(&mut self) -> Result<(), Failure> {
        let mut editor = editor::Editor::open(Arc::clone(&self.names))?;
        writeln!(self.console.out(), "Volley {}. \\? lists the commands, \\q leaves.", env!("CARGO_PKG_VERSION"))?;
        self.console.flush()?;
        loop {
            let text = match editor.read()? {
                editor::Input::Text(text) => text,
                editor::Input::Cleared => continue,
                editor::Input::End => return Ok(()),
            };
            let next = self.submit(&text)?;
            // The editor hands over whole statements; what is left can only be a comment.
            self.buffer.clear();
            if next == Next::Quit {
                return Ok(());
            }
        }
    }

    /// Reads from something that is no terminal, to its end.
    fn read_lines(&mut self, input: &mut dyn BufRead) -> Result<(), Failure> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input.read_until(b'\n', &mut line);
            let length = read.map_err(|source| Failure::Read { path: "standard input".to_owned(), source })?;
            if length == 0 {
                while let Some(found) = self.buffer.next_at_end() {
                    self.run_found(found)?;
                }
                return Ok(());
            }
            if self.submit_line(&line)? == Next::Quit {
                return Ok(());
            }
        }
    }

    /// Takes text: runs what it completes, line by line.
    fn submit(&mut self, text: &str) -> Result<Next, Failure> {
        for line in text.split_inclusive('\n') {
            if self.submit_line(line.as_bytes())? == Next::Quit {
                return Ok(Next::Quit);
            }
        }
        Ok(Next::Continue)
    }

    fn submit_line(&mut self, line: &[u8]) -> Result<Next, Failure> {
        if self.buffer.is_blank() && line.trim_ascii_start().starts_with(b"\\") {
            let text = String::from_utf8_lossy(line);
            return match command::parse(text.trim()) {
                Ok(command) => self.obey(command),
                Err(sentence) => {
                    self.fail(&Failure::Refused { kind: volley::ErrorKind::Syntax, sentence })?;
                    Ok(Next::Continue)
                }
            };
        }
        self.buffer.push(line);
        while let Some(found) = self.buffer.next_complete() {
            self.run_found(found)?;
        }
        Ok(Next::Continue)
    }

    /// Runs a statement and says whether it succeeded; the shell goes on either way, unless nobody reads any more.
    fn run_found(&mut self, found: Result<Statement, NotText>) -> Result<bool, Failure> {
        let done = match found {
            Ok(statement) => self.runtime.block_on(self.runner.run(&statement.sql, &mut self.console)),
            Err(error) => Err(error.into()),
        };
        self.names.forget();
        match done {
            Ok(()) => Ok(true),
            Err(failure) => self.fail(&failure).map(|()| false),
        }
    }

    fn fail(&mut self, failure: &Failure) -> Result<(), Failure> {
        if failure.nobody_reads() {
            return Err(Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        }
        self.failed = true;
        Ok(self.console.failure(failure)?)
    }

    fn obey(&mut self, command: Command) -> Result<Next, Failure> {
        match command {
            Command::Quit => return Ok(Next::Quit),
            Command::Help => self.console.out().write_all(command::HELP.as_bytes())?,
            Command::Timing(wanted) => {
                self.runner.timing = wanted.unwrap_or(!self.runner.timing);
                let state = if self.runner.timing { "on" } else { "off" };
                writeln!(self.console.out(), "Timing is {state}.")?;
            }
            Command::Expanded(wanted) => {
                self.runner.expanded = wanted.unwrap_or(!self.runner.expanded);
                let state = if self.runner.expanded { "on" } else { "off" };
                writeln!(self.console.out(), "Expanded display is {state}.")?;
            }
            Command::Format(None) => {
                writeln!(self.console.out(), "Results are written as {:?}.", self.runner.format)?;
            }
            Command::Format(Some(format)) => self.runner.format = format,
            Command::List(kind) => {
                self.report(|shell| shell.runtime.block_on(describe::list(kind, &shell.runner, &mut shell.console)))?
            }
            Command::Describe(name) => self
                .report(|shell| shell.runtime.block_on(describe::describe(&name, &shell.runner, &mut shell.console)))?,
            Command::Include(path) => self.report(|shell| shell.include(&path))?,
        }
        self.console.flush()?;
        Ok(Next::Continue)
    }

    /// Does something whose failure does not end the shell.
    fn report(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Failure>) -> Result<(), Failure> {
        work(self).or_else(|failure| self.fail(&failure))
    }

    /// `\i`: runs a file; its first failure ends it.
    fn include(&mut self, path: &Path) -> Result<(), Failure> {
        if self.depth == INCLUDE_DEPTH_MAX {
            let sentence =
                format!("{} is included {INCLUDE_DEPTH_MAX} files deep; does it include itself?", path.display());
            return Err(Failure::Refused { kind: volley::ErrorKind::TooComplex, sentence });
        }
        let script = path.display().to_string();
        let text = std::fs::read(path).map_err(|source| Failure::Read { path: script.clone(), source })?;
        let outer_buffer = std::mem::take(&mut self.buffer);
        let outer_failed = std::mem::replace(&mut self.failed, false);
        self.depth += 1;
        let done = self.include_lines(&text, &script);
        self.depth -= 1;
        self.buffer = outer_buffer;
        self.failed |= outer_failed;
        done
    }

    fn include_lines(&mut self, text: &[u8], script: &str) -> Result<(), Failure> {
        for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let next = self.submit_line(line)?;
            if self.failed {
                writeln!(std::io::stderr(), "Stopped at line {} of {script}.", index + 1).ok();
                return Ok(());
            }
            if next == Next::Quit {
                return Ok(());
            }
        }
        while let Some(found) = self.buffer.next_at_end() {
            if !self.run_found(found)? {
                writeln!(std::io::stderr(), "Stopped at the end of {script}.").ok();
                return Ok(());
            }
        }
        Ok(())
    }
}
