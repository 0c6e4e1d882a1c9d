//! What a statement asks for, typed and checked for form.
//!
//! Pieces that DataFusion's SQL planner plans (queries, expressions) stay sqlparser's syntax trees, lowered as
//! [`super::lower`] describes. Names are normalised: lower case unless quoted.

use arrow::datatypes::DataType;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{self, Expr, Query};

use super::external::CreateExternalTable;
use super::indexes::CreateIndex;
use super::users::{AlterUser, CreateUser, DropUser};

/// One statement.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is not moved often")]
pub enum Statement {
    /// SELECT, VALUES, WITH, TABLE.
    Query(Box<Query>),
    /// Anything else that DataFusion's SQL planner plans by itself: SHOW FUNCTIONS, SHOW CREATE TABLE, DESCRIBE query.
    DataFusion(Box<ast::Statement>),
    /// EXPLAIN.
    Explain(Explain),
    /// CREATE TABLE, also AS a query.
    CreateTable(CreateTable),
    /// DROP TABLE.
    DropTable(Drop),
    /// CREATE SCHEMA.
    CreateSchema {
        /// The schema's name.
        name: String,
        /// Whether an existing schema is fine.
        if_not_exists: bool,
    },
    /// DROP SCHEMA.
    DropSchema {
        /// The schemas' names.
        names: Vec<String>,
        /// Whether a missing schema is fine.
        if_exists: bool,
        /// Whether the tables in it are dropped too.
        cascade: bool,
    },
    /// CREATE VIEW.
    CreateView(CreateView),
    /// DROP VIEW.
    DropView(Drop),
    /// CREATE EXTERNAL TABLE.
    CreateExternalTable(Box<CreateExternal>),
    /// CREATE INDEX.
    CreateIndex(CreateIndex),
    /// DROP INDEX.
    DropIndex(Drop),
    /// REINDEX: builds what is missing or damaged.
    Reindex(Reindex),
    /// INSERT INTO.
    Insert(Insert),
    /// DELETE FROM; TRUNCATE is one without predicate.
    Delete(Delete),
    /// COPY … FROM a file, a directory or a pattern.
    CopyFrom(CopyFrom),
    /// COPY … TO a file or a directory.
    CopyTo(CopyTo),
    /// SET name = value.
    Set {
        /// The setting's name, in lower case, with its dots.
        name: String,
        /// The value as text.
        value: String,
    },
    /// RESET name, RESET ALL, SET name TO DEFAULT.
    Reset {
        /// The setting's name; `None` means all.
        name: Option<String>,
    },
    /// SHOW.
    Show(Show),
    /// PREPARE.
    Prepare(Prepare),
    /// EXECUTE.
    Execute {
        /// The prepared statement's name.
        name: String,
        /// The values of its parameters.
        parameters: Vec<Expr>,
    },
    /// DEALLOCATE.
    Deallocate {
        /// The prepared statement's name; `None` means all.
        name: Option<String>,
    },
    /// VACUUM: removes files that no version needs any more.
    Vacuum {
        /// The table; `None` means all.
        table: Option<TableReference>,
    },
    /// ANALYZE: measures how well indexes answer.
    Analyze {
        /// The table; `None` means all.
        table: Option<TableReference>,
        /// A query whose rows are vectors as they will be searched for.
        using: Option<Box<Query>>,
    },
    /// CREATE USER.
    CreateUser(CreateUser),
    /// ALTER USER.
    AlterUser(AlterUser),
    /// DROP USER.
    DropUser(DropUser),
    /// CANCEL QUERY.
    CancelQuery {
        /// The query's id, as `volley.queries` shows it.
        id: String,
    },
    /// A statement that is accepted for compatibility and changes nothing.
    Nothing {
        /// Its command tag.
        tag: &'static str,
        /// What the user should know.
        notice: Option<String>,
    },
}

