//! Searching segments for the nearest rows.
//!
//! [`ShardSearcher`] is the boundary behind which location hides: [`LocalSearcher`] searches segments in this process;
//! a remote one asks the executors that own them. Both answer the same [`SearchRequest`] with the same rows.
//!
//! ```text
//! SearchRequest ─▶ per segment: rows allowed = not deleted ∧ filter          (allowed)
//!                               vectors     = sidecar, or the column itself  (vectors)
//!                               by its index, or by looking at all rows      (segments)
//!                                 the index's graph, then f32 distances      (graph)
//!                                 chunks of rows on threads, floor shared    (chunks)
//!                ─▶ merge by (distance, row id), NULL distances last         (merge)
//!                ─▶ the columns asked for                                    (local)
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `request` | [`SearchRequest`], [`SearchResponse`] and the trait |
//! | `local` | [`LocalSearcher`] |
//! | `report` | what a search did |
//! | `segments` | the segments of one search, each searched exactly or by its index |
//! | `candidates` | such a segment before it is searched: its rows, its index, its share |
//! | `indexes` | the indexes of segments, opened |
//! | `graph` | approximate search of segments |
//! | `allowed` | which rows of a segment may be found |
//! | `hardness` | what traversals under a filter have taken |
//! | `vectors` | where a segment's vectors are |
//! | `chunks` | exact search of one segment, in parallel |
//! | `row_ids` | the row ids of a segment's rows |
//! | `merge` | the segments' hits to the answer |
//! | `ties` | which of the rows come first that are equally far away |
//! | `stop` | cancellation, deadlines and the shared floor |

mod allowed;
mod candidates;
mod chunks;
mod graph;
mod hardness;
pub(crate) mod indexes;
mod local;
mod merge;
mod report;
mod request;
mod row_ids;
mod segments;
mod stop;
#[cfg(test)]
pub(crate) mod tests;
mod ties;
mod vectors;

pub use local::LocalSearcher;
pub use report::{ExactWay, ExpectedRecall, NodeReport, SearchMetrics, SegmentGroup, Way};
pub use request::{
    Approximate, FilterStrategy, QueryHits, SearchHit, SearchRequest, SearchResponse, Searcher, ShardSearcher,
};
pub use volley_index::Metric;
