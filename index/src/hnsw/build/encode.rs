//! Encoding the rows, on all threads.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{BuildRequest, threads};
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
    let blocks = rows.data().chunks(block * rows.dim()).zip(out.chunks_mut(block * layout.stride()));
    let cancelled = AtomicBool::new(false);
    threads::for_each(&mut vec![(); request.threads.max(1)], blocks, |(), (vectors, out)| {
        if cancelled.load(Relaxed) {
            return;
        }
        if let Ok(vectors) = Matrix::new(vectors, rows.dim()) {
            layout.encode(vectors, out);
        }
        if (request.cancel)() {
            cancelled.store(true, Relaxed);
        }
    });
    if cancelled.into_inner() { Err(BuildError::Cancelled) } else { Ok(()) }
}
