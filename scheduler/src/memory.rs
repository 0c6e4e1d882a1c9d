//! The one memory ledger: what operators, caches and builders hold, against one limit.

use std::fmt;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use parking_lot::Mutex;
use volley_executor::kept::Reclaim;

/// The share of the machine's memory that the ledger takes when `volley.memory_limit` is not set.
const DEFAULT_SHARE: f64 = 0.7;

/// A memory pool with one limit for everything, which may change while queries run.
///
/// An operator that cannot spill gets what is left, or fails with an error that names the setting. Operators that can
/// spill take what they like of the first quarter; beyond that each may have its share of three quarters of what the
/// others leave, and spills when it is refused more. Without shares one sort would take everything and its
/// neighbour could not even merge what it has spilled; the last quarter is for those merges. Exchanges between partitions
/// may always have a quarter of the limit, also beyond it: see [`Kind`]. Not counted yet: files that are mapped, row
/// groups that a write buffers, and what scalar functions allocate.
#[derive(Debug)]
pub struct MemoryLedger {
    initial_limit: usize,
    limit: AtomicUsize,
    account: Mutex<Account>,
    /// What gives back when somebody needs it more.
    caches: Mutex<Vec<Weak<dyn Reclaim>>>,
}

/// How a consumer deals with being refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It spills, and goes on.
    Spills,
    /// It hands batches from some partitions to others. It says that it can spill, but its readers may then wait for ever for
    /// a batch that lies in a file that they have not come to (apache/datafusion#24883, mended after 55.2). So it is not
    /// refused what exchanges usually hold: a few batches for each partition, because their input stops as soon as every
    /// partition has one.
    Exchange,
    /// Its query fails.
    Fails,
}

impl Kind {
    fn of(consumer: &MemoryConsumer) -> Self {
        match consumer.can_spill() {
            true if consumer.name().starts_with("RepartitionExec[") => Kind::Exchange,
            true => Kind::Spills,
            false => Kind::Fails,
        }
    }
}

#[derive(Debug, Default)]
struct Account {
    /// Consumers that can spill.
    spillers: usize,
    /// Bytes that they hold.
    spillable: usize,
    /// Bytes that others hold.
    unspillable: usize,
    /// Bytes that exchanges hold.
    exchanged: usize,
    peak: usize,
}

impl Account {
    fn used(&self) -> usize {
        self.spillable + self.unspillable + self.exchanged
    }

    /// Bytes of a limit that spillers may share.
    fn shared(&self, limit: usize) -> usize {
        limit.saturating_sub(self.unspillable + self.exchanged)
    }

    /// Whether a consumer that holds `held` bytes may have `additional` more.
    fn allows(&self, limit: usize, kind: Kind, held: usize, additional: usize) -> bool {
        if kind == Kind::Exchange && self.exchanged.saturating_add(additional) <= limit / 4 {
            return true;
        }
        let Some(used) = self.used().checked_add(additional).filter(|used| *used <= limit) else { return false };
        let share = self.shared(limit) / 4 * 3 / self.spillers.max(1);
        kind != Kind::Spills || used <= limit / 4 || held + additional <= share
    }

    /// How many bytes the others would have to give back before [`Self::allows`] does.
    fn missing(&self, limit: usize, kind: Kind, held: usize, additional: usize) -> usize {
        let used = self.used().saturating_add(additional);
        if self.allows(limit, kind, held, additional) {
            // What an exchange may have beyond the limit caches give back where they can.
            return used.saturating_sub(limit);
        }
        let share = held.saturating_add(additional).saturating_mul(self.spillers.max(1)) / 3 * 4;
        let for_share = if kind == Kind::Spills { share.saturating_sub(self.shared(limit)) } else { 0 };
        used.saturating_sub(limit).max(for_share)
    }

    /// What all consumers of a kind hold.
    fn held(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Spills => &mut self.spillable,
            Kind::Exchange => &mut self.exchanged,
            Kind::Fails => &mut self.unspillable,
        }
    }

    fn add(&mut self, kind: Kind, additional: usize) {
        *self.held(kind) += additional;
        self.peak = self.peak.max(self.used());
    }
}

impl MemoryLedger {
    /// A ledger of this many bytes; `None` takes 70 % of what the machine or its control group has.
    pub fn new(limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or_else(|| (machine_memory() as f64 * DEFAULT_SHARE) as usize);
        Self {
            initial_limit: limit,
            limit: AtomicUsize::new(limit),
            account: Mutex::default(),
            caches: Mutex::default(),
        }
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// The limit the ledger was made with, in bytes.
    pub fn initial_limit(&self) -> usize {
        self.initial_limit
    }

    /// Sets the limit in bytes. What is held already stays held, but for what caches can give back.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
        let beyond = self.account.lock().used().saturating_sub(bytes);
        let caches: Vec<_> = self.caches.lock().iter().filter_map(Weak::upgrade).collect();
        self.reclaim(beyond.min(caches.iter().map(|cache| cache.held()).sum()));
    }

