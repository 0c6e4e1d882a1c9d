//! Guards that stand before the parser: no text may overflow a stack or take time out of proportion.
//!
//! What overflows stacks is depth, not length: a chain `a + b + c …` of n operators is a tree n deep, and parsing,
//! planning and even dropping a tree recurse. Long lists are flat and cost nothing: a 10 MB INSERT and an array of 32,768
//! elements are ordinary. So the guard bounds an upper bound of the tree's depth, which it finds in one pass over the
//! tokens: within one pair of brackets and between two commas, the tree cannot be deeper than the number of its operators
//! plus the deepest bracket inside.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::ends_operand;
use crate::error::{Error, Result};

/// Bounds on the text of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the text in bytes.
    pub bytes_max: usize,
    /// Depth of an expression's tree: operators chained or nested.
    pub operators_max: usize,
    /// Brackets, subqueries and CASE expressions inside each other.
    pub nesting_max: usize,
    /// Subqueries inside each other.
    pub subqueries_max: usize,
    /// Queries joined by UNION in one chain; INTERSECT and EXCEPT count five times.
    pub set_operations_max: usize,
    /// Tables joined in one FROM clause, as far as JOIN names them.
    pub joins_max: usize,
}

impl Default for Limits {
    /// Limits under which every shape is planned and run on the engine's CPU threads, which have 32 MiB of stack. On a
    /// thread with 2 MiB binary chains overflow it from about 1,600 operators, chains of NOT and - from 300, subqueries
    /// from 50, EXCEPT from 400. Nested scalar subqueries double DataFusion's planning time every level or two.
    fn default() -> Self {
        Limits {
            bytes_max: 64 << 20,
            operators_max: 2_500,
            nesting_max: 128,
            subqueries_max: 20,
            set_operations_max: 1_000,
            joins_max: 200,
        }
    }
}

/// How many operators a prefix operator right behind another one counts for: each is a call of its own in places where a
/// chain of binary operators is a loop.
const PREFIX_WEIGHT: usize = 10;

impl Limits {
    /// Refuses a text that is too long to be read at all.
    pub(crate) fn check_length(&self, sql: &str) -> Result<()> {
        if sql.len() <= self.bytes_max {
            return Ok(());
        }
        Err(Error::TooComplex {
            sentence: format!(
                "the statement has {} bytes, more than the {} that one statement may have; load large data with COPY",
                sql.len(),
                self.bytes_max
            ),
        })
    }

    /// Refuses a statement that is too deep to be parsed and planned.
    pub(crate) fn check_depth(&self, tokens: &[TokenWithSpan]) -> Result<()> {
        let mut guard = Guard { limits: self, open: vec![Level::default()], subqueries: 0, behind_prefix: false };
        let mut previous: Option<&Token> = None;
        for TokenWithSpan { token, .. } in tokens {
            if previous == Some(&Token::LParen) && starts_query(token) {
                guard.open_subquery()?;
            }
            guard.read(token, previous.is_some_and(ends_operand))?;
            previous = Some(token);
        }
        while guard.open.len() > 1 {
            guard.close()?;
        }
        Ok(())
    }
}

/// One pair of brackets (or CASE … END) that is open.
#[derive(Default)]
struct Level {
    is_case: bool,
    is_subquery: bool,
    /// Operators since the last comma.
    operators: usize,
    /// The deepest operand since the last comma.
    deepest_operand: usize,
    /// The deepest element before the last comma.
    deepest_element: usize,
    set_operations: usize,
    joins: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.operators + self.deepest_operand
    }

    fn end_element(&mut self) {
        self.deepest_element = self.deepest_element.max(self.depth());
        self.operators = 0;
        self.deepest_operand = 0;
    }
}

struct Guard<'a> {
    limits: &'a Limits,
    open: Vec<Level>,
    /// How many of the open levels are subqueries.
    subqueries: usize,
    /// Whether the token before was a prefix operator.
    behind_prefix: bool,
}

