//! Making a calibration: searching for samples whose neighbours are known.

use super::costs::costs;
use super::samples::{Samples, in_parallel, random_filter};
use super::{Calibration, Curve, Point, Source};
use crate::hnsw::{self, FilterMode, HnswView, Scratch, Walk};
use crate::{ExactRequest, ExactResult, Hit, Matrix, RowSet, exact_search};

/// Shares of the rows that random filters allow. Below the last an exact search is the cheaper one nearly everywhere.
const SELECTIVITIES: [f32; 5] = [1.0, 0.5, 0.25, 0.1, 0.05];
/// Neighbours asked for.
const KS: [usize; 3] = [1, 10, 100];
/// Beam widths, as far as they are needed.
const EFS: [usize; 16] = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536];
/// Samples of each filter, which is one of many filters.
const FILTERED_SAMPLES: usize = 256;
/// Beyond this recall more effort tells nothing new.
const RECALL_ENOUGH: f32 = 0.9985;
/// A traversal that computes so many times as many distances as an exact search is never chosen. Counted, not timed, so
/// that what is measured does not depend on what else the machine does.
const DISTANCES_ENOUGH: f64 = 2.0;

/// What to measure.
#[derive(Clone, Copy)]
pub struct MeasureRequest<'a> {
    /// The index with the rows it was built over.
    pub view: HnswView<'a>,
    /// Those of the rows that are in the index.
    pub present: &'a RowSet,
    /// What to search for; `None`: rows.
    pub queries: Option<Matrix<'a>>,
    /// Threads to use, this one included.
    pub threads: usize,
    /// How long the build took, to be kept with what is measured.
    pub build_ms: u64,
    /// Polled every few milliseconds by every thread.
    pub cancel: &'a (dyn Fn() -> bool + Sync),
}

impl MeasureRequest<'_> {
    /// The k nearest allowed rows, by looking at all of them.
    pub(super) fn exact(&self, queries: Matrix<'_>, k: usize, allowed: &RowSet) -> ExactResult {
        let metric = self.view.facts().metric();
        let cancel = Some(self.cancel as &(dyn Fn() -> bool + Sync));
        let exact = ExactRequest { queries, metric, k, filter: Some(allowed), floor: None, ties: false, cancel };
        exact_search(&exact, self.view.rows())
    }
}

/// Measures an index; `None` if it was cancelled.
pub fn measure(request: &MeasureRequest<'_>) -> Option<Calibration> {
    let samples = Samples::of(request);
    let mut calibration = Calibration {
        source: if request.queries.is_some() { Source::Queries } else { Source::Rows },
        samples: samples.count() as u32,
        curves: Vec::new(),
        costs: costs(request, &samples)?,
        build_ms: request.build_ms,
    };
    let (nodes, present) = (request.view.facts().indexed(), request.present.count());
    for (number, share) in SELECTIVITIES.into_iter().enumerate() {
        let is_whole = share == 1.0;
        let filter = match is_whole {
            true if present == nodes => None,
            // Rows that were deleted since lead the way and are not found.
            true => Some(request.present.clone()),
            false => Some(random_filter(request.present, share, number as u64)),
        };
        let few = samples.part(0..if is_whole { samples.count() } else { FILTERED_SAMPLES.min(samples.count()) });
        let truths = truths(request, &few, filter.as_ref().unwrap_or(request.present))?;
        let enough = truths.iter().map(Vec::len).min().unwrap_or(0);
        let allowed = filter.as_ref().map_or(present, RowSet::count);
        if allowed == 0 || few.count() == 0 {
            continue;
        }
        let selectivity = (share * present as f32 / nodes as f32).min(1.0);
        let mut curves: Vec<Curve> = KS
            .into_iter()
            .filter(|k| *k <= enough)
            .map(|k| Curve { selectivity, k: k as u32, samples: few.count() as u32, points: Vec::new() })
            .collect();
        // A beam that holds every row finds what there is to find.
        let widest = EFS.iter().position(|ef| *ef >= allowed).map_or(EFS.len(), |last| last + 1);
        for ef in EFS.into_iter().take(widest) {
            let open: Vec<&mut Curve> = curves.iter_mut().filter(|curve| curve.k as usize <= ef).collect();
            if open.is_empty() {
                continue;
            }
            let seen = walk_all(request, &few, filter.as_ref(), &truths, ef)?;
            if seen.distances * seen.count as f64 == 0.0 {
                break;
            }
            let mut is_enough = true;
            for curve in open {
                let point = seen.point(curve.k as usize, ef);
                is_enough &= point.recall >= RECALL_ENOUGH;
                curve.points.push(point);
            }
            let all_open = curves.iter().all(|curve| curve.k as usize <= ef);
            if is_enough && all_open || seen.distances > DISTANCES_ENOUGH * allowed as f64 && ef >= 100 {
                break;
            }
        }
        curves.retain(|curve| !curve.points.is_empty());
        calibration.curves.extend(curves);
    }
    Some(calibration)
}

