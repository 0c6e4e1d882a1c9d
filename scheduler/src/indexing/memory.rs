//! What building an index takes from the memory ledger.

use std::sync::Arc;

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use volley_executor::maintenance::build_memory;
use volley_storage::index_definition::IndexDefinition;
use volley_storage::schema::vector_dimension;
use volley_storage::segment::Segment;
use volley_storage::snapshot::Snapshot;

use super::Indexer;
use crate::error::Result;

impl Indexer {
    /// Reserves memory for a build until what is returned is dropped.
    pub(super) fn reserve(&self, bytes: usize) -> Result<MemoryReservation> {
        let pool: Arc<dyn MemoryPool> = Arc::clone(&self.memory) as _;
        let reservation = MemoryConsumer::new("building an index").register(&pool);
        reservation.try_grow(bytes)?;
        Ok(reservation)
    }
}

/// Bytes that building the index of a segment takes at most.
pub(super) fn build_bytes(snapshot: &Snapshot, segment: &Segment, definition: &IndexDefinition) -> usize {
    let columns = definition.columns.iter().filter_map(|id| snapshot.schema.index_of(*id));
    let dimensions = columns.filter_map(|at| vector_dimension(snapshot.schema.arrow.field(at).data_type()));
    usize::try_from(build_memory(segment, dimensions.sum(), definition)).unwrap_or(usize::MAX)
}
