//! The SQL front, trap by trap.

mod indexes;
mod limits;
mod operators;
mod random;
mod split;
mod statements;
mod syntax_errors;
mod types;
mod users;

use super::{Statement, parse_statement};

/// The statement, which must parse.
fn parse(sql: &str) -> Statement {
    match parse_statement(sql) {
        Ok(statement) => statement,
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// The error's sentence, of a statement that must not parse.
fn error_of(sql: &str) -> String {
    match parse_statement(sql) {
        Ok(statement) => panic!("{sql} parsed as {statement:?}"),
        Err(error) => error.to_string(),
    }
}

/// An expression as it looks after lowering.
fn lowered(expression: &str) -> String {
    match super::parse_expression(expression) {
        Ok(expr) => expr.to_string(),
        Err(error) => panic!("{expression}: {error}"),
    }
}
