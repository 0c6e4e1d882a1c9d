//! What a statement takes and gives, without running it: for drivers that prepare.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use volley_planner::dml::{plan_delete, plan_insert};
use volley_planner::parameters::{parameter_fields, plan_unbound};
use volley_planner::sql::{Show, Statement};

use super::{Running, plain};
use crate::error::Result;
use crate::request::{Described, Parameters};

impl Running {
    /// Plans the statement as far as it takes to know its parameters and its columns.
    pub(crate) async fn describe(self) -> Result<Described> {
        let statement = self.one_statement()?;
        let again = self.again(&statement);
        let described = self.describe_statement(statement).await;
        match again {
            Some(statement) if self.names_may_be_old(described.as_ref().err()).await? => {
                self.describe_statement(statement).await
            }
            _ => described,
        }
    }

    async fn describe_statement(&self, statement: Statement) -> Result<Described> {
        let tag = statement.tag();
        let described = |schema: Option<SchemaRef>, parameters| Described { tag, schema, parameters };
        match statement {
            Statement::Query(query) => {
                let (schema, parameters) = self.describe_query(ast::Statement::Query(query)).await?;
                Ok(described(Some(schema), parameters))
            }
            Statement::DataFusion(statement) => {
                let (schema, parameters) = self.describe_query(*statement).await?;
                Ok(described(Some(schema), parameters))
            }
            Statement::Insert(insert) => {
                let name = self.qualify(&insert.table)?;
                let catalog = self.catalog().await?;
                let table = self.writable(&catalog, &name.schema, &name.name).await?;
                let schema = &table.snapshot().schema;
                let plan =
                    plan_insert(&catalog.state(), &name.name, schema, &insert.columns, insert.source, &[]).await?;
                Ok(described(None, parameter_fields(&plan)?))
            }
            Statement::Delete(delete) => {
                let name = self.qualify(&delete.table)?;
                let catalog = self.catalog().await?;
                let table = self.writable(&catalog, &name.schema, &name.name).await?;
                let alias = delete.alias.unwrap_or_else(|| name.name.clone());
                let plan = plan_delete(&catalog.state(), &table, &alias, delete.predicate, &[]).await?;
                Ok(described(None, parameter_fields(&plan)?))
            }
            Statement::Explain(explain) => {
                let parameters = match *explain.statement {
                    Statement::Query(query) => self.describe_query(ast::Statement::Query(query)).await?.1,
                    _ => Vec::new(),
                };
                Ok(described(Some(texts(&["plan_type", "plan"])), parameters))
            }
            Statement::Execute { name, parameters } => {
                let (prepared, values) = self.prepared_with(&name, parameters)?;
                let mut running = self.clone();
                running.request.parameters = Parameters::Positional(values);
                let inner = Box::pin(running.describe_statement(prepared.statement().clone())).await?;
                // The values are constants of the EXECUTE.
                Ok(Described { parameters: Vec::new(), ..inner })
            }
            Statement::Show(Show::All) => Ok(described(Some(texts(&["name", "setting", "description"])), Vec::new())),
            Statement::Show(Show::Setting(name)) => Ok(described(Some(texts(&[&name])), Vec::new())),
            // Cheap, and without parameters and effects: the answer shows its columns best.
            Statement::Show(show) => Ok(described(Some(self.show(show).await?.schema), Vec::new())),
            _ => Ok(described(None, Vec::new())),
        }
    }

    async fn describe_query(&self, statement: ast::Statement) -> Result<(SchemaRef, Vec<FieldRef>)> {
        let catalog = self.catalog().await?;
        let state = catalog.state();
        let (plan, parameters) = plan_unbound(&state, plain(statement), &self.parameter_fields()).await?;
        // The analyzer decides types where operands of several meet. A statement that it does not take without values has
        // the types it was planned with.
        let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {});
        let schema = analyzed.as_ref().map_or(plan.schema(), LogicalPlan::schema);
        Ok((Arc::clone(schema.inner()), parameters))
    }
}

fn texts(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect::<Vec<_>>()))
}
