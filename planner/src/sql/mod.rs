//! From SQL text to a typed statement: everything that comes before DataFusion's SQL planner.
//!
//! ```text
//! text ── limits ── tokens ── limits ── parser ── lower ── Statement
//!         length    <=> ? …   depth     ours or   <=>, casts
//!                                       sqlparser
//! ```
//!
//! The order matters. Length is checked before the text is read, depth before anything recurses over it. Operators and
//! parameters are rewritten as tokens, where strings and comments cannot be mistaken for code. Our own statements are parsed
//! by us, the rest by sqlparser under [`dialect::VolleyDialect`], and every syntax tree is lowered before anybody sees it.

mod copy;
mod create;
mod dialect;
mod dml;
mod external;
mod indexes;
mod limits;
mod lower;
mod names;
mod parser;
mod redact;
mod repeated;
mod session_statements;
pub mod settings;
mod split;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;
mod type_names;
mod types;
mod users;

pub use dml::is_default;
pub use external::{CreateExternalTable, parse_external, parse_query};
pub use indexes::{CreateIndex, IndexOptions, index_text};
pub use limits::Limits;
pub use names::{normalize, table_reference};
pub use parser::{parse_expression, parse_statement, parse_statement_with};
pub use redact::redacted;
pub use split::{is_complete, split_statements};
pub use statement::{
    ColumnDefinition, CopyFrom, CopyOptions, CopyTo, CreateExternal, CreateTable, CreateView, Delete, Drop, Explain,
    FileFormat, Insert, Prepare, Reindex, Show, Statement, TableOptions,
};
pub use type_names::type_name;
pub use types::column_type;
pub use users::{AlterUser, CreateUser, DropUser, NewPassword, Password, UserOptions};

/// One row of VALUES as the syntax tree has it.
pub type ValuesRow = datafusion::sql::sqlparser::ast::Parens<Vec<datafusion::sql::sqlparser::ast::Expr>>;
