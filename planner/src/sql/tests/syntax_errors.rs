use volley_storage::ErrorKind;

use super::error_of;
use crate::sql::parse_statement;

#[test]
fn place_and_sentence() {
    for (sql, expected) in [
        ("SELECT a FROM t WHERE b = )", "syntax error at line 1, column 27: expected an expression, found )"),
        ("SELECT 1 +\n  * 2", "syntax error at line 2, column 3: expected an expression, found *"),
        ("SELCT 1", "syntax error at line 1, column 1: expected a statement, found SELCT; did you mean SELECT?"),
        ("xyzzy", "syntax error at line 1, column 1: expected a statement, found xyzzy"),
        ("SELECT 1 2", "syntax error at line 1, column 10: expected the end of the statement, found 2"),
        ("SELECT 1; SELECT 2", "syntax error at line 1, column 11: expected the end of the statement, found SELECT"),
    ] {
        assert_eq!(error_of(sql), expected, "{sql}");
        assert_eq!(parse_statement(sql).unwrap_err().kind(), ErrorKind::Syntax);
    }
}

#[test]
fn nothing_to_run_is_an_error() {
    for sql in ["", "  ", ";", "-- comment", "/* comment */"] {
        assert_eq!(parse_statement(sql).unwrap_err().kind(), ErrorKind::Syntax, "{sql}");
    }
}

#[test]
fn long_literals_are_not_repeated_whole() {
    let sentence = error_of(&format!("SELECT 1 2 '{}'", "x".repeat(100_000)));
    assert!(sentence.len() < 1_000, "{}", sentence.len());
    let sentence = error_of(&format!("SELECT 1 '{}' '{}'", "x".repeat(100_000), "y".repeat(100_000)));
    assert!(sentence.len() < 1_000, "{}", sentence.len());
}

#[test]
fn quotes_that_do_not_end() {
    for sql in ["SELECT 'a", "SELECT \"a", "SELECT $$a", "SELECT E'a\\'", "SELECT /* a"] {
        let error = parse_statement(sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Syntax, "{sql}: {error}");
        assert!(error.to_string().contains("line 1"), "{sql}: {error}");
    }
}
