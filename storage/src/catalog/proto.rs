//! The messages inside the catalog's commits and checkpoints. Tags are never used for anything else again.

use super::state::{CatalogAction, CatalogEntry, Schemas};
use super::user::{User, Users};
use crate::ids::{FieldId, TableId};
use crate::index_definition::IndexDefinition;
use crate::log::Damage;
use bytes::Bytes;
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
struct Commit {
    #[prost(message, repeated, tag = "1")]
    actions: Vec<Action>,
}

#[derive(Clone, PartialEq, Message)]
struct Action {
    #[prost(oneof = "ActionKind", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    kind: Option<ActionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum ActionKind {
    #[prost(string, tag = "1")]
    CreateSchema(String),
    #[prost(string, tag = "2")]
    DropSchema(String),
    #[prost(message, tag = "3")]
    Create(Named),
    #[prost(message, tag = "4")]
    Drop(Named),
    #[prost(message, tag = "5")]
    Replace(Named),
    #[prost(message, tag = "6")]
    CreateUser(NamedUser),
    #[prost(message, tag = "7")]
    AlterUser(NamedUser),
    #[prost(string, tag = "8")]
    DropUser(String),
}

/// A name, with what it stands for unless it is dropped.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    schema: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(oneof = "Entry", tags = "3, 4, 5, 6")]
    entry: Option<Entry>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Entry {
    /// The table's id, 16 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    Table(Bytes),
    #[prost(message, tag = "4")]
    View(View),
    #[prost(string, tag = "5")]
    External(String),
    #[prost(message, tag = "6")]
    Index(Index),
}

#[derive(Clone, PartialEq, Message)]
struct Index {
    /// The table's id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    table: Bytes,
    #[prost(string, tag = "2")]
    method: String,
    /// Field ids.
    #[prost(int32, repeated, tag = "3")]
    columns: Vec<i32>,
    #[prost(message, repeated, tag = "4")]
    parameters: Vec<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct View {
    #[prost(string, tag = "1")]
    sql: String,
    #[prost(string, repeated, tag = "2")]
    columns: Vec<String>,
    #[prost(string, tag = "3")]
    search_path: String,
}

#[derive(Clone, PartialEq, Message)]
struct Checkpoint {
    /// Every schema, empty ones too.
    #[prost(string, repeated, tag = "1")]
    schemas: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Named>,
    #[prost(message, repeated, tag = "3")]
    users: Vec<NamedUser>,
}

/// A user. Verifiers of other methods get tags of their own, beside the first.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct NamedUser {
    #[prost(string, tag = "1")]
    name: String,
    /// An argon2id hash as a PHC string.
    #[prost(string, optional, tag = "2")]
    argon2: Option<String>,
    #[prost(bool, tag = "3")]
    is_superuser: bool,
}

impl std::fmt::Debug for NamedUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamedUser").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(super) fn encode_commit(actions: &[CatalogAction]) -> Vec<u8> {
    Commit { actions: actions.iter().map(|action| Action { kind: Some(encode_action(action)) }).collect() }
        .encode_to_vec()
}

pub(super) fn decode_commit(body: Bytes) -> Result<Vec<CatalogAction>, Damage> {
    let commit = Commit::decode(body)?;
    commit.actions.into_iter().map(|a| decode_action(a.kind.ok_or_else(|| missing("action"))?)).collect()
}

pub(super) fn encode_checkpoint(schemas: &Schemas, users: &Users) -> Vec<u8> {
    let entries = schemas.iter().flat_map(|(schema, names)| names.iter().map(move |(n, e)| named(schema, n, Some(e))));
    let users = users.iter().map(|(name, user)| named_user(name, user));
    Checkpoint { schemas: schemas.keys().cloned().collect(), entries: entries.collect(), users: users.collect() }
        .encode_to_vec()
}

pub(super) fn decode_checkpoint(body: Bytes) -> Result<(Schemas, Users), Damage> {
    let checkpoint = Checkpoint::decode(body)?;
    let mut schemas: Schemas = checkpoint.schemas.into_iter().map(|name| (name, Default::default())).collect();
    for entry in checkpoint.entries {
        let value = decode_entry(entry.entry)?;
        let names = schemas.get_mut(&entry.schema).ok_or_else(|| missing("schema"))?;
        names.insert(entry.name, value);
    }
    Ok((schemas, checkpoint.users.into_iter().map(decode_user).collect()))
}

