//! Errors of bytes at rest.

mod kind;

pub use kind::{ErrorKind, GrpcCode};

use crate::ids::{TableId, TxnId, Version};

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with bytes at rest. Each message is one sentence that names the object and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// A file's bytes are not what the log says they are.
    #[error("file {path} is corrupted: {detail}; restore it from a backup or drop the table")]
    Corrupted { path: String, detail: String },
    /// A file was written by a newer version of Volley.
    #[error("{path} was written by a newer Volley ({detail}); open it with that version")]
    NewerFormat { path: String, detail: String },
    /// The table directory has no log.
    #[error("table {table} does not exist in this data directory")]
    NoSuchTable { table: TableId },
    /// A primary key exists already.
    #[error("duplicate key value violates primary key: {key} already exists")]
    UniqueViolation { key: String },
    /// NULL in a NOT NULL column.
    #[error("null value in column \"{column}\" violates its NOT NULL constraint")]
    NotNull { column: String },
    /// The transaction cannot be applied on top of what others committed.
    #[error("table {table} was changed by another writer: {detail}; run the statement again")]
    Conflict { table: TableId, detail: String },
    /// It is not known whether the commit landed.
    #[error(
        "the store did not say whether commit {version} of table {table} landed (transaction {txn}); look whether its rows are there before running it again"
    )]
    CommitUnknown { table: TableId, version: Version, txn: TxnId },
    /// Rows that do not fit the table.
    #[error("{detail}")]
    InvalidRows { kind: ErrorKind, detail: String },
    /// It is not known whether a change of names landed.
    #[error(
        "the store did not say whether change {version} of the catalog landed (transaction {txn}); look whether it is there before running it again"
    )]
    CatalogCommitUnknown { version: Version, txn: TxnId },
    /// A version that time travel cannot reach.
    #[error("version {version} of table {table} does not exist; versions {oldest} to {newest} do")]
    NoSuchVersion { table: TableId, version: Version, oldest: Version, newest: Version },
    /// A place for data that cannot be used.
    #[error("{detail}")]
    Location { kind: ErrorKind, detail: String },
    /// The disk is full.
    #[error("no space left on the device while writing {path}; free some and run the statement again")]
    DiskFull { path: String },
    /// The store failed.
    #[error("cannot {action} {path}: {source}")]
    Store { action: &'static str, path: String, source: object_store::Error },
    /// The file system failed outside the store.
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: String, source: std::io::Error },
    /// Parquet or Arrow refused.
    #[error("cannot {action} {path}: {source}")]
    Parquet { action: &'static str, path: String, source: parquet::errors::ParquetError },
    /// Whoever did the work for this caller met this error: another node, or a call that did it for several.
    #[error("{sentence}")]
    Elsewhere { kind: ErrorKind, sentence: String },
    /// Whoever was writing rows for this process is gone, and the rows with it. Nothing was committed.
    #[error("executor {node} broke off while it wrote rows: {detail}; nothing was changed, run the statement again")]
    WriterLost { node: String, detail: String },
    /// A fault of Volley itself.
    #[error("internal error in storage: {detail}")]
    Internal { detail: String },
}

impl Error {
    /// The kind this error belongs to: SQLSTATE, gRPC code and whether a retry can help.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Corrupted { .. } | Error::Parquet { .. } => ErrorKind::Corrupted,
            Error::NewerFormat { .. } => ErrorKind::NewerFormat,
            Error::NoSuchTable { .. } => ErrorKind::UndefinedTable,
            Error::UniqueViolation { .. } => ErrorKind::UniqueViolation,
            Error::NotNull { .. } => ErrorKind::NotNullViolation,
            Error::Conflict { .. } => ErrorKind::Conflict,
            Error::NoSuchVersion { .. } => ErrorKind::InvalidValue,
            Error::CommitUnknown { .. } | Error::CatalogCommitUnknown { .. } => ErrorKind::CommitUnknown,
            Error::InvalidRows { kind, .. } | Error::Location { kind, .. } | Error::Elsewhere { kind, .. } => *kind,
            Error::WriterLost { .. } => ErrorKind::Io,
            Error::DiskFull { .. } => ErrorKind::DiskFull,
            Error::Store { .. } | Error::Io { .. } => ErrorKind::Io,
            Error::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// The same error for another who waited for the same work.
    pub(crate) fn shared(&self) -> Self {
        match self {
            Error::Corrupted { path, detail } => Error::Corrupted { path: path.clone(), detail: detail.clone() },
            other => Error::Elsewhere { kind: other.kind(), sentence: other.to_string() },
        }
    }

    /// The error of a request to the store; a full disk is told apart wherever the store hid it.
    pub fn store(action: &'static str, path: &object_store::path::Path, source: object_store::Error) -> Self {
        let path = path.to_string();
        if is_disk_full(&source) {
            return Error::DiskFull { path };
        }
        Error::Store { action, path, source }
    }
}

/// Whether an I/O error anywhere in the chain of causes says that no space is left.
pub(crate) fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), StorageFull | QuotaExceeded)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
