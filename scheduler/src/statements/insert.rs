//! INSERT of one statement's rows; those of many rows of parameters are in [`super::rows`].

use std::ops::ControlFlow;
use std::sync::Arc;

use futures::stream;
use volley_planner::dml::{PlainInsert, PlainRows, plan_insert};
use volley_planner::sql::Insert;
use volley_storage::snapshot::Snapshot;

use super::Running;
use crate::error::Result;
use crate::plan_cache::PlanKey;
use crate::request::QueryResult;

impl Running {
    /// INSERT. A statement of plain values is planned once for all that have values of the same types.
    pub(super) async fn run_insert(&self, mut insert: Insert) -> Result<QueryResult> {
        let name = self.qualify(&insert.table)?;
        let catalog = self.catalog().await?;
        let base = self.appendable(&catalog, &name.schema, &name.name).await?;
        let plain = match self.plain_insert(&base, &mut insert).await? {
            ControlFlow::Break(result) => return Ok(result),
            ControlFlow::Continue(plain) => plain,
        };
        let state = catalog.state();
        let parameters = self.parameter_fields();
        let plan = plan_insert(&state, &name.name, &base.schema, &insert.columns, insert.source, &parameters)
            .await
            .map_err(|error| self.explain_error(&state, error))?;
        let plan = self.bind(plan)?;
        if let Some((key, rows)) = plain {
            self.shared.plans.keep_insert(key, PlainInsert::of(&state, &plan, &rows));
        }
        let count = self.append(&state, &base, &plan, "INSERT").await?;
        Ok(QueryResult::affected(format!("INSERT 0 {count}"), count))
    }

    /// Inserts plain values as one like it did before; otherwise, under what the next ones will look for it.
    async fn plain_insert(
        &self,
        base: &Arc<Snapshot>,
        insert: &mut Insert,
    ) -> Result<ControlFlow<QueryResult, Option<(PlanKey, PlainRows)>>> {
        let given = self.request.parameters.values();
        let Some(source) = insert.source.as_deref_mut().filter(|_| self.current.settings.plan_cache()) else {
            return Ok(ControlFlow::Continue(None));
        };
        let Some(rows) = PlainRows::of(&base.schema, &insert.columns, source, given) else {
            return Ok(ControlFlow::Continue(None));
        };
        let key = PlanKey::of_insert(base, &insert.columns, rows.types(), self.current.fingerprint);
        let Some(known) = self.shared.plans.insert(&key) else { return Ok(ControlFlow::Continue(Some((key, rows)))) };
        // What is wrong with values is said by planning the statement as a whole.
        let Some(batch) = known.and_then(|insert| insert.rows(&rows).ok()) else {
            return Ok(ControlFlow::Continue(None));
        };
        let count = self.append_rows(base, stream::iter([Ok(batch)]), "INSERT").await?;
        Ok(ControlFlow::Break(QueryResult::affected(format!("INSERT 0 {count}"), count)))
    }
}
