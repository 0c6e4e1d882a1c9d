//! The plan cache: templates of statements that are asked again and again.
//!
//! ```text
//! first time      planned as ever, and remembered by the hash of its text
//! second time     planned as a template (or known to have none)
//! from then on    one look at the catalog's head and at each table's, values into slots, run
//! ```
//! A statement is known by its text, the types of its parameters and the settings of its session. One with literals that can be
//! parameters has no template of its own: it runs by that of the statement which has parameters there. A template is good for one
//! version of the names and of its table: after a commit the next execution makes it one of the new version, which is cheaper than
//! planning; where names, or more of the table than its rows, have changed, it plans anew.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;
use volley_executor::kept::{Kept, KeptStatistics, Reclaim};
use volley_planner::dml::PlainInsert;
use volley_planner::sql::redacted;
use volley_planner::system_tables::CachedPlan;
use volley_planner::template::Template;
use volley_storage::ids::Version;
use volley_storage::snapshot::Snapshot;

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

    /// The key of an INSERT of plain values of these types into columns of a table; none named stands for all.
    pub(crate) fn of_insert(base: &Snapshot, columns: &[String], types: &[DataType], settings: u64) -> Self {
        // A text that is no statement.
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("\0{} {:?}", base.table, base.schema.id).as_bytes());
        for column in columns {
            hasher.update(&column.len().to_le_bytes()).update(column.as_bytes());
        }
        Self { text: *hasher.finalize().as_bytes(), types: types.to_vec(), settings }
    }
}

#[derive(Debug, Clone)]
enum Entry {
    /// Asked once.
    Seen,
    /// There is no template of it.
    Without,
    /// It is run as this statement, whose last parameters stand for these literals.
    Lifted(PlanKey, Arc<[ScalarValue]>),
    /// One for each of the values that limits had.
    Templates(Arc<[Arc<CachedTemplate>]>),
    /// How INSERTs of one shape make rows of their values.
    Insert(Arc<PlainInsert>),
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

/// A template that a statement can run by.
pub(crate) struct Found {
    pub(crate) cached: Arc<CachedTemplate>,
    /// What it is kept under.
    pub(crate) key: PlanKey,
    /// Values of the last parameters, which are literals of the statement.
    literals: Option<Arc<[ScalarValue]>>,
}

impl Found {
    /// The values of the template's parameters, where these came with the statement.
    pub(crate) fn values<'a>(&self, given: &'a [ScalarValue]) -> Cow<'a, [ScalarValue]> {
        match &self.literals {
            Some(literals) => [given, literals].concat().into(),
            None => given.into(),
        }
    }
}

/// What the cache says of a statement.
pub(crate) enum Lookup {
    /// There is a template; whether it is of this version has to be looked at.
    Found(Found),
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
        let (key, all, literals) = match self.kept.get(key) {
            Some(Entry::Templates(all)) => (key.clone(), all, None),
            Some(Entry::Lifted(key, literals)) => match self.kept.get(&key) {
                Some(Entry::Templates(all)) => (key, all, Some(literals)),
                _ => return Lookup::Wanted,
            },
            Some(Entry::Seen) => return Lookup::Wanted,
            Some(Entry::Without | Entry::Insert(_)) => return Lookup::Without,
            None => return Lookup::New,
        };
        // Limits are never literals that were lifted, so that the values that came with the statement decide.
        match all.iter().find(|cached| cached.template.fits(values)) {
            Some(cached) => Lookup::Found(Found { cached: Arc::clone(cached), key, literals }),
            None => Lookup::Wanted,
        }
    }

    /// How an INSERT makes rows of its values: `None` as long as that is not known, and in it `None` where it has to be planned
    /// each time.
    pub(crate) fn insert(&self, key: &PlanKey) -> Option<Option<Arc<PlainInsert>>> {
        match self.kept.get(key)? {
            Entry::Insert(insert) => Some(Some(insert)),
            _ => Some(None),
        }
    }

    /// Keeps how INSERTs make rows of their values.
    pub(crate) fn keep_insert(&self, key: PlanKey, insert: Option<PlainInsert>) {
        let entry = insert.map_or(Entry::Without, |insert| Entry::Insert(Arc::new(insert)));
        self.change(key, |_| Some(entry));
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
        let cached = CachedTemplate::new(template, names, config, statement);
        self.change(key, |known| {
            let mut all = vec![Arc::clone(&cached)];
            if let Some(Entry::Templates(others)) = known {
                all.extend(others.iter().take(VARIANTS_MAX - 1).cloned());
            }
            Some(Entry::Templates(all.into()))
        });
        cached
    }

    /// Remembers that a statement is run as another one, whose last parameters stand for its literals.
    pub(crate) fn lifted(&self, key: PlanKey, to: PlanKey, literals: &[ScalarValue]) {
        self.change(key, |known| {
            let is_known = matches!(known, Some(Entry::Lifted(..)));
            (!is_known).then(|| Entry::Lifted(to, literals.into()))
        });
    }

    /// Keeps a template of the table's new version in the place of one that is out of date, unless another is there already.
    pub(crate) fn renew(&self, old: &Found, template: Template) -> Arc<CachedTemplate> {
        let CachedTemplate { names, config, statement, .. } = old.cached.as_ref();
        let renewed = CachedTemplate::new(Box::new(template), *names, config.clone(), statement.clone());
        self.change(old.key.clone(), |known| {
            let Some(Entry::Templates(all)) = known else { return None };
            let each = |cached: &Arc<_>| Arc::clone(if Arc::ptr_eq(cached, &old.cached) { &renewed } else { cached });
            Some(Entry::Templates(all.iter().map(each).collect()))
        });
        renewed
    }

    /// Forgets a template that is out of date.
    pub(crate) fn outdated(&self, gone: &Found) {
        self.change(gone.key.clone(), |known| {
            let Some(Entry::Templates(all)) = known else { return None };
            let left: Arc<[_]> = all.iter().filter(|cached| !Arc::ptr_eq(cached, &gone.cached)).cloned().collect();
            Some(if left.is_empty() { Entry::Seen } else { Entry::Templates(left) })
        });
    }

    /// Replaces what is known of a statement by what `change` makes of it, if anything.
    fn change(&self, key: PlanKey, change: impl FnOnce(Option<Entry>) -> Option<Entry>) {
        let _one_at_a_time = self.changing.lock();
        let Some(entry) = change(self.kept.get(&key)) else { return };
        let bytes = match &entry {
            Entry::Templates(all) => all.iter().map(|cached| cached.bytes()).sum(),
            Entry::Lifted(_, literals) => literals.iter().map(ScalarValue::size).sum(),
            Entry::Insert(_) => TEMPLATE_BYTES,
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
    fn new(template: Box<Template>, names: Version, config: SessionConfig, statement: String) -> Arc<Self> {
        let (uses, is_sound) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { template, names, config, statement, uses, is_sound })
    }

    /// The statement, or its beginning, as `volley.plan_cache` shows it.
    pub(crate) fn statement(&self) -> &str {
        &self.statement
    }

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
