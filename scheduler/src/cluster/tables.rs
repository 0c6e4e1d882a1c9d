//! The tables of a coordinator: which shards have rows, and which tables have something to be indexed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use volley_storage::Database;
use volley_storage::catalog::CatalogEntry;
use volley_storage::ids::{TableId, Version};
use volley_storage::store::{Consistency, TableStore};

use super::heartbeat::ReadyShards;
use super::members::Members;
use crate::engine::Shared;
use crate::error::Result;
use crate::indexing::Indexer;

/// How often this process's own view of the tables is looked at; that asks nobody for more than names.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How old names may be, where asking for them is a trip over a network.
const NAMES_AGE_MAX_MS: i64 = 5_000;
/// Every so many looks the store is asked, for the commits of other coordinators.
const ASK_EVERY: u32 = 30;
/// Tables that are asked about at the same time.
const TABLES_AT_ONCE: usize = 8;

/// What a coordinator knows of the tables.
pub(super) struct Tables {
    database: Database,
    store: Arc<dyn TableStore>,
    indexer: Arc<Indexer>,
    members: Arc<Members>,
    /// 0 as long as another coordinator is the active one.
    epoch: Arc<AtomicU64>,
    known: BTreeMap<TableId, ReadyShards>,
    /// The version up to which background work was asked for.
    looked_after: BTreeMap<TableId, Version>,
}

impl Tables {
    pub(super) fn new(shared: &Shared, members: Arc<Members>, epoch: Arc<AtomicU64>) -> Self {
        Self {
            database: shared.database.clone(),
            store: Arc::new(shared.database.clone()),
            indexer: Arc::clone(&shared.indexer),
            members,
            epoch,
            known: BTreeMap::new(),
            looked_after: BTreeMap::new(),
        }
    }

    /// Looks for as long as the coordinator runs.
    pub(super) async fn run(mut self) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for look in 0.. {
            every.tick().await;
            let asked = look % ASK_EVERY == 0;
            if let Err(error) = self.look(asked).await {
                tracing::debug!(%error, "the tables cannot be looked at this time");
            }
            self.maintain();
        }
    }

    /// Tells the members which shards there are.
    async fn look(&mut self, ask: bool) -> Result<()> {
        let catalog = self.database.catalog();
        let names = match ask {
            true => catalog.snapshot().await?,
            false if self.store.is_remote() => catalog.recent_snapshot(NAMES_AGE_MAX_MS).await?,
            false => catalog.recent_snapshot(LOOK_EVERY.as_millis() as i64).await?,
        };
        let entries = names.schemas.values().flat_map(BTreeMap::values);
        let tables: Vec<TableId> = entries
            .filter_map(|entry| match entry {
                CatalogEntry::Table { id } => Some(*id),
                _ => None,
            })
            .collect();
        let consistency = if ask { Consistency::Strong } else { Consistency::AtLeast(Version(0)) };
        let store = &self.store;
        let looked: Vec<_> = futures::stream::iter(tables)
            .map(|table| async move { (table, store.snapshot(table, consistency).await) })
            .buffer_unordered(TABLES_AT_ONCE)
            .collect()
            .await;
        let mut known = BTreeMap::new();
        for (table, snapshot) in looked {
            match snapshot {
                Ok(snapshot) => {
                    let shards = snapshot.segments.iter().map(|segment| segment.shard).collect();
                    known.insert(table, ReadyShards { version: snapshot.version, shards });
                }
                // What was known of it holds as well as before; queries of it say what is wrong.
                Err(_) => {
                    if let Some(before) = self.known.remove(&table) {
                        known.insert(table, before);
                    }
                }
            }
        }
        if known != self.known {
            self.members.set_tables(known.clone());
            self.known = known;
        }
        Ok(())
    }

    /// The active coordinator has tables indexed that somebody has changed, itself or another.
    fn maintain(&mut self) {
        let is_active = self.epoch.load(Ordering::Acquire) > 0;
        self.indexer.set_active(is_active);
        if !is_active {
            self.looked_after.clear();
            return;
        }
        let (known, looked_after) = (&self.known, &mut self.looked_after);
        let gone: Vec<TableId> = looked_after.keys().filter(|table| !known.contains_key(table)).copied().collect();
        gone.iter().for_each(|table| {
            looked_after.remove(table);
        });
        let mut changed = Vec::new();
        for (table, now) in known {
            if looked_after.insert(*table, now.version) != Some(now.version) {
                changed.push(*table);
            }
        }
        self.indexer.look_after_all(&changed, &gone);
    }
}
