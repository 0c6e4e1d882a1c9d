//! The one SQL dialect: PostgreSQL's, widened by what DataFusion can plan.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// PostgreSQL's dialect for one parse.
///
/// It differs from sqlparser's `PostgreSqlDialect` where that one loses or misreads what Volley's users write:
///
/// - `?` is a placeholder, not an operator, which sqlparser decides by the flag for geometric types; the operator `<->`
///   that hangs on the same flag is put together by [`super::tokens`].
/// - Characters never glue into unknown operators: `a>-1` is a comparison with -1, as PostgreSQL itself reads it.
/// - `f(name: value)` is not a named argument: sqlparser parses every argument twice to find out, which takes time
///   exponential in the nesting of calls.
/// - Struct and map literals, `EXCEPT`/`EXCLUDE`/`REPLACE` behind `*` and `IGNORE NULLS` are accepted, because
///   DataFusion plans them.
///
/// sqlparser backtracks. The `budget` bounds the sum of all attempts, so that no text takes exponential time.
#[derive(Debug)]
pub(crate) struct VolleyDialect {
    budget: Cell<usize>,
}

impl VolleyDialect {
    /// A dialect for parsing a statement of `tokens` tokens.
    pub(crate) fn for_statement(tokens: usize) -> Self {
        // Ordinary statements need about two steps a token; deep but honest nesting needs some dozens.
        VolleyDialect { budget: Cell::new(tokens.saturating_mul(64).saturating_add(50_000)) }
    }

    fn step(&self) -> Result<(), ParserError> {
        match self.budget.get().checked_sub(1) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            // The one error that sqlparser's backtracking passes on instead of trying something else.
            None => Err(ParserError::RecursionLimitExceeded),
        }
    }
}

impl Dialect for VolleyDialect {
    /// sqlparser asks for the type in places that have no flag; there Volley answers as PostgreSQL.
    fn dialect(&self) -> TypeId {
        POSTGRES.dialect()
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if let Err(error) = self.step() {
            return Some(Err(error));
        }
        // Literals are most of a bulk INSERT. Without this, sqlparser first tries to read each as the name of a type and
        // formats an error message that contains it.
        match &parser.peek_token_ref().token {
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) => {
                Some(parser.parse_value().map(Expr::Value))
            }
            _ => None,
        }
    }

    /// `a IS [NOT] DISTINCT FROM b AND c` is `(a IS DISTINCT FROM b) AND c`: sqlparser's own rule takes everything behind
    /// FROM for the right operand.
    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let negated = if parser.peek_keyword(Keyword::IS) {
            match (&parser.peek_nth_token_ref(1).token, &parser.peek_nth_token_ref(2).token) {
                (Token::Word(not), Token::Word(distinct))
                    if not.keyword == Keyword::NOT && distinct.keyword == Keyword::DISTINCT =>
                {
                    true
                }
                (Token::Word(distinct), _) if distinct.keyword == Keyword::DISTINCT => false,
                _ => return POSTGRES.parse_infix(parser, expr, precedence),
            }
        } else {
            return POSTGRES.parse_infix(parser, expr, precedence);
        };
        let words: &[Keyword] = match negated {
            true => &[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM],
            false => &[Keyword::IS, Keyword::DISTINCT, Keyword::FROM],
        };
        if let Err(error) = parser.expect_keywords(words) {
            return Some(Err(error));
        }
        let left = Box::new(expr.clone());
        Some(parser.parse_subexpr(self.prec_value(Precedence::Is)).map(|right| match negated {
            true => Expr::IsNotDistinctFrom(left, Box::new(right)),
            false => Expr::IsDistinctFrom(left, Box::new(right)),
        }))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if let Err(error) = self.step() {
            return Some(Err(error));
        }
        POSTGRES.get_next_precedence(parser)
    }

    /// Never; but sqlparser asks once for every SELECT that it tries to read, which may hold no expression at all.
    fn supports_from_first_select(&self) -> bool {
        self.budget.set(self.budget.get().saturating_sub(64));
        false
    }

    fn is_custom_operator_part(&self, _ch: char) -> bool {
        false
    }

    fn supports_geometric_types(&self) -> bool {
        false
    }

    fn supports_named_fn_args_with_colon_operator(&self) -> bool {
        false
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn supports_comment_optimizer_hint(&self) -> bool {
        false
    }

    // Beyond PostgreSQL, because DataFusion plans it.

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_dictionary_syntax(&self) -> bool {
        true
    }

    fn support_map_literal_syntax(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn supports_select_wildcard_rename(&self) -> bool {
        true
    }

    fn supports_within_after_array_aggregation(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    // As PostgreSQL.

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        POSTGRES.supports_unicode_string_literal()
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(keyword)
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        POSTGRES.supports_filter_during_aggregation()
    }

    fn supports_group_by_expr(&self) -> bool {
        POSTGRES.supports_group_by_expr()
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    fn allow_extract_custom(&self) -> bool {
        POSTGRES.allow_extract_custom()
    }

    fn allow_extract_single_quotes(&self) -> bool {
        POSTGRES.allow_extract_single_quotes()
    }

    fn supports_create_index_with_clause(&self) -> bool {
        POSTGRES.supports_create_index_with_clause()
    }

    fn supports_explain_with_utility_options(&self) -> bool {
        POSTGRES.supports_explain_with_utility_options()
    }

    fn supports_factorial_operator(&self) -> bool {
        POSTGRES.supports_factorial_operator()
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        POSTGRES.supports_bitwise_shift_operators()
    }

    fn supports_empty_projections(&self) -> bool {
        POSTGRES.supports_empty_projections()
    }

    fn supports_nested_comments(&self) -> bool {
        POSTGRES.supports_nested_comments()
    }

    fn supports_string_escape_constant(&self) -> bool {
        POSTGRES.supports_string_escape_constant()
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        POSTGRES.supports_numeric_literal_underscores()
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        POSTGRES.supports_array_typedef_with_brackets()
    }

    fn supports_notnull_operator(&self) -> bool {
        POSTGRES.supports_notnull_operator()
    }

    fn supports_interval_options(&self) -> bool {
        POSTGRES.supports_interval_options()
    }

    fn supports_insert_table_alias(&self) -> bool {
        POSTGRES.supports_insert_table_alias()
    }

    fn supports_create_table_like_parenthesized(&self) -> bool {
        POSTGRES.supports_create_table_like_parenthesized()
    }

    fn supports_select_wildcard_with_alias(&self) -> bool {
        POSTGRES.supports_select_wildcard_with_alias()
    }

    fn supports_comma_separated_trim(&self) -> bool {
        POSTGRES.supports_comma_separated_trim()
    }
}