/// EXPLAIN.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// Whether the statement is run and measured.
    pub analyze: bool,
    /// Whether details are shown.
    pub verbose: bool,
    /// Whether the answers are compared with exact ones.
    pub verify: bool,
    /// The format's name in lower case: `indent`, `tree`, `pgjson`, `graphviz`.
    pub format: Option<String>,
    /// The statement as it was written.
    pub text: String,
    /// The statement.
    pub statement: Box<Statement>,
}

/// CREATE TABLE.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// The table's name.
    pub name: TableReference,
    /// Whether an existing table is fine.
    pub if_not_exists: bool,
    /// Columns in order; with AS a query, empty or only names and types to override.
    pub columns: Vec<ColumnDefinition>,
    /// The primary key's columns in key order; they are NOT NULL.
    pub primary_key: Vec<String>,
    /// The options behind WITH.
    pub options: TableOptions,
    /// The query behind AS.
    pub as_query: Option<Box<Query>>,
}

/// A column of CREATE TABLE.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    /// The column's name.
    pub name: String,
    /// Its type as SQL has it; [`super::column_type`] gives the Arrow type under a session's time zone.
    pub sql_type: ast::DataType,
    /// Whether NULL is forbidden, also because the column is in the primary key.
    pub not_null: bool,
    /// The text of its DEFAULT expression, lowered; [`super::parse_expression`] reads it again.
    pub default: Option<String>,
}

/// What stands behind WITH in CREATE TABLE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// `shards`: the number of buckets that the table's segments are placed in.
    pub shards: Option<u32>,
    /// `replicas`: how many executors keep each shard in their cache.
    pub replicas: Option<u32>,
}

/// What REINDEX rebuilds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reindex {
    /// One index.
    Index(TableReference),
    /// Every index of a table.
    Table(TableReference),
}

/// DROP TABLE, DROP VIEW and DROP INDEX.
#[derive(Debug, Clone, PartialEq)]
pub struct Drop {
    /// The names.
    pub names: Vec<TableReference>,
    /// Whether a missing one is fine.
    pub if_exists: bool,
    /// Whether dependent objects are dropped too.
    pub cascade: bool,
}

/// CREATE VIEW.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// The view's name.
    pub name: TableReference,
    /// Whether an existing view is replaced.
    pub or_replace: bool,
    /// Whether an existing view is fine.
    pub if_not_exists: bool,
    /// Names of its columns; empty means the query's.
    pub columns: Vec<String>,
    /// The query's text as the user wrote it; [`super::parse_query`] reads it again.
    pub text: String,
    /// The query.
    pub query: Box<Query>,
}

/// CREATE EXTERNAL TABLE.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateExternal {
    /// The table's name.
    pub name: TableReference,
    /// Whether an existing table is fine.
    pub if_not_exists: bool,
    /// Whether an existing external table is replaced.
    pub or_replace: bool,
    /// The statement's text as the user wrote it; [`super::parse_external`] reads it again.
    pub text: String,
    /// The statement as DataFusion's SQL planner takes it.
    pub statement: CreateExternalTable,
}

/// INSERT INTO.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: TableReference,
    /// The columns named; empty means all in order.
    pub columns: Vec<String>,
    /// The rows; `None` means DEFAULT VALUES. In VALUES, [`super::is_default`] recognises DEFAULT.
    pub source: Option<Box<Query>>,
}

/// DELETE FROM.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// The table.
    pub table: TableReference,
    /// The name the predicate may use for it.
    pub alias: Option<String>,
    /// Which rows; `None` means all.
    pub predicate: Option<Expr>,
    /// Whether it was written as TRUNCATE.
    pub truncate: bool,
}

/// A file format of COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values.
    Csv,
    /// One JSON object per line.
    Json,
}