/// The nearest allowed rows of each sample, nearest first, itself left out.
fn truths(request: &MeasureRequest<'_>, samples: &Samples<'_>, allowed: &RowSet) -> Option<Vec<Vec<Hit>>> {
    let wanted = KS[KS.len() - 1];
    let parts = in_parallel(samples, request.threads, |part| {
        let Some(queries) = part.matrix() else { return Some(Vec::new()) };
        let mut found = request.exact(queries, wanted + 1, allowed);
        for (query, hits) in found.hits.iter_mut().enumerate() {
            if let Some(rows) = &part.rows {
                hits.retain(|hit| hit.row != rows[query]);
            }
            hits.truncate(wanted);
        }
        (!found.cancelled).then_some(found.hits)
    })?;
    Some(parts.into_iter().flatten().collect())
}

/// What traversals at one effort found.
#[derive(Default)]
struct Seen {
    count: usize,
    /// Per k of [`KS`], the sum of the samples' recalls and of their squares.
    recalls: [(f64, f64); KS.len()],
    /// The mean number of distances of a traversal, those of rescoring not counted.
    distances: f64,
}

impl Seen {
    fn point(&self, k: usize, ef: usize) -> Point {
        let position = KS.iter().position(|known| *known == k).unwrap_or(0);
        let (sum, squares) = self.recalls[position];
        let count = self.count.max(1) as f64;
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0);
        let error = (variance / count).sqrt();
        Point { ef: ef as u32, recall: mean.min(1.0) as f32, error: error as f32, distances: self.distances as f32 }
    }
}

/// Searches for all samples.
fn walk_all(
    request: &MeasureRequest<'_>,
    samples: &Samples<'_>,
    filter: Option<&RowSet>,
    truths: &[Vec<Hit>],
    ef: usize,
) -> Option<Seen> {
    let parts = in_parallel(samples, request.threads, |part| walk_part(request, part, filter, truths, ef))?;
    let mut all = Seen::default();
    for part in parts {
        all.count += part.count;
        all.distances += part.distances;
        for (sum, part) in all.recalls.iter_mut().zip(part.recalls) {
            *sum = (sum.0 + part.0, sum.1 + part.1);
        }
    }
    all.distances /= all.count.max(1) as f64;
    Some(all)
}

/// Searches for some samples; distances are summed.
fn walk_part(
    request: &MeasureRequest<'_>,
    samples: &Samples<'_>,
    filter: Option<&RowSet>,
    truths: &[Vec<Hit>],
    ef: usize,
) -> Option<Seen> {
    let mut seen = Seen::default();
    let Some(queries) = samples.matrix() else { return Some(seen) };
    let walk = Walk {
        k: ef,
        ef,
        allowed: filter,
        mode: FilterMode::In,
        skip: samples.rows.as_deref(),
        cancel: Some(request.cancel),
        ..Walk::default()
    };
    let walked = hnsw::search(&request.view, queries, &walk, &mut Scratch::new());
    for (query, walked) in walked.into_iter().enumerate() {
        if walked.cancelled {
            return None;
        }
        let vector = queries.row(query);
        let hits = hnsw::rescore(
            request.view.rows(),
            request.view.facts().metric(),
            vector,
            &walked.hits,
            ef.min(KS[KS.len() - 1]),
            false,
            f32::INFINITY,
        );
        let truth = &truths[samples.first + query];
        for (sums, k) in seen.recalls.iter_mut().zip(KS) {
            if let Some(last) = truth.get(k - 1) {
                let right = hits.iter().take(k).filter(|hit| hit.distance <= last.distance).count();
                let recall = right as f64 / k as f64;
                *sums = (sums.0 + recall, sums.1 + recall * recall);
            }
        }
        seen.count += 1;
        seen.distances += walked.distances as f64;
    }
    Some(seen)
}
