//! The segments of one table version, as a scan or a search sees them.
//!
//! A [`SegmentSet`] pins everything that decides an answer: the version, the schema, each segment's files with their
//! checksums, and the deletion vectors. It is shared by `Arc` between the nodes of a plan, and the codec carries it (cut
//! down to the segments that a task reads) to other processes, so that no process has to ask which version is meant.
//!
//! Segments are named inside a set by their **ordinal**, the position in the snapshot. A cut-down set keeps the ordinals
//! of the whole one: a row address made on one executor means the same row everywhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionConfig;
use object_store::path::Path;
use roaring::RoaringBitmap;
use volley_storage::ids::{FieldId, TableId, Version};
use volley_storage::schema::TableSchema;
use volley_storage::segment::{ROW_ID_COLUMN, Segment, SegmentData};
use volley_storage::snapshot::Snapshot;
use volley_storage::store::TableStore;

use crate::error::{Error, Result};

/// Name of the system column that says where a row is: see [`row_address`]. UInt64, not null.
pub const ROW_ADDRESS_COLUMN: &str = "_rowaddr";

/// The tables this process can read, as a session extension, so that plan nodes find the storage of the process they
/// run in (`SessionConfig::with_extension`).
#[derive(Debug, Clone)]
pub struct StorageHandle(pub Arc<dyn TableStore>);

impl StorageHandle {
    /// The handle of a session.
    pub fn of(config: &SessionConfig) -> Result<Arc<StorageHandle>> {
        config
            .get_extension::<StorageHandle>()
            .ok_or_else(|| Error::Internal { detail: "the session has no storage handle".into() })
    }
}

/// Where a row is within one [`SegmentSet`]: the segment's ordinal in the upper 32 bits, the row's offset in the lower.
pub fn row_address(ordinal: u32, offset: u32) -> u64 {
    u64::from(ordinal) << 32 | u64::from(offset)
}

/// Ordinal and offset of a row address.
pub fn split_row_address(address: u64) -> (u32, u32) {
    ((address >> 32) as u32, address as u32)
}

/// One segment of a set.
#[derive(Debug, Clone)]
pub struct SegmentHandle {
    /// Its position in the snapshot.
    pub ordinal: u32,
    /// The path that names it in file groups: the data file below the store's root, or a made-up path for inline rows.
    pub path: Path,
    /// What the version says about it.
    pub segment: Arc<Segment>,
    /// Offsets of deleted rows; `None` when nothing is deleted.
    pub deletes: Option<Arc<RoaringBitmap>>,
}

impl SegmentHandle {
    /// Whether the row at this offset is deleted.
    pub fn is_deleted(&self, offset: u32) -> bool {
        self.deletes.as_ref().is_some_and(|d| d.contains(offset))
    }

    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.segment.rows.saturating_sub(self.deletes.as_ref().map_or(0, |d| d.len()))
    }
}

/// The segments of one table version.
#[derive(Debug)]
pub struct SegmentSet {
    storage: StorageHandle,
    footers: Arc<FileMetadataCache>,
    table: TableId,
    version: Version,
    schema: Arc<TableSchema>,
    scan_schema: SchemaRef,
    by_ordinal: BTreeMap<u32, Arc<SegmentHandle>>,
    by_path: HashMap<Path, u32>,
}

impl SegmentSet {
    /// The whole of a snapshot, with its deletion vectors loaded. `runtime` lends its cache of Parquet footers.
    pub async fn load(storage: StorageHandle, runtime: &RuntimeEnv, snapshot: &Snapshot) -> Result<Arc<SegmentSet>> {
        let mut handles = Vec::with_capacity(snapshot.segments.len());
        for (ordinal, segment) in snapshot.segments.iter().enumerate() {
            let ordinal = u32::try_from(ordinal)
                .map_err(|_| Error::Internal { detail: format!("{} has too many segments", snapshot.table) })?;
            let deletes = storage.0.deletes(snapshot.table, segment).await?;
            handles.push((ordinal, Arc::clone(segment), deletes));
        }
        let schema = Arc::clone(&snapshot.schema);
        Self::new(storage, runtime, (snapshot.table, snapshot.version), schema, handles)
    }

