//! VACUUM.

use datafusion::common::TableReference;
use volley_storage::catalog::CatalogEntry;
use volley_storage::gc::RETENTION;

use super::Running;
use super::ddl::Qualified;
use crate::error::Result;
use crate::request::QueryResult;

impl Running {
    /// VACUUM: folds inline rows and small segments together, detaches what dropped indexes left, then removes files that
    /// no kept version needs.
    pub(super) async fn vacuum(&self, table: Option<TableReference>) -> Result<QueryResult> {
        let database = &self.shared.database;
        let catalog = self.catalog().await?;
        let mut tables = Vec::new();
        match table {
            Some(name) => {
                let Qualified { schema, name } = self.qualify(&name)?;
                tables.push(self.writable(&catalog, &schema, &name).await?.snapshot().table);
            }
            None => {
                for entry in catalog.names().schemas.values().flat_map(|names| names.values()) {
                    if let CatalogEntry::Table { id } = entry {
                        tables.push(*id);
                    }
                }
            }
        }
        for table in tables {
            database.fold_inline(table).await?;
            database.compact(table).await?;
            self.shared.indexer.detach_leftovers(table).await?;
            self.index_later(table);
        }
        let report = database.collect_garbage(RETENTION).await?;
        let notice = format!("removed {} files with {} bytes", report.files, report.bytes);
        Ok(QueryResult::done("VACUUM").with_notice(notice))
    }
}
