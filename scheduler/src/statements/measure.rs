//! ANALYZE: how well indexes answer, measured anew.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Float32Type;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{self, Query};
use futures::TryStreamExt;
use volley_planner::catalog::QueryCatalog;
use volley_planner::error::Error as PlannerError;
use volley_planner::resolve::plan_statement;
use volley_planner::sql;
use volley_planner::table::VolleyTable;
use volley_storage::ErrorKind;
use volley_storage::index_definition::IndexDefinition;
use volley_storage::schema::vector_dimension;

use super::ddl::every_table;
use super::{Running, plain};
use crate::error::Result;
use crate::indexing::Measured;
use crate::request::QueryResult;

/// Query vectors that are used at most: more do not make the measurement better.
const QUERIES_MAX: usize = 1_024;

/// Vectors as they will be searched for.
struct Queries {
    dimension: usize,
    vectors: Arc<[f32]>,
}

impl Running {
    /// ANALYZE: measures the indexes of a table, or of all, with rows of their own or with the vectors that a query gives.
    /// Other statistics are part of every segment and need no gathering.
    pub(super) async fn analyze(
        &self,
        table: Option<TableReference>,
        using: Option<Box<Query>>,
    ) -> Result<QueryResult> {
        let catalog = self.catalog().await?;
        let tables = match &table {
            Some(name) => {
                let name = self.qualify(name)?;
                vec![self.own_table(&catalog, &name.schema, &name.name, "analyzed").await?]
            }
            None => every_table(&catalog).await.into_iter().map(|(_, table)| table).collect(),
        };
        let queries = match using {
            Some(query) => Some(self.query_vectors(&catalog, query).await?),
            None => None,
        };
        let mut indexes = Vec::new();
        for table in &tables {
            for index in table.indexes() {
                if queries.as_ref().is_none_or(|queries| Some(queries.dimension) == dimension(table, &index.definition))
                {
                    indexes.push((table.snapshot().table, index.definition.clone()));
                }
            }
        }
        if let Some(queries) = &queries {
            if indexes.is_empty() {
                return Err(nothing_to_measure(&tables, queries.dimension).into());
            }
            let is_cosine = |(_, index): &(_, IndexDefinition)| index.parameter("metric") == Some("cosine");
            if queries.vectors.iter().all(|x| *x == 0.0) && indexes.iter().any(is_cosine) {
                let sentence = "the query behind USING gives zero vectors only, which have no cosine distance";
                return Err(PlannerError::invalid(ErrorKind::InvalidValue, sentence).into());
            }
        }
        let vectors = queries.map(|queries| queries.vectors);
        let running = self.clone();
        let measured = self.to_its_end(|stopped| async move {
            running.limits.begin_commit()?;
            let mut all = Measured::default();
            for (table, definition) in indexes {
                let work = running.work(table, definition, "ANALYZE", stopped.clone());
                let measured = running.shared.indexer.calibrate(&work, vectors.as_ref()).await?;
                all.segments += measured.segments;
                all.damaged += measured.damaged;
                all.replaced += measured.replaced;
            }
            Ok(all)
        });
        Ok(report(&measured.await?))
    }

    /// The first vectors that a query gives; NULL is skipped.
    async fn query_vectors(&self, catalog: &Arc<QueryCatalog>, query: Box<Query>) -> Result<Queries> {
        let state = catalog.state();
        let statement = plain(ast::Statement::Query(query));
        let plan = plan_statement(&state, statement, &self.parameter_fields(), &[])
            .await
            .map_err(|error| self.explain_error(&state, error))?;
        let plan = self.bind(plan)?;
        let types: Vec<_> = plan.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let dimension = match types.as_slice() {
            [only] => vector_dimension(only),
            _ => None,
        };
        let Some(dimension) = dimension else {
            let given = types.iter().map(sql::type_name).collect::<Vec<_>>().join(", ");
            let sentence = format!(
                "ANALYZE … USING takes a query with one column of type vector(n), not ({given}); select the column alone, \
                 or CAST it AS vector(n)"
            );
            return Err(PlannerError::invalid(ErrorKind::DatatypeMismatch, sentence).into());
        };
        let mut rows = self.start_unlimited(&state, &plan).await?;
        let mut vectors = Vec::new();
        while vectors.len() < QUERIES_MAX * dimension {
            let Some(batch) = rows.try_next().await? else { break };
            append_vectors(&batch, dimension, &mut vectors);
        }
        vectors.truncate(QUERIES_MAX * dimension);
        if vectors.is_empty() {
            let sentence = "the query behind USING gave no vectors; give at least one, better some hundred";
            return Err(PlannerError::invalid(ErrorKind::InvalidValue, sentence).into());
        }
        Ok(Queries { dimension, vectors: vectors.into() })
    }
}

fn append_vectors(batch: &RecordBatch, dimension: usize, vectors: &mut Vec<f32>) {
    let Some(lists) = batch.column(0).as_fixed_size_list_opt() else { return };
    for row in 0..lists.len() {
        if lists.is_null(row) {
            continue;
        }
        if let Some(values) = lists.value(row).as_primitive_opt::<Float32Type>()
            && values.len() == dimension
            && values.null_count() == 0
        {
            vectors.extend_from_slice(values.values());
        }
    }
}

/// The dimension of the column that an index covers.
fn dimension(table: &VolleyTable, definition: &IndexDefinition) -> Option<usize> {
    let schema = &table.snapshot().schema;
    let position = schema.index_of(*definition.columns.first()?)?;
    vector_dimension(schema.arrow.field(position).data_type())
}

fn nothing_to_measure(tables: &[Arc<VolleyTable>], given: usize) -> PlannerError {
    let of_indexes =
        tables.iter().flat_map(|table| table.indexes().iter().filter_map(|index| dimension(table, &index.definition)));
    match of_indexes.min() {
        Some(expected) => PlannerError::invalid(
            ErrorKind::InvalidValue,
            format!("the query behind USING gives vectors of {given} dimensions, and the table's index has {expected}"),
        ),
        None => PlannerError::invalid(
            ErrorKind::InvalidState,
            "the table has no index to measure; CREATE INDEX first".to_owned(),
        ),
    }
}

fn report(measured: &Measured) -> QueryResult {
    let result = QueryResult::done("ANALYZE");
    let result = match measured.segments {
        0 if measured.damaged > 0 => result,
        0 => result.with_notice("statistics are kept with every segment; there is nothing to gather"),
        1 => result.with_notice("measured the index of 1 segment"),
        segments => result.with_notice(format!("measured the indexes of {segments} segments")),
    };
    let result = match measured.replaced {
        0 => result,
        replaced => result.with_notice(format!(
            "{replaced} segments had been measured by queries and are now by their own rows; ANALYZE … USING measures by \
             queries again"
        )),
    };
    match measured.damaged {
        0 => result,
        damaged => {
            result.with_notice(format!("the indexes of {damaged} segments cannot be read; REINDEX builds them anew"))
        }
    }
}