fn encode_action(action: &CatalogAction) -> ActionKind {
    match action {
        CatalogAction::CreateSchema { name } => ActionKind::CreateSchema(name.clone()),
        CatalogAction::DropSchema { name } => ActionKind::DropSchema(name.clone()),
        CatalogAction::Create { schema, name, entry } => ActionKind::Create(named(schema, name, Some(entry))),
        CatalogAction::Drop { schema, name } => ActionKind::Drop(named(schema, name, None)),
        CatalogAction::Replace { schema, name, entry } => ActionKind::Replace(named(schema, name, Some(entry))),
        CatalogAction::CreateUser { name, user } => ActionKind::CreateUser(named_user(name, user)),
        CatalogAction::AlterUser { name, user } => ActionKind::AlterUser(named_user(name, user)),
        CatalogAction::DropUser { name } => ActionKind::DropUser(name.clone()),
    }
}

fn decode_action(kind: ActionKind) -> Result<CatalogAction, Damage> {
    Ok(match kind {
        ActionKind::CreateSchema(name) => CatalogAction::CreateSchema { name },
        ActionKind::DropSchema(name) => CatalogAction::DropSchema { name },
        ActionKind::Create(Named { schema, name, entry }) => {
            CatalogAction::Create { schema, name, entry: decode_entry(entry)? }
        }
        ActionKind::Drop(Named { schema, name, .. }) => CatalogAction::Drop { schema, name },
        ActionKind::Replace(Named { schema, name, entry }) => {
            CatalogAction::Replace { schema, name, entry: decode_entry(entry)? }
        }
        ActionKind::CreateUser(user) => {
            let (name, user) = decode_user(user);
            CatalogAction::CreateUser { name, user }
        }
        ActionKind::AlterUser(user) => {
            let (name, user) = decode_user(user);
            CatalogAction::AlterUser { name, user }
        }
        ActionKind::DropUser(name) => CatalogAction::DropUser { name },
    })
}

fn named(schema: &str, name: &str, entry: Option<&CatalogEntry>) -> Named {
    let entry = entry.map(|entry| match entry {
        CatalogEntry::Table { id } => Entry::Table(encode_id(*id)),
        CatalogEntry::View { sql, columns, search_path } => {
            Entry::View(View { sql: sql.clone(), columns: columns.clone(), search_path: search_path.clone() })
        }
        CatalogEntry::External { definition } => Entry::External(definition.clone()),
        CatalogEntry::Index { table, definition: IndexDefinition { method, columns, parameters } } => {
            let parameter = |(name, value): &(String, String)| Parameter { name: name.clone(), value: value.clone() };
            Entry::Index(Index {
                table: encode_id(*table),
                method: method.clone(),
                columns: columns.iter().map(|column| column.0).collect(),
                parameters: parameters.iter().map(parameter).collect(),
            })
        }
    });
    Named { schema: schema.to_owned(), name: name.to_owned(), entry }
}

fn named_user(name: &str, user: &User) -> NamedUser {
    NamedUser { name: name.to_owned(), argon2: user.verifier.clone(), is_superuser: user.is_superuser }
}

fn decode_user(user: NamedUser) -> (String, User) {
    (user.name, User { verifier: user.argon2, is_superuser: user.is_superuser })
}

fn decode_entry(entry: Option<Entry>) -> Result<CatalogEntry, Damage> {
    Ok(match entry.ok_or_else(|| missing("entry"))? {
        Entry::Table(id) => CatalogEntry::Table { id: decode_id(&id)? },
        Entry::View(View { sql, columns, search_path }) => CatalogEntry::View { sql, columns, search_path },
        Entry::External(definition) => CatalogEntry::External { definition },
        Entry::Index(Index { table, method, columns, parameters }) => CatalogEntry::Index {
            table: decode_id(&table)?,
            definition: IndexDefinition {
                method,
                columns: columns.into_iter().map(FieldId).collect(),
                parameters: parameters.into_iter().map(|Parameter { name, value }| (name, value)).collect(),
            },
        },
    })
}

fn encode_id(id: TableId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_bytes())
}

fn decode_id(bytes: &[u8]) -> Result<TableId, Damage> {
    let bytes = bytes.try_into().map_err(|_| Damage::corrupted("a table's id is not 16 bytes"))?;
    Ok(TableId(ulid::Ulid::from_bytes(bytes)))
}

fn missing(what: &str) -> Damage {
    Damage::Corrupted(format!("it lacks a {what}"))
}
