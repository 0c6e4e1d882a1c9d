//! Making a calibration: searching for samples whose neighbours are known.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Instant;

use super::{Calibration, Costs, Curve, Point, Source};
use crate::hnsw::{self, FilterMode, HnswView, Scratch, Walk};
use crate::{ExactRequest, ExactResult, Hit, Matrix, Metric, RowSet, exact_search};

/// Shares of the rows that random filters allow. Below the last an exact search is the cheaper one nearly everywhere.
const SELECTIVITIES: [f32; 5] = [1.0, 0.5, 0.25, 0.1, 0.05];
/// Neighbours asked for.
const KS: [usize; 3] = [1, 10, 100];
/// Beam widths, as far as they are needed.
const EFS: [usize; 16] = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536];
/// Samples drawn from the rows: enough that a recall of 0.95 is known to about 0.01 for k = 10.
const SAMPLES: usize = 512;
/// Samples of each filter, which is one of many filters.
const FILTERED_SAMPLES: usize = 256;
/// Beyond this recall more effort tells nothing new.
const RECALL_ENOUGH: f32 = 0.9985;
/// A traversal that computes so many times as many distances as an exact search is never chosen. Counted, not timed, so
/// that what is measured does not depend on what else the machine does.
const DISTANCES_ENOUGH: f64 = 2.0;
/// Rows that costs are measured over at most: more than caches hold.
const COST_ROWS_MAX: usize = 65_536;

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
    fn exact(&self, queries: Matrix<'_>, k: usize, allowed: &RowSet) -> ExactResult {
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

/// What is searched for.
struct Samples<'a> {
    /// Q × dim, row after row.
    values: Cow<'a, [f32]>,
    dim: usize,
    /// The rows that they are, where they are rows.
    rows: Option<Vec<u32>>,
    /// The position of the first of them among all.
    first: usize,
}

impl<'a> Samples<'a> {
    fn of(request: &MeasureRequest<'a>) -> Samples<'a> {
        let dim = request.view.rows().dim();
        if let Some(queries) = request.queries {
            let is_zero = |query: usize| queries.row(query).iter().all(|x| *x == 0.0);
            let values = match request.view.facts().metric() {
                // Nothing is near to a vector without a direction.
                Metric::Cosine if (0..queries.rows()).any(is_zero) => {
                    let rows = (0..queries.rows()).filter(|query| !is_zero(*query));
                    rows.flat_map(|query| queries.row(query)).copied().collect::<Vec<_>>().into()
                }
                _ => queries.data().into(),
            };
            return Samples { values, dim, rows: None, first: 0 };
        }
        let count = request.present.count();
        let wanted = SAMPLES.min(count);
        // One of each stretch of rows, at a random place in it: rows that were inserted together are often alike.
        let mut random = Random(count as u64);
        let chosen: Vec<usize> = (0..wanted)
            .map(|i| {
                let (from, to) = (count * i / wanted, count * (i + 1) / wanted);
                from + (random.next() % (to - from).max(1) as u64) as usize
            })
            .collect();
        let mut rows = Vec::with_capacity(wanted);
        let mut next = chosen.iter().peekable();
        for (position, row) in request.present.iter().enumerate() {
            if next.next_if(|chosen| **chosen == position).is_some() {
                rows.push(row as u32);
            }
        }
        // Those of the front and of the back alike among the first ones, which are used alone with filters.
        for i in (1..rows.len()).rev() {
            rows.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
        let values: Vec<f32> = rows.iter().flat_map(|row| request.view.rows().row(*row as usize)).copied().collect();
        Samples { values: values.into(), dim, rows: Some(rows), first: 0 }
    }

    fn count(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Some of them.
    fn part(&self, range: Range<usize>) -> Samples<'_> {
        Samples {
            values: self.values[range.start * self.dim..range.end * self.dim].into(),
            dim: self.dim,
            rows: self.rows.as_ref().map(|rows| rows[range.clone()].to_vec()),
            first: self.first + range.start,
        }
    }

    /// Even parts, one per thread at most.
    fn parts(&self, threads: usize) -> Vec<Samples<'_>> {
        let threads = threads.clamp(1, self.count().max(1));
        (0..threads).map(|i| self.part(self.count() * i / threads..self.count() * (i + 1) / threads)).collect()
    }

    /// As a matrix; `None` if there is nothing to search for.
    fn matrix(&self) -> Option<Matrix<'_>> {
        Matrix::new(&self.values, self.dim).ok().filter(|matrix| matrix.rows() > 0)
    }
}

/// Works on parts of the samples on several threads; `None` if one was cancelled.
fn in_parallel<T: Send>(
    samples: &Samples<'_>,
    threads: usize,
    work: impl Fn(&Samples<'_>) -> Option<T> + Sync,
) -> Option<Vec<T>> {
    let parts = samples.parts(threads);
    std::thread::scope(|scope| {
        let running: Vec<_> = parts.iter().map(|part| scope.spawn(|| work(part))).collect();
        // A thread that panicked has nothing to give; neither has the whole.
        running.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    })
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

/// What things cost here: medians of a few runs on one thread.
fn costs(request: &MeasureRequest<'_>, samples: &Samples<'_>) -> Option<Costs> {
    let few = samples.part(0..samples.count().min(32));
    let Some(queries) = few.matrix() else { return Some(Costs { walk_ns: 100.0, scan_ns: 100.0, gather_ns: 100.0 }) };
    let mut scratch = Scratch::new();
    let mut walks = Vec::new();
    // The first round warms the caches up as a stream of queries would.
    for round in 0..2 {
        for query in 0..queries.rows() {
            let one = Matrix::new(queries.row(query), few.dim).ok()?;
            let walk = Walk { k: 48, ef: 48, cancel: Some(request.cancel), ..Walk::default() };
            let begun = Instant::now();
            let walked = hnsw::search(&request.view, one, &walk, &mut scratch);
            let ns = begun.elapsed().as_nanos() as f32;
            let distances: u64 = walked.iter().map(|walked| walked.distances).sum();
            if round > 0 && distances > 0 {
                walks.push(ns / distances as f32);
            }
        }
    }
    let some = RowSet::new_full(request.view.rows().rows().min(COST_ROWS_MAX));
    let scattered = random_filter(&some, SELECTIVITIES[SELECTIVITIES.len() - 1], u64::MAX);
    let scan = |allowed: &RowSet| {
        let runs = (0..queries.rows().min(8)).filter_map(|query| {
            let one = Matrix::new(queries.row(query), few.dim).ok()?;
            let begun = Instant::now();
            let found = request.exact(one, KS[1], allowed);
            (found.distances > 0).then(|| begun.elapsed().as_nanos() as f32 / found.distances as f32)
        });
        median(runs.collect())
    };
    let costs = Costs { walk_ns: median(walks), scan_ns: scan(&some), gather_ns: scan(&scattered) };
    (!(request.cancel)()).then_some(costs)
}

/// The middle one; a tenth of a nanosecond at least, because costs are divided by.
fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(100.0).max(0.1)
}

/// Some of the rows, each with the same probability, the same ones every time.
fn random_filter(rows: &RowSet, share: f32, seed: u64) -> RowSet {
    let mut random = Random(seed);
    let limit = (f64::from(share) * u64::MAX as f64) as u64;
    let mut filter = RowSet::new_empty(rows.len());
    rows.iter().filter(|_| random.next() < limit).for_each(|row| filter.insert(row));
    filter
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): enough to choose samples
/// with, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