impl Guard<'_> {
    fn read(&mut self, token: &Token, after_operand: bool) -> Result<()> {
        let is_prefix = !after_operand && (is_operator(token) && !is_punctuation(token) || is_not(token));
        if is_prefix && self.behind_prefix {
            self.top().operators += PREFIX_WEIGHT - 1;
        }
        self.behind_prefix = is_prefix;
        match token {
            // Subscripts chain like operators: a[1][2][3] is three deep.
            Token::LBracket if after_operand => self.operator().and_then(|()| self.open(false)),
            Token::LParen | Token::LBracket | Token::LBrace => self.open(false),
            Token::RParen | Token::RBracket | Token::RBrace => {
                // A CASE without END is a syntax error that the parser reports.
                while self.open.len() > 1 && self.top().is_case {
                    self.close()?;
                }
                self.close()
            }
            Token::Comma | Token::SemiColon => {
                self.top().end_element();
                Ok(())
            }
            Token::Word(word) if word.quote_style.is_none() => self.keyword(word.keyword, after_operand),
            token if is_operator(token) => self.operator(),
            _ => Ok(()),
        }
    }

    fn keyword(&mut self, keyword: Keyword, after_operand: bool) -> Result<()> {
        match keyword {
            Keyword::CASE => self.open(true),
            Keyword::END if self.top().is_case => self.close(),
            // Behind an operand these words end the expression, so the next one starts at depth 0. Elsewhere they might be
            // names of columns, which must not reset anything.
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE if after_operand && self.top().is_case => {
                self.top().end_element();
                Ok(())
            }
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS if after_operand => {
                self.top().end_element();
                self.top().set_operations += if keyword == Keyword::UNION { 1 } else { 5 };
                let (found, most) = (self.top().set_operations, self.limits.set_operations_max);
                refuse_above(
                    found,
                    most,
                    "joins more than {} queries by UNION, INTERSECT or EXCEPT; use VALUES or a table",
                )
            }
            Keyword::JOIN => {
                self.top().joins += 1;
                let (found, most) = (self.top().joins, self.limits.joins_max);
                refuse_above(found, most, "joins more than {} tables; split it up")
            }
            Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::NOTNULL
            | Keyword::IN
            | Keyword::BETWEEN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::REGEXP
            | Keyword::RLIKE
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::OVERLAPS
            | Keyword::OPERATOR
            | Keyword::DIV
            | Keyword::EXISTS
            | Keyword::EXPLAIN
            | Keyword::PREPARE => self.operator(),
            _ => Ok(()),
        }
    }

    fn top(&mut self) -> &mut Level {
        if self.open.is_empty() {
            self.open.push(Level::default());
        }
        let last = self.open.len() - 1;
        &mut self.open[last]
    }

    fn operator(&mut self) -> Result<()> {
        self.top().operators += 1;
        self.check_top()
    }

    fn check_top(&mut self) -> Result<()> {
        let (found, most) = (self.top().depth(), self.limits.operators_max);
        refuse_above(found, most, "chains more than {} operators; use IN, VALUES or a table instead")
    }

    fn open_subquery(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.top().is_subquery, true) {
            self.subqueries += 1;
        }
        refuse_above(self.subqueries, self.limits.subqueries_max, "nests more than {} subqueries; use WITH or a view")
    }

    fn open(&mut self, is_case: bool) -> Result<()> {
        self.open.push(Level { is_case, ..Level::default() });
        refuse_above(self.open.len() - 1, self.limits.nesting_max, "is nested more than {} levels deep; split it up")
    }

    fn close(&mut self) -> Result<()> {
        if self.open.len() <= 1 {
            return Ok(());
        }
        self.top().end_element();
        let Some(closed) = self.open.pop() else { return Ok(()) };
        self.subqueries -= usize::from(closed.is_subquery);
        let depth = closed.deepest_element + 1;
        let parent = self.top();
        parent.deepest_operand = parent.deepest_operand.max(depth);
        self.check_top()
    }
}

fn refuse_above(found: usize, most: usize, problem: &str) -> Result<()> {
    if found <= most {
        return Ok(());
    }
    Err(Error::TooComplex { sentence: format!("the statement {}", problem.replace("{}", &most.to_string())) })
}

fn starts_query(token: &Token) -> bool {
    matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES))
}

fn is_not(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.keyword == Keyword::NOT)
}

fn is_punctuation(token: &Token) -> bool {
    matches!(
        token,
        Token::LParen
            | Token::RParen
            | Token::LBracket
            | Token::RBracket
            | Token::LBrace
            | Token::RBrace
            | Token::Comma
            | Token::SemiColon
    )
}

fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::EOF
            | Token::Word(_)
            | Token::Number(..)
            | Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Whitespace(_)
            | Token::Period
            | Token::Placeholder(_)
    )
}
