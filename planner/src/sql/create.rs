//! CREATE and DROP.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use datafusion::sql::sqlparser::ast::{
    self, ColumnOption, CreateTableOptions, Expr, HiveFormat, SqlOption, TableConstraint,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;
use volley_storage::ErrorKind;

use super::names::{normalize, schema_name, table_reference};
use super::parser::StatementParser;
use super::statement::{ColumnDefinition, CreateTable, CreateView, Drop, Statement, TableOptions};
use super::types::column_type;
use crate::error::{Error, ObjectKind, Result};

impl StatementParser<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        let or_replace = self.keyword(1) == Keyword::OR && self.keyword(2) == Keyword::REPLACE;
        let at = if or_replace { 3 } else { 1 };
        match self.keyword(at) {
            Keyword::EXTERNAL | Keyword::UNBOUNDED => self.external_table(),
            Keyword::TABLE if or_replace => {
                Err(Error::unsupported("CREATE OR REPLACE TABLE is not supported; write DROP TABLE IF EXISTS first"))
            }
            Keyword::TABLE => self.create_table(),
            Keyword::VIEW => self.create_view(or_replace),
            Keyword::SCHEMA => self.create_schema(),
            Keyword::EXTENSION => self.create_extension(),
            Keyword::UNIQUE | Keyword::INDEX => self.create_index(),
            Keyword::TEMP | Keyword::TEMPORARY | Keyword::LOCAL | Keyword::GLOBAL => Err(Error::unsupported(
                "temporary tables and views are not supported; drop the table when it is done with",
            )),
            Keyword::UNLOGGED => Err(Error::unsupported("UNLOGGED is not supported; every table is durable")),
            Keyword::MATERIALIZED => {
                Err(Error::unsupported("materialized views are not supported; use CREATE TABLE … AS SELECT"))
            }
            Keyword::DATABASE => Err(Error::unsupported("there is one database, volley; use CREATE SCHEMA")),
            Keyword::USER | Keyword::ROLE if !or_replace => self.create_user(),
            _ => match self.parser.peek_nth_token_ref(at).token.clone() {
                Token::Word(word) if word.quote_style.is_none() => {
                    Err(Error::unsupported(format!("CREATE {} is not supported", word.value.to_uppercase())))
                }
                _ => {
                    self.parser.next_token();
                    self.unexpected("TABLE, INDEX, SCHEMA, VIEW, USER or EXTERNAL TABLE")
                }
            },
        }
    }

    fn create_table(&mut self) -> Result<Statement> {
        match self.foreign_statement()? {
            ast::Statement::CreateTable(create) => Ok(Statement::CreateTable(convert_create_table(create)?)),
            _ => self.unexpected("CREATE TABLE"),
        }
    }

    /// `CREATE [OR REPLACE] VIEW [IF NOT EXISTS] name [(column, …)] AS query`.
    fn create_view(&mut self, or_replace: bool) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::CREATE)?;
        let _ = self.parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
        self.parser.expect_keyword(Keyword::VIEW)?;
        let if_not_exists = self.if_not_exists();
        let name = self.table()?;
        let mut columns = Vec::new();
        if self.parser.consume_token(&Token::LParen) {
            columns =
                self.parser.parse_comma_separated(|parser| parser.parse_identifier())?.iter().map(normalize).collect();
            self.parser.expect_token(&Token::RParen)?;
        }
        check_unique(columns.iter().map(String::as_str))?;
        self.parser.expect_keyword(Keyword::AS)?;
        let text = self.remaining_text();
        let query = self.query()?;
        Ok(Statement::CreateView(CreateView { name, or_replace, if_not_exists, columns, text, query }))
    }

    /// `CREATE SCHEMA [IF NOT EXISTS] name`.
    fn create_schema(&mut self) -> Result<Statement> {
        self.parser.expect_keywords(&[Keyword::CREATE, Keyword::SCHEMA])?;
        let if_not_exists = self.if_not_exists();
        let name = schema_name(&self.parser.parse_object_name(false)?)?;
        if self.keyword(0) == Keyword::AUTHORIZATION {
            return Err(Error::unsupported("CREATE SCHEMA … AUTHORIZATION is not supported; schemas have no owners"));
        }
        Ok(Statement::CreateSchema { name, if_not_exists })
    }

    /// `CREATE EXTENSION [IF NOT EXISTS] vector`, with which every tutorial of pgvector begins.
    fn create_extension(&mut self) -> Result<Statement> {
        self.parser.expect_keywords(&[Keyword::CREATE, Keyword::EXTENSION])?;
        let _ = self.if_not_exists();
        let name = normalize(&self.parser.parse_identifier()?);
        if name != "vector" {
            return Err(Error::unsupported(format!("there is no extension {name}; vector is built in")));
        }
        while !self.at_end() {
            self.parser.next_token();
        }
        Ok(Statement::Nothing { tag: "CREATE EXTENSION", notice: Some("vector is built in".to_string()) })
    }

    /// `DROP { TABLE | VIEW | SCHEMA | INDEX | USER } [IF EXISTS] name, … [CASCADE | RESTRICT]`.
    pub(super) fn drop_statement(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::DROP)?;
        let sort = self.keyword(0);
        match sort {
            Keyword::TABLE | Keyword::VIEW | Keyword::SCHEMA => {}
            Keyword::INDEX => {
                self.parser.next_token();
                return self.drop_index();
            }
            Keyword::USER | Keyword::ROLE => {
                self.parser.next_token();
                return self.drop_user();
            }
            Keyword::EXTERNAL if self.keyword(1) == Keyword::TABLE => {
                self.parser.next_token();
            }
            _ => {
                let Token::Word(word) = self.parser.peek_token_ref().token.clone() else {
                    return self.unexpected("TABLE, INDEX, VIEW, SCHEMA or USER");
                };
                return Err(Error::unsupported(format!("DROP {} is not supported", word.value.to_uppercase())));
            }
        }
        self.parser.next_token();
        let if_exists = self.parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        let names = self.parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
        let cascade = self.parser.parse_keyword(Keyword::CASCADE);
        let _ = !cascade && self.parser.parse_keyword(Keyword::RESTRICT);
        if sort == Keyword::SCHEMA {
            let names = names.iter().map(schema_name).collect::<Result<_>>()?;
            return Ok(Statement::DropSchema { names, if_exists, cascade });
        }
        let drop = Drop { names: names.iter().map(table_reference).collect::<Result<_>>()?, if_exists, cascade };
        Ok(if sort == Keyword::VIEW { Statement::DropView(drop) } else { Statement::DropTable(drop) })
    }

    pub(super) fn if_not_exists(&mut self) -> bool {
        self.parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS])
    }
}

