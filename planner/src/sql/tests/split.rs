use crate::sql::{is_complete, split_statements};

fn split(sql: &str) -> Vec<&str> {
    split_statements(sql).into_iter().map(|range| &sql[range]).collect()
}

#[test]
fn statements_end_at_semicolons_outside_quotes() {
    assert_eq!(split(""), Vec::<&str>::new());
    assert_eq!(split(" ; ;\n-- nothing\n/* ; */ ;"), Vec::<&str>::new());
    assert_eq!(split("SELECT 1"), ["SELECT 1"]);
    assert_eq!(split(" SELECT 1 ;\n SELECT 2; "), ["SELECT 1", "SELECT 2"]);
    for text in [
        "SELECT ';'",
        "SELECT 'it''s; fine'",
        "SELECT \"a;\"\"b\"",
        "SELECT $$a;b$$",
        "SELECT $x$ $$;$$ $y$ ; $x$",
        "SELECT E'\\';'",
        "SELECT e'a\\\\' ",
        "SELECT 1 /* ; /* ; */ ; */ + 1",
        "SELECT 1 -- ;\n + 1",
        "SELECT $1, a$b$ FROM ä",
        "SELECT nameE';'",
        "SELECT '\\'",
    ] {
        let script = format!("{text}; SELECT 2");
        assert_eq!(split(&script), [text.trim(), "SELECT 2"], "{script}");
    }
}

#[test]
fn comments_around_statements_are_left_out() {
    assert_eq!(split("-- first\nSELECT 1 -- one\n;\n/* second */ SELECT 2 /* two */"), ["SELECT 1", "SELECT 2"]);
    assert_eq!(split("SELECT /* in */ 1"), ["SELECT /* in */ 1"]);
}

#[test]
fn what_breaks_off_is_one_last_statement() {
    for text in ["SELECT 'a; b", "SELECT \"a; b", "SELECT $$a; b", "SELECT E'a\\'; b", "SELECT 1 /* ; b"] {
        assert_eq!(split(&format!("SELECT 0; {text}")), ["SELECT 0", text]);
        assert!(!is_complete(&format!("{text};")), "{text}");
    }
}

#[test]
fn completeness() {
    for text in ["", "  \n", "SELECT 1;", "SELECT 1; ", "SELECT 1; -- done", "SELECT ';';", ";", "-- only this"] {
        assert!(is_complete(text), "{text}");
    }
    for text in ["SELECT 1", "SELECT 1; SELECT 2", "SELECT ';", "SELECT 1 -- ;", "SELECT $$;", "SELECT 'a'';", "/* ;"] {
        assert!(!is_complete(text), "{text}");
    }
}

#[test]
fn every_range_is_on_character_boundaries() {
    for text in ["é;ü;'ö;", "\u{a0};\u{2003}a;", "$é$;$é$;b", "E'é\\", "E'\\é';x"] {
        for range in split_statements(text) {
            assert!(text.get(range).is_some(), "{text}");
        }
    }
}
