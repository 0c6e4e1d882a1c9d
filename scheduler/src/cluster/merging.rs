//! The answers of several searchers, each over segments of its own, as one.

use std::cmp::Ordering;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::interleave;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use volley_executor::search::{
    ExpectedRecall, NodeReport, QueryHits, SearchHit, SearchMetrics, SearchRequest, SearchResponse,
};

use super::asking::Answered;
use crate::error::Error;

/// What one searcher found, and the memory that it takes here.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) response: SearchResponse,
    pub(super) _held: MemoryReservation,
}

/// The k first rows of all answers to each query, with ties also all that are as far away as the k-th.
///
/// Each answer has the k first of its own segments, so that the k first of all are among them; and whoever had fewer than k
/// has given all there are.
pub(super) fn merge(request: &SearchRequest, answers: &[Answered<Found>]) -> Result<SearchResponse> {
    let mut metrics = SearchMetrics::default();
    for answer in answers {
        metrics.add_all(&answer.answer.response.metrics);
        metrics.nodes.push(NodeReport {
            name: answer.node.clone(),
            segments: answer.ordinals.len() as u64,
            rows: answer.answer.response.queries.iter().map(|query| query.hits.len() as u64).sum(),
            time: answer.time,
        });
    }
    let mut given = vec![0u64; answers.len()];
    let mut queries = Vec::with_capacity(request.query_count());
    for query in 0..request.query_count() {
        let first = first_of(request, answers, query);
        first.iter().for_each(|(part, _, _)| given[*part] += 1);
        queries.push(taken(answers, query, &first)?);
    }
    metrics.expected = expected(request, answers, &given);
    Ok(SearchResponse { queries, metrics })
}

/// A hit, the answer that it is in, and its place there.
type Place = (usize, usize, SearchHit);

fn first_of(request: &SearchRequest, answers: &[Answered<Found>], query: usize) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for (part, answer) in answers.iter().enumerate() {
        let hits = answer.answer.response.queries.get(query).map_or(&[][..], |query| query.hits.as_slice());
        found.extend(hits.iter().enumerate().map(|(at, hit)| (part, at, *hit)));
    }
    found.sort_unstable_by(|(_, _, a), (_, _, b)| by_distance(a.distance, b.distance).then(a.row_id.cmp(&b.row_id)));
    let Some((_, _, last)) = request.k.checked_sub(1).and_then(|last| found.get(last)) else { return found };
    let last = last.distance;
    match request.ties {
        true => found.retain(|(_, _, hit)| by_distance(hit.distance, last) != Ordering::Greater),
        false => found.truncate(request.k),
    }
    found
}

/// The hits with their columns.
fn taken(answers: &[Answered<Found>], query: usize, first: &[Place]) -> Result<QueryHits> {
    let parts: Vec<&RecordBatch> =
        answers.iter().filter_map(|answer| Some(&answer.answer.response.queries.get(query)?.columns)).collect();
    let [some, ..] = parts.as_slice() else {
        return Err(Error::Internal { detail: "a search was answered by nobody".into() }.into());
    };
    let places: Vec<(usize, usize)> = first.iter().map(|(part, at, _)| (*part, *at)).collect();
    let columns = (0..some.num_columns()).map(|column| {
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part.column(column).as_ref()).collect();
        interleave(&parts, &places)
    });
    let rows = RecordBatchOptions::new().with_row_count(Some(places.len()));
    let columns = RecordBatch::try_new_with_options(some.schema(), columns.collect::<Result<_, _>>()?, &rows)?;
    Ok(QueryHits { hits: first.iter().map(|(_, _, hit)| *hit).collect(), columns })
}

/// The recall to expect of all: each answer weighs as many rows as it gave, and what is missing is as uncertain as the least
/// certain answer.
fn expected(request: &SearchRequest, answers: &[Answered<Found>], given: &[u64]) -> ExpectedRecall {
    let of = |answer: &Answered<Found>| answer.answer.response.metrics.expected;
    let certain = |expected: ExpectedRecall| if expected.samples == 0 { 1.0 } else { expected.recall };
    let samples = answers.iter().map(of).map(|expected| expected.samples).filter(|samples| *samples > 0).min();
    let total: u64 = given.iter().sum();
    let missing = (request.k as u64 * request.query_count() as u64).saturating_sub(total);
    let least = answers.iter().map(of).map(certain).fold(1.0, f64::min);
    let sum: f64 = answers.iter().zip(given).map(|(answer, given)| certain(of(answer)) * *given as f64).sum();
    let recall = match total + missing {
        0 => 1.0,
        all => (sum + least * missing as f64) / all as f64,
    };
    ExpectedRecall { recall, samples: samples.unwrap_or(0) }
}

/// Ascending, no distance last.
fn by_distance(a: Option<f32>, b: Option<f32>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}
