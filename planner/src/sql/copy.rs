//! COPY, in PostgreSQL's spelling and in DataFusion's.
//!
//! ```sql
//! COPY docs FROM 'docs.csv' (FORMAT csv, HEADER true, DELIMITER ';', NULL '');
//! COPY docs (id, body) FROM 's3://bucket/docs/*.parquet';
//! COPY (SELECT id, body FROM docs) TO 'out.json' WITH (FORMAT json);
//! COPY docs TO 'out/' STORED AS PARQUET OPTIONS ('format.compression' 'zstd');
//! ```

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;
use volley_storage::ErrorKind;

use super::names::normalize;
use super::parser::{StatementParser, parse_select};
use super::statement::{CopyFrom, CopyOptions, CopyTo, FileFormat, Statement};
use crate::error::{Error, ObjectKind, Result};

const OPTIONS: [&str; 7] = ["format", "header", "delimiter", "null", "quote", "escape", "compression"];

impl StatementParser<'_> {
    pub(super) fn copy(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::COPY)?;
        if self.parser.consume_token(&Token::LParen) {
            let query = self.query()?;
            self.parser.expect_token(&Token::RParen)?;
            self.parser.expect_keyword(Keyword::TO)?;
            return self.copy_to(query);
        }
        let table_name = self.parser.parse_object_name(false)?;
        let table = super::names::table_reference(&table_name)?;
        let mut columns = Vec::new();
        if self.parser.consume_token(&Token::LParen) {
            columns = self.parser.parse_comma_separated(|parser| parser.parse_identifier())?;
            self.parser.expect_token(&Token::RParen)?;
        }
        if self.parser.parse_keyword(Keyword::FROM) {
            let path = self.path("FROM")?;
            let options = self.copy_options(&path)?;
            let columns = columns.iter().map(normalize).collect();
            return Ok(Statement::CopyFrom(CopyFrom { table, columns, path, options }));
        }
        if !self.parser.parse_keyword(Keyword::TO) {
            return self.unexpected("FROM or TO");
        }
        let list = columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        // The names print as they were written, so the text reads the same names again.
        let query = parse_select(&format!("SELECT {} FROM {table_name}", if list.is_empty() { "*" } else { &list }))?;
        self.copy_to(query)
    }

    fn copy_to(&mut self, query: Box<Query>) -> Result<Statement> {
        let path = self.path("TO")?;
        let options = self.copy_options(&path)?;
        Ok(Statement::CopyTo(CopyTo { query, path, options }))
    }

    fn path(&mut self, direction: &str) -> Result<String> {
        match self.keyword(0) {
            Keyword::STDIN | Keyword::STDOUT => Err(Error::unsupported(format!(
                "COPY {direction} standard input or output is not supported; name a file, as in COPY t {direction} 'data.csv'"
            ))),
            Keyword::PROGRAM => Err(Error::unsupported("COPY with a program is not supported; name a file")),
            _ => match self.parser.peek_token_ref().token.clone() {
                Token::SingleQuotedString(path) | Token::EscapedStringLiteral(path) if !path.is_empty() => {
                    self.parser.next_token();
                    Ok(path)
                }
                _ => self.unexpected("a path in single quotes"),
            },
        }
    }

    /// `[STORED AS format] [[WITH] (name value, …)] [OPTIONS (name value, …)]`, and PostgreSQL's old `[WITH] CSV HEADER …`.
    fn copy_options(&mut self, path: &str) -> Result<CopyOptions> {
        let mut given = GivenOptions::default();
        while !self.at_end() {
            if self.parser.parse_keywords(&[Keyword::STORED, Keyword::AS]) {
                let format = self.word_or_string("a format")?;
                given.set("format", Some(format))?;
                continue;
            }
            let _ = self.parser.parse_keyword(Keyword::WITH) || self.parser.parse_keyword(Keyword::OPTIONS);
            if self.parser.consume_token(&Token::LParen) {
                self.option_list(&mut given)?;
                continue;
            }
            match self.keyword(0) {
                Keyword::CSV => {
                    self.parser.next_token();
                    given.set("format", Some("csv".to_string()))?;
                }
                Keyword::HEADER => {
                    self.parser.next_token();
                    given.set("header", None)?;
                }
                Keyword::DELIMITER | Keyword::NULL | Keyword::QUOTE | Keyword::ESCAPE => {
                    let name = self.word_or_string("an option")?;
                    let _ = self.parser.parse_keyword(Keyword::AS);
                    let value = self.word_or_string("a value in single quotes")?;
                    given.set(&name, Some(value))?;
                }
                Keyword::PARTITIONED => {
                    return Err(Error::unsupported(
                        "COPY … PARTITIONED BY is not supported; write one file for each part",
                    ));
                }
                Keyword::WHERE => {
                    return Err(Error::unsupported(
                        "COPY … WHERE is not supported; use INSERT INTO … SELECT from an external table",
                    ));
                }
                _ => return self.unexpected("an option such as (FORMAT csv)"),
            }
        }
        given.finish(path)
    }

    fn option_list(&mut self, given: &mut GivenOptions) -> Result<()> {
        loop {
            let mut name = self.word_or_string("the name of an option")?;
            while self.parser.consume_token(&Token::Period) {
                name = format!("{name}.{}", self.word_or_string("the name of an option")?);
            }
            let _ = self.parser.consume_token(&Token::Eq);
            let value = match self.parser.peek_token_ref().token.clone() {
                Token::Comma | Token::RParen => None,
                Token::Number(number, _) => {
                    self.parser.next_token();
                    Some(number)
                }
                _ => Some(self.word_or_string("a value")?),
            };
            given.set(&name, value)?;
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(self.parser.expect_token(&Token::RParen).map(|_| ())?);
            }
        }
    }
}

