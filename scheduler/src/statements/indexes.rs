//! CREATE INDEX, DROP INDEX and REINDEX.
//!
//! An index is a name first and files after: a build that is cut short leaves an index that lacks segments, which are
//! compared row by row until somebody builds them. Only a CREATE INDEX that fails takes its name back.

use std::collections::BTreeSet;
use std::future::Future;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use volley_planner::error::{Error as PlannerError, ObjectKind};
use volley_planner::sql::{self, CreateIndex, Drop, Reindex};
use volley_planner::table::VolleyTable;
use volley_storage::ErrorKind;
use volley_storage::catalog::{CatalogAction, CatalogEntry, CatalogSnapshot};
use volley_storage::ids::{FieldId, TableId};
use volley_storage::index_definition::IndexDefinition;
use volley_storage::schema::{field_id, vector_dimension};

use super::Running;
use super::ddl::{Qualified, duplicate, lookup, sort_of, undefined_table, with_article};
use crate::error::{Error, Result};
use crate::indexing::Work;
use crate::request::QueryResult;

impl Running {
    pub(super) async fn run_create_index(&self, create: CreateIndex) -> Result<QueryResult> {
        let tag = "CREATE INDEX";
        let on = self.qualify(&create.table)?;
        let catalog = self.catalog().await?;
        let table = self.own_table(&catalog, &on.schema, &on.name, "indexed").await?;
        let definition = IndexDefinition {
            method: create.options.method().to_owned(),
            columns: vec![vector_column(&table, &create.column)?],
            parameters: create.options.parameters(),
        };
        let base = format!("{}_{}_idx", on.name, create.column);
        let wish = Wish { on, name: create.name, base, if_not_exists: create.if_not_exists };
        let entry = CatalogEntry::Index { table: table.snapshot().table, definition };
        let running = self.clone();
        let made = self.to_its_end(|stopped| async move { running.create_index(&wish, entry, stopped).await });
        match made.await? {
            Made::Built => Ok(QueryResult::done(tag)),
            Made::Existed(name) => Ok(QueryResult::done(tag).with_notice(format!("{name} exists already, skipping"))),
        }
    }

    /// Gives the index its name and builds it; takes the name back when that fails.
    async fn create_index(&self, wish: &Wish, entry: CatalogEntry, stopped: CancellationToken) -> Result<Made> {
        let (name, created) = self.name_index(wish, &entry).await?;
        if !created {
            return Ok(Made::Existed(name));
        }
        let CatalogEntry::Index { table, definition } = entry.clone() else { return Ok(Made::Built) };
        let work = self.work(table, definition, "CREATE INDEX", stopped);
        let indexer = &self.shared.indexer;
        let built = indexer.build_missing(&work, &indexer.terms_of_statement()).await;
        if let Err(error) = built {
            if let Err(left) = self.forget_index(&name, &entry).await {
                tracing::warn!(%left, index = %name, "an index that could not be built is left behind; drop it");
            }
            return Err(error);
        }
        Ok(Made::Built)
    }

    /// Enters the index into the catalog; `false` when its name was taken and that is fine.
    async fn name_index(&self, wish: &Wish, entry: &CatalogEntry) -> Result<(Qualified, bool)> {
        let chosen = Mutex::new((wish.on.clone(), false));
        self.limits.begin_commit()?;
        let named = self.shared.database.catalog().apply_with(|names| {
            // The table may have been dropped since it was looked at.
            if !matches!((names.entry(&wish.on.schema, &wish.on.name), entry),
                (Some(CatalogEntry::Table { id }), CatalogEntry::Index { table, .. }) if id == table)
            {
                return Err(undefined_table(names, &wish.on.schema, &wish.on.name));
            }
            let name = wish.name_in(names);
            let taken = lookup(names, &name)?;
            *chosen.lock() = (name.clone(), taken.is_none());
            match taken {
                None => {
                    let Qualified { schema, name } = name;
                    Ok(vec![CatalogAction::Create { schema, name, entry: entry.clone() }])
                }
                Some(_) if wish.if_not_exists => Ok(Vec::new()),
                Some(taken) => Err(duplicate(&name, taken)),
            }
        });
        named.await?;
        Ok(chosen.into_inner())
    }

