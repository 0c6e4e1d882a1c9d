//! The operator that searches: the k nearest rows of each partition's segments.

mod exec;
mod order;
mod query;
mod report;
#[cfg(test)]
mod tests;
mod unusable;

pub use exec::{Bind, VectorTopKExec};
pub use report::Verify;
pub use unusable::unusable_indexes;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::physical_plan::PhysicalExpr;
use volley_storage::ids::FieldId;

use crate::search::{Approximate, FilterStrategy, Metric};

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
    /// Other columns that the search gives with its rows, because whoever searches is nearer to them than whoever asks.
    pub carried: Vec<FieldId>,
    /// What found rows satisfy.
    pub filter: Option<SearchFilter>,
    /// The largest distance wanted; rows without a distance are not, then.
    pub bound: Option<f32>,
    /// How near to the truth the answer has to be.
    pub precision: Precision,
}

/// How near to the truth a search's answer has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Precision {
    /// Every row that qualifies is looked at.
    Exact(ExactReason),
    /// An index may be used.
    Approximate {
        /// The index's name, for plans to show.
        name: String,
        /// How.
        approximate: Approximate,
    },
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Precision::Exact(reason) => write!(f, "strategy=exact ({reason})"),
            Precision::Approximate { name, approximate } => {
                write!(f, "index={name}")?;
                match approximate.ef {
                    Some(ef) => write!(f, ", ef_search={ef}")?,
                    None => write!(f, ", recall_target={}", approximate.recall_target)?,
                }
                match approximate.strategy {
                    FilterStrategy::Auto => Ok(()),
                    strategy => write!(f, ", filter_strategy={}", strategy.name()),
                }
            }
        }
    }
}

/// The vector that rows are compared with; it has the column's dimension.
#[derive(Debug, Clone)]
pub enum Query {
    /// A vector known to the plan.
    Constant(Arc<[f32]>),
    /// An expression over no columns that gives the vector, or NULL, when the search begins.
    Expression(Arc<dyn PhysicalExpr>),
    /// Several vectors, one after another, each with an answer of its own.
    Several(Arc<[f32]>),
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
    /// The column has indexes, but none of this distance.
    OtherMetric,
    /// The query says `exact(…)`, or asks for a recall of 1.
    Asked,
    /// `volley.filter_strategy` says so.
    Setting,
}

impl fmt::Display for ExactReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExactReason::NoIndex => "no index",
            ExactReason::OtherMetric => "no index of this distance",
            ExactReason::Asked => "asked for",
            ExactReason::Setting => "volley.filter_strategy",
        })
    }
}
