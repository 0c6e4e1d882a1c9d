//! Exact scans against the limit: what share of the memory bandwidth of one thread an exact top-10 reaches.
//!
//! ```text
//! cargo run --release -p volley-benches --example exact_scan [FILE.parquet …]
//! ```
//! Without files the shapes are those of WordNet (117,659 × 384), Fashion-MNIST (60,000 × 784) and GloVe (399,000 × 50)
//! embeddings with random components; each file given is measured instead, by its first column of vectors.
//!
//! # Method
//! * One thread. One buffer of [`BUFFER_BYTES`], several times as large as the last-level caches it is meant for, is
//!   filled with copies of the vectors. A measured scan goes over *all* copies one after the other, one search each, so
//!   that every one of them finds its rows in memory and not in a cache.
//! * The limit is the memory bandwidth of one thread: an AVX2 sum over the same bytes of the same buffer, `plain` and with
//!   software prefetching; the share is that of the faster of the two. Limits and scans take turns in [`ROUNDS`] rounds,
//!   so that a noisy neighbour meets both. Reported are the best round of each and their ratio: the least disturbed.
//! * `batch`: [`BATCH`] queries in one search; reported is how many times as many distances per second as with one query.
//! * `10 %`, `1 %`: one query, a random set of allowed rows of that size; GB/s counts allowed rows only.

use std::{hint::black_box, path::Path, process::ExitCode, time::Instant};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use volley_benches::{bandwidth, vectors::Vectors};
use volley_index::{ExactRequest, F32Kernel, Matrix, Metric, RowSet, exact_search};

const BUFFER_BYTES: usize = 2 << 30;
const ROUNDS: usize = 5;
const BATCH: usize = 64;
const K: usize = 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    println!("kernels: {}; buffer: {} MiB; k = {K}", F32Kernel::new(Metric::L2).instructions(), BUFFER_BYTES >> 20);
    println!(
        "vectors                        metric | memory GB/s: plain, prefetched | scan GB/s   share | batch of {BATCH} | 10 % GB/s | 1 % GB/s"
    );
    if files.is_empty() {
        for (rows, dim) in [(117_659, 384), (60_000, 784), (399_000, 50)] {
            report(&Vectors::random(rows, dim))?;
        }
    }
    for file in &files {
        report(&Vectors::from_parquet(Path::new(file))?)?;
    }
    Ok(())
}

/// Measures and prints one set of vectors under every metric.
fn report(vectors: &Vectors) -> volley_index::Result<()> {
    let bytes = size_of_val(&vectors.data[..]);
    let copies = (BUFFER_BYTES / bytes.max(1)).max(1);
    let buffer = vectors.data.repeat(copies);
    // The queries are rows, moved a little so that no distance is zero.
    let queries: Vec<f32> = vectors.data.iter().take(BATCH * vectors.dim).map(|value| value + 0.01).collect();
    let bench = Bench { vectors, buffer: &buffer, queries: &queries };
    let sets = [0.1, 0.01].map(|share| random_set(vectors.rows(), share));
    for metric in Metric::ALL {
        let (mut plain, mut prefetched, mut single, mut batch, mut sparse) =
            (0.0f64, 0.0f64, 0.0f64, 0.0f64, [0.0f64; 2]);
        for round in 0..ROUNDS {
            plain = plain.max(bandwidth::read_gb_per_second(&buffer, false));
            prefetched = prefetched.max(bandwidth::read_gb_per_second(&buffer, true));
            single = single.max(bench.scan(metric, 1, None, copies)?);
            for (best, set) in sparse.iter_mut().zip(&sets) {
                *best = best.max(bench.scan(metric, 1, Some(set), copies)?);
            }
            // Batches do not depend on memory; two rounds are enough.
            if round < 2 {
                batch = batch.max(bench.scan(metric, BATCH, None, copies.div_ceil(8))?);
            }
        }
        println!(
            "{:30} {:>6} | {:18.2}, {:10.2} | {:9.2} {:6.1} % | {:9.1} × | {:9.2} | {:8.2}",
            format!("{} {} × {}", vectors.name, vectors.rows(), vectors.dim),
            metric.name(),
            plain,
            prefetched,
            single,
            100.0 * single / plain.max(prefetched),
            batch / single,
            sparse[0],
            sparse[1],
        );
    }
    Ok(())
}

/// One buffer full of copies of some vectors.
struct Bench<'a> {
    vectors: &'a Vectors,
    buffer: &'a [f32],
    queries: &'a [f32],
}

impl Bench<'_> {
    /// Searches the first `copies` copies one after the other; gigabytes of compared rows per second.
    fn scan(
        &self,
        metric: Metric,
        queries: usize,
        filter: Option<&RowSet>,
        copies: usize,
    ) -> volley_index::Result<f64> {
        let dim = self.vectors.dim;
        let queries = Matrix::new(&self.queries[..queries * dim], dim)?;
        let request = ExactRequest { queries, metric, k: K, filter, floor: None, ties: false, cancel: None };
        let start = Instant::now();
        let mut distances = 0;
        for copy in self.buffer.chunks_exact(self.vectors.data.len()).take(copies) {
            distances += black_box(exact_search(&request, Matrix::new(copy, dim)?)).distances;
        }
        Ok((distances as usize * dim * size_of::<f32>()) as f64 / start.elapsed().as_secs_f64() / 1e9)
    }
}

/// A set of about that share of the rows, the same one every time.
fn random_set(rows: usize, share: f64) -> RowSet {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut set = RowSet::new_empty(rows);
    (0..rows).filter(|_| rng.random_bool(share)).for_each(|row| set.insert(row));
    set
}