    /// A cache whose bytes are held here, and given back before anybody is refused.
    pub(crate) fn add_cache(&self, cache: Weak<dyn Reclaim>) {
        self.caches.lock().push(cache);
    }

    /// Takes bytes from the caches, if they have as many: less would help nobody.
    fn reclaim(&self, mut bytes: usize) {
        let caches: Vec<_> = self.caches.lock().iter().filter_map(Weak::upgrade).collect();
        if caches.iter().map(|cache| cache.held()).sum::<usize>() < bytes {
            return;
        }
        for cache in caches {
            bytes = bytes.saturating_sub(cache.reclaim(bytes));
        }
    }

    /// Most bytes ever held at once.
    pub fn peak(&self) -> usize {
        self.account.lock().peak
    }
}

impl fmt::Display for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.reserved(), self.limit())
    }
}

impl MemoryPool for MemoryLedger {
    fn name(&self) -> &str {
        "volley ledger"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if Kind::of(consumer) == Kind::Spills {
            self.account.lock().spillers += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if Kind::of(consumer) == Kind::Spills {
            self.account.lock().spillers -= 1;
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.account.lock().add(Kind::of(reservation.consumer()), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        *self.account.lock().held(Kind::of(reservation.consumer())) -= shrink;
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let limit = self.limit();
        let kind = Kind::of(reservation.consumer());
        let mut account = self.account.lock();
        let missing = account.missing(limit, kind, reservation.size(), additional);
        if missing > 0 {
            drop(account);
            self.reclaim(missing);
            account = self.account.lock();
        }
        if account.allows(limit, kind, reservation.size(), additional) {
            account.add(kind, additional);
            return Ok(());
        }
        Err(DataFusionError::ResourcesExhausted(format!(
            "{} needs {additional} more bytes, but {} of the {limit} bytes of volley.memory_limit are in use",
            reservation.consumer().name(),
            account.used()
        )))
    }

    fn reserved(&self) -> usize {
        self.account.lock().used()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit())
    }
}

/// Bytes of memory this process may use: the control group's limit, or the machine's memory.
fn machine_memory() -> usize {
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok())
        .min();
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
    });
    // Without either the guess is small on purpose: a limit that can be raised beats a process that is killed.
    machine.into_iter().chain(group).min().unwrap_or(4 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn refuses_beyond_the_limit_and_names_the_setting() {
        let ledger = Arc::new(MemoryLedger::new(Some(100)));
        let pool: Arc<dyn MemoryPool> = Arc::clone(&ledger) as _;
        let reservation = MemoryConsumer::new("sort").register(&pool);
        reservation.try_grow(60).unwrap();
        let error = reservation.try_grow(41).unwrap_err().to_string();
        assert!(error.contains("volley.memory_limit") && error.contains("sort"), "{error}");
        ledger.set_limit(200);
        reservation.try_grow(41).unwrap();
        assert_eq!((ledger.reserved(), ledger.peak()), (101, 101));
        drop(reservation);
        assert_eq!(ledger.reserved(), 0);
    }

    #[test]
    fn exchanges_get_a_quarter_whatever_others_hold() {
        let ledger = Arc::new(MemoryLedger::new(Some(1000)));
        let pool: Arc<dyn MemoryPool> = Arc::clone(&ledger) as _;
        let others = MemoryConsumer::new("merge").register(&pool);
        others.try_grow(1000).unwrap();
        let exchanges =
            [0, 1].map(|i| MemoryConsumer::new(format!("RepartitionExec[{i}]")).with_can_spill(true).register(&pool));
        exchanges[0].try_grow(150).unwrap();
        exchanges[1].try_grow(100).unwrap();
        assert!(exchanges[0].try_grow(1).is_err());
        exchanges[1].shrink(50);
        exchanges[0].try_grow(50).unwrap();
        drop(exchanges);
        assert_eq!((ledger.reserved(), ledger.account.lock().exchanged), (1000, 0));
    }

    #[test]
    fn spillers_share_and_leave_room_for_merges() {
        let ledger = Arc::new(MemoryLedger::new(Some(1000)));
        let pool: Arc<dyn MemoryPool> = Arc::clone(&ledger) as _;
        let sorts = [0, 1, 2, 3].map(|i| MemoryConsumer::new(format!("sort {i}")).with_can_spill(true).register(&pool));
        let merge = MemoryConsumer::new("merge").register(&pool);
        // The first quarter is for whoever comes, then shares are 187 bytes.
        sorts[0].try_grow(250).unwrap();
        assert!(sorts[0].try_grow(1).is_err());
        sorts[1].try_grow(187).unwrap();
        assert!(sorts[1].try_grow(1).is_err());
        merge.try_grow(563).unwrap();
        assert!(merge.try_grow(1).is_err());
        sorts[0].free();
        // What the merge holds is not shared any more.
        assert!(sorts[2].try_grow(187).is_err());
        merge.try_grow(250).unwrap();
    }
}
