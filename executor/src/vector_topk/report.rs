//! What a search did, for EXPLAIN ANALYZE, and how right it was, for EXPLAIN (ANALYZE, VERIFY).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::Result;
use datafusion::execution::TaskContext;

use crate::search::{SearchHit, SearchMetrics, SearchRequest, ShardSearcher};

/// Makes searches measure their recall against an exact search of the same version, as a session extension
/// (`SessionConfig::with_extension`).
#[derive(Debug, Clone, Copy)]
pub struct Verify;

/// What one search did.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) metrics: SearchMetrics,
    pub(super) returned: usize,
    pub(super) requested: usize,
    /// Under [`Verify`].
    pub(super) measured_recall: Option<f64>,
    /// Of the search, not of its verification.
    pub(super) time: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.metrics.groups.iter().map(ToString::to_string).collect();
        write!(f, "searched=[{}]", groups.join("; "))?;
        let expected = self.metrics.expected;
        match expected.samples {
            0 => write!(f, ", expected_recall=1 (exact)")?,
            samples => write!(f, ", expected_recall={:.3} (n={samples})", expected.recall)?,
        }
        if let Some(measured) = self.measured_recall {
            write!(f, ", measured_recall={measured:.3}")?;
        }
        write!(f, ", returned={} of {}", self.returned, self.requested)?;
        if !self.metrics.nodes.is_empty() {
            let nodes: Vec<String> = self.metrics.nodes.iter().map(ToString::to_string).collect();
            write!(f, ", nodes=[{}]", nodes.join("; "))?;
        }
        write!(f, ", time={:.3}ms", self.time.as_secs_f64() * 1e3)
    }
}

/// The share of the true k nearest rows that an answer has, by distance: a row as far away as the k-th is as good as it.
pub(super) async fn measured_recall(
    searcher: &dyn ShardSearcher,
    request: SearchRequest,
    answer: &[SearchHit],
    task: &Arc<TaskContext>,
) -> Result<f64> {
    let k = request.k;
    let exact =
        SearchRequest { approximate: None, projection: Vec::new(), ties: false, tie_order: Vec::new(), ..request };
    let exact = searcher.search(exact, task).await?;
    let truth = exact.queries.first().map_or(&[][..], |query| query.hits.as_slice());
    let Some(last) = truth.get(..k.min(truth.len())).and_then(<[SearchHit]>::last) else { return Ok(1.0) };
    let is_right = |hit: &&SearchHit| match (hit.distance, last.distance) {
        (Some(hit), Some(last)) => hit.total_cmp(&last) != Ordering::Greater,
        // Rows without a distance come last, and all are alike.
        (_, None) => true,
        (None, Some(_)) => false,
    };
    let wanted = k.min(truth.len());
    let right = answer.iter().take(k).filter(is_right).count().min(wanted);
    Ok(right as f64 / wanted as f64)
}
