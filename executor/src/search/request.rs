//! What is asked of a searcher and what it answers.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::SortOptions;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::PhysicalExpr;
use volley_index::Metric;
use volley_index::cost::Preference;
use volley_storage::ids::FieldId;
use volley_storage::index_definition::IndexDefinition;

use crate::error::Error;
use crate::search::{LocalSearcher, SearchMetrics};
use crate::segment_set::SegmentSet;

/// The k nearest rows to each of Q vectors, among some segments of one table version. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// The pinned table version.
    pub segments: Arc<SegmentSet>,
    /// Which segments of the set to search.
    pub ordinals: Vec<u32>,
    /// The vector column.
    pub column: FieldId,
    /// The distance.
    pub metric: Metric,
    /// Q × `dim` values, row after row; finite.
    pub queries: Arc<[f32]>,
    /// Dimension of the column and of each query.
    pub dim: usize,
    /// Rows wanted per query.
    pub k: usize,
    /// Whether every row that is as far away as the k-th is wanted too, for the caller's own tie-breakers.
    pub ties: bool,
    /// How the first columns of `projection` decide between those, where the caller says it: then no more than k rows are given,
    /// the first by distance, these columns and the row id.
    pub tie_order: Vec<SortOptions>,
    /// What found rows satisfy; its column `i` is `filter_columns[i]`. Deterministic.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of the filter.
    pub filter_columns: Vec<FieldId>,
    /// How the answer may be approximate; `None`: not at all.
    pub approximate: Option<Approximate>,
    /// Per query, the largest distance wanted. Where fewer than k rows are found within it, an approximate search looks at
    /// all rows, to be certain that there are no more.
    pub floor: Option<Arc<[f32]>>,
    /// Columns wanted with the hits.
    pub projection: Vec<FieldId>,
    /// When the answer is of no use any more.
    pub deadline: Option<Instant>,
}

impl SearchRequest {
    /// How many queries there are.
    pub fn query_count(&self) -> usize {
        self.queries.len().checked_div(self.dim).unwrap_or(0)
    }

    /// The same for some of its queries.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn of_queries(&self, queries: impl Iterator<Item = usize> + Clone) -> Self {
        let vectors =
            queries.clone().flat_map(|query| &self.queries[query * self.dim..][..self.dim]).copied().collect();
        let floor = self.floor.is_some().then(|| queries.map(|query| self.floor_of(query)).collect());
        Self { queries: vectors, floor, ..self.clone() }
    }

    /// Checks what the types leave open.
    pub fn check(&self) -> Result<()> {
        let bad = |detail: String| Err(Error::Internal { detail: format!("search request: {detail}") }.into());
        if self.dim == 0 || !self.queries.len().is_multiple_of(self.dim) {
            return bad(format!("{} values are no vectors of dimension {}", self.queries.len(), self.dim));
        }
        if self.floor.as_ref().is_some_and(|floor| floor.len() != self.query_count()) {
            return bad("one floor per query is needed".into());
        }
        if self.tie_order.len() > self.projection.len() {
            return bad("what decides between ties has to be among the columns wanted".into());
        }
        Ok(())
    }

    /// The floor of a query; infinity without one.
    pub fn floor_of(&self, query: usize) -> f32 {
        let floor = self.floor.as_ref().and_then(|floor| floor.get(query)).copied();
        floor.filter(|distance| !distance.is_nan()).unwrap_or(f32::INFINITY)
    }
}

/// How an answer may be approximate.
#[derive(Debug, Clone, PartialEq)]
pub struct Approximate {
    /// The index: its files are the sidecars of this description. Segments without one are searched exactly.
    pub index: IndexDefinition,
    /// The least share of the true neighbours wanted, above 0 and below 1.
    pub recall_target: f32,
    /// The beam width of the traversal, where the caller wants another one than the calibration gives.
    pub ef: Option<usize>,
    /// How a filter is applied.
    pub strategy: FilterStrategy,
}

/// How a filter and an index work together in a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum FilterStrategy {
    /// Whatever costs least.
    #[default]
    Auto,
    /// All rows that match are compared; the index is not used.
    Exact,
    /// The traversal keeps only rows that match.
    In,
    /// The traversal finds more rows than wanted, and those that do not match are taken out.
    Post,
}

impl FilterStrategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Exact, Self::In, Self::Post];

    /// The name that settings and plans use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Exact => "exact",
            Self::In => "in",
            Self::Post => "post",
        }
    }

    /// The strategy of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == name)
    }
}

impl From<FilterStrategy> for Preference {
    fn from(strategy: FilterStrategy) -> Self {
        match strategy {
            // Exact searches are planned as such.
            FilterStrategy::Auto | FilterStrategy::Exact => Preference::Cheapest,
            FilterStrategy::In => Preference::InFilter,
            FilterStrategy::Post => Preference::PostFilter,
        }
    }
}

/// A found row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchHit {
    /// The distance; `None` where it is not defined (a NULL vector, the cosine of a zero vector).
    pub distance: Option<f32>,
    /// Where the row is, within the request's [`SegmentSet`]: see [`crate::segment_set::row_address`].
    pub address: u64,
    /// The row's stable id.
    pub row_id: u64,
}

/// The rows found for one query.
#[derive(Debug, Clone)]
pub struct QueryHits {
    /// The rows, by ascending distance, those without a distance last, equal ones by row id. They are the k first of that
    /// order, with `ties` also all that are as far away as the k-th, unless the request says which of them are wanted.
    pub hits: Vec<SearchHit>,
    /// The columns of [`SearchRequest::projection`], one row per hit.
    pub columns: RecordBatch,
}

/// The answer.
#[derive(Debug, Clone)]
pub struct SearchResponse {
    /// One per query, in order.
    pub queries: Vec<QueryHits>,
    /// What it took.
    pub metrics: SearchMetrics,
}

/// Searches segments, wherever they are.
///
/// Dropping the future stops the work within 100 ms.
#[async_trait]
pub trait ShardSearcher: Send + Sync + Debug {
    /// How many segments have an index of this description that cannot be used, and are searched exactly for that reason.
    async fn unusable(&self, segments: &SegmentSet, index: &IndexDefinition) -> u64;

    /// Whether other processes search, so that whatever is wanted of the rows is best asked of them at once.
    fn is_remote(&self) -> bool {
        false
    }

    /// Answers a request.
    async fn search(&self, request: SearchRequest, task: &Arc<TaskContext>) -> Result<SearchResponse>;
}

/// The searcher of a session, as a session extension (`SessionConfig::with_extension`). Without one, plan nodes search in
/// their own process.
#[derive(Debug, Clone)]
pub struct Searcher(pub Arc<dyn ShardSearcher>);

impl Searcher {
    /// The searcher that a task should use.
    pub fn of(task: &TaskContext) -> Arc<dyn ShardSearcher> {
        match task.session_config().get_extension::<Searcher>() {
            Some(searcher) => Arc::clone(&searcher.0),
            None => Arc::new(LocalSearcher::shared()),
        }
    }
}
