//! CREATE INDEX, DROP INDEX, REINDEX and ANALYZE, in pgvector's spelling.
//!
//! ```sql
//! CREATE INDEX IF NOT EXISTS docs_emb ON docs USING hnsw (emb vector_cosine_ops)
//!   WITH (m = 16, ef_construction = 128, quantizer = 'i8');
//! REINDEX TABLE docs;
//! ANALYZE docs USING (SELECT v FROM queries);
//! ```

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;
use volley_storage::ErrorKind;
use volley_storage::index_definition::IndexDefinition;

use super::names::{normalize, table_reference};
use super::parser::StatementParser;
use super::statement::{Drop, Reindex, Statement};
use crate::error::{Error, Result};

/// The one index method.
const HNSW: &str = "hnsw";
/// Operator classes and the metric each stands for; the first is the default.
const OPERATOR_CLASSES: [(&str, &str); 4] =
    [("vector_l2_ops", "l2"), ("vector_cosine_ops", "cosine"), ("vector_ip_ops", "ip"), ("vector_l1_ops", "l1")];
/// Encodings of the vectors that a search walks over; the last is the default.
const QUANTIZERS: [&str; 3] = ["f32", "f16", "i8"];
const M_DEFAULT: u32 = 16;
const EF_CONSTRUCTION_DEFAULT: u32 = 128;
/// The least and the most of each, as in pgvector.
const M: (u32, u32) = (2, 100);
const EF_CONSTRUCTION: (u32, u32) = (4, 1_000);

/// CREATE INDEX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateIndex {
    /// The index's name, which belongs to the table's schema; `None` lets one be made of the table's and the column's.
    pub name: Option<String>,
    /// Whether an existing name is fine.
    pub if_not_exists: bool,
    /// The table.
    pub table: TableReference,
    /// The column.
    pub column: String,
    /// The options behind the column and behind WITH.
    pub options: IndexOptions,
}

/// How an hnsw index is built and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// `l2`, `cosine`, `ip` or `l1`.
    pub metric: &'static str,
    /// Neighbours of a row in each layer.
    pub m: u32,
    /// Candidates kept while a row is inserted.
    pub ef_construction: u32,
    /// `f32`, `f16` or `i8`.
    pub quantizer: &'static str,
}

impl IndexOptions {
    /// The index's method.
    pub fn method(&self) -> &'static str {
        HNSW
    }

    /// The options as a catalog keeps them: sorted by name.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let IndexOptions { metric, m, ef_construction, quantizer } = self;
        let parameters = [
            ("ef_construction", ef_construction.to_string()),
            ("m", m.to_string()),
            ("metric", (*metric).to_string()),
            ("quantizer", (*quantizer).to_string()),
        ];
        parameters.map(|(name, value)| (name.to_string(), value)).into()
    }
}

/// An index as CREATE INDEX writes it behind USING.
pub fn index_text(definition: &IndexDefinition, column: &str) -> String {
    let parameter = |name: &str| definition.parameter(name).unwrap_or("?");
    let class = OPERATOR_CLASSES.iter().find(|(_, metric)| *metric == parameter("metric"));
    format!(
        "{} ({column} {}) WITH (m = {}, ef_construction = {}, quantizer = '{}')",
        definition.method,
        class.map_or("?", |(class, _)| class),
        parameter("m"),
        parameter("ef_construction"),
        parameter("quantizer"),
    )
}

/// What WITH said.
#[derive(Default)]
struct Given {
    m: Option<u32>,
    ef_construction: Option<u32>,
    quantizer: Option<&'static str>,
}