#[derive(Default)]
struct GivenOptions {
    format: Option<FileFormat>,
    header: Option<bool>,
    delimiter: Option<u8>,
    null: Option<String>,
    quote: Option<u8>,
    escape: Option<u8>,
    compression: Option<String>,
}

impl GivenOptions {
    fn set(&mut self, name: &str, value: Option<String>) -> Result<()> {
        let lower = name.to_lowercase();
        // DataFusion's spelling: 'format.has_header', 'format.delimiter'.
        let short = lower.strip_prefix("format.").unwrap_or(&lower);
        let required = |value: Option<String>| {
            value.ok_or_else(|| Error::invalid(ErrorKind::Syntax, format!("the option {name} of COPY needs a value")))
        };
        match short {
            "format" => self.format = Some(format_named(&required(value)?)?),
            "header" | "has_header" => self.header = Some(boolean(name, value)?),
            "delimiter" | "delim" | "sep" => self.delimiter = Some(character(name, &required(value)?)?),
            "null" | "null_value" | "nullstr" => self.null = Some(required(value)?),
            "quote" => self.quote = Some(character(name, &required(value)?)?),
            "escape" => self.escape = Some(character(name, &required(value)?)?),
            "compression" => self.compression = Some(required(value)?.to_lowercase()),
            "encoding" if value.as_deref().is_some_and(|v| matches!(v.to_lowercase().as_str(), "utf8" | "utf-8")) => {}
            "encoding" => return Err(Error::unsupported("COPY reads and writes UTF-8 only")),
            "freeze" | "force_quote" | "force_not_null" | "force_null" | "on_error" | "log_verbosity" | "oids" => {
                return Err(Error::unsupported(format!("the option {name} of COPY is not supported; leave it out")));
            }
            _ => return Err(Error::undefined(ObjectKind::Setting, name, OPTIONS)),
        }
        Ok(())
    }

    fn finish(self, path: &str) -> Result<CopyOptions> {
        let format = match self.format {
            Some(format) => format,
            None => format_of_path(path)?,
        };
        let csv_only = self.header.is_some()
            || self.delimiter.is_some()
            || self.null.is_some()
            || self.quote.is_some()
            || self.escape.is_some();
        if csv_only && format != FileFormat::Csv {
            return Err(Error::invalid(
                ErrorKind::InvalidStatement,
                "HEADER, DELIMITER, NULL, QUOTE and ESCAPE are options of CSV files only",
            ));
        }
        Ok(CopyOptions {
            format,
            header: self.header,
            delimiter: self.delimiter,
            null: self.null,
            quote: self.quote,
            escape: self.escape,
            compression: self.compression,
        })
    }
}

fn format_named(name: &str) -> Result<FileFormat> {
    match name.to_lowercase().as_str() {
        "parquet" => Ok(FileFormat::Parquet),
        "csv" => Ok(FileFormat::Csv),
        "json" | "ndjson" | "jsonl" => Ok(FileFormat::Json),
        "text" | "binary" => {
            Err(Error::unsupported(format!("the format {name} of COPY is not supported; use parquet, csv or json")))
        }
        _ => Err(Error::invalid(
            ErrorKind::InvalidValue,
            format!("there is no file format {name}; the formats are parquet, csv and json"),
        )),
    }
}

/// The format that a file's name ends with, below an ending for compression.
fn format_of_path(path: &str) -> Result<FileFormat> {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_lowercase();
    let name = [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("parquet" | "pq") => Ok(FileFormat::Parquet),
        Some("csv") => Ok(FileFormat::Csv),
        Some("json" | "ndjson" | "jsonl") => Ok(FileFormat::Json),
        _ => Err(Error::invalid(
            ErrorKind::InvalidStatement,
            format!(
                "the name '{path}' does not tell the file format; add (FORMAT parquet), (FORMAT csv) or (FORMAT json)"
            ),
        )),
    }
}

fn boolean(name: &str, value: Option<String>) -> Result<bool> {
    match value.as_deref().map(str::to_lowercase).as_deref() {
        None | Some("true" | "on" | "1" | "yes") => Ok(true),
        Some("false" | "off" | "0" | "no") => Ok(false),
        Some(other) => {
            Err(Error::invalid(ErrorKind::InvalidValue, format!("the option {name} is true or false, not {other}")))
        }
    }
}

fn character(name: &str, value: &str) -> Result<u8> {
    match value {
        "\\t" => Ok(b'\t'),
        _ => match value.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err(Error::invalid(
                ErrorKind::InvalidValue,
                format!("the option {name} is one ASCII character, not '{value}'"),
            )),
        },
    }
}
