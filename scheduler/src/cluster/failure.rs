//! Errors from node to node: what a client would have been told by the node itself, it is told by the coordinator.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use volley_storage::ErrorKind;

use crate::error::Error;

/// Metadata: the error's kind, by its place in the table.
const KIND_HEADER: &str = "volley-error-kind";

/// Metadata: the error is of the process that asked.
const OWN_HEADER: &str = "volley-own-error";

/// An error as a status that keeps its kind and its sentence.
pub fn status_of(error: &Error) -> Status {
    let kind = error.kind();
    // The numbers are those of gRPC's specification.
    let mut status = Status::new(Code::from(kind.grpc_code() as i32), error.to_string());
    let number = ErrorKind::ALL.iter().position(|known| *known == kind).unwrap_or(ErrorKind::ALL.len());
    status.metadata_mut().insert(KIND_HEADER, MetadataValue::from(number as u64));
    status
}

/// The kind of an error that another node met; `None` where the call itself failed.
fn kind_of(status: &Status) -> Option<ErrorKind> {
    let number = status.metadata().get(KIND_HEADER)?.to_str().ok()?;
    ErrorKind::ALL.get(number.parse::<usize>().ok()?).copied()
}

/// The error of a call to the node of this name.
pub fn error_of(node: &str, status: &Status) -> Error {
    match kind_of(status) {
        Some(kind) => Error::Remote { kind, sentence: status.message().to_owned() },
        None if status.code() == Code::DeadlineExceeded => Error::DeadlineExceeded,
        None => Error::NodeFailed { node: node.to_owned(), detail: status.message().to_owned() },
    }
}

/// Whether another node could do better: a call that did not get through, or a node whose own files, memory or state are at fault. A
/// query that is wrong is as wrong everywhere.
pub fn is_nodes_fault(status: &Status) -> bool {
    if status.metadata().contains_key(OWN_HEADER) {
        return false;
    }
    match kind_of(status) {
        Some(kind) => is_of_node(kind),
        None => status.code() != Code::DeadlineExceeded,
    }
}

/// Whether what went wrong depends on who does the work.
pub(super) fn is_of_node(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Io
            | ErrorKind::Corrupted
            | ErrorKind::NewerFormat
            | ErrorKind::DiskFull
            | ErrorKind::OutOfMemory
            | ErrorKind::Cancelled
            | ErrorKind::Internal
    )
}

/// Whether the work took more memory than the node has: one other may have more, but a query that is too large for two of them is
/// too large.
pub(super) fn is_too_large(status: &Status) -> bool {
    kind_of(status) == Some(ErrorKind::OutOfMemory)
}

/// An error that this process met while it read an answer: its own, whatever other nodes could do.
pub(super) fn own_fault(error: &Error) -> Status {
    let mut status = status_of(error);
    status.metadata_mut().insert(OWN_HEADER, MetadataValue::from_static("1"));
    status
}

/// Whether the call itself failed, so that nobody knows whether the node is there.
pub(super) fn is_unreachable(status: &Status) -> bool {
    kind_of(status).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_as_it_went() {
        for error in [Error::DeadlineExceeded, Error::Cancelled, Error::StatementCount { count: 2 }] {
            let arrived = error_of("e1", &status_of(&error));
            assert_eq!((arrived.kind(), arrived.to_string()), (error.kind(), error.to_string()));
        }
    }

    #[test]
    fn a_call_that_got_lost_is_the_nodes_fault() {
        let lost = Status::unavailable("connection refused");
        assert!(is_nodes_fault(&lost));
        let error = error_of("e1", &lost);
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("e1"), "{error}");
        assert!(!is_nodes_fault(&status_of(&Error::StatementCount { count: 2 })));
    }
}