    /// Takes the name of an index back, if it still stands for this index, and detaches what was built of it.
    async fn forget_index(&self, name: &Qualified, entry: &CatalogEntry) -> Result<()> {
        let catalog = self.shared.database.catalog();
        let Qualified { schema, name } = name;
        let forgotten = catalog.apply_with(|names| {
            Ok::<_, Error>(match names.entry(schema, name) {
                Some(known) if known == entry => {
                    vec![CatalogAction::Drop { schema: schema.clone(), name: name.clone() }]
                }
                _ => Vec::new(),
            })
        });
        forgotten.await?;
        if let CatalogEntry::Index { table, .. } = entry {
            self.shared.indexer.detach_leftovers(*table).await?;
        }
        Ok(())
    }

    pub(super) async fn run_drop_index(&self, drop: Drop) -> Result<QueryResult> {
        let names = drop.names.iter().map(|name| self.qualify(name)).collect::<Result<Vec<_>>>()?;
        let catalog = self.catalog().await?;
        let tables: BTreeSet<TableId> = names.iter().filter_map(|name| table_of(catalog.names(), name)).collect();
        let running = self.clone();
        let dropped = self.to_its_end(|_| async move {
            let missing = running.drop_entries(&names, "index", drop.if_exists).await?;
            let mut result = QueryResult::done("DROP INDEX");
            result.notices.extend(missing.into_iter().map(|name| format!("index {name} does not exist, skipping")));
            for table in tables {
                // The index is gone already; what is left of it is not read by anybody.
                if let Err(error) = running.shared.indexer.detach_leftovers(table).await {
                    result
                        .notices
                        .push(format!("files of the index are left behind ({error}); REINDEX TABLE detaches them"));
                }
            }
            Ok(result)
        });
        dropped.await
    }

    pub(super) async fn run_reindex(&self, what: Reindex) -> Result<QueryResult> {
        let catalog = self.catalog().await?;
        let (table, definitions) = match what {
            Reindex::Index(name) => {
                let name = self.qualify(&name)?;
                match find_index(catalog.names(), &name)? {
                    CatalogEntry::Index { table, definition } => (*table, vec![definition.clone()]),
                    other => return Err(not_an_index(&name, other).into()),
                }
            }
            Reindex::Table(name) => {
                let name = self.qualify(&name)?;
                let table = self.own_table(&catalog, &name.schema, &name.name, "indexed").await?;
                let definitions = table.indexes().iter().map(|index| index.definition.clone());
                (table.snapshot().table, definitions.collect())
            }
        };
        let running = self.clone();
        let rebuilt = self.to_its_end(|stopped| async move {
            running.limits.begin_commit()?;
            let indexer = &running.shared.indexer;
            let mut rebuilt = 0;
            for definition in definitions {
                let work = running.work(table, definition, "REINDEX", stopped.clone());
                let mut terms = indexer.terms_of_statement();
                terms.anew = indexer.damaged(&work).await?;
                rebuilt += terms.anew.len();
                indexer.build_missing(&work, &terms).await?;
            }
            indexer.detach_leftovers(table).await?;
            Ok(rebuilt)
        });
        let result = QueryResult::done("REINDEX");
        Ok(match rebuilt.await? {
            0 => result,
            rebuilt => result.with_notice(format!("the damaged index of {rebuilt} segments was built anew")),
        })
    }

    /// What the indexer is to do for this statement.
    pub(super) fn work(
        &self,
        table: TableId,
        definition: IndexDefinition,
        operation: &'static str,
        stopped: CancellationToken,
    ) -> Work {
        Work { table, definition, operation, stopped, progress: self.request.progress.clone() }
    }

