//! A server's errors as this program's: the server's one sentence, or why the server cannot be reached.

use std::error::Error;

use arrow_flight::error::FlightError;
use tonic::{Code, Status};
use volley::ErrorKind;

use super::Address;
use crate::failure::Failure;

/// Metadata in which a server tells the SQLSTATE.
const SQLSTATE: &str = "volley-sqlstate";
/// The SQLSTATE of a connection that cannot be made or is lost.
const CONNECTION_FAILURE: &str = "08006";

/// What a call's failure means.
pub(super) fn failure(status: &Status, address: &Address) -> Failure {
    let sqlstate = status.metadata().get(SQLSTATE).and_then(|value| value.to_str().ok());
    match sqlstate {
        Some(sqlstate) => Failure::Remote { sqlstate: sqlstate.to_owned(), sentence: status.message().to_owned() },
        // What gRPC itself reports has no SQLSTATE; what went wrong below it is in the source.
        None => match status.source() {
            Some(source) => unreachable(source, address),
            None if status.code() == Code::Unavailable => lost(status.message(), address),
            None => Failure::Remote {
                sqlstate: of_code(status.code()).sqlstate().to_owned(),
                sentence: match status.message() {
                    "" => format!("the server answered \"{}\"", status.code()),
                    message => message.to_owned(),
                },
            },
        },
    }
}

/// The same of a stream.
pub(super) fn of_stream(error: &FlightError, address: &Address) -> Failure {
    match error {
        FlightError::Tonic(status) => failure(status, address),
        other => Failure::Remote {
            sqlstate: ErrorKind::Internal.sqlstate().to_owned(),
            sentence: format!("the answer of {address} cannot be read: {other}"),
        },
    }
}

/// The server cannot be reached: the innermost reason is the one that tells something.
pub(super) fn unreachable(error: &(dyn Error + 'static), address: &Address) -> Failure {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    lost(&innermost.to_string(), address)
}

fn lost(reason: &str, address: &Address) -> Failure {
    let sentence = format!("no connection to {address}: {reason}");
    Failure::Remote { sqlstate: CONNECTION_FAILURE.to_owned(), sentence }
}

/// The nearest kind to a code of gRPC's own.
fn of_code(code: Code) -> ErrorKind {
    match code {
        Code::Cancelled => ErrorKind::Cancelled,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Unauthenticated | Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::ResourceExhausted | Code::OutOfRange => ErrorKind::LimitExceeded,
        Code::InvalidArgument | Code::FailedPrecondition => ErrorKind::InvalidStatement,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address::parse("grpc", "ann:secret@host:1").expect("valid")
    }

    #[test]
    fn the_servers_sentence_is_the_message() {
        let mut status = Status::not_found("table \"x\" does not exist");
        status.metadata_mut().insert(SQLSTATE, "42P01".parse().expect("ASCII"));
        assert_eq!(failure(&status, &address()).line(), "ERROR 42P01: table \"x\" does not exist");
    }

    #[test]
    fn lost_connections_name_the_server_and_no_password() {
        let inner = std::io::Error::other("connection refused");
        let line = unreachable(&inner, &address()).line();
        assert_eq!(line, "ERROR 08006: no connection to grpc://host:1: connection refused");
        assert!(failure(&Status::unavailable("gone"), &address()).line().contains("08006"));
    }

    #[test]
    fn answers_of_grpc_itself_have_a_state_too() {
        assert!(failure(&Status::deadline_exceeded("late"), &address()).line().starts_with("ERROR 57014: late"));
        assert!(failure(&Status::unimplemented(""), &address()).line().starts_with("ERROR 0A000: the server answered"));
    }
}