/// How COPY reads or writes files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// The format, given or by the file name's ending.
    pub format: FileFormat,
    /// CSV: whether the first line names the columns. `None`: yes for TO and FROM.
    pub header: Option<bool>,
    /// CSV: the character between values. `None`: a comma.
    pub delimiter: Option<u8>,
    /// CSV: the text that stands for NULL. `None`: the empty text without quotes.
    pub null: Option<String>,
    /// CSV: the quote character. `None`: the double quote.
    pub quote: Option<u8>,
    /// CSV: the escape character inside quotes. `None`: a quote is doubled.
    pub escape: Option<u8>,
    /// The compression's name in lower case: `gzip`, `zstd`, `snappy`, …; `None`: by the file name's ending.
    pub compression: Option<String>,
}

/// COPY table FROM.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyFrom {
    /// The table.
    pub table: TableReference,
    /// The columns named; empty means those of the file by name, or all in order.
    pub columns: Vec<String>,
    /// A file, a directory (ending in `/`) or a pattern with `*`, as path or URL.
    pub path: String,
    /// How to read it.
    pub options: CopyOptions,
}

/// COPY … TO.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyTo {
    /// What to write. COPY of a table is `SELECT columns FROM table`.
    pub query: Box<Query>,
    /// A file, or a directory (ending in `/`), as path or URL.
    pub path: String,
    /// How to write it.
    pub options: CopyOptions,
}

/// SHOW.
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    /// SHOW ALL: every setting.
    All,
    /// SHOW name.
    Setting(String),
    /// SHOW TABLES [FROM schema].
    Tables {
        /// Only this schema.
        schema: Option<String>,
    },
    /// SHOW SCHEMAS.
    Schemas,
    /// SHOW INDEXES [FROM table].
    Indexes {
        /// Only of this table.
        table: Option<TableReference>,
    },
    /// SHOW COLUMNS FROM table, DESCRIBE table.
    Columns {
        /// The table.
        table: TableReference,
    },
}

/// PREPARE.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepare {
    /// Its name.
    pub name: String,
    /// The types of its first parameters, as SQL has them.
    pub types: Vec<DataType>,
    /// The text of the statement behind AS.
    pub text: String,
    /// The statement behind AS.
    pub statement: Box<Statement>,
}

impl Statement {
    /// The command's tag as PostgreSQL's clients know it; rows and counts are added by who runs it.
    pub fn tag(&self) -> &'static str {
        match self {
            Statement::Query(_) => "SELECT",
            Statement::DataFusion(_) | Statement::Show(_) => "SHOW",
            Statement::Explain(_) => "EXPLAIN",
            Statement::CreateTable(create) if create.as_query.is_some() => "CREATE TABLE AS",
            Statement::CreateTable(_) => "CREATE TABLE",
            Statement::DropTable(_) => "DROP TABLE",
            Statement::CreateSchema { .. } => "CREATE SCHEMA",
            Statement::DropSchema { .. } => "DROP SCHEMA",
            Statement::CreateView(_) => "CREATE VIEW",
            Statement::DropView(_) => "DROP VIEW",
            Statement::CreateExternalTable(_) => "CREATE EXTERNAL TABLE",
            Statement::CreateIndex(_) => "CREATE INDEX",
            Statement::DropIndex(_) => "DROP INDEX",
            Statement::Reindex(_) => "REINDEX",
            Statement::Insert(_) => "INSERT",
            Statement::Delete(delete) if delete.truncate => "TRUNCATE TABLE",
            Statement::Delete(_) => "DELETE",
            Statement::CopyFrom(_) | Statement::CopyTo(_) => "COPY",
            Statement::Set { .. } => "SET",
            Statement::Reset { .. } => "RESET",
            Statement::Prepare(_) => "PREPARE",
            Statement::Execute { .. } => "EXECUTE",
            Statement::Deallocate { .. } => "DEALLOCATE",
            Statement::Vacuum { .. } => "VACUUM",
            Statement::Analyze { .. } => "ANALYZE",
            Statement::CreateUser(_) => "CREATE USER",
            Statement::AlterUser(_) => "ALTER USER",
            Statement::DropUser(_) => "DROP USER",
            Statement::CancelQuery { .. } => "CANCEL QUERY",
            Statement::Nothing { tag, .. } => tag,
        }
    }
}
