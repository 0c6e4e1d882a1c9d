//! SET, RESET, SHOW, PREPARE, EXECUTE, DEALLOCATE, VACUUM, CANCEL QUERY.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::lower::lower;
use super::names::normalize;
use super::parser::StatementParser;
use super::statement::{Prepare, Show, Statement};
use super::types::column_type;
use crate::error::{Error, Result};

impl StatementParser<'_> {
    /// `SET [SESSION | LOCAL] name { = | TO } value, …`, `SET TIME ZONE value`, `SET NAMES value`.
    pub(super) fn set(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::SET)?;
        if self.keyword(0) == Keyword::TRANSACTION || self.keyword(1) == Keyword::CHARACTERISTICS {
            // Every statement sees one version of each table, which satisfies every isolation level a client may ask for.
            while !self.at_end() {
                self.parser.next_token();
            }
            return Ok(Statement::Nothing { tag: "SET", notice: None });
        }
        if matches!(self.keyword(0), Keyword::SESSION | Keyword::LOCAL) && self.setting_follows() {
            self.parser.next_token();
        }
        let name = if self.parser.parse_keywords(&[Keyword::TIME, Keyword::ZONE]) {
            "timezone".to_string()
        } else if self.parser.parse_keyword(Keyword::NAMES) {
            "client_encoding".to_string()
        } else {
            let name = self.setting_name()?;
            if !self.parser.consume_token(&Token::Eq)
                && !self.parser.consume_token(&Token::Assignment)
                && !self.parser.parse_keyword(Keyword::TO)
            {
                return self.unexpected("= or TO");
            }
            name
        };
        if self.parser.parse_keyword(Keyword::DEFAULT) {
            return Ok(Statement::Reset { name: Some(name) });
        }
        let mut value = self.setting_value()?;
        while self.parser.consume_token(&Token::Comma) {
            value = format!("{value}, {}", self.setting_value()?);
        }
        Ok(Statement::Set { name, value })
    }

    /// Whether SESSION or LOCAL is a modifier and not the setting's name itself.
    fn setting_follows(&self) -> bool {
        matches!(self.parser.peek_nth_token_ref(1).token, Token::Word(_)) && self.keyword(1) != Keyword::TO
    }

    /// A setting's name: words with dots between, in lower case.
    fn setting_name(&mut self) -> Result<String> {
        let mut name = String::new();
        loop {
            match self.parser.peek_token_ref().token.clone() {
                Token::Word(word) => {
                    self.parser.next_token();
                    name.push_str(&word.value.to_lowercase());
                }
                _ => return self.unexpected("the name of a setting"),
            }
            if !self.parser.consume_token(&Token::Period) {
                return Ok(name);
            }
            name.push('.');
        }
    }

    /// A number, word or string as text.
    pub(super) fn setting_value(&mut self) -> Result<String> {
        let negative = self.parser.consume_token(&Token::Minus);
        let value = match self.parser.peek_token_ref().token.clone() {
            Token::Number(number, _) => {
                self.parser.next_token();
                number
            }
            Token::Word(_) | Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) if !negative => {
                return self.word_or_string("a value");
            }
            _ => return self.unexpected("a value"),
        };
        Ok(if negative { format!("-{value}") } else { value })
    }

    pub(super) fn reset(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::RESET)?;
        if self.parser.parse_keyword(Keyword::ALL) {
            return Ok(Statement::Reset { name: None });
        }
        if self.parser.parse_keywords(&[Keyword::TIME, Keyword::ZONE]) {
            return Ok(Statement::Reset { name: Some("timezone".to_string()) });
        }
        Ok(Statement::Reset { name: Some(self.setting_name()?) })
    }

    pub(super) fn show(&mut self) -> Result<Statement> {
        if matches!(self.keyword(1), Keyword::FUNCTIONS | Keyword::CREATE) {
            return Ok(Statement::DataFusion(Box::new(self.foreign_statement()?)));
        }
        self.parser.expect_keyword(Keyword::SHOW)?;
        let parser = &mut self.parser;
        if parser.parse_keyword(Keyword::ALL) {
            return Ok(Statement::Show(Show::All));
        }
        if parser.parse_keyword(Keyword::SCHEMAS) {
            return Ok(Statement::Show(Show::Schemas));
        }
        if parser.parse_keywords(&[Keyword::TIME, Keyword::ZONE]) {
            return Ok(Statement::Show(Show::Setting("timezone".to_string())));
        }
        if parser.parse_keywords(&[Keyword::TRANSACTION, Keyword::ISOLATION, Keyword::LEVEL]) {
            return Ok(Statement::Show(Show::Setting("transaction_isolation".to_string())));
        }
        let _ = parser.parse_keyword(Keyword::EXTENDED) | parser.parse_keyword(Keyword::FULL);
        if parser.parse_keyword(Keyword::TABLES) {
            let schema = if self.from_or_in() {
                Some(super::names::schema_name(&self.parser.parse_object_name(false)?)?)
            } else {
                None
            };
            return Ok(Statement::Show(Show::Tables { schema }));
        }
        let of_indexes = matches!(&parser.peek_token_ref().token,
            Token::Word(word) if matches!(word.value.to_ascii_lowercase().as_str(), "index" | "indexes" | "indices"));
        if of_indexes {
            parser.next_token();
            let table = if self.from_or_in() { Some(self.table()?) } else { None };
            return Ok(Statement::Show(Show::Indexes { table }));
        }
        if parser.parse_one_of_keywords(&[Keyword::COLUMNS, Keyword::FIELDS]).is_some() {
            if !self.from_or_in() {
                return self.unexpected("FROM");
            }
            return Ok(Statement::Show(Show::Columns { table: self.table()? }));
        }
        Ok(Statement::Show(Show::Setting(self.setting_name()?)))
    }

    #[allow(clippy::wrong_self_convention, reason = "FROM is the keyword")]
    fn from_or_in(&mut self) -> bool {
        self.parser.parse_one_of_keywords(&[Keyword::FROM, Keyword::IN]).is_some()
    }

    /// `PREPARE name [(type, …)] AS statement`.
    pub(super) fn prepare(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::PREPARE)?;
        let name = normalize(&self.parser.parse_identifier()?);
        let mut types = Vec::new();
        if self.parser.consume_token(&Token::LParen) {
            for sql_type in self.parser.parse_comma_separated(|parser| parser.parse_data_type())? {
                types.push(column_type(&sql_type, "UTC")?);
            }
            self.parser.expect_token(&Token::RParen)?;
        }
        self.parser.expect_keyword(Keyword::AS)?;
        let text = self.remaining_text();
        let statement = Box::new(self.statement()?);
        match *statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::Delete(_) => {
                Ok(Statement::Prepare(Prepare { name, types, text, statement }))
            }
            other => Err(Error::unsupported(format!(
                "{} cannot be prepared; prepare a query, INSERT or DELETE",
                other.tag()
            ))),
        }
    }

    /// `EXECUTE name [(value, …)]`.
    pub(super) fn execute(&mut self) -> Result<Statement> {
        self.parser.next_token();
        let name = normalize(&self.parser.parse_identifier()?);
        let mut parameters = Vec::new();
        if self.parser.consume_token(&Token::LParen) && !self.parser.consume_token(&Token::RParen) {
            parameters = self.parser.parse_comma_separated(|parser| parser.parse_expr())?;
            self.parser.expect_token(&Token::RParen)?;
        }
        for parameter in &mut parameters {
            lower(parameter)?;
        }
        Ok(Statement::Execute { name, parameters })
    }

    /// `DEALLOCATE [PREPARE] { name | ALL }`.
    pub(super) fn deallocate(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::DEALLOCATE)?;
        let _ = self.parser.parse_keyword(Keyword::PREPARE);
        if self.parser.parse_keyword(Keyword::ALL) {
            return Ok(Statement::Deallocate { name: None });
        }
        Ok(Statement::Deallocate { name: Some(normalize(&self.parser.parse_identifier()?)) })
    }

    /// `CANCEL QUERY 'id'`.
    pub(super) fn cancel_query(&mut self) -> Result<Statement> {
        self.parser.next_token();
        self.parser.next_token();
        match self.parser.next_token().token {
            Token::SingleQuotedString(id) | Token::EscapedStringLiteral(id) => Ok(Statement::CancelQuery { id }),
            _ => {
                self.parser.prev_token();
                self.unexpected("the query's id in single quotes, as volley.queries shows it")
            }
        }
    }

    /// `VACUUM [FULL] [ANALYZE] [table]`.
    pub(super) fn vacuum(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::VACUUM)?;
        let _ = self.parser.parse_keyword(Keyword::FULL) | self.parser.parse_keyword(Keyword::ANALYZE);
        let table = if self.at_end() { None } else { Some(self.table()?) };
        Ok(Statement::Vacuum { table })
    }
}
