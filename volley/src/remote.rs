//! A Volley server behind `grpc://`: statements over Flight SQL.
//!
//! Every statement goes as one `GetFlightInfo`, which runs it and tells what it was; rows are fetched with `DoGet` as they
//! are shown. Dropping the stream resets it, which is how a statement is cancelled.

mod address;
mod connection;
mod status;
mod tls;

pub(crate) use address::Address;
pub(crate) use connection::Connection;