    /// Runs work that commits in steps on a task of its own. When the statement is stopped or its client goes away, the
    /// token tells the work, which ends by itself and puts back what it has to.
    pub(super) async fn to_its_end<T, F>(&self, work: impl FnOnce(CancellationToken) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let stopped = self.limits.stopped().child_token();
        let _gone = stopped.clone().drop_guard();
        let (work, working) = (work(stopped), self.shared.indexer.working());
        let task = self.shared.runtimes.cpu().spawn(async move {
            let _working = working;
            work.await
        });
        task.await.map_err(|fault| Error::Internal { detail: format!("the statement's task failed: {fault}") })?
    }
}

/// The name that a CREATE INDEX asks for.
struct Wish {
    /// The table.
    on: Qualified,
    name: Option<String>,
    /// What the name is made of when none is given.
    base: String,
    if_not_exists: bool,
}

impl Wish {
    /// The name as given, or the first that is free.
    fn name_in(&self, names: &CatalogSnapshot) -> Qualified {
        let schema = self.on.schema.clone();
        if let Some(name) = &self.name {
            return Qualified { schema, name: name.clone() };
        }
        let is_free = |name: &String| names.entry(&schema, name).is_none();
        let numbered = (1_u64..).map(|n| format!("{}{n}", self.base));
        let name = std::iter::once(self.base.clone()).chain(numbered).find(is_free).unwrap_or_default();
        Qualified { schema, name }
    }
}

/// How a CREATE INDEX ended.
enum Made {
    Built,
    Existed(Qualified),
}

/// The id of the vector column of this name.
fn vector_column(table: &VolleyTable, name: &str) -> Result<FieldId> {
    let fields = table.snapshot().schema.arrow.fields();
    let Some(field) = fields.iter().find(|field| field.name() == name) else {
        let columns = fields.iter().map(|field| field.name());
        return Err(PlannerError::undefined(ObjectKind::Column, name, columns).into());
    };
    match (vector_dimension(field.data_type()), field_id(field)) {
        (Some(_), Some(id)) => Ok(id),
        (None, _) => {
            let sentence = format!(
                "column \"{name}\" has the type {}, and an hnsw index is of a vector(n) column; text and arrays become \
                 vectors by CAST({name} AS vector(n)) in a table of their own",
                sql::type_name(field.data_type())
            );
            Err(PlannerError::invalid(ErrorKind::DatatypeMismatch, sentence).into())
        }
        (_, None) => Err(Error::Internal { detail: format!("column \"{name}\" has no id") }),
    }
}

fn table_of(names: &CatalogSnapshot, name: &Qualified) -> Option<TableId> {
    match names.entry(&name.schema, &name.name)? {
        CatalogEntry::Index { table, .. } => Some(*table),
        _ => None,
    }
}

fn find_index<'a>(names: &'a CatalogSnapshot, name: &Qualified) -> Result<&'a CatalogEntry> {
    names.entry(&name.schema, &name.name).ok_or_else(|| undefined_index(names, name).into())
}

/// The error of an index that does not exist, with the nearest that does.
pub(super) fn undefined_index(names: &CatalogSnapshot, name: &Qualified) -> PlannerError {
    let Some(entries) = names.schemas.get(&name.schema) else {
        return PlannerError::undefined(ObjectKind::Schema, &name.schema, names.schemas.keys());
    };
    let indexes = entries.iter().filter(|(_, entry)| matches!(entry, CatalogEntry::Index { .. }));
    PlannerError::undefined(ObjectKind::Index, &name.name, indexes.map(|(known, _)| known))
}

fn not_an_index(name: &Qualified, entry: &CatalogEntry) -> PlannerError {
    let sentence = format!("{name} is {}, not an index", with_article(sort_of(entry)));
    PlannerError::invalid(ErrorKind::WrongObjectType, sentence)
}
