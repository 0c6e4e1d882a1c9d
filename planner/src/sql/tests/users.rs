use std::borrow::Cow;

use volley_storage::ErrorKind;

use super::random::Random;
use super::{error_of, parse};
use crate::sql::{AlterUser, CreateUser, DropUser, NewPassword, Statement, parse_statement, redacted};

fn created(sql: &str) -> (String, bool, Option<String>, Option<bool>) {
    let Statement::CreateUser(CreateUser { name, if_not_exists, options }) = parse(sql) else { panic!("{sql}") };
    (name, if_not_exists, options.password.and_then(text), options.is_superuser)
}

fn text(password: NewPassword) -> Option<String> {
    match password {
        NewPassword::Text(password) => Some(password.reveal().to_owned()),
        NewPassword::Null => None,
    }
}

#[test]
fn users_are_created() {
    let secret = || Some("s'e;cret".to_owned());
    for (sql, expected) in [
        ("CREATE USER Anna", ("anna".to_owned(), false, None, None)),
        ("CREATE USER anna PASSWORD 's''e;cret'", ("anna".into(), false, secret(), None)),
        (
            "create role if not exists \"Anna B\" with password E's\\'e;cret' superuser;",
            ("Anna B".into(), true, secret(), Some(true)),
        ),
        ("CREATE USER anna SUPERUSER PASSWORD $$s'e;cret$$", ("anna".into(), false, secret(), Some(true))),
        ("CREATE USER anna WITH NOSUPERUSER", ("anna".into(), false, None, Some(false))),
        ("CREATE USER anna PASSWORD NULL", ("anna".into(), false, None, None)),
    ] {
        assert_eq!(created(sql), expected, "{sql}");
    }
}

#[test]
fn users_are_altered_and_dropped() {
    for (sql, password, is_superuser) in [
        ("ALTER USER anna PASSWORD 'new'", Some(Some("new")), None),
        ("ALTER ROLE anna WITH PASSWORD NULL", Some(None), None),
        ("ALTER USER anna NOSUPERUSER PASSWORD 'new'", Some(Some("new")), Some(false)),
        ("ALTER USER anna SUPERUSER", None, Some(true)),
    ] {
        let Statement::AlterUser(AlterUser { name, options }) = parse(sql) else { panic!("{sql}") };
        let found = options.password.map(text);
        assert_eq!((name.as_str(), found.as_ref().map(Option::as_deref)), ("anna", password), "{sql}");
        assert_eq!(options.is_superuser, is_superuser, "{sql}");
    }
    let Statement::DropUser(DropUser { names, if_exists }) = parse("DROP USER IF EXISTS anna, \"Ben\"") else {
        panic!()
    };
    assert_eq!((names, if_exists), (vec!["anna".to_owned(), "Ben".to_owned()], true));
    assert!(matches!(parse("DROP ROLE anna"), Statement::DropUser(DropUser { if_exists: false, .. })));
    assert_eq!(parse("CANCEL QUERY '01ARZ3'").tag(), "CANCEL QUERY");
    assert!(matches!(parse("cancel query 'x';"), Statement::CancelQuery { id } if id == "x"));
}

#[test]
fn what_is_wrong_is_refused() {
    for (sql, kind) in [
        ("CREATE USER", ErrorKind::Syntax),
        ("CREATE USER anna PASSWORD", ErrorKind::Syntax),
        ("CREATE USER anna PASSWORD ''", ErrorKind::InvalidValue),
        ("CREATE USER anna PASSWORD 'a' PASSWORD 'b'", ErrorKind::Syntax),
        ("CREATE USER anna SUPERUSER NOSUPERUSER", ErrorKind::Syntax),
        ("CREATE USER anna PASSWORD $1", ErrorKind::Syntax),
        ("CREATE USER \"a:b\"", ErrorKind::InvalidValue),
        ("CREATE USER \"a\nb\"", ErrorKind::InvalidValue),
        ("CREATE USER a, b", ErrorKind::Syntax),
        ("ALTER USER anna", ErrorKind::Syntax),
        ("ALTER USER anna WITH", ErrorKind::Syntax),
        ("ALTER USER anna RENAME TO b", ErrorKind::Syntax),
        ("DROP USER", ErrorKind::Syntax),
        ("DROP USER a b", ErrorKind::Syntax),
        ("CANCEL QUERY", ErrorKind::Syntax),
        ("CANCEL QUERY 1", ErrorKind::Syntax),
        ("CANCEL 'x'", ErrorKind::Syntax),
        ("CREATE OR REPLACE USER anna", ErrorKind::Unsupported),
        ("GRANT SELECT ON t TO anna", ErrorKind::Unsupported),
    ] {
        let error = parse_statement(sql).expect_err(sql);
        assert_eq!(error.kind(), kind, "{sql}: {error}");
    }
    let long = format!("CREATE USER {}", "a".repeat(200));
    assert_eq!(parse_statement(&long).unwrap_err().kind(), ErrorKind::InvalidValue);
}

