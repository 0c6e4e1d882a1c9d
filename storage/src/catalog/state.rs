//! The names after a commit, and what each change demands of them.

use super::proto;
use super::user::{self, User, Users};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{TableId, Version};
use crate::index_definition::IndexDefinition;
use crate::log::{Damage, LogKind, LogState, Record};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogEntry {
    /// A table of this data directory.
    Table {
        /// Its directory's name.
        id: TableId,
    },
    /// A view.
    View {
        /// The text of its SELECT.
        sql: String,
        /// Names of its columns; empty where the SELECT's own names stand.
        columns: Vec<String>,
        /// The schema that names without one belong to, as it was when the view was made.
        search_path: String,
    },
    /// A table over files outside of this data directory.
    External {
        /// The text of the CREATE EXTERNAL TABLE statement.
        definition: String,
    },
    /// An index.
    Index {
        /// The table it is on; not its name, which may change.
        table: TableId,
        /// What it is.
        definition: IndexDefinition,
    },
}

/// The names at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogSnapshot {
    /// The commit they stand after.
    pub version: Version,
    /// Entries by schema and name.
    pub schemas: Schemas,
    /// Users by name.
    pub users: Users,
}

/// Entries by schema and name.
pub(super) type Schemas = BTreeMap<String, BTreeMap<String, CatalogEntry>>;

/// One change of names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "schema, name, entry and user say what they are")]
pub enum CatalogAction {
    /// Adds an empty schema; there must be none of this name.
    CreateSchema { name: String },
    /// Removes a schema with everything in it, and the indexes on its tables.
    DropSchema { name: String },
    /// Adds a name that does not exist; an index's table has one.
    Create { schema: String, name: String, entry: CatalogEntry },
    /// Removes a name, and with a table's the indexes on it.
    Drop { schema: String, name: String },
    /// Lets a name that exists stand for something else.
    Replace { schema: String, name: String, entry: CatalogEntry },
    /// Adds a user; there must be none of this name.
    CreateUser { name: String, user: User },
    /// Lets a user that exists be as given.
    AlterUser { name: String, user: User },
    /// Removes a user.
    DropUser { name: String },
}

impl CatalogSnapshot {
    /// What a name stands for.
    pub fn entry(&self, schema: &str, name: &str) -> Option<&CatalogEntry> {
        self.schemas.get(schema)?.get(name)
    }

    /// The tables that have a name.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.schemas.values().flat_map(|names| names.values()).filter_map(|entry| match entry {
            CatalogEntry::Table { id } => Some(*id),
            _ => None,
        })
    }

    /// The indexes on a table, with the schemas and names they have, in the order of their names.
    pub fn indexes(&self, on: TableId) -> impl Iterator<Item = (&str, &str, &IndexDefinition)> {
        let all = self.schemas.iter().flat_map(|(schema, names)| names.iter().map(move |entry| (schema, entry)));
        all.filter_map(move |(schema, (name, entry))| match entry {
            CatalogEntry::Index { table, definition } if *table == on => {
                Some((schema.as_str(), name.as_str(), definition))
            }
            _ => None,
        })
    }
}

/// The catalog's log adds up to names.
#[derive(Debug, Clone)]
pub(crate) struct CatalogState {
    pub(crate) snapshot: Arc<CatalogSnapshot>,
}

impl LogState for CatalogState {
    const KIND: LogKind = LogKind::Catalog;
    type Owner = ();

    fn replay(_: &(), before: Option<&Self>, commit: &Record) -> Result<Self, Damage> {
        let actions = proto::decode_commit(commit.body.clone())?;
        Self::apply(before, &actions, commit.version).map_err(|error| Damage::Corrupted(error.to_string()))
    }

    fn to_checkpoint(&self) -> Result<Vec<u8>> {
        Ok(proto::encode_checkpoint(&self.snapshot.schemas, &self.snapshot.users))
    }

