//! What makes the program stop, and how it says so: one line on standard error and an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use volley::ErrorKind;

use crate::output::OutputError;
use crate::statements::NotText;

/// Exit code of everything that is refused or fails. (The command line itself exits with 2 where it is malformed.)
const FAILED: u8 = 1;
/// Exit code when whoever read the output went away: that of a program which SIGPIPE ends.
const NOBODY_READS: u8 = 128 + 13;

/// Why the program stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A statement failed.
    #[error(transparent)]
    Statement(#[from] volley::Error),
    /// The same, in a script.
    #[error("{source} (line {line} of {script})")]
    InScript {
        /// What happened.
        source: Box<Failure>,
        /// The line on which the statement begins.
        line: u64,
        /// The script's name.
        script: String,
    },
    /// A server refused a statement, or cannot be reached.
    #[error("{sentence}")]
    Remote {
        /// What the server says it is.
        sqlstate: String,
        /// The whole message.
        sentence: String,
    },
    /// The configuration of a server is refused.
    #[error(transparent)]
    Config(#[from] volley_server::config::ConfigError),
    /// The certificates of a server are refused.
    #[error(transparent)]
    Tls(#[from] volley_server::tls::TlsError),
    /// A server cannot start.
    #[error(transparent)]
    Server(#[from] volley_server::ServerError),
    /// The result could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A script is not text.
    #[error(transparent)]
    NotText(#[from] NotText),
    /// A script could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file, or `standard input`.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The terminal failed.
    #[error("the terminal failed: {0}")]
    Terminal(#[from] rustyline::error::ReadlineError),
    /// What was asked for cannot be done.
    #[error("{sentence}")]
    Refused {
        /// What sort of refusal.
        kind: ErrorKind,
        /// The whole message.
        sentence: String,
    },
    /// It has been said already; only the exit code is left.
    #[error("something failed")]
    Reported,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(OutputError::Io(error))
    }
}

impl Failure {
    /// The failure's SQLSTATE.
    pub(crate) fn sqlstate(&self) -> &str {
        match self {
            Failure::Remote { sqlstate, .. } => sqlstate,
            Failure::InScript { source, .. } => source.sqlstate(),
            _ => self.kind().sqlstate(),
        }
    }

    /// What sort of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Failure::Statement(error) => error.kind(),
            // A server may know kinds that this program does not.
            Failure::Remote { sqlstate, .. } => {
                let known = ErrorKind::ALL.iter().find(|kind| kind.sqlstate() == sqlstate);
                known.copied().unwrap_or(ErrorKind::Io)
            }
            Failure::Config(error) => error.kind(),
            Failure::Tls(error) => error.kind(),
            Failure::Server(error) => error.kind(),
            Failure::InScript { source, .. } => source.kind(),
            Failure::Output(_) | Failure::Terminal(_) => ErrorKind::Io,
            Failure::NotText(_) => ErrorKind::InvalidText,
            Failure::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::UndefinedFile,
            Failure::Read { .. } => ErrorKind::Io,
            Failure::Refused { kind, .. } => *kind,
            Failure::Reported => ErrorKind::InvalidState,
        }
    }

    /// Whether the reader of the output went away, which is no fault.
    pub(crate) fn nobody_reads(&self) -> bool {
        match self {
            Failure::Output(OutputError::Io(error)) => error.kind() == io::ErrorKind::BrokenPipe,
            Failure::InScript { source, .. } => source.nobody_reads(),
            _ => false,
        }
    }

    /// The failure as one line: `ERROR 42P01: table "x" does not exist`.
    pub(crate) fn line(&self) -> String {
        let message = self.to_string();
        let words: Vec<&str> = message.split_whitespace().collect();
        // Text of one line stays as it is, spaces included; only line breaks are folded.
        let message = if message.contains(['\n', '\r']) { words.join(" ") } else { message };
        format!("ERROR {}: {message}", self.sqlstate())
    }

    /// Says what happened on standard error and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if self.nobody_reads() {
            return ExitCode::from(NOBODY_READS);
        }
        if !matches!(self, Failure::Reported) {
            // Standard error may be closed too; then there is nobody to tell.
            let _ = writeln!(io::stderr(), "{}", self.line());
        }
        ExitCode::from(FAILED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::Refused { kind: ErrorKind::UndefinedTable, sentence: "no\n  such table".to_owned() };
        assert_eq!(failure.line(), "ERROR 42P01: no such table");
        let failure = Failure::InScript { source: Box::new(failure), line: 7, script: "load.sql".to_owned() };
        assert_eq!(failure.line(), "ERROR 42P01: no such table (line 7 of load.sql)");
    }

    #[test]
    fn a_closed_pipe_is_no_fault() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(Failure::InScript { source: Box::new(closed), line: 1, script: "x".to_owned() }.nobody_reads());
        assert!(!Failure::from(io::Error::from(io::ErrorKind::StorageFull)).nobody_reads());
    }
}
