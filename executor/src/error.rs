//! Errors of types, functions and plan nodes.

use datafusion::common::DataFusionError;
use volley_storage::ErrorKind;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while values are converted and plan nodes run. Each message is one clear sentence.
///
/// The enum travels through DataFusion as [`DataFusionError::External`], so its kind survives to the client:
/// [`Error::find`] gets it back out of whatever DataFusion wrapped around it.
///
/// Fields are named for what they are in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    /// Two vectors that should be compared or combined have different lengths.
    #[error("different vector dimensions {left} and {right}")]
    DimensionMismatch { left: usize, right: usize },
    /// A vector has another dimension than its type asks for.
    #[error("expected {expected} dimensions, not {actual}")]
    WrongDimension { expected: usize, actual: usize },
    /// A vector with no elements at all.
    #[error("a vector must have at least 1 dimension")]
    NoDimensions,
    /// A vector longer than the program allows.
    #[error("a vector cannot have more than {max} dimensions, this one has {actual}")]
    TooManyDimensions { actual: usize, max: usize },
    /// Text that is not a vector.
    #[error("invalid input for type vector: {detail}")]
    VectorText { detail: String },
    /// NaN or infinity where a vector element is needed.
    #[error("{value} is not allowed in a vector (element {position})")]
    NotFinite { value: f64, position: usize },
    /// A finite number that no 32-bit float can hold.
    #[error("{value} is out of range for a vector element (element {position})")]
    ElementOutOfRange { value: String, position: usize },
    /// NULL inside an array that should become a vector.
    #[error("NULL is not allowed in a vector (element {position})")]
    NullElement { position: usize },
    /// An argument whose value the function refuses.
    #[error("{detail}")]
    InvalidArgument { detail: String },
    /// An argument whose type the function cannot take.
    #[error("{detail}")]
    ArgumentType { detail: String },
    /// A function called with the wrong number or types of arguments.
    #[error("{detail}")]
    Signature { detail: String },
    /// Storage refused or failed.
    #[error(transparent)]
    Storage(#[from] volley_storage::Error),
    /// An index whose file is sound but no index of the segment.
    #[error("the index {path} cannot be used: {detail}; REINDEX builds it anew")]
    UnusableIndex { path: String, detail: String },
    /// An index that memory was refused for.
    #[error(
        "building the index takes {bytes} bytes of memory, which were refused; free memory, or build on another machine"
    )]
    BuildMemory { bytes: u64 },
    /// The query was stopped while it was at work.
    #[error("the query was cancelled")]
    Cancelled,
    /// A search was not done in time.
    #[error("the query's deadline passed")]
    DeadlineExceeded,
    /// A fault of Volley itself.
    #[error("internal error in executor: {detail}")]
    Internal { detail: String },
}

impl Error {
    /// The kind this error belongs to: SQLSTATE, gRPC code and whether a retry can help.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::DimensionMismatch { .. }
            | Error::WrongDimension { .. }
            | Error::NotFinite { .. }
            | Error::NullElement { .. }
            | Error::InvalidArgument { .. } => ErrorKind::InvalidValue,
            Error::NoDimensions | Error::TooManyDimensions { .. } => ErrorKind::LimitExceeded,
            Error::VectorText { .. } => ErrorKind::InvalidText,
            Error::ElementOutOfRange { .. } => ErrorKind::OutOfRange,
            Error::Signature { .. } => ErrorKind::UndefinedFunction,
            Error::ArgumentType { .. } => ErrorKind::DatatypeMismatch,
            Error::Storage(source) => source.kind(),
            Error::UnusableIndex { .. } => ErrorKind::Corrupted,
            Error::BuildMemory { .. } => ErrorKind::OutOfMemory,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::DeadlineExceeded => ErrorKind::DeadlineExceeded,
            Error::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// This crate's error inside a DataFusion error, however deep DataFusion buried it.
    pub fn find(error: &DataFusionError) -> Option<&Error> {
        match error {
            DataFusionError::External(source) => source
                .downcast_ref::<Error>()
                .or_else(|| source.downcast_ref::<DataFusionError>().and_then(Error::find)),
            DataFusionError::ArrowError(source, _) => match source.as_ref() {
                datafusion::arrow::error::ArrowError::ExternalError(inner) => inner
                    .downcast_ref::<Error>()
                    .or_else(|| inner.downcast_ref::<DataFusionError>().and_then(Error::find)),
                _ => None,
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Error::find(inner),
            DataFusionError::Shared(inner) => Error::find(inner),
            DataFusionError::Collection(all) => all.iter().find_map(Error::find),
            _ => None,
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> DataFusionError {
        DataFusionError::External(Box::new(error))
    }
}
