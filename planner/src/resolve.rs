//! SQL's names to what they stand for, and statements to logical plans.
//!
//! DataFusion's planner asks a `ContextProvider` for every name synchronously, while opening a table is asynchronous.
//! So the names of a statement are collected and opened first, then the planner runs.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, ResolvedTableReference, Result, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, DdlStatement, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource,
    WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::col;
use datafusion::sql::parser::Statement as AstStatement;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::Expr as AstExpr;

use crate::catalog::{CATALOG, QueryCatalog, open_table};
use crate::damaged_files::contain;
use crate::dml::check_footers;
use crate::error::{Error, ObjectKind};
use crate::sql;

/// The logical plan of a statement that DataFusion plans.
///
/// `parameters[i]` is the type of `$i+1` where it is known. `extra` are tables that only this statement sees, by bare
/// name.
pub async fn plan_statement(
    state: &SessionState,
    statement: AstStatement,
    parameters: &[Option<FieldRef>],
    extra: &[(&str, Arc<dyn TableProvider>)],
) -> Result<LogicalPlan> {
    let names = Names::of_statement(state, &statement, extra).await?;
    let planner = SqlToRel::new_with_options(&names, parser_options(state));
    let mut context = PlannerContext::new().with_prepare_param_data_types(parameters.to_vec());
    match statement {
        AstStatement::Statement(statement) => planner.sql_statement_to_plan_with_context(*statement, &mut context),
        other => planner.statement_to_plan(other),
    }
}

/// A scalar expression without columns (a DEFAULT, a setting's value).
pub fn plan_constant(state: &SessionState, expr: AstExpr) -> Result<Expr> {
    let names = Names { state, tables: HashMap::new() };
    SqlToRel::new_with_options(&names, parser_options(state)).sql_to_expr(
        expr,
        &DFSchema::empty(),
        &mut PlannerContext::new(),
    )
}

/// The plan of a view: its SELECT, its columns renamed where the view names them.
pub async fn plan_view(catalog: &Arc<QueryCatalog>, text: &str, columns: &[String]) -> Result<LogicalPlan> {
    let state = catalog.state();
    let statement = sql::parse_query(text)?;
    let plan = Box::pin(plan_statement(&state, statement, &[], &[])).await?;
    if columns.is_empty() {
        return Ok(plan);
    }
    let renamed: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .enumerate()
        .map(|(i, column)| match columns.get(i) {
            Some(name) => Expr::Column(column).alias(name),
            None => col(column),
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(renamed)?.build()
}

/// Opens an external table from the statement that created it.
pub async fn open_external(catalog: &Arc<QueryCatalog>, definition: &str) -> Result<Arc<dyn TableProvider>> {
    let state = catalog.state();
    let statement = sql::parse_external(definition)?;
    // The only name in it is the table's own, which must not be looked up: that is what is being done.
    let names = Names { state: &state, tables: HashMap::new() };
    let plan = SqlToRel::new_with_options(&names, parser_options(&state)).statement_to_plan(statement)?;
    let LogicalPlan::Ddl(DdlStatement::CreateExternalTable(command)) = plan else {
        return Err(Error::internal(format!("not an external table: {definition}")).into());
    };
    let kind = command.file_type.to_uppercase();
    let Some(factory) = state.table_factories().get(&kind).cloned() else {
        return Err(Error::unsupported(format!(
            "external tables of format {kind} are not supported; use PARQUET, CSV or JSON"
        ))
        .into());
    };
    if kind == "PARQUET" {
        for location in &command.locations {
            check_footers(&state, &ListingTableUrl::parse(location)?, ".parquet").await?;
        }
    }
    let files = command.locations.join(", ");
    contain(&files, factory.create(&state, &command)).await
}

fn parser_options(state: &SessionState) -> ParserOptions {
    let options = &state.config_options().sql_parser;
    ParserOptions {
        parse_float_as_decimal: options.parse_float_as_decimal,
        enable_ident_normalization: options.enable_ident_normalization,
        enable_options_value_normalization: options.enable_options_value_normalization,
        support_varchar_with_length: options.support_varchar_with_length,
        map_string_types_to_utf8view: options.map_string_types_to_utf8view,
        collect_spans: options.collect_spans,
        default_null_ordering: options.default_null_ordering.as_str().into(),
    }
}

/// The names one statement uses, opened.
struct Names<'a> {
    state: &'a SessionState,
    tables: HashMap<ResolvedTableReference, Arc<dyn TableSource>>,
}

impl<'a> Names<'a> {
    async fn of_statement(
        state: &'a SessionState,
        statement: &AstStatement,
        extra: &[(&str, Arc<dyn TableProvider>)],
    ) -> Result<Self> {
        let mut names = Self { state, tables: HashMap::new() };
        for (name, table) in extra {
            let reference = names.resolve(TableReference::bare(*name));
            names.tables.insert(reference, provider_as_source(Arc::clone(table)));
        }
        for reference in state.resolve_table_references(statement)? {
            let reference = names.resolve(reference);
            if names.tables.contains_key(&reference) {
                continue;
            }
            // Not every reference is a table: CTEs and functions look alike here, so a miss is no error yet.
            if let Ok(schema) = state.schema_for_ref(reference.clone())
                && let Some(table) = open_table(&schema, &reference.table).await?
            {
                names.tables.insert(reference, provider_as_source(table));
            }
        }
        Ok(names)
    }

    fn resolve(&self, reference: TableReference) -> ResolvedTableReference {
        let defaults = &self.state.config_options().catalog;
        reference.resolve(&defaults.default_catalog, &defaults.default_schema)
    }

    /// The error of a name that stands for nothing, with the nearest name that stands for something.
    fn unknown_table(&self, name: &ResolvedTableReference) -> Error {
        let Some(catalog) = self.state.catalog_list().catalog(&name.catalog) else {
            return Error::undefined(ObjectKind::Schema, &format!("{}.{}", name.catalog, name.schema), [CATALOG]);
        };
        match catalog.schema(&name.schema) {
            None => Error::undefined(ObjectKind::Schema, &name.schema, catalog.schema_names()),
            Some(schema) => {
                let default = &self.state.config_options().catalog.default_schema;
                let shown = match name.schema.as_ref() == default {
                    true => name.table.to_string(),
                    false => format!("{}.{}", name.schema, name.table),
                };
                Error::undefined(ObjectKind::Table, &shown, schema.table_names())
            }
        }
    }
}

impl ContextProvider for Names<'_> {
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        None
    }

    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let name = self.resolve(name);
        match self.tables.get(&name) {
            Some(source) => Ok(Arc::clone(source)),
            None => Err(self.unknown_table(&name).into()),
        }
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let functions = self.state.table_functions();
        let Some(function) = functions.get(name) else {
            return Err(Error::undefined(ObjectKind::Function, name, functions.keys()).into());
        };
        let context = SimplifyContext::builder().with_config_options(Arc::clone(self.state.config_options())).build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.coerce(arg, &schema).and_then(|arg| simplifier.simplify(arg)))
            .collect::<Result<Vec<_>>>()?;
        let table = function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?;
        Ok(provider_as_source(table))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_file_type(&self, extension: &str) -> Result<Arc<dyn datafusion::common::file_options::file_type::FileType>> {
        match self.state.get_file_format_factory(extension) {
            Some(factory) => Ok(format_as_file_type(factory)),
            None => Err(Error::unsupported(format!(
                "files of format {extension} are not supported; use parquet, csv or json"
            ))
            .into()),
        }
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
