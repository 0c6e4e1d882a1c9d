//! Messages of Flight and Flight SQL that the arrow-flight crate does not have yet. Numbers are those of `Flight.proto` and
//! `FlightSql.proto`.

use std::collections::HashMap;

use prost::{Message, Oneof};

/// Action that sets options of the session.
pub(crate) const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
/// Action that reads the options of the session.
pub(crate) const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// Action that ends the session.
pub(crate) const CLOSE_SESSION: &str = "CloseSession";

/// The value of a session option; none resets it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub(crate) value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(message, tag = "5")]
    List(StringList),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringList {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetSessionOptionsResult {
    /// The options that were not set.
    #[prost(map = "string, message", tag = "1")]
    pub(crate) errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OptionError {
    #[prost(enumeration = "OptionErrorValue", tag = "1")]
    pub(crate) value: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum OptionErrorValue {
    Unspecified = 0,
    /// There is no such option.
    InvalidName = 1,
    /// The option does not take the value.
    InvalidValue = 2,
    /// It failed for another reason.
    Error = 3,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CloseSessionResult {
    #[prost(enumeration = "CloseSessionStatus", tag = "1")]
    pub(crate) status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum CloseSessionStatus {
    Unspecified = 0,
    Closed = 1,
    Closing = 2,
    NotCloseable = 3,
}

/// The answer to `CreatePreparedStatement`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreatePreparedStatementResult {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) prepared_statement_handle: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) dataset_schema: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) parameter_schema: bytes::Bytes,
    /// Whether the statement changes something and returns no rows.
    #[prost(bool, optional, tag = "4")]
    pub(crate) is_update: Option<bool>,
}