impl StatementParser<'_> {
    /// `CREATE INDEX [CONCURRENTLY] [[IF NOT EXISTS] name] ON table USING hnsw (column [class]) [WITH (name = value, …)]`.
    pub(super) fn create_index(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::CREATE)?;
        if self.parser.parse_keyword(Keyword::UNIQUE) {
            return Err(Error::unsupported("a unique index is not supported; declare a PRIMARY KEY on the table"));
        }
        self.parser.expect_keyword(Keyword::INDEX)?;
        // Nobody is kept waiting while an index is built, so CONCURRENTLY asks for what happens anyway.
        let _ = self.parser.parse_keyword(Keyword::CONCURRENTLY);
        let if_not_exists = self.if_not_exists();
        let name = match self.keyword(0) == Keyword::ON && !self.is_quoted() {
            true if if_not_exists => return self.unexpected("the index's name, which IF NOT EXISTS needs"),
            true => None,
            false => Some(self.new_index_name()?),
        };
        self.parser.expect_keyword(Keyword::ON)?;
        let _ = self.parser.parse_keyword(Keyword::ONLY);
        let table = self.table()?;
        if !self.parser.parse_keyword(Keyword::USING) {
            return Err(Error::unsupported(
                "CREATE INDEX needs a method: write USING hnsw before a vector column; other columns need no index, \
                 their statistics are kept with every segment",
            ));
        }
        let method = normalize(&self.parser.parse_identifier()?);
        if method != HNSW {
            let sentence = format!("index method \"{method}\" does not exist; the one there is is {HNSW}");
            return Err(Error::invalid(ErrorKind::UndefinedObject, sentence));
        }
        let (column, metric) = self.indexed_column()?;
        self.refuse_clause()?;
        let options = self.index_options(metric)?;
        self.refuse_clause()?;
        Ok(Statement::CreateIndex(CreateIndex { name, if_not_exists, table, column, options }))
    }

    fn is_quoted(&self) -> bool {
        matches!(&self.parser.peek_token_ref().token, Token::Word(word) if word.quote_style.is_some())
    }

    fn new_index_name(&mut self) -> Result<String> {
        match table_reference(&self.parser.parse_object_name(false)?)? {
            TableReference::Bare { table } => Ok(table.to_string()),
            qualified => Err(Error::invalid(
                ErrorKind::Syntax,
                format!("an index belongs to its table's schema; name it {}, without a schema", qualified.table()),
            )),
        }
    }

    /// `(column [class])`: the column and the metric.
    fn indexed_column(&mut self) -> Result<(String, &'static str)> {
        self.parser.expect_token(&Token::LParen)?;
        let is_name = matches!(self.parser.peek_token_ref().token, Token::Word(_));
        let ends_name = match &self.parser.peek_nth_token_ref(1).token {
            Token::RParen | Token::Comma => true,
            Token::Word(word) => word.keyword != Keyword::COLLATE,
            _ => false,
        };
        if !is_name || !ends_name {
            return Err(Error::unsupported(
                "an index covers a column, not an expression; keep the expression's value in a column of its own",
            ));
        }
        let column = normalize(&self.parser.parse_identifier()?);
        let mut metric = OPERATOR_CLASSES[0].1;
        if !matches!(self.keyword(0), Keyword::ASC | Keyword::DESC | Keyword::NULLS)
            && matches!(self.parser.peek_token_ref().token, Token::Word(_))
        {
            metric = metric_of(&table_reference(&self.parser.parse_object_name(false)?)?)?;
        }
        match (&self.parser.peek_token_ref().token, self.keyword(0)) {
            (Token::RParen, _) => {
                self.parser.next_token();
                Ok((column, metric))
            }
            (Token::Comma, _) => {
                Err(Error::unsupported("an hnsw index covers one column; create one index for each column"))
            }
            (_, Keyword::ASC | Keyword::DESC | Keyword::NULLS) => Err(Error::unsupported(
                "an hnsw index has no order of its own; leave ASC, DESC and NULLS out, a search gives the nearest first",
            )),
            _ => self.unexpected("an operator class, such as vector_cosine_ops, or )"),
        }
    }

    /// Clauses of PostgreSQL's indexes that mean nothing here or are not built.
    fn refuse_clause(&self) -> Result<()> {
        let sentence = match self.keyword(0) {
            Keyword::WHERE => {
                "a partial index is not supported; an index over all rows finds the rows that match a filter as well"
            }
            Keyword::INCLUDE => "INCLUDE is not supported; a search reads the other columns of the rows it found",
            Keyword::TABLESPACE => "there are no tablespaces; an index lies beside its segment",
            Keyword::NULLS => "NULLS NOT DISTINCT is not supported; rows whose vector is NULL are not in an index",
            _ => return Ok(()),
        };
        Err(Error::unsupported(sentence))
    }

    /// `[WITH (name = value, …)]`.
    fn index_options(&mut self, metric: &'static str) -> Result<IndexOptions> {
        let mut given = Given::default();
        if self.parser.parse_keyword(Keyword::WITH) {
            self.parser.expect_token(&Token::LParen)?;
            loop {
                let name = normalize(&self.parser.parse_identifier()?);
                self.parser.expect_token(&Token::Eq)?;
                let value = self.setting_value()?;
                given.set(&name, &value)?;
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.parser.expect_token(&Token::RParen)?;
        }
        given.options(metric)
    }

    /// `DROP INDEX [CONCURRENTLY] [IF EXISTS] name, … [CASCADE | RESTRICT]`, from behind INDEX on.
    pub(super) fn drop_index(&mut self) -> Result<Statement> {
        let _ = self.parser.parse_keyword(Keyword::CONCURRENTLY);
        let if_exists = self.parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        let names = self.parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
        let cascade = self.parser.parse_keyword(Keyword::CASCADE);
        let _ = !cascade && self.parser.parse_keyword(Keyword::RESTRICT);
        let names = names.iter().map(table_reference).collect::<Result<_>>()?;
        Ok(Statement::DropIndex(Drop { names, if_exists, cascade }))
    }

    /// `REINDEX [(option, …)] { INDEX | TABLE } [CONCURRENTLY] name`.
    pub(super) fn reindex(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::REINDEX)?;
        if self.parser.peek_token_ref().token == Token::LParen {
            // VERBOSE and CONCURRENTLY, which change nothing here.
            self.parser.parse_utility_options()?;
        }
        let what = self.keyword(0);
        match what {
            Keyword::INDEX | Keyword::TABLE => self.parser.next_token(),
            Keyword::SCHEMA | Keyword::DATABASE | Keyword::SYSTEM => {
                return Err(Error::unsupported("REINDEX takes one index or table; write REINDEX TABLE for each table"));
            }
            _ => return self.unexpected("INDEX or TABLE"),
        };
        let _ = self.parser.parse_keyword(Keyword::CONCURRENTLY);
        let name = self.table()?;
        Ok(Statement::Reindex(if what == Keyword::INDEX { Reindex::Index(name) } else { Reindex::Table(name) }))
    }

    /// `ANALYZE [VERBOSE] [table [USING (query)]]`.
    pub(super) fn analyze(&mut self) -> Result<Statement> {
        self.parser.expect_keyword(Keyword::ANALYZE)?;
        let _ = self.parser.parse_keyword(Keyword::VERBOSE);
        if self.at_end() {
            return Ok(Statement::Analyze { table: None, using: None });
        }
        if self.keyword(0) == Keyword::USING && !self.is_quoted() {
            return self.unexpected("the table whose indexes are to be measured");
        }
        let table = Some(self.table()?);
        let using = if self.parser.parse_keyword(Keyword::USING) { Some(self.query()?) } else { None };
        Ok(Statement::Analyze { table, using })
    }
}

