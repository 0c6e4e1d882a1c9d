//! The plan cache: templates of statements that are asked again and again.
//!
//! ```text
//! first time      planned as ever, and remembered by the hash of its text
//! second time     planned as a template (or known to have none)
//! from then on    one look at the catalog's head and at each table's, values into slots, run
//! ```
//! A statement is known by its text, the types of its parameters and the settings of its session. A template is good for one
//! version of the names and of each table it reads: after a commit the next execution plans anew.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;
use volley_executor::kept::{Kept, KeptStatistics, Reclaim};
use volley_planner::sql::redacted;
use volley_planner::system_tables::CachedPlan;
use volley_planner::template::Template;
use volley_storage::ids::Version;

/// Characters of a statement that `volley.plan_cache` shows.
const SHOWN_MAX: usize = 400;
/// Templates of one statement, where limits are parameters.
const VARIANTS_MAX: usize = 8;
/// After so many executions what a template reads is in memory, unless others needed the room.
const WARM_USES: u64 = 4;
/// What a template takes, roughly: its plan, and what it pins of each segment.
const TEMPLATE_BYTES: usize = 16 << 10;
const SEGMENT_BYTES: usize = 512;

/// Templates by statement. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct PlanCache {
    kept: Kept<PlanKey, Entry>,
    /// Held while an entry is replaced by another that depends on it.
    changing: Arc<Mutex<()>>,
}

/// What a statement is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PlanKey {
    text: [u8; 32],
    types: Vec<DataType>,
    settings: u64,
}

impl PlanKey {
    /// The key of a statement that is executed with these values, in a session whose settings have this fingerprint.
    pub(crate) fn new(text: &str, values: &[ScalarValue], settings: u64) -> Self {
        let types = values.iter().map(ScalarValue::data_type).collect();
        Self { text: *blake3::hash(text.as_bytes()).as_bytes(), types, settings }
    }
}

#[derive(Debug, Clone)]
enum Entry {
    /// Asked once.
    Seen,
    /// There is no template of it.
    Without,
    /// One for each of the values that limits had.
    Templates(Arc<[Arc<CachedTemplate>]>),
}

/// A template and what it needs to run.
#[derive(Debug)]
pub(crate) struct CachedTemplate {
    pub(crate) template: Box<Template>,
    /// The names that it was planned with.
    pub(crate) names: Version,
    /// The configuration that its executions start from.
    pub(crate) config: SessionConfig,
    statement: String,
    uses: AtomicU64,
    /// Whether all indexes that it reads could be opened. They stay open, as long as there are not thousands.
    is_sound: AtomicBool,
}

/// What the cache says of a statement.
pub(crate) enum Lookup {
    /// There is a template; whether it is of this version has to be looked at.
    Found(Arc<CachedTemplate>),
    /// It is asked again: a template is worth planning.
    Wanted,
    /// It was never asked.
    New,
    /// There is none.
    Without,
}

impl PlanCache {
    /// A cache without templates.
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self { kept: Kept::new("plans", pool), changing: Arc::default() }
    }

    /// The cache as whoever is short of memory sees it.
    pub(crate) fn reclaimable(&self) -> Weak<dyn Reclaim> {
        self.kept.reclaimable()
    }

    /// What it holds, and how useful it was.
    pub(crate) fn statistics(&self) -> KeptStatistics {
        self.kept.statistics()
    }

    /// What is known of a statement that is about to be executed with these values.
    pub(crate) fn look_up(&self, key: &PlanKey, values: &[ScalarValue]) -> Lookup {
        match self.kept.get(key) {
            Some(Entry::Templates(cached)) => {
                let fitting = cached.iter().find(|cached| cached.template.fits(values));
                fitting.map_or(Lookup::Wanted, |cached| Lookup::Found(Arc::clone(cached)))
            }
            Some(Entry::Seen) => Lookup::Wanted,
            Some(Entry::Without) => Lookup::Without,
            None => Lookup::New,
        }
    }

    /// Remembers that a query was asked.
    pub(crate) fn saw(&self, key: PlanKey) {
        self.change(key, |known| known.is_none().then_some(Entry::Seen));
    }

    /// Remembers that there is no template of a statement.
    pub(crate) fn has_none(&self, key: PlanKey) {
        // A value may have been odd, or a file out of reach: those that there are stay.
        self.change(key, |known| (!matches!(known, Some(Entry::Templates(_)))).then_some(Entry::Without));
    }

    /// Keeps a template.
    pub(crate) fn keep(
        &self,
        key: PlanKey,
        statement: &str,
        template: Box<Template>,
        names: Version,
        config: SessionConfig,
    ) -> Arc<CachedTemplate> {
        let statement: String = redacted(statement).chars().take(SHOWN_MAX).collect();
        let cached = Arc::new(CachedTemplate {
            template,
            names,
            config,
            statement,
            uses: AtomicU64::new(0),
            is_sound: AtomicBool::new(false),
        });
        self.change(key, |known| {
            let mut all = vec![Arc::clone(&cached)];
            if let Some(Entry::Templates(others)) = known {
                all.extend(others.iter().take(VARIANTS_MAX - 1).cloned());
            }
            Some(Entry::Templates(all.into()))
        });
        cached
    }

    /// Forgets a template that is out of date.
    pub(crate) fn outdated(&self, key: &PlanKey, gone: &Arc<CachedTemplate>) {
        self.change(key.clone(), |known| {
            let Some(Entry::Templates(all)) = known else { return None };
            let left: Arc<[_]> = all.iter().filter(|cached| !Arc::ptr_eq(cached, gone)).cloned().collect();
            Some(if left.is_empty() { Entry::Seen } else { Entry::Templates(left) })
        });
    }

    /// Replaces what is known of a statement by what `change` makes of it, if anything.
    fn change(&self, key: PlanKey, change: impl FnOnce(Option<Entry>) -> Option<Entry>) {
        let _one_at_a_time = self.changing.lock();
        let Some(entry) = change(self.kept.get(&key)) else { return };
        let bytes = match &entry {
            Entry::Templates(all) => all.iter().map(|cached| cached.bytes()).sum(),
            Entry::Seen | Entry::Without => 0,
        };
        self.kept.put(key, entry, bytes);
    }

    /// The templates, for `volley.plan_cache`.
    pub(crate) fn report(&self) -> Vec<CachedPlan> {
        let mut templates = Vec::new();
        for entry in self.kept.values() {
            let Entry::Templates(all) = entry else { continue };
            templates.extend(all.iter().map(|cached| CachedPlan {
                statement: cached.statement.clone(),
                parameters: cached.template.parameters() as u64,
                uses: cached.uses.load(Ordering::Relaxed),
            }));
        }
        templates.sort_by(|a, b| b.uses.cmp(&a.uses).then_with(|| a.statement.cmp(&b.statement)));
        templates
    }
}

impl CachedTemplate {
    fn bytes(&self) -> usize {
        TEMPLATE_BYTES + self.statement.len() + SEGMENT_BYTES * self.template.segments()
    }

    /// Whether all indexes that it reads are known to be usable.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_sound.load(Ordering::Relaxed)
    }

    /// Remembers that they are.
    pub(crate) fn found_sound(&self) {
        self.is_sound.store(true, Ordering::Relaxed);
    }

    /// Whether an execution is so short that the thread that asks for it may as well run it: handing it to another and
    /// waiting for its answer takes longer.
    pub(crate) fn is_short(&self) -> bool {
        self.template.is_short() && self.is_sound() && self.uses.load(Ordering::Relaxed) >= WARM_USES
    }

    /// Counts an execution.
    pub(crate) fn used(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
    }
}
