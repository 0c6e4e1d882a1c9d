//! The planner's errors: one enum, one clear sentence each, one [`ErrorKind`] each.

mod from_datafusion;
mod rules;
mod suggest;
#[cfg(test)]
mod tests;

pub use suggest::suggest;

use datafusion::sql::sqlparser::parser::ParserError;
use volley_storage::ErrorKind;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The sorts of things a statement can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A table or view.
    Table,
    /// A schema.
    Schema,
    /// A column.
    Column,
    /// A function.
    Function,
    /// A setting.
    Setting,
    /// A type.
    Type,
    /// An index.
    Index,
    /// A prepared statement.
    PreparedStatement,
    /// A user.
    User,
}

impl ObjectKind {
    fn word(self) -> &'static str {
        match self {
            ObjectKind::Table => "table",
            ObjectKind::Schema => "schema",
            ObjectKind::Column => "column",
            ObjectKind::Function => "function",
            ObjectKind::Setting => "setting",
            ObjectKind::Type => "type",
            ObjectKind::Index => "index",
            ObjectKind::PreparedStatement => "prepared statement",
            ObjectKind::User => "user",
        }
    }

    fn undefined(self) -> ErrorKind {
        match self {
            ObjectKind::Table => ErrorKind::UndefinedTable,
            ObjectKind::Schema => ErrorKind::UndefinedSchema,
            ObjectKind::Column => ErrorKind::UndefinedColumn,
            ObjectKind::Function => ErrorKind::UndefinedFunction,
            ObjectKind::Setting
            | ObjectKind::Type
            | ObjectKind::Index
            | ObjectKind::PreparedStatement
            | ObjectKind::User => ErrorKind::UndefinedObject,
        }
    }
}

/// What can be wrong with a statement, or with running it. Each message is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant's message says what its fields are")]
pub enum Error {
    /// The text is not SQL that Volley understands. Lines and columns count from 1, columns in characters.
    #[error("syntax error at line {line}, column {column}: {message}")]
    Syntax { message: String, line: u64, column: u64 },
    /// A name that nothing has.
    #[error("{} \"{name}\" does not exist{}", .what.word(), did_you_mean(.nearest))]
    Undefined { what: ObjectKind, name: String, nearest: Option<String> },
    /// A feature that is not built; the sentence says what to do instead.
    #[error("{sentence}")]
    Unsupported { sentence: String },
    /// The statement is too large, too deeply nested or chains too many operators.
    #[error("{sentence}")]
    TooComplex { sentence: String },
    /// Anything else that is wrong with the statement or its data.
    #[error("{sentence}")]
    Invalid { kind: ErrorKind, sentence: String },
    /// An error of the operators that run a plan.
    #[error(transparent)]
    Executor(#[from] volley_executor::Error),
    /// An error of bytes at rest.
    #[error(transparent)]
    Storage(#[from] volley_storage::Error),
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

impl Error {
    /// The kind this error belongs to: SQLSTATE, gRPC code and whether a retry can help.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Syntax { .. } => ErrorKind::Syntax,
            Error::Undefined { what, .. } => what.undefined(),
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::TooComplex { .. } => ErrorKind::TooComplex,
            Error::Invalid { kind, .. } => *kind,
            Error::Executor(error) => error.kind(),
            Error::Storage(error) => error.kind(),
        }
    }

    /// A name that does not exist, with the nearest of the names that do.
    pub fn undefined<S: AsRef<str>>(what: ObjectKind, name: &str, candidates: impl IntoIterator<Item = S>) -> Self {
        Error::Undefined { what, name: rules::shorten(name), nearest: suggest(name, candidates) }
    }

    /// A feature that is not built; `sentence` says so and what to do instead.
    pub fn unsupported(sentence: impl Into<String>) -> Self {
        Error::Unsupported { sentence: sentence.into() }
    }

    /// Something wrong of the given kind; `sentence` is the whole message.
    pub fn invalid(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Error::Invalid { kind, sentence: sentence.into() }
    }

    /// A fault of Volley itself.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        Error::Invalid { kind: ErrorKind::Internal, sentence: format!("internal error in the planner: {detail}") }
    }
}

impl From<ParserError> for Error {
    fn from(error: ParserError) -> Self {
        match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => rules::syntax_error(&text),
            ParserError::RecursionLimitExceeded => Error::TooComplex {
                sentence: "the statement is too deeply nested to be parsed; split it up".to_string(),
            },
        }
    }
}