    fn from_checkpoint(_: &(), checkpoint: &Record) -> Result<Self, Damage> {
        let (schemas, users) = proto::decode_checkpoint(checkpoint.body.clone())?;
        Ok(Self { snapshot: Arc::new(CatalogSnapshot { version: checkpoint.version, schemas, users }) })
    }
}

impl CatalogState {
    /// The names after some changes; the same function serves the writer before it writes and every reader after.
    pub(super) fn apply(before: Option<&Self>, actions: &[CatalogAction], version: Version) -> Result<Self> {
        let mut schemas = before.map_or_else(Schemas::new, |state| state.snapshot.schemas.clone());
        let mut users = before.map_or_else(Users::new, |state| state.snapshot.users.clone());
        for action in actions {
            apply_action(&mut schemas, &mut users, action)?;
        }
        Ok(Self { snapshot: Arc::new(CatalogSnapshot { version, schemas, users }) })
    }
}

fn apply_action(schemas: &mut Schemas, users: &mut Users, action: &CatalogAction) -> Result<()> {
    match action {
        CatalogAction::CreateSchema { name } => {
            if schemas.contains_key(name) {
                return refuse(ErrorKind::DuplicateSchema, format!("schema \"{name}\" already exists"));
            }
            schemas.insert(name.clone(), BTreeMap::new());
        }
        CatalogAction::DropSchema { name } => {
            let Some(removed) = schemas.remove(name) else {
                return refuse(ErrorKind::UndefinedSchema, format!("schema \"{name}\" does not exist"));
            };
            removed.values().for_each(|entry| drop_indexes_on(schemas, entry));
        }
        CatalogAction::Create { schema, name, entry } => {
            if names_of(schemas, schema)?.contains_key(name) {
                return refuse(ErrorKind::DuplicateTable, format!("relation \"{name}\" already exists"));
            }
            if let CatalogEntry::Index { table, .. } = entry
                && !has_name(schemas, *table)
            {
                return refuse(ErrorKind::UndefinedTable, format!("the table of index \"{name}\" does not exist"));
            }
            names_of(schemas, schema)?.insert(name.clone(), entry.clone());
        }
        CatalogAction::Drop { schema, name } => match names_of(schemas, schema)?.remove(name) {
            Some(removed) => drop_indexes_on(schemas, &removed),
            None => return refuse(ErrorKind::UndefinedTable, format!("relation \"{name}\" does not exist")),
        },
        CatalogAction::Replace { schema, name, entry } => match names_of(schemas, schema)?.get_mut(name) {
            Some(known) => *known = entry.clone(),
            None => return refuse(ErrorKind::UndefinedTable, format!("relation \"{name}\" does not exist")),
        },
        CatalogAction::CreateUser { name, user } => user::create(users, name, user)?,
        CatalogAction::AlterUser { name, user } => user::alter(users, name, user)?,
        CatalogAction::DropUser { name } => user::drop(users, name)?,
    }
    Ok(())
}

/// Removes the indexes on what was removed, if that was a table: there is no index without its table.
fn drop_indexes_on(schemas: &mut Schemas, removed: &CatalogEntry) {
    let CatalogEntry::Table { id } = removed else { return };
    for names in schemas.values_mut() {
        names.retain(|_, entry| !matches!(entry, CatalogEntry::Index { table, .. } if table == id));
    }
}

fn has_name(schemas: &Schemas, table: TableId) -> bool {
    let mut entries = schemas.values().flat_map(|names| names.values());
    entries.any(|entry| matches!(entry, CatalogEntry::Table { id } if *id == table))
}

fn names_of<'a>(schemas: &'a mut Schemas, schema: &str) -> Result<&'a mut BTreeMap<String, CatalogEntry>> {
    schemas.get_mut(schema).ok_or_else(|| Error::InvalidRows {
        kind: ErrorKind::UndefinedSchema,
        detail: format!("schema \"{schema}\" does not exist"),
    })
}

pub(super) fn refuse(kind: ErrorKind, detail: String) -> Result<()> {
    Err(Error::InvalidRows { kind, detail })
}
