//! CREATE EXTERNAL TABLE in DataFusion's syntax, and statements in the form that DataFusion's SQL planner takes.

use datafusion::sql::parser::{DFParserBuilder, Statement as DataFusionStatement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;

pub use datafusion::sql::parser::CreateExternalTable;

use super::lower::lower_external_type;
use super::parser::{parse_select, parse_statement};
use super::statement::Statement;
use crate::error::{Error, Result};

/// Parses a query alone, such as a view's text, into what DataFusion's SQL planner takes.
///
/// # Errors
/// As [`parse_statement`].
pub fn parse_query(sql: &str) -> Result<DataFusionStatement> {
    Ok(DataFusionStatement::Statement(Box::new(ast::Statement::Query(parse_select(sql)?))))
}

/// Parses a CREATE EXTERNAL TABLE, such as a catalog entry's definition, into what DataFusion's SQL planner takes.
///
/// # Errors
/// As [`parse_statement`]; any other statement is an error too.
pub fn parse_external(sql: &str) -> Result<DataFusionStatement> {
    match parse_statement(sql)? {
        Statement::CreateExternalTable(create) => Ok(DataFusionStatement::CreateExternalTable(create.statement)),
        other => Err(Error::internal(format!("expected CREATE EXTERNAL TABLE, got {}", other.tag()))),
    }
}

/// Parses the tokens of one `CREATE [OR REPLACE] EXTERNAL TABLE … STORED AS … LOCATION … [OPTIONS …]` with DataFusion's
/// parser.
pub(super) fn parse_create_external_table(
    dialect: &dyn Dialect,
    tokens: Vec<TokenWithSpan>,
    recursion_limit: usize,
) -> Result<CreateExternalTable> {
    let mut parser =
        DFParserBuilder::new(tokens).with_dialect(dialect).with_recursion_limit(recursion_limit).build()?;
    match parser.parse_statement()? {
        DataFusionStatement::CreateExternalTable(mut create) => {
            if create.unbounded {
                return Err(Error::unsupported(
                    "unbounded external tables are not supported; an external table is files",
                ));
            }
            if create.temporary {
                return Err(Error::unsupported(
                    "temporary tables are not supported; drop the table when it is done with",
                ));
            }
            for column in &mut create.columns {
                lower_external_type(&mut column.data_type)?;
            }
            Ok(create)
        }
        other => Err(Error::internal(format!("expected CREATE EXTERNAL TABLE, got {other}"))),
    }
}
