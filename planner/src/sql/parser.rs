//! The parser: which statement it is, and everything that all of them share.

use datafusion::sql::sqlparser::ast::{self, Expr, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token};
use volley_storage::ErrorKind;

use super::dialect::VolleyDialect;
use super::external::parse_create_external_table;
use super::limits::Limits;
use super::lower::lower;
use super::redact::without_password;
use super::statement::{CreateExternal, Explain, Show, Statement};
use super::tokens::tokenize;
use crate::error::{Error, Result, suggest};

/// How deep sqlparser may recurse: each level that [`Limits::nesting_max`] allows takes several calls.
const RECURSION_LIMIT: usize = 4_000;

/// Words that statements begin with, for "did you mean".
const STATEMENTS: [&str; 31] = [
    "SELECT",
    "VALUES",
    "WITH",
    "TABLE",
    "EXPLAIN",
    "CREATE",
    "DROP",
    "INSERT",
    "DELETE",
    "TRUNCATE",
    "COPY",
    "SET",
    "RESET",
    "SHOW",
    "DESCRIBE",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
    "UPDATE",
    "MERGE",
    "ALTER",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "GRANT",
    "REVOKE",
    "COMMENT",
    "CANCEL",
];

/// Parses one statement under the default limits. A `;` behind it is allowed, a second statement is not.
///
/// # Errors
/// Syntax errors with their place; statements that are not built; statements that are too complex.
pub fn parse_statement(sql: &str) -> Result<Statement> {
    parse_statement_with(sql, &Limits::default())
}

/// Parses one statement under the given limits.
///
/// # Errors
/// As [`parse_statement`].
pub fn parse_statement_with(sql: &str, limits: &Limits) -> Result<Statement> {
    StatementParser::run(sql, limits, |parser| parser.statement())
}

/// Parses a query alone.
pub(super) fn parse_select(sql: &str) -> Result<Box<Query>> {
    StatementParser::run(sql, &Limits::default(), |parser| parser.query())
}

/// Parses an expression alone, such as a column's DEFAULT.
///
/// # Errors
/// As [`parse_statement`].
pub fn parse_expression(sql: &str) -> Result<Expr> {
    StatementParser::run(sql, &Limits::default(), |parser| parser.expression())
}

/// One parse of one statement: sqlparser's parser with the text it came from.
pub(super) struct StatementParser<'a> {
    sql: &'a str,
    dialect: &'a VolleyDialect,
    /// Where the last token that is not `;` ends.
    end: Location,
    pub(super) parser: Parser<'a>,
}

