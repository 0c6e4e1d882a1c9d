use super::*;

/// Feeds `input` in pieces of `piece` bytes and returns every statement with its line.
fn split(input: &str, piece: usize) -> Vec<(String, u64)> {
    let mut buffer = StatementBuffer::default();
    let mut found = Vec::new();
    for chunk in input.as_bytes().chunks(piece) {
        buffer.push(chunk);
        while let Some(statement) = buffer.next_complete() {
            found.push(statement.expect("text"));
        }
    }
    while let Some(statement) = buffer.next_at_end() {
        found.push(statement.expect("text"));
    }
    found.into_iter().map(|s| (s.sql, s.line)).collect()
}

#[track_caller]
fn check(input: &str, expected: &[&str]) {
    for piece in [1, 2, 3, 7, input.len().max(1)] {
        let found: Vec<String> = split(input, piece).into_iter().map(|(sql, _)| sql).collect();
        assert_eq!(found, expected, "in pieces of {piece}");
    }
}

#[test]
fn statements_end_at_semicolons() {
    check("select 1; select 2;", &["select 1", "select 2"]);
    check("select 1 ;\n\n ; ;select 2", &["select 1", "select 2"]);
    check("", &[]);
    check(" \n ; -- nothing\n", &[]);
    check("\u{feff}select 1", &["select 1"]);
}

#[test]
fn semicolons_in_quotes_do_not_count() {
    check("select ';', '''; '; select 2", &["select ';', '''; '", "select 2"]);
    check(r#"select ";" from "a""b;"; x"#, &[r#"select ";" from "a""b;""#, "x"]);
    check(r"select E'\';', '\'; x", &[r"select E'\';', '\'", "x"]);
    check(r"select type'\'; x", &[r"select type'\'", "x"]);
    check(r"select E'a''b\';c'; x", &[r"select E'a''b\';c'", "x"]);
    check("select $$;$$, $a$;$b$;$a$; x", &["select $$;$$, $a$;$b$;$a$", "x"]);
    check("select $1; select $2;", &["select $1", "select $2"]);
    check("select a$b$; x$b$; y", &["select a$b$", "x$b$", "y"]);
    check("select 'größer; 大'; x", &["select 'größer; 大'", "x"]);
}

#[test]
fn semicolons_in_comments_do_not_count() {
    check("select 1 -- ; '\n + 2; x", &["select 1 -- ; '\n + 2", "x"]);
    check("select /* ; /* ' */ ; */ 1; x", &["select /* ; /* ' */ ; */ 1", "x"]);
    check("-- first ; \n/* second; */ select 1;", &["select 1"]);
    check("select 1 - -1; select 4/2;", &["select 1 - -1", "select 4/2"]);
    check("select 1 -", &["select 1 -"]);
}

#[test]
fn lines_are_counted_from_one() {
    for piece in [1, 4, 100] {
        let found = split("select 1;\n-- note\n\nselect\n '\n';\n select 3", piece);
        let lines: Vec<u64> = found.into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, [1, 4, 7]);
    }
}

#[test]
fn a_statement_is_out_as_soon_as_its_semicolon_is_in() {
    let mut buffer = StatementBuffer::default();
    buffer.push(b"select 1");
    assert!(buffer.next_complete().is_none());
    assert!(!buffer.is_blank());
    buffer.push(b";");
    assert_eq!(buffer.next_complete().expect("complete").expect("text").sql, "select 1");
    assert!(buffer.is_blank());
}

#[test]
fn open_quotes_and_comments_are_not_blank() {
    for open in ["'", "/* x", "$$", "a"] {
        let mut buffer = StatementBuffer::default();
        buffer.push(open.as_bytes());
        assert!(buffer.next_complete().is_none());
        assert!(!buffer.is_blank(), "{open}");
        buffer.clear();
        assert!(buffer.is_blank());
    }
    let mut buffer = StatementBuffer::default();
    buffer.push(b"  -- only a comment\n");
    assert!(buffer.next_complete().is_none());
    assert!(buffer.is_blank());
}

#[test]
fn bytes_that_are_not_text_are_refused_by_line() {
    let mut buffer = StatementBuffer::default();
    buffer.push(b"select 1;\nselect '\xff';select 3;");
    assert!(buffer.next_complete().expect("first").is_ok());
    assert_eq!(buffer.next_complete(), Some(Err(NotText { line: 2 })));
    assert_eq!(buffer.next_complete().expect("third").expect("text").sql, "select 3");
}

#[test]
fn the_engine_cuts_in_the_same_places() {
    let corpus = [
        "select 1; select ';'; select \"a;b\" from t -- x ; y\n; select $$ ; $$ /* ; /* ; */ ; */ ;",
        r"select E'\';', 'a''; b', '\'; select 2",
        "select $tag$ ; $$ ; $tag$, $1; select a$b$ ; select c",
        "-- only ; comments\n/* ; */ ;; ; select 1 -- end",
        "select 'größer; 大' ; insert into \"Ж;\" values ('[1,2]');\r\nselect 3",
    ];
    for text in corpus {
        let engine: Vec<&str> = volley::split_statements(text).into_iter().map(|range| &text[range]).collect();
        let ours = split(text, text.len());
        // The engine leaves the comments behind a statement out as well.
        assert_eq!(ours.len(), engine.len(), "{text}");
        for ((sql, _), engine) in ours.iter().zip(engine) {
            assert!(sql.starts_with(engine), "{text}: {sql:?} and {engine:?}");
        }
    }
}
