//! COPY TO: a query's rows to a file or a directory.

use std::collections::HashMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, UInt64Type};
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit};
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use volley_planner::error::Error as PlannerError;
use volley_planner::resolve::plan_statement;
use volley_planner::sql::{CopyOptions, CopyTo, FileFormat};
use volley_storage::ErrorKind;
use volley_storage::schema::vector_dimension;

use super::{Running, plain};
use crate::error::{Error, Result};
use crate::request::QueryResult;

impl Running {
    pub(super) async fn run_copy_to(&self, copy: CopyTo) -> Result<QueryResult> {
        self.may_use(&copy.path)?;
        let state = self.catalog().await?.state();
        let statement = plain(ast::Statement::Query(copy.query));
        let plan = plan_statement(&state, statement, &self.parameter_fields(), &[])
            .await
            .map_err(|error| self.explain_error(&state, error))?;
        let plan = self.bind(plan)?;
        let plan = match copy.options.format {
            FileFormat::Csv => flat(plan)?,
            _ => plan,
        };
        let (format, options) = writer(&copy.options, &copy.path)?;
        let Some(factory) = state.get_file_format_factory(format) else {
            return Err(Error::Internal { detail: format!("no writer for {format} files") });
        };
        let file_type = format_as_file_type(factory);
        let plan = LogicalPlanBuilder::copy_to(plan, copy.path, file_type, options, Vec::new())?.build()?;
        let mut rows = self.start_unlimited(&state, &plan).await?;
        let mut count = 0;
        while let Some(batch) = rows.try_next().await? {
            let written = batch.column(0).as_primitive_opt::<UInt64Type>();
            count += written.map_or(0, |written| written.values().iter().sum::<u64>());
        }
        Ok(QueryResult::affected(format!("COPY {count}"), count))
    }
}

/// Vectors as text, because CSV has no nested values; other nested columns are refused.
fn flat(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !plan.schema().fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(plan);
    }
    let mut exprs: Vec<Expr> = Vec::new();
    for (column, field) in plan.schema().columns().into_iter().zip(plan.schema().fields()) {
        let expr = match field.data_type() {
            vector if vector_dimension(vector).is_some() => {
                cast(col(column.clone()), DataType::Utf8).alias(field.name())
            }
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                datafusion::functions_nested::expr_fn::array_to_string(col(column.clone()), lit(","))
                    .alias(field.name())
            }
            nested if nested.is_nested() => {
                let sentence =
                    format!("column \"{}\" is nested and CSV has no form for it; use Parquet or JSON", field.name());
                return Err(PlannerError::invalid(ErrorKind::DatatypeMismatch, sentence).into());
            }
            _ => col(column.clone()),
        };
        exprs.push(expr);
    }
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

/// The compression that a file's name tells.
fn compression_of_ending(path: &str) -> Option<&'static str> {
    match path.rsplit('.').next()? {
        "gz" => Some("gzip"),
        "zst" => Some("zstd"),
        "bz2" => Some("bzip2"),
        "xz" => Some("xz"),
        _ => None,
    }
}

/// DataFusion's name of the format and its writer's options.
fn writer(options: &CopyOptions, path: &str) -> Result<(&'static str, HashMap<String, String>)> {
    let mut map = HashMap::new();
    let compression = match (options.format, options.compression.as_deref()) {
        // Parquet's writer wants a level where there are levels; these are what the formats' own tools take.
        (FileFormat::Parquet, Some("zstd")) => Some("zstd(3)"),
        (FileFormat::Parquet, Some("gzip")) => Some("gzip(6)"),
        (FileFormat::Parquet, Some("brotli")) => Some("brotli(1)"),
        (FileFormat::Csv | FileFormat::Json, None) => compression_of_ending(path),
        (_, named) => named,
    };
    if let Some(compression) = compression {
        map.insert("format.compression".to_owned(), compression.to_owned());
    }
    let format = match options.format {
        FileFormat::Parquet => "parquet",
        FileFormat::Json => "json",
        FileFormat::Csv => {
            map.insert("format.has_header".to_owned(), options.header.unwrap_or(true).to_string());
            let characters = [("delimiter", options.delimiter), ("quote", options.quote), ("escape", options.escape)];
            for (name, byte) in characters {
                if let Some(byte) = byte {
                    map.insert(format!("format.{name}"), char::from(byte).to_string());
                }
            }
            if let Some(null) = &options.null {
                map.insert("format.null_value".to_owned(), null.clone());
            }
            "csv"
        }
        other => {
            let sentence = format!("COPY TO cannot write {other:?} files; use parquet, csv or json");
            return Err(PlannerError::unsupported(sentence).into());
        }
    };
    Ok((format, map))
}
