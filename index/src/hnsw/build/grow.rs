//! Growing the graph: usearch chooses the links, our kernels measure.
//!
//! usearch is given row numbers for vectors, four bytes each, and a metric that looks the rows up where they are. So it
//! holds nothing but the graph, knows every metric that we have, and builds with our kernels over our codes.

use std::{
    fmt::Display,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::{BuildRequest, space::Space};
use crate::{DistanceKernel, hnsw::BuildError};

/// A thread more for each so many rows. Rows that are added at the same time do not see each other, which in a small graph
/// may leave one without links to what is next to it. So a graph of less than twice as many rows is built by one thread, and
/// is the same each time.
const ROWS_PER_THREAD: usize = 2048;

/// What usearch takes for a vector: a row number as four components of i8, which it copies as they are.
pub(super) fn vector(row: u32) -> [i8; 4] {
    row.to_le_bytes().map(|byte| byte as i8)
}

/// The distance of two rows of the space at an address.
///
/// # Safety
/// There must be a living `Space` over rows of `K` at the address.
unsafe fn between<K: DistanceKernel>(space: *const (), a: u32, b: u32) -> f32 {
    // SAFETY: as the caller promises.
    unsafe { (*space.cast::<Space<'_, '_, K>>()).between(a, b) }
}

/// Builds the graph of the nodes, which must be distinct rows of the space, and hands it to `then`. Keys are row numbers.
pub(super) fn grow<K: DistanceKernel, T>(
    space: &Space<'_, '_, K>,
    nodes: &[u32],
    request: &BuildRequest<'_>,
    then: impl FnOnce(&Index) -> T,
) -> Result<T, BuildError> {
    let options = IndexOptions {
        dimensions: size_of::<u32>(),
        metric: MetricKind::IP,
        quantization: ScalarKind::I8,
        connectivity: request.params.m,
        expansion_add: request.params.ef_construction,
        expansion_search: 1,
        multi: false,
    };
    let mut index = Index::new(&options).map_err(failed)?;
    let (address, between) =
        (std::ptr::from_ref(space) as usize, between::<K> as unsafe fn(*const (), u32, u32) -> f32);
    let metric = move |a: *const i8, b: *const i8| {
        // SAFETY: usearch passes two vectors of the index's dimension, which are row numbers in four bytes of any
        // alignment; the space is borrowed for longer than the index lives, which is this function.
        unsafe {
            let (a, b) = (a.cast::<[u8; 4]>().read(), b.cast::<[u8; 4]>().read());
            between(address as *const (), u32::from_le_bytes(a), u32::from_le_bytes(b))
        }
    };
    index.change_metric::<i8>(Box::new(metric));
    let threads = request.threads.clamp(1, (nodes.len() / ROWS_PER_THREAD).max(1));
    index.reserve_capacity_and_threads(nodes.len(), threads).map_err(failed)?;
    add_all(&index, nodes, threads, request)?;
    Ok(then(&index))
}

fn failed(error: impl Display) -> BuildError {
    BuildError::Graph { reason: error.to_string() }
}

/// Adds the nodes, each thread taking the next one.
fn add_all(index: &Index, nodes: &[u32], threads: usize, request: &BuildRequest<'_>) -> Result<(), BuildError> {
    let (next, stop, error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    let order = Order::new(nodes.len());
    let work = || {
        while let Some(&row) = nodes.get(order.place(next.fetch_add(1, Relaxed))) {
            // A row is added in about a millisecond, in ten at the highest settings.
            let outcome = match (request.cancel)() {
                true => Err(BuildError::Cancelled),
                false => index.add(row.into(), &vector(row)).map_err(failed),
            };
            if stop.load(Relaxed) {
                return;
            }
            if let Err(cause) = outcome {
                stop.store(true, Relaxed);
                error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
                return;
            }
            (request.progress)(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The order in which nodes are added: each next one far from all before it.
///
/// Rows often lie in a table in an order that has to do with their vectors. Added in that order, a neighbourhood is complete
/// before the next one begins, and too few links lead from one to the other: of narrow clusters one after another, a
/// quarter of the neighbours was not found, and one in eight if coarse steps through the table came first. Steps by the
/// golden section spread any number of first nodes evenly; they cost a fifth more time, because what a node is compared
/// with is no longer in the cache.
#[derive(Debug, Clone, Copy)]
struct Order {
    step: usize,
    count: usize,
}

impl Order {
    fn new(count: usize) -> Self {
        let golden = (count as f64 * 0.618_033_988_749_895) as usize;
        // Coprime to the count, so that every node has its turn.
        let step = (golden.max(1)..).find(|&step| greatest_common_divisor(step, count) == 1).unwrap_or(1);
        Self { step, count }
    }

    /// Which node is the `turn`-th; beyond the last one there is none.
    fn place(self, turn: usize) -> usize {
        // Both are below 2³²: rows are numbered with 32 bits.
        if turn < self.count { (turn as u64 * self.step as u64 % self.count as u64) as usize } else { self.count }
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_turn() {
        for count in (0..300).chain([1000, 1024, 4181]) {
            let order = Order::new(count);
            let mut places: Vec<usize> = (0..count).map(|turn| order.place(turn)).collect();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..count), "{count}");
            assert_eq!(order.place(count), count);
        }
    }
}
