//! The labels of metrics: few values each, so that the number of time series stays small.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use volley_storage::ErrorKind;

/// What sort of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// Rows were asked for.
    Query,
    /// Rows were changed.
    Update,
    /// Rows came in as Arrow.
    Ingest,
    /// Tables, indexes, users and settings.
    Ddl,
    /// A client asked about catalogs, tables or types.
    Metadata,
}

impl EncodeLabelValue for QueryKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let word = match self {
            QueryKind::Query => "query",
            QueryKind::Update => "update",
            QueryKind::Ingest => "ingest",
            QueryKind::Ddl => "ddl",
            QueryKind::Metadata => "metadata",
        };
        EncodeLabelValue::encode(&word, encoder)
    }
}

/// How a statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As it should.
    Ok,
    /// With an error of this kind.
    Error(ErrorKind),
    /// The client cancelled it or went away.
    Cancelled,
    /// It never ran: too many others did.
    Refused,
}

/// Labels of the counter of statements.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct QueryLabels {
    kind: QueryKind,
    outcome: &'static str,
    /// Empty, which OpenMetrics takes for absent, unless there was an error.
    sqlstate: &'static str,
}

impl QueryLabels {
    pub(super) fn new(kind: QueryKind, outcome: Outcome) -> Self {
        let (outcome, sqlstate) = match outcome {
            Outcome::Ok => ("ok", ""),
            Outcome::Error(kind) => ("error", kind.sqlstate()),
            Outcome::Cancelled => ("cancelled", ""),
            Outcome::Refused => ("refused", ""),
        };
        Self { kind, outcome, sqlstate }
    }
}

/// Labels of the histogram of durations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: QueryKind,
}

/// Labels of the counter of logins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LoginLabel {
    outcome: &'static str,
}

impl LoginLabel {
    pub(super) fn new(succeeded: bool) -> Self {
        Self { outcome: if succeeded { "ok" } else { "failed" } }
    }
}
