//! Errors as gRPC carries them: one code, one sentence, and in the metadata what programs want to know.

use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use volley_scheduler::{Error, QueryId};
use volley_storage::ErrorKind;
use volley_storage::error::GrpcCode;

use crate::admission::Refused;
use crate::sealed::Unsealing;

/// Metadata: the error's SQLSTATE.
pub(crate) const SQLSTATE: &str = "volley-sqlstate";
/// Metadata: the query that failed, as the server's log knows it.
pub(crate) const QUERY_ID: &str = "volley-query-id";
/// Metadata: how many milliseconds to wait before trying again.
pub(crate) const RETRY_AFTER: &str = "retry-after-ms";

/// The status of a statement that failed.
pub(crate) fn of_error(error: &Error, query: QueryId) -> Status {
    let kind = error.kind();
    let sentence = match kind {
        // Whoever reports a fault needs the line of the log.
        ErrorKind::Internal => format!("{error} (query {query})"),
        _ => error.to_string(),
    };
    let mut status = of_kind(kind, sentence);
    if let Ok(value) = MetadataValue::try_from(query.to_string()) {
        status.metadata_mut().insert(QUERY_ID, value);
    }
    status
}

/// A status of a kind of ours.
pub(crate) fn of_kind(kind: ErrorKind, sentence: impl Into<String>) -> Status {
    let mut status = Status::new(code(kind.grpc_code()), sentence);
    status.metadata_mut().insert(SQLSTATE, MetadataValue::from_static(kind.sqlstate()));
    status
}

fn code(code: GrpcCode) -> Code {
    // The same numbers, those of the specification.
    Code::from(code as i32)
}

/// The status of a statement for which there was no slot.
pub(crate) fn of_refusal(refused: Refused) -> Status {
    let sentence = "the server runs as many statements as it may and its queue is full; try again in a moment";
    let mut status = Status::resource_exhausted(sentence);
    status.metadata_mut().insert(SQLSTATE, MetadataValue::from_static("53300"));
    status.metadata_mut().insert(RETRY_AFTER, milliseconds(refused.retry_after));
    status
}

fn milliseconds(duration: Duration) -> MetadataValue<tonic::metadata::Ascii> {
    MetadataValue::from(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The status of a ticket that is not accepted.
pub(crate) fn of_ticket(unsealing: Unsealing) -> Status {
    match unsealing {
        Unsealing::Forged => Status::permission_denied("the ticket was not made by this server; run the query again"),
        Unsealing::Expired => Status::not_found("the ticket has expired; run the query again"),
    }
}

/// The status of bytes that are not what they should be.
pub(crate) fn malformed(what: &str) -> Status {
    of_kind(ErrorKind::Syntax, format!("{what} cannot be decoded; it is not a message of Flight SQL"))
}

/// The status of an answer that could not be put into Arrow's format.
pub(crate) fn of_arrow(error: &arrow::error::ArrowError) -> Status {
    of_kind(ErrorKind::Internal, format!("internal error: the answer cannot be encoded: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_keeps_its_code() {
        for kind in ErrorKind::ALL {
            let status = of_kind(*kind, "a sentence");
            assert_eq!(status.code() as i32, kind.grpc_code() as i32, "{kind:?}");
            assert_eq!(status.metadata().get(SQLSTATE).unwrap(), kind.sqlstate());
        }
    }
}