    /// A set of these segments, each with its ordinal and its deletion vector.
    pub fn new(
        storage: StorageHandle,
        runtime: &RuntimeEnv,
        (table, version): (TableId, Version),
        schema: Arc<TableSchema>,
        segments: Vec<(u32, Arc<Segment>, Option<Arc<RoaringBitmap>>)>,
    ) -> Result<Arc<SegmentSet>> {
        let mut by_ordinal = BTreeMap::new();
        let mut by_path = HashMap::with_capacity(segments.len());
        for (ordinal, segment, deletes) in segments {
            let path = match &segment.data {
                SegmentData::File(file) => storage.0.path(table, file),
                SegmentData::Inline(_) => Path::from(format!("tables/{table}/inline/{}", segment.id)),
            };
            let deletes = deletes.filter(|d| !d.is_empty());
            if deletes.as_ref().and_then(|d| d.max()).is_some_and(|last| u64::from(last) >= segment.rows) {
                return Err(Error::Internal { detail: format!("{path} has deleted rows beyond its end") });
            }
            by_path.insert(path.clone(), ordinal);
            by_ordinal.insert(ordinal, Arc::new(SegmentHandle { ordinal, path, segment, deletes }));
        }
        if by_path.len() != by_ordinal.len() {
            return Err(Error::Internal { detail: format!("table {table} names a segment twice") });
        }
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let scan_schema = scan_schema(&schema.arrow);
        Ok(Arc::new(Self { storage, footers, table, version, schema, scan_schema, by_ordinal, by_path }))
    }

    /// The same with these of its segments.
    pub fn only(&self, ordinals: &[u32]) -> Result<Arc<SegmentSet>> {
        let mut by_ordinal = BTreeMap::new();
        for ordinal in ordinals {
            by_ordinal.insert(*ordinal, Arc::clone(self.get(*ordinal)?));
        }
        let by_path = by_ordinal.values().map(|segment| (segment.path.clone(), segment.ordinal)).collect();
        Ok(Arc::new(Self {
            storage: self.storage.clone(),
            footers: Arc::clone(&self.footers),
            table: self.table,
            version: self.version,
            schema: Arc::clone(&self.schema),
            scan_schema: Arc::clone(&self.scan_schema),
            by_ordinal,
            by_path,
        }))
    }

    /// The storage that the segments are read through.
    pub fn storage(&self) -> &Arc<dyn TableStore> {
        &self.storage.0
    }

    /// The cache of Parquet footers.
    pub(crate) fn footers(&self) -> &Arc<FileMetadataCache> {
        &self.footers
    }

    /// The table.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The table's schema at that version.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// What a scan can produce: the table's columns, then [`ROW_ADDRESS_COLUMN`], then [`ROW_ID_COLUMN`].
    pub fn scan_schema(&self) -> &SchemaRef {
        &self.scan_schema
    }

    /// Position of [`ROW_ADDRESS_COLUMN`] in [`Self::scan_schema`].
    pub fn row_address_index(&self) -> usize {
        self.schema.arrow.fields().len()
    }

    /// Position of [`ROW_ID_COLUMN`] in [`Self::scan_schema`].
    pub fn row_id_index(&self) -> usize {
        self.schema.arrow.fields().len() + 1
    }

    /// The position of a column in [`Self::scan_schema`].
    pub fn column_index(&self, column: FieldId) -> Result<usize> {
        self.schema.index_of(column).ok_or_else(|| Error::Internal {
            detail: format!("table {} has no column with id {column} at version {}", self.table, self.version),
        })
    }

    /// The segment with this ordinal.
    pub fn get(&self, ordinal: u32) -> Result<&Arc<SegmentHandle>> {
        self.by_ordinal.get(&ordinal).ok_or_else(|| Error::Internal {
            detail: format!("table {} has no segment {ordinal} in this plan", self.table),
        })
    }

    /// The segment that a file group names by this path.
    pub fn by_path(&self, path: &Path) -> Result<&Arc<SegmentHandle>> {
        self.by_path
            .get(path)
            .and_then(|ordinal| self.by_ordinal.get(ordinal))
            .ok_or_else(|| Error::Internal { detail: format!("{path} is no segment of this plan") })
    }

    /// All segments by ascending ordinal.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SegmentHandle>> {
        self.by_ordinal.values()
    }

    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.by_ordinal.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_ordinal.is_empty()
    }

    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.iter().map(|segment| segment.live_rows()).sum()
    }
}

fn scan_schema(table: &SchemaRef) -> SchemaRef {
    let system = [ROW_ADDRESS_COLUMN, ROW_ID_COLUMN].map(|name| Arc::new(Field::new(name, DataType::UInt64, false)));
    let fields = table.fields().iter().cloned().chain(system).collect::<Vec<_>>();
    Arc::new(Schema::new_with_metadata(fields, table.metadata().clone()))
}
