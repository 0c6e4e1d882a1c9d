//! Errors of running statements.

use datafusion::common::DataFusionError;
use volley_storage::ErrorKind;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a client sees when a statement fails: one sentence ([`std::fmt::Display`]) and one [`ErrorKind`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The statement is wrong, or its execution failed with an error the planner can put into words.
    #[error(transparent)]
    Planner(#[from] volley_planner::error::Error),
    /// Bytes at rest are missing, wrong or not writable.
    #[error(transparent)]
    Storage(#[from] volley_storage::Error),
    /// The caller cancelled the query.
    #[error("the query was cancelled")]
    Cancelled,
    /// The query ran longer than it may.
    #[error("the query passed its deadline; raise volley.statement_timeout or ask for less")]
    DeadlineExceeded,
    /// The engine cannot start.
    #[error("cannot start the engine: {detail}")]
    Start {
        /// Why.
        detail: String,
    },
    /// A prepared statement's name is unknown.
    #[error("prepared statement \"{name}\" does not exist; PREPARE it first")]
    UndefinedPrepared {
        /// The name.
        name: String,
    },
    /// A prepared statement's name is taken.
    #[error("prepared statement \"{name}\" exists already; DEALLOCATE it first")]
    DuplicatePrepared {
        /// The name.
        name: String,
    },
    /// A statement was given the wrong number of parameters.
    #[error("the statement takes {expected} parameters but {given} were given")]
    ParameterCount {
        /// Parameters the statement has.
        expected: usize,
        /// Parameters that came with it.
        given: usize,
    },
    /// More than one statement where one is wanted.
    #[error("one statement at a time: the text holds {count}")]
    StatementCount {
        /// Statements in the text.
        count: usize,
    },
    /// Rows that a client streams are not what Arrow's format says.
    #[error("the rows cannot be decoded: {detail}")]
    UndecodableRows {
        /// What is wrong with them.
        detail: String,
    },
    /// A path that the statement may not touch.
    #[error("{path} lies inside the data directory; choose a place outside it")]
    InsideDataDirectory {
        /// The path.
        path: String,
    },
    /// Name and password are not those of a user; which of the two is wrong is not said.
    #[error("the user's name or the password is wrong; check both")]
    WrongPassword,
    /// The queue of those who log in is full.
    #[error("too many clients log in at the same time; try again in a few seconds")]
    TooManyLogins,
    /// A node of the cluster met this error.
    #[error("{sentence}")]
    Remote {
        /// The kind of error that it was there.
        kind: ErrorKind,
        /// What it said there.
        sentence: String,
    },
    /// A node of the cluster cannot be reached or broke off, and no other could take its place.
    #[error("executor {node} did not answer and no other could take its place: {detail}; try again in a moment")]
    NodeFailed {
        /// Its name.
        node: String,
        /// What happened.
        detail: String,
    },
    /// An internal port cannot be opened.
    #[error("cannot listen on {address}: {detail}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        detail: String,
    },
    /// The certificates of calls between nodes cannot be used.
    #[error("the cluster_tls files cannot be used for {address}: {detail}")]
    NodeTls {
        /// The port or the node that they should be used for.
        address: String,
        /// Why not.
        detail: String,
    },
    /// What should be a node's address is none.
    #[error("\"{address}\" is no address of a node: {detail}; write host:port")]
    BadNodeAddress {
        /// The text.
        address: String,
        /// Why.
        detail: String,
    },
    /// A fault of Volley itself.
    #[error("internal error: {detail}")]
    Internal {
        /// What happened.
        detail: String,
    },
}

impl Error {
    /// The kind this error belongs to: SQLSTATE, gRPC code and whether a retry can help.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Planner(source) => source.kind(),
            Error::Storage(source) => source.kind(),
            Error::Cancelled => ErrorKind::Cancelled,
            Error::DeadlineExceeded => ErrorKind::DeadlineExceeded,
            Error::Start { .. } => ErrorKind::Io,
            Error::UndefinedPrepared { .. } => ErrorKind::UndefinedObject,
            Error::DuplicatePrepared { .. } => ErrorKind::DuplicateObject,
            Error::ParameterCount { .. } => ErrorKind::InvalidStatement,
            Error::StatementCount { .. } => ErrorKind::Syntax,
            Error::UndecodableRows { .. } => ErrorKind::BadCopyFile,
            Error::InsideDataDirectory { .. } => ErrorKind::PermissionDenied,
            Error::WrongPassword => ErrorKind::InvalidPassword,
            Error::TooManyLogins => ErrorKind::TooManyLogins,
            Error::Remote { kind, .. } => *kind,
            Error::NodeFailed { .. } | Error::Listen { .. } => ErrorKind::Io,
            Error::BadNodeAddress { .. } | Error::NodeTls { .. } => ErrorKind::InvalidValue,
            Error::Internal { .. } => ErrorKind::Internal,
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        // Our own errors travel through DataFusion's streams as external ones.
        match error {
            DataFusionError::External(source) => match source.downcast::<Error>() {
                Ok(error) => *error,
                Err(source) => volley_planner::error::Error::from(DataFusionError::External(source)).into(),
            },
            other => volley_planner::error::Error::from(other).into(),
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<volley_executor::error::Error> for Error {
    fn from(error: volley_executor::error::Error) -> Self {
        Error::from(DataFusionError::from(error))
    }
}
