//! Tokens as the parser gets them: distance operators in one piece, every parameter numbered, no whitespace.
//!
//! Rewriting tokens instead of text is what makes this safe: a string, a quoted name or a comment is one token (or none)
//! by the time anything is rewritten, so nothing inside it can be touched, and every token keeps its place in the text.

use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Whitespace};

use crate::error::{Error, Result};

/// The distance operators and the functions they stand for.
pub(crate) const DISTANCE_OPERATORS: [(&str, &str); 4] =
    [("<->", "l2_distance"), ("<=>", "cosine_distance"), ("<#>", "negative_inner_product"), ("<+>", "l1_distance")];

/// Tokenises one or more statements.
pub(crate) fn tokenize(dialect: &dyn Dialect, sql: &str) -> Result<Vec<TokenWithSpan>> {
    let raw = Tokenizer::new(dialect, sql).tokenize_with_location().map_err(|error| Error::Syntax {
        message: error.message,
        line: error.location.line,
        column: error.location.column,
    })?;
    let mut tokens = join_operators(raw);
    number_parameters(&mut tokens)?;
    Ok(tokens)
}

/// Drops whitespace and comments, joins the pieces of distance operators and string literals continued on another line.
fn join_operators(raw: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut tokens: Vec<TokenWithSpan> = Vec::with_capacity(raw.len() / 2 + 1);
    let mut newline_before = false;
    for token in raw {
        if let Token::Whitespace(whitespace) = &token.token {
            newline_before |= matches!(whitespace, Whitespace::Newline | Whitespace::SingleLineComment { .. });
            continue;
        }
        push(&mut tokens, token, newline_before);
        newline_before = false;
    }
    tokens
}

fn push(tokens: &mut Vec<TokenWithSpan>, token: TokenWithSpan, newline_before: bool) {
    let touches = |previous: &TokenWithSpan| previous.span.end == token.span.start;
    match (&token.token, tokens.as_mut_slice()) {
        (Token::Spaceship, _) => tokens.push(operator("<=>", token.span)),
        (Token::Arrow, [.., less]) if less.token == Token::Lt && touches(less) => {
            *less = operator("<->", less.span.union(&token.span));
        }
        (Token::HashArrow, [.., less]) if less.token == Token::Lt && touches(less) => {
            *less = operator("<#>", less.span.union(&token.span));
        }
        (Token::Gt, [.., less, plus])
            if less.token == Token::Lt
                && plus.token == Token::Plus
                && less.span.end == plus.span.start
                && touches(plus) =>
        {
            *less = operator("<+>", less.span.union(&token.span));
            tokens.pop();
        }
        (Token::SingleQuotedString(more), [.., TokenWithSpan { token: Token::SingleQuotedString(text), span }])
            if newline_before =>
        {
            text.push_str(more);
            *span = span.union(&token.span);
        }
        _ => tokens.push(token),
    }
}

fn operator(name: &str, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(Token::CustomBinaryOperator(name.to_string()), span)
}

/// Turns each `?` into `$1`, `$2`, … or, where two operands surround it, into the JSON operator.
fn number_parameters(tokens: &mut [TokenWithSpan]) -> Result<()> {
    let mut anonymous = 0usize;
    let mut numbered = false;
    for at in 0..tokens.len() {
        let Token::Placeholder(text) = &tokens[at].token else { continue };
        let replacement = match text.strip_prefix('?') {
            Some("") if at > 0 && surrounded_by_operands(&tokens[at - 1], tokens.get(at + 1)) => Some(Token::Question),
            Some("") => {
                anonymous += 1;
                Some(Token::Placeholder(format!("${anonymous}")))
            }
            Some(number) => {
                numbered = true;
                Some(Token::Placeholder(format!("${number}")))
            }
            None => {
                numbered = true;
                None
            }
        };
        if anonymous > 0 && numbered {
            return Err(Error::Syntax {
                message: "a statement takes its parameters as ? or as $1, $2, …, not both".to_string(),
                line: tokens[at].span.start.line,
                column: tokens[at].span.start.column,
            });
        }
        if let Some(replacement) = replacement {
            tokens[at].token = replacement;
        }
    }
    Ok(())
}

fn surrounded_by_operands(before: &TokenWithSpan, after: Option<&TokenWithSpan>) -> bool {
    ends_operand(&before.token) && after.is_some_and(|after| begins_operand(&after.token))
}

/// Whether an operand can end with this token.
pub(crate) fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_some() || !introduces_operand(word.keyword),
        Token::RParen | Token::RBracket | Token::RBrace | Token::Placeholder(_) | Token::Number(..) => true,
        other => is_string(other),
    }
}

fn begins_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_some() || matches!(word.keyword, Keyword::NoKeyword | Keyword::ARRAY),
        Token::LParen | Token::Placeholder(_) | Token::Number(..) => true,
        other => is_string(other),
    }
}

fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
    )
}

/// Keywords behind which an operand begins, so that none ends with them. Other keywords may be names of columns.
fn introduces_operand(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::ALL
            | Keyword::AND
            | Keyword::ANY
            | Keyword::AS
            | Keyword::BETWEEN
            | Keyword::BY
            | Keyword::CASE
            | Keyword::COLLATE
            | Keyword::DATE
            | Keyword::DISTINCT
            | Keyword::ELSE
            | Keyword::ESCAPE
            | Keyword::EXCEPT
            | Keyword::FROM
            | Keyword::HAVING
            | Keyword::ILIKE
            | Keyword::IN
            | Keyword::INTERSECT
            | Keyword::INTERVAL
            | Keyword::INTO
            | Keyword::IS
            | Keyword::LIKE
            | Keyword::LIMIT
            | Keyword::NOT
            | Keyword::OFFSET
            | Keyword::ON
            | Keyword::OR
            | Keyword::RETURNING
            | Keyword::SELECT
            | Keyword::SET
            | Keyword::SIMILAR
            | Keyword::SOME
            | Keyword::THEN
            | Keyword::TIME
            | Keyword::TIMESTAMP
            | Keyword::TO
            | Keyword::UNION
            | Keyword::USING
            | Keyword::VALUES
            | Keyword::WHEN
            | Keyword::WHERE
            | Keyword::ZONE
    )
}