impl<'a> StatementParser<'a> {
    fn run<T>(sql: &str, limits: &Limits, parse: impl FnOnce(&mut StatementParser<'_>) -> Result<T>) -> Result<T> {
        Self::run_to_end(sql, limits, parse).map_err(|error| without_password(sql, error))
    }

    fn run_to_end<T>(
        sql: &str,
        limits: &Limits,
        parse: impl FnOnce(&mut StatementParser<'_>) -> Result<T>,
    ) -> Result<T> {
        limits.check_length(sql)?;
        // Tokens do not depend on the budget, which is known only once they are counted.
        let tokens = tokenize(&VolleyDialect::for_statement(0), sql)?;
        limits.check_depth(&tokens)?;
        let dialect = VolleyDialect::for_statement(tokens.len());
        let end =
            tokens.iter().rev().find(|token| token.token != Token::SemiColon).map_or(Location::empty(), |t| t.span.end);
        let parser = Parser::new(&dialect).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
        let mut this = StatementParser { sql, dialect: &dialect, end, parser };
        let parsed = parse(&mut this).map_err(|error| this.name_first_word(error))?;
        while this.parser.consume_token(&Token::SemiColon) {}
        match this.parser.peek_token_ref().token {
            Token::EOF => Ok(parsed),
            _ => this.unexpected("the end of the statement"),
        }
    }

    /// The statement whose first word is next.
    pub(super) fn statement(&mut self) -> Result<Statement> {
        match self.keyword(0) {
            Keyword::EXPLAIN => self.explain(),
            Keyword::DESCRIBE | Keyword::DESC => self.describe(),
            Keyword::CREATE => self.create(),
            Keyword::DROP => self.drop_statement(),
            Keyword::COPY => self.copy(),
            Keyword::INSERT => self.insert(),
            Keyword::DELETE => self.delete(),
            Keyword::TRUNCATE => self.truncate(),
            Keyword::SET => self.set(),
            Keyword::RESET => self.reset(),
            Keyword::SHOW => self.show(),
            Keyword::PREPARE => self.prepare(),
            Keyword::EXECUTE | Keyword::EXEC => self.execute(),
            Keyword::DEALLOCATE => self.deallocate(),
            Keyword::VACUUM => self.vacuum(),
            Keyword::ANALYZE => self.analyze(),
            Keyword::REINDEX => self.reindex(),
            Keyword::ALTER if matches!(self.keyword(1), Keyword::USER | Keyword::ROLE) => self.alter_user(),
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE => Ok(Statement::Query(self.query()?)),
            Keyword::NoKeyword if self.parser.peek_token_ref().token == Token::LParen => {
                Ok(Statement::Query(self.query()?))
            }
            Keyword::NoKeyword if self.is_word(0, "CANCEL") && self.is_word(1, "QUERY") => self.cancel_query(),
            keyword => self.not_a_statement(keyword),
        }
    }

    /// What to say about words that begin statements elsewhere.
    fn not_a_statement(&mut self, keyword: Keyword) -> Result<Statement> {
        let sentence = match keyword {
            Keyword::BEGIN | Keyword::START | Keyword::SAVEPOINT | Keyword::RELEASE => {
                "transactions of several statements are not supported; every statement commits by itself"
            }
            Keyword::COMMIT | Keyword::END => return self.no_transaction("COMMIT"),
            Keyword::ROLLBACK | Keyword::ABORT => return self.no_transaction("ROLLBACK"),
            Keyword::UPDATE => "UPDATE is not supported yet; delete the rows and insert them again",
            Keyword::MERGE => "MERGE is not supported yet; delete the rows and insert them again",
            Keyword::ALTER => "ALTER is not supported yet; create a new table with CREATE TABLE … AS SELECT",
            Keyword::GRANT | Keyword::REVOKE => {
                "privileges are not supported; a user is a superuser or not, see ALTER USER"
            }
            Keyword::COMMENT => "COMMENT ON is not supported",
            Keyword::LOCK => "LOCK is not supported; every statement sees one version of each table",
            Keyword::CALL => "procedures are not supported",
            Keyword::DECLARE | Keyword::FETCH | Keyword::CLOSE => "cursors are not supported; results are streamed",
            Keyword::LISTEN | Keyword::UNLISTEN | Keyword::NOTIFY => "LISTEN and NOTIFY are not supported",
            _ => return self.unexpected("a statement"),
        };
        Err(Error::unsupported(sentence))
    }

    fn no_transaction(&mut self, tag: &'static str) -> Result<Statement> {
        self.parser.next_token();
        let _ = self.parser.parse_one_of_keywords(&[Keyword::TRANSACTION, Keyword::WORK]);
        Ok(Statement::Nothing {
            tag,
            notice: Some("there is no transaction; every statement commits by itself".to_string()),
        })
    }

    fn explain(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::EXPLAIN)?;
        let mut explain = ExplainOptions::default();
        let parenthesized = self.parser.peek_token_ref().token == Token::LParen
            && !matches!(self.keyword(1), Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE)
            && self.parser.peek_nth_token_ref(1).token != Token::LParen;
        if parenthesized {
            for option in self.parser.parse_utility_options()? {
                explain.set(&option.name.value, option.arg.as_ref())?;
            }
        } else {
            explain.analyze = self.parser.parse_keyword(Keyword::ANALYZE);
            explain.verbose = self.parser.parse_keyword(Keyword::VERBOSE);
            if self.parser.parse_keyword(Keyword::FORMAT) {
                explain.format = Some(self.word_or_string("a format")?.to_lowercase());
            }
        }
        if self.keyword(0) == Keyword::EXPLAIN {
            return Err(Error::unsupported("EXPLAIN of EXPLAIN is not supported"));
        }
        let ExplainOptions { analyze, verbose, verify, format } = explain;
        if verify && !analyze {
            let sentence = "VERIFY compares answers, so the statement has to run; write EXPLAIN (ANALYZE, VERIFY)";
            return Err(Error::invalid(ErrorKind::InvalidValue, sentence));
        }
        let text = self.remaining_text();
        let statement = Box::new(self.statement()?);
        Ok(Statement::Explain(Explain { analyze, verbose, verify, format, text, statement }))
    }

    /// `DESCRIBE table`, or DataFusion's `DESCRIBE query`.
    fn describe(&mut self) -> Result<Statement> {
        let query = match self.keyword(1) {
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES => true,
            _ => self.parser.peek_nth_token_ref(1).token == Token::LParen,
        };
        if query {
            let mut statement = self.parser.parse_statement()?;
            lower(&mut statement)?;
            return Ok(Statement::DataFusion(Box::new(statement)));
        }
        self.parser.next_token();
        let _ = self.parser.parse_keyword(Keyword::TABLE);
        Ok(Statement::Show(Show::Columns { table: self.table()? }))
    }

    /// A query, lowered.
    pub(super) fn query(&mut self) -> Result<Box<Query>> {
        let mut query = self.parser.parse_query()?;
        lower(&mut query)?;
        Ok(query)
    }

    fn expression(&mut self) -> Result<Expr> {
        let mut expr = self.parser.parse_expr()?;
        lower(&mut expr)?;
        Ok(expr)
    }

    /// A statement that sqlparser parses whole, lowered.
    pub(super) fn foreign_statement(&mut self) -> Result<ast::Statement> {
        let mut statement = self.parser.parse_statement()?;
        lower(&mut statement)?;
        Ok(statement)
    }

    /// CREATE EXTERNAL TABLE, over all tokens of the statement.
    pub(super) fn external_table(&mut self) -> Result<Statement> {
        let text = self.remaining_text();
        let mut tokens = Vec::new();
        loop {
            let token = self.parser.next_token();
            match token.token {
                Token::EOF => break,
                // What follows is looked at by `run`.
                Token::SemiColon => {
                    self.parser.prev_token();
                    break;
                }
                _ => tokens.push(token),
            }
        }
        let statement = parse_create_external_table(self.dialect, tokens, RECURSION_LIMIT)?;
        Ok(Statement::CreateExternalTable(Box::new(CreateExternal {
            name: super::names::table_reference(&statement.name)?,
            if_not_exists: statement.if_not_exists,
            or_replace: statement.or_replace,
            text,
            statement,
        })))
    }

    /// A table's name.
    pub(super) fn table(&mut self) -> Result<datafusion::common::TableReference> {
        super::names::table_reference(&self.parser.parse_object_name(false)?)
    }

    /// Any word, or a string, as it stands.
    pub(super) fn word_or_string(&mut self, expected: &str) -> Result<String> {
        match self.parser.peek_token_ref().token.clone() {
            Token::Word(word) => {
                self.parser.next_token();
                Ok(word.value)
            }
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => {
                self.parser.next_token();
                Ok(text)
            }
            _ => self.unexpected(expected),
        }
    }

    /// The keyword that the n-th token ahead is; `NoKeyword` for anything else.
    pub(super) fn keyword(&self, ahead: usize) -> Keyword {
        match &self.parser.peek_nth_token_ref(ahead).token {
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        }
    }

    /// Whether the n-th token ahead is this word without quotes, for words that are no keywords of sqlparser.
    fn is_word(&self, ahead: usize, name: &str) -> bool {
        matches!(&self.parser.peek_nth_token_ref(ahead).token,
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
    }

    /// Whether nothing more belongs to the statement.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.parser.peek_token_ref().token, Token::EOF | Token::SemiColon)
    }

    /// The text from the next token to the statement's end, as the user wrote it.
    pub(super) fn remaining_text(&self) -> String {
        let start = byte_offset(self.sql, self.parser.peek_token_ref().span.start);
        let end = byte_offset(self.sql, self.end);
        self.sql.get(start..end).unwrap_or_default().to_string()
    }

    /// The error that something else was expected where the parser stands.
    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T> {
        Ok(self.parser.expected_ref(expected, self.parser.peek_token_ref())?)
    }

    /// Adds the nearest statement to an error about a first word that begins none.
    fn name_first_word(&self, error: Error) -> Error {
        let Error::Syntax { message, line, column } = error else { return error };
        let nearest = match &self.parser.peek_token_ref().token {
            Token::Word(word) if message.starts_with("expected a statement") => {
                suggest(&word.value.to_uppercase(), STATEMENTS)
            }
            _ => None,
        };
        let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        Error::Syntax { message: format!("{message}{hint}"), line, column }
    }
}

/// The options of EXPLAIN.
#[derive(Default)]
struct ExplainOptions {
    analyze: bool,
    verbose: bool,
    verify: bool,
    format: Option<String>,
}

impl ExplainOptions {
    fn set(&mut self, name: &str, value: Option<&Expr>) -> Result<()> {
        let text = value.map(|value| value.to_string().trim_matches('\'').to_lowercase());
        let on = !matches!(text.as_deref(), Some("false" | "off" | "0"));
        match name.to_lowercase().as_str() {
            "analyze" => self.analyze = on,
            "verbose" => self.verbose = on,
            "verify" => self.verify = on,
            "format" => self.format = text,
            // PostgreSQL's clients send these; they say what would be left out of a plan that does not have it.
            "costs" | "buffers" | "timing" | "summary" | "settings" | "wal" | "generic_plan" | "memory" => {}
            other => {
                let known = ["analyze", "verbose", "verify", "format", "costs", "timing", "summary"];
                return Err(Error::undefined(crate::error::ObjectKind::Setting, other, known));
            }
        }
        Ok(())
    }
}

/// The byte at a location, whose lines and columns count from 1, columns in characters.
fn byte_offset(sql: &str, location: Location) -> usize {
    let mut line_start = 0;
    for _ in 1..location.line {
        match sql[line_start..].find('\n') {
            Some(at) => line_start += at + 1,
            None => return sql.len(),
        }
    }
    let rest = &sql[line_start..];
    let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
    line_start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}
