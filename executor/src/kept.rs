//! [`Kept`]: values that are kept for later queries, as long as the memory ledger has room for them.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use datafusion::execution::cache::lru_queue::LruQueue;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use parking_lot::Mutex;

/// What one cache may hold of the ledger: this part of it.
const SHARE: usize = 8;
/// What an entry takes beside its value and its key, roughly.
const ENTRY_BYTES: usize = 256;

/// Gives memory back when somebody needs it more.
pub trait Reclaim: Send + Sync + fmt::Debug {
    /// Bytes that it holds.
    fn held(&self) -> usize;

    /// Frees at least so many bytes if it holds as many; returns how many it has freed.
    fn reclaim(&self, bytes: usize) -> usize;
}

/// Values by key. Their bytes are held in the memory ledger, up to an eighth of its limit; the ones that were not used for
/// the longest go first. Clones share them.
pub struct Kept<K: Eq + Hash + Clone, V: Clone>(Arc<Inner<K, V>>);

struct Inner<K: Eq + Hash + Clone, V: Clone> {
    name: &'static str,
    pool: Arc<dyn MemoryPool>,
    reservation: MemoryReservation,
    entries: Mutex<LruQueue<K, (V, usize)>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a cache holds and how useful it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptStatistics {
    /// What is cached.
    pub name: &'static str,
    /// Values held.
    pub entries: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// Look-ups that found something since the engine was opened.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Clone for Kept<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Kept<K, V> {
    /// A cache that is empty; `name` is how the ledger's errors and `volley.caches` call it.
    pub fn new(name: &'static str, pool: &Arc<dyn MemoryPool>) -> Self {
        Self(Arc::new(Inner {
            name,
            pool: Arc::clone(pool),
            reservation: MemoryConsumer::new(name).register(pool),
            entries: Mutex::new(LruQueue::new()),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }))
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<V> {
        let found = self.0.entries.lock().get(key).map(|(value, _)| value.clone());
        let counter = if found.is_some() { &self.0.hits } else { &self.0.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// All values, in no order.
    pub fn values(&self) -> Vec<V> {
        self.0.entries.lock().list_entries().into_values().map(|(value, _)| value.clone()).collect()
    }

    /// Whether so many more bytes fit without others having to go.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.0.reservation.size().saturating_add(bytes) <= self.limit()
    }

    /// The pool whose bytes it takes.
    pub fn pool(&self) -> &Arc<dyn MemoryPool> {
        &self.0.pool
    }

    /// Bytes that all values together may take.
    pub fn limit(&self) -> usize {
        match self.0.pool.memory_limit() {
            MemoryLimit::Finite(limit) => limit / SHARE,
            _ => usize::MAX,
        }
    }

    /// Keeps a value of so many bytes, if there is room once older ones have gone.
    pub fn put(&self, key: K, value: V, bytes: usize) {
        let bytes = bytes + ENTRY_BYTES;
        let limit = self.limit();
        if bytes > limit {
            return;
        }
        let held = self.0.reservation.size();
        if held + bytes > limit {
            self.0.free(held + bytes - limit);
        }
        // Not under the lock: a ledger that is full asks its caches, and so this one, to give something back.
        if self.0.reservation.try_grow(bytes).is_err() {
            return;
        }
        if let Some((_, replaced)) = self.0.entries.lock().put(key, (value, bytes)) {
            self.0.reservation.shrink(replaced);
        }
    }

    /// The cache as whoever is short of memory sees it.
    pub fn reclaimable(&self) -> Weak<dyn Reclaim>
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        Arc::downgrade(&self.0) as Weak<dyn Reclaim>
    }

    /// What it holds, and how useful it was.
    pub fn statistics(&self) -> KeptStatistics {
        KeptStatistics {
            name: self.0.name,
            entries: self.0.entries.lock().len(),
            bytes: self.0.reservation.size(),
            hits: self.0.hits.load(Ordering::Relaxed),
            misses: self.0.misses.load(Ordering::Relaxed),
        }
    }
}

impl<K, V> Reclaim for Inner<K, V>
where
    K: Eq + Hash + Clone + Send + Sync,
    V: Clone + Send + Sync,
{
    fn held(&self) -> usize {
        self.reservation.size()
    }

    fn reclaim(&self, bytes: usize) -> usize {
        self.free(bytes)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Inner<K, V> {
    fn free(&self, bytes: usize) -> usize {
        let mut freed = 0;
        let mut gone = Vec::new();
        let mut entries = self.entries.lock();
        while freed < bytes
            && let Some((_, (value, size))) = entries.pop()
        {
            freed += size;
            gone.push(value);
        }
        drop(entries);
        // Large values are freed outside of the lock.
        drop(gone);
        self.reservation.shrink(freed);
        freed
    }
}

impl<K: Eq + Hash + Clone, V: Clone> fmt::Debug for Inner<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("name", &self.name)
            .field("bytes", &self.reservation.size())
            .finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone, V: Clone> fmt::Debug for Kept<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.statistics()).finish()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn the_oldest_go_first_and_the_ledger_knows() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(8 * 3000));
        let kept = Kept::<u32, u32>::new("test", &pool);
        assert_eq!(kept.limit(), 3000);
        (0..4).for_each(|key| kept.put(key, key, 500));
        assert_eq!(pool.reserved(), 4 * (500 + ENTRY_BYTES) - (500 + ENTRY_BYTES));
        assert_eq!((kept.get(&0), kept.get(&1), kept.get(&3)), (None, Some(1), Some(3)));
        // 2 is the oldest now.
        kept.put(4, 4, 500);
        assert_eq!((kept.get(&2), kept.get(&1), kept.get(&4)), (None, Some(1), Some(4)));
        kept.put(5, 5, 3000);
        assert_eq!(kept.get(&5), None);
        assert!(kept.0.free(1) > 1);
        assert_eq!(kept.statistics().entries, 2);
        drop(kept);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_value_that_is_replaced_gives_its_bytes_back() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(80_000));
        let kept = Kept::<u32, u32>::new("test", &pool);
        kept.put(1, 1, 1000);
        kept.put(1, 2, 10);
        assert_eq!((kept.get(&1), pool.reserved()), (Some(2), 10 + ENTRY_BYTES));
    }
}
