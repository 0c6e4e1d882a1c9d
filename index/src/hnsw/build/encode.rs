//! Encoding the rows, on all threads.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::BuildRequest;
use crate::{CodesLayout, Matrix, hnsw::BuildError};

/// How many bytes of vectors are encoded between two polls of `cancel`: a few milliseconds' worth.
const BLOCK_BYTES: usize = 1 << 20;

/// Writes the codes of all rows to `out`, which is as long as the layout says.
pub(super) fn encode(layout: &CodesLayout, request: &BuildRequest<'_>, out: &mut [u8]) -> Result<(), BuildError> {
    if out.is_empty() {
        return Ok(());
    }
    let rows = request.rows;
    let block = (BLOCK_BYTES / size_of::<f32>() / rows.dim()).max(1);
    let vectors = rows.data().chunks(block * rows.dim());
    let blocks = Mutex::new(vectors.zip(out.chunks_mut(block * layout.stride())));
    let cancelled = AtomicBool::new(false);
    let work = || {
        while !cancelled.load(Relaxed) {
            let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((vectors, out)) = next else { return };
            if let Ok(vectors) = Matrix::new(vectors, rows.dim()) {
                layout.encode(vectors, out);
            }
            if (request.cancel)() {
                cancelled.store(true, Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..request.threads {
            scope.spawn(work);
        }
        work();
    });
    if cancelled.into_inner() { Err(BuildError::Cancelled) } else { Ok(()) }
}