fn convert_create_table(create: ast::CreateTable) -> Result<CreateTable> {
    check_clauses(&create)?;
    let mut primary_key = Vec::new();
    let mut columns = Vec::with_capacity(create.columns.len());
    for column in &create.columns {
        columns.push(convert_column(column, &mut primary_key)?);
    }
    for constraint in &create.constraints {
        add_constraint(constraint, &mut primary_key)?;
    }
    check_unique(columns.iter().map(|column| column.name.as_str()))?;
    if create.query.is_some() && !columns.is_empty() {
        return Err(Error::unsupported(
            "CREATE TABLE … AS takes its columns from the query; name and cast them there, or create the table first",
        ));
    }
    if create.query.is_none() {
        if columns.is_empty() {
            return Err(Error::invalid(ErrorKind::InvalidStatement, "a table needs at least one column"));
        }
        check_primary_key(&mut columns, &primary_key)?;
    }
    Ok(CreateTable {
        name: table_reference(&create.name)?,
        if_not_exists: create.if_not_exists,
        columns,
        primary_key,
        options: convert_options(&create.table_options)?,
        as_query: create.query,
    })
}

/// Refuses every clause that is not read here, so that none is ignored: a statement rebuilt from the parts that are read
/// must equal the statement that was parsed.
fn check_clauses(create: &ast::CreateTable) -> Result<()> {
    if create.partition_by.is_some() {
        return Err(Error::unsupported("table partitions are not supported yet; WITH (shards = n) spreads a table"));
    }
    if create.like.is_some() {
        return Err(Error::unsupported("CREATE TABLE … LIKE is not supported; use CREATE TABLE … AS SELECT … LIMIT 0"));
    }
    let no_formats = HiveFormat { row_format: None, serde_properties: None, storage: None, location: None };
    let understood = CreateTableBuilder::new(create.name.clone())
        .if_not_exists(create.if_not_exists)
        .columns(create.columns.clone())
        .constraints(create.constraints.clone())
        .query(create.query.clone())
        .table_options(create.table_options.clone())
        .hive_formats(create.hive_formats.clone().filter(|formats| *formats == no_formats))
        .build();
    if understood == *create {
        return Ok(());
    }
    Err(Error::unsupported(
        "CREATE TABLE understands columns, PRIMARY KEY, WITH (shards = n) and AS; leave the other clauses out",
    ))
}

