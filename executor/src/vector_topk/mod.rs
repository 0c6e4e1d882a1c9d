//! The operator that searches: the k nearest rows of each partition's segments.

mod exec;
mod order;
mod query;
#[cfg(test)]
mod tests;

pub use exec::VectorTopKExec;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::physical_plan::PhysicalExpr;
use volley_storage::ids::FieldId;

use crate::search::Metric;

/// Name of the column in which searches return distances: Float64, NULL where the distance is not defined.
pub const DISTANCE_COLUMN: &str = "__distance";

/// What a [`VectorTopKExec`] searches for.
#[derive(Debug, Clone)]
pub struct TopK {
    /// The vector column.
    pub column: FieldId,
    /// The distance.
    pub metric: Metric,
    /// What rows are compared with.
    pub query: Query,
    /// Rows wanted.
    pub k: usize,
    /// What decides between equal distances, before the row id does.
    pub ties: Vec<TieBreaker>,
    /// What found rows satisfy.
    pub filter: Option<SearchFilter>,
    /// Why the search is exact.
    pub reason: ExactReason,
}

/// The vector that rows are compared with; it has the column's dimension.
#[derive(Debug, Clone)]
pub enum Query {
    /// A vector known to the plan.
    Constant(Arc<[f32]>),
    /// An expression over no columns that gives the vector, or NULL, when the search begins.
    Expression(Arc<dyn PhysicalExpr>),
}

/// A column that decides between rows at the same distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TieBreaker {
    /// The column.
    pub column: FieldId,
    /// Its direction and where NULL stands.
    pub options: SortOptions,
}

/// A deterministic predicate over some of the table's columns.
#[derive(Debug, Clone)]
pub struct SearchFilter {
    /// The predicate; its column `i` is `columns[i]`.
    pub predicate: Arc<dyn PhysicalExpr>,
    /// The columns.
    pub columns: Vec<FieldId>,
}

/// Why a search looks at every row that qualifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExactReason {
    /// The column has no index.
    NoIndex,
    /// The query says `exact(…)`.
    Asked,
}

impl fmt::Display for ExactReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExactReason::NoIndex => "no index",
            ExactReason::Asked => "asked for",
        })
    }
}