impl Given {
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let taken = match name {
            "m" => self.m.replace(number(name, value, M)?).is_some(),
            "ef_construction" => self.ef_construction.replace(number(name, value, EF_CONSTRUCTION)?).is_some(),
            "quantizer" => self.quantizer.replace(quantizer(value)?).is_some(),
            _ => {
                let sentence =
                    format!("an hnsw index has no parameter \"{name}\"; it has m, ef_construction and quantizer");
                return Err(Error::invalid(ErrorKind::InvalidValue, sentence));
            }
        };
        match taken {
            true => Err(Error::invalid(ErrorKind::Syntax, format!("parameter \"{name}\" is given twice"))),
            false => Ok(()),
        }
    }

    fn options(self, metric: &'static str) -> Result<IndexOptions> {
        let m = self.m.unwrap_or(M_DEFAULT);
        // Below that, rows would be linked to the first neighbours met instead of the nearest.
        let least = 2 * m;
        let ef_construction = self.ef_construction.unwrap_or(EF_CONSTRUCTION_DEFAULT.max(least));
        if ef_construction < least {
            let sentence = format!("ef_construction must be at least twice m, which is {least}, not {ef_construction}");
            return Err(Error::invalid(ErrorKind::InvalidValue, sentence));
        }
        let quantizer = self.quantizer.unwrap_or(QUANTIZERS[QUANTIZERS.len() - 1]);
        Ok(IndexOptions { metric, m, ef_construction, quantizer })
    }
}

fn number(name: &str, value: &str, (least, most): (u32, u32)) -> Result<u32> {
    match value.trim().parse::<u32>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Error::invalid(
            ErrorKind::InvalidValue,
            format!("{name} is a number from {least} to {most}, not {value}"),
        )),
    }
}

fn quantizer(value: &str) -> Result<&'static str> {
    let found = QUANTIZERS.iter().find(|known| known.eq_ignore_ascii_case(value.trim()));
    found.copied().ok_or_else(|| {
        let sentence = format!("quantizer is one of {}, not '{value}'", QUANTIZERS.join(", "));
        Error::invalid(ErrorKind::InvalidValue, sentence)
    })
}

fn metric_of(class: &TableReference) -> Result<&'static str> {
    let found = OPERATOR_CLASSES.iter().find(|(known, _)| *known == class.table());
    found.map(|(_, metric)| *metric).ok_or_else(|| {
        let known = OPERATOR_CLASSES.map(|(known, _)| known).join(", ");
        let sentence = format!("operator class \"{class}\" does not exist for {HNSW}; there are {known}");
        Error::invalid(ErrorKind::UndefinedObject, sentence)
    })
}