#[test]
fn passwords_are_replaced() {
    for (sql, expected) in [
        ("CREATE USER anna PASSWORD 'secret'", "CREATE USER anna PASSWORD '***'"),
        ("alter role anna with password 'se''cret' superuser;", "alter role anna with password '***' superuser;"),
        ("ALTER USER anna PASSWORD E'se\\'cret'", "ALTER USER anna PASSWORD '***'"),
        ("ALTER USER anna PASSWORD $tag$se'cret$tag$", "ALTER USER anna PASSWORD '***'"),
        ("ALTER USER anna PASSWORD'secret'", "ALTER USER anna PASSWORD'***'"),
        ("ALTER USER anna PASSWORD$tag$se'cret$tag$", "ALTER USER anna PASSWORD***"),
        ("ALTER USER anna PASSWORDsecret", "ALTER USER anna PASSWORD***"),
        ("CREATE USER anna PASSWORD 'sec'\n'ret'", "CREATE USER anna PASSWORD '***'\n'***'"),
        ("ALTER USER anna PASSWORD NULL", "ALTER USER anna PASSWORD NULL"),
        (
            "SELECT 1; CREATE USER anna PASSWORD 'secret'; SELECT 'shown'",
            "SELECT 1; CREATE USER anna PASSWORD '***'; SELECT 'shown'",
        ),
        ("PREPARE p AS CREATE USER anna PASSWORD 'secret'", "PREPARE p AS CREATE USER anna PASSWORD '***'"),
        (
            "/* c */ CREATE /* d */ USER anna -- PASSWORD 'secret'\nPASSWORD 'secret'",
            "  CREATE   USER anna  \nPASSWORD '***'",
        ),
        // What is not closed, not quoted, or spelled wrong.
        ("CREATE USER anna PASSWORD 'secret", "CREATE USER anna PASSWORD '***'"),
        ("CREATE USER anna PASSWORD secret", "CREATE USER anna PASSWORD ***"),
        ("CREATE USER anna PASSWORD \"sec;ret\" x", "CREATE USER anna PASSWORD ***"),
        ("CREATE USER anna PASSWORD = 'secret'", "CREATE USER anna PASSWORD ***"),
        ("CREATE USER anna PASSWORD U&'secret'", "CREATE USER anna PASSWORD ***"),
        ("CREATE USER anna PASWORD 'secret'", "CREATE USER anna PASWORD '***'"),
        ("CREATE USER anna IDENTIFIED BY 'secret'", "CREATE USER anna IDENTIFIED BY '***'"),
        ("CREATE USR anna PASWORD 'secret'", "CREATE USR anna PASWORD '***'"),
        ("CREAT USER anna PASWORD 'secret'", "CREAT USER anna PASWORD '***'"),
        ("ALTER anna PASSWORD 'secret'", "ALTER anna PASSWORD '***'"),
        ("CREATE OR REPLACE USER anna WITH PASSWORD 'secret'", "CREATE OR REPLACE USER anna WITH PASSWORD '***'"),
        ("anna PASSWORD 'secret'", "anna PASSWORD '***'"),
    ] {
        assert_eq!(redacted(sql), expected, "{sql}");
        let again = redacted(sql).into_owned();
        assert_eq!(redacted(&again), again, "{sql}");
    }
}

#[test]
fn other_statements_stay_as_they_are() {
    for sql in [
        "",
        "SELECT 'a' FROM t WHERE password = 'x' AND user = 'y'",
        "SELECT user, role, 'a' FROM create_user",
        "CREATE TABLE users (name TEXT, password TEXT DEFAULT 'x') -- a comment",
        "CREATE VIEW v AS SELECT 'a'",
        "CREATE SCHEMA s",
        "INSERT INTO t VALUES ('CREATE USER anna PASSWORD ''x''')",
        "DROP USER anna",
        "größe 'ü",
    ] {
        assert!(matches!(redacted(sql), Cow::Borrowed(same) if same == sql), "{sql}: {}", redacted(sql));
    }
}

#[test]
fn no_error_or_debug_output_shows_a_password() {
    for sql in [
        "CREATE USER anna PASSWORD 'secret' x",
        "CREATE USER anna PASSWORD secret",
        "CREATE USER anna PASSWORD \"secret\"",
        "CREATE USER anna 'secret'",
        "CREATE USER 'secret'",
        "CREATE USER anna PASSWORD U&'secret\\zzzz'",
        "CREATE USER anna PASSWORD 'secret",
        "CREATE USER anna PASSWORD 'a' 'secret'",
        "CREAT USER anna PASSWORD 'secret'",
        "anna PASSWORD 'secret'",
        "SELECT 1; ALTER USER anna PASSWORD 'secret'",
        "ALTER USER anna PASSWORD 'x'; 'secret'",
        "PREPARE p AS ALTER USER anna PASSWORD 'secret'",
        "ALTER USER anna PASSWORD 'secret' PASSWORD 'secret'",
    ] {
        let error = parse_statement(sql).expect_err(sql);
        assert!(!format!("{error} {error:?}").contains("secret"), "{sql}: {error}");
    }
    let shown = format!("{:?}", parse("CREATE USER anna PASSWORD 'secret'"));
    assert!(shown.contains("anna") && !shown.contains("secret"), "{shown}");
    // Where something is wrong is still said.
    let sentence = error_of("CREATE USER anna PASSWORD 'secret' x");
    assert!(sentence.starts_with("syntax error at line 1, column 36: expected"), "{sentence}");
}

#[test]
fn random_texts_hide_and_do_not_panic() {
    // Of the first ones alone, a password is where it looks to be.
    const PLAIN: usize = 10;
    const PIECES: [&str; 20] = [
        "CREATE ",
        "USER ",
        "ALTER ",
        "ROLE ",
        "PASSWORD ",
        "'secret'",
        ";",
        "NULL ",
        "(",
        "anna ",
        "'",
        "\"",
        "$$",
        "$a$",
        "--",
        "\n",
        "/*",
        "*/",
        "ü",
        "e'\\",
    ];
    let mut random = Random(7);
    for round in 0..20_000 {
        let kinds = if round % 2 == 0 { PLAIN } else { PIECES.len() };
        let sql: String = (0..random.below(16)).map(|_| PIECES[random.below(kinds)]).collect();
        let shown = redacted(&sql);
        assert!(kinds > PLAIN || !shown.contains("PASSWORD 'secret'"), "{sql}: {shown}");
        let _ = parse_statement(&sql);
    }
}
