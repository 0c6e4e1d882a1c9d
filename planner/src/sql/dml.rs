//! INSERT, DELETE, TRUNCATE.

use datafusion::sql::sqlparser::ast::{self, Expr, FromTable, OnInsert, TableFactor, TableObject, TableWithJoins};
use datafusion::sql::sqlparser::keywords::Keyword;

use super::names::{normalize, table_reference};
use super::parser::StatementParser;
use super::statement::{Delete, Insert, Statement};
use crate::error::{Error, Result};

/// Whether an expression in VALUES is the word DEFAULT, which stands for the column's default.
pub fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

impl StatementParser<'_> {
    pub(super) fn insert(&mut self) -> Result<Statement> {
        match self.foreign_statement()? {
            ast::Statement::Insert(insert) => Ok(Statement::Insert(convert_insert(insert)?)),
            _ => self.unexpected("INSERT INTO"),
        }
    }

    pub(super) fn delete(&mut self) -> Result<Statement> {
        match self.foreign_statement()? {
            ast::Statement::Delete(delete) => Ok(Statement::Delete(convert_delete(delete)?)),
            _ => self.unexpected("DELETE FROM"),
        }
    }

    /// `TRUNCATE [TABLE] [ONLY] table [RESTART IDENTITY | CONTINUE IDENTITY] [RESTRICT]`.
    pub(super) fn truncate(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::TRUNCATE)?;
        let _ = self.parser.parse_keyword(Keyword::TABLE);
        let _ = self.parser.parse_keyword(Keyword::ONLY);
        let table = self.table()?;
        if self.parser.peek_token_ref().token == datafusion::sql::sqlparser::tokenizer::Token::Comma {
            return Err(Error::unsupported(
                "TRUNCATE of several tables is not supported; every statement commits by itself",
            ));
        }
        let _ = self.parser.parse_keywords(&[Keyword::RESTART, Keyword::IDENTITY])
            || self.parser.parse_keywords(&[Keyword::CONTINUE, Keyword::IDENTITY]);
        let _ = self.parser.parse_one_of_keywords(&[Keyword::RESTRICT, Keyword::CASCADE]);
        Ok(Statement::Delete(Delete { table, alias: None, predicate: None, truncate: true }))
    }
}

fn convert_insert(insert: ast::Insert) -> Result<Insert> {
    match &insert.on {
        None => {}
        Some(OnInsert::OnConflict(_)) => {
            return Err(Error::unsupported(
                "ON CONFLICT is not supported yet; delete the rows with the same keys first",
            ));
        }
        Some(_) => {
            return Err(Error::unsupported(
                "ON DUPLICATE KEY is not supported; delete the rows with the same keys first",
            ));
        }
    }
    if insert.or.is_some() || insert.ignore || insert.replace_into || insert.overwrite {
        return Err(Error::unsupported(
            "INSERT OR, INSERT IGNORE, INSERT OVERWRITE and REPLACE are not supported; use INSERT INTO",
        ));
    }
    if insert.returning.is_some() || insert.output.is_some() {
        return Err(Error::unsupported("RETURNING is not supported; query the table afterwards"));
    }
    if !insert.assignments.is_empty()
        || insert.partitioned.is_some()
        || !insert.after_columns.is_empty()
        || insert.insert_alias.is_some()
        || insert.settings.is_some()
        || insert.format_clause.is_some()
        || insert.multi_table_insert_type.is_some()
        || insert.priority.is_some()
    {
        return Err(Error::unsupported(
            "this form of INSERT is not supported; write INSERT INTO table (columns) VALUES or a query",
        ));
    }
    let TableObject::TableName(name) = &insert.table else {
        return Err(Error::unsupported("INSERT INTO a function or query is not supported; name a table"));
    };
    let columns = insert.columns.iter().map(|column| match column.0.as_slice() {
        [part] => part.as_ident().map(normalize).ok_or_else(|| not_a_column(column)),
        _ => Err(not_a_column(column)),
    });
    Ok(Insert { table: table_reference(name)?, columns: columns.collect::<Result<_>>()?, source: insert.source })
}

fn not_a_column(name: &ast::ObjectName) -> Error {
    Error::invalid(
        volley_storage::ErrorKind::Syntax,
        format!("{name} is not a column's name; INSERT names columns without their table"),
    )
}

fn convert_delete(delete: ast::Delete) -> Result<Delete> {
    if delete.using.is_some() {
        return Err(Error::unsupported("DELETE … USING is not supported; write WHERE key IN (SELECT …)"));
    }
    if delete.returning.is_some() || delete.output.is_some() {
        return Err(Error::unsupported("RETURNING is not supported; query the rows before deleting them"));
    }
    if !delete.tables.is_empty() || !delete.order_by.is_empty() || delete.limit.is_some() {
        return Err(Error::unsupported(
            "DELETE with ORDER BY, LIMIT or several tables is not supported; write WHERE key IN (SELECT …)",
        ));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [TableWithJoins { relation: TableFactor::Table { name, alias, args: None, .. }, joins }] = from.as_slice()
    else {
        return Err(Error::unsupported("DELETE names one table; write WHERE key IN (SELECT …) to look at others"));
    };
    if !joins.is_empty() {
        return Err(Error::unsupported("DELETE with a join is not supported; write WHERE key IN (SELECT …)"));
    }
    Ok(Delete {
        table: table_reference(name)?,
        alias: alias.as_ref().map(|alias| normalize(&alias.name)),
        predicate: delete.selection,
        truncate: false,
    })
}