fn convert_column(column: &ast::ColumnDef, primary_key: &mut Vec<String>) -> Result<ColumnDefinition> {
    let name = normalize(&column.name);
    // Which time zone does not matter for whether the type exists.
    column_type(&column.data_type, "UTC")?;
    let mut definition =
        ColumnDefinition { name: name.clone(), sql_type: column.data_type.clone(), not_null: false, default: None };
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => definition.not_null = true,
            ColumnOption::Default(expr) => definition.default = Some(expr.to_string()),
            ColumnOption::PrimaryKey(_) if primary_key.is_empty() => primary_key.push(name.clone()),
            ColumnOption::PrimaryKey(_) => return Err(several_primary_keys()),
            ColumnOption::Unique(_) => return Err(unsupported_constraint("UNIQUE")),
            ColumnOption::Check(_) => return Err(unsupported_constraint("CHECK")),
            ColumnOption::ForeignKey(_) => return Err(unsupported_constraint("REFERENCES")),
            ColumnOption::Generated { .. } | ColumnOption::Identity(_) => {
                return Err(Error::unsupported("generated columns are not supported; give the values yourself"));
            }
            _ => return Err(Error::unsupported(format!("{} is not supported in a column", option.option))),
        }
    }
    Ok(definition)
}

fn unsupported_constraint(name: &str) -> Error {
    Error::unsupported(format!(
        "{name} is not supported; PRIMARY KEY and NOT NULL are the constraints that Volley enforces"
    ))
}

fn several_primary_keys() -> Error {
    Error::invalid(
        ErrorKind::InvalidStatement,
        "a table has one primary key; write PRIMARY KEY (a, b) for several columns",
    )
}

fn add_constraint(constraint: &TableConstraint, primary_key: &mut Vec<String>) -> Result<()> {
    let key = match constraint {
        TableConstraint::PrimaryKey(key) => key,
        TableConstraint::Unique(_) => return Err(unsupported_constraint("UNIQUE")),
        TableConstraint::Check(_) => return Err(unsupported_constraint("CHECK")),
        TableConstraint::ForeignKey(_) => return Err(unsupported_constraint("FOREIGN KEY")),
        other => return Err(Error::unsupported(format!("{other} is not supported in CREATE TABLE"))),
    };
    if !primary_key.is_empty() {
        return Err(several_primary_keys());
    }
    for column in &key.columns {
        match &column.column.expr {
            Expr::Identifier(ident) => primary_key.push(normalize(ident)),
            other => {
                return Err(Error::invalid(
                    ErrorKind::Syntax,
                    format!("PRIMARY KEY names columns, and {other} is none"),
                ));
            }
        }
    }
    check_unique(primary_key.iter().map(String::as_str))
}

/// The key's columns exist, can be compared, and become NOT NULL.
fn check_primary_key(columns: &mut [ColumnDefinition], primary_key: &[String]) -> Result<()> {
    for key in primary_key {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let Some(column) = columns.iter_mut().find(|column| column.name == *key) else {
            return Err(Error::undefined(ObjectKind::Column, key, names));
        };
        if column_type(&column.sql_type, "UTC")?.is_nested() {
            return Err(Error::invalid(
                ErrorKind::DatatypeMismatch,
                format!("column \"{key}\" has the type {}, which a primary key cannot have", column.sql_type),
            ));
        }
        column.not_null = true;
    }
    Ok(())
}

fn check_unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::invalid(ErrorKind::DuplicateColumn, format!("column \"{name}\" is named twice")));
        }
    }
    Ok(())
}

fn convert_options(options: &CreateTableOptions) -> Result<TableOptions> {
    let mut converted = TableOptions::default();
    let given = match options {
        CreateTableOptions::None => return Ok(converted),
        CreateTableOptions::With(given) => given,
        _ => return Err(Error::unsupported("options of a table stand behind WITH, as in WITH (shards = 8)")),
    };
    for option in given {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(Error::invalid(
                ErrorKind::Syntax,
                format!("an option of a table is written name = value, not {option}"),
            ));
        };
        let name = normalize(key);
        match name.as_str() {
            "shards" => converted.shards = Some(small_number(&name, value, 4_096)?),
            "replicas" => converted.replicas = Some(small_number(&name, value, 64)?),
            _ => return Err(Error::undefined(ObjectKind::Setting, &name, ["shards", "replicas"])),
        }
    }
    Ok(converted)
}

fn small_number(name: &str, value: &Expr, most: u32) -> Result<u32> {
    let text = value.to_string();
    match text.trim_matches('\'').parse::<u32>() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(Error::invalid(ErrorKind::InvalidValue, format!("{name} is a number from 1 to {most}, not {text}"))),
    }
}
