use std::sync::Arc;

use volley_storage::ErrorKind;

use crate::{DataLocation, Engine, EngineConfig, Error, QueryRequest, Result, Session};

async fn engine() -> Arc<Engine> {
    let config = EngineConfig { threads: Some(2), ..EngineConfig::new(DataLocation::Memory) };
    Engine::open(config).await.unwrap()
}

async fn run(engine: &Engine, session: &Arc<Session>, sql: &str) -> Result<String> {
    let batches = engine.execute(QueryRequest::new(sql, session)).await?.collect().await?;
    Ok(datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string())
}

async fn log_in(engine: &Arc<Engine>, user: &str, password: &str) -> Result<Arc<Session>> {
    Ok(engine.session_of(engine.authenticate(user, password).await?))
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn a_password_is_right_or_wrong_and_nothing_says_why() {
    let engine = engine().await;
    let session = engine.session();
    assert!(!engine.has_users().await.unwrap());
    run(&engine, &session, "CREATE USER anna PASSWORD 'correct horse' SUPERUSER").await.unwrap();
    run(&engine, &session, "CREATE ROLE ben").await.unwrap();
    assert!(engine.has_users().await.unwrap());
    for _ in 0..2 {
        let anna = engine.authenticate("anna", "correct horse").await.unwrap();
        assert_eq!((anna.name.as_str(), anna.is_superuser), ("anna", true));
    }
    let sentence = Error::WrongPassword.to_string();
    // A wrong password, another's, none to compare with, no such user.
    for (user, password) in [("anna", "wrong"), ("anna", ""), ("ben", ""), ("carl", "correct horse"), ("", "")] {
        let error = engine.authenticate(user, password).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidPassword, sentence.clone()), "{user}");
    }
}

#[tokio::test]
async fn a_flood_of_logins_is_sent_away_and_not_kept_waiting() {
    let engine = engine().await;
    run(&engine, &engine.session(), "CREATE USER anna PASSWORD 'correct horse'").await.unwrap();
    let flood = (0..300).map(|attempt| {
        let engine = Arc::clone(&engine);
        async move { engine.authenticate("anna", &format!("guess {attempt}")).await.unwrap_err().kind() }
    });
    let kinds = futures::future::join_all(flood).await;
    let count = |wanted| kinds.iter().filter(|kind| **kind == wanted).count();
    let (wrong, refused) = (count(ErrorKind::InvalidPassword), count(ErrorKind::TooManyLogins));
    assert!(wrong >= 2 && refused > 100 && wrong + refused == 300, "{wrong} wrong, {refused} refused");
    assert!(engine.authenticate("anna", "correct horse").await.is_ok());
}

#[tokio::test]
async fn another_password_voids_the_first() {
    let engine = engine().await;
    let session = engine.session();
    run(&engine, &session, "CREATE USER anna PASSWORD 'one' SUPERUSER").await.unwrap();
    let first = engine.authenticate("anna", "one").await.unwrap();
    assert_eq!(engine.identity("anna").await.unwrap().unwrap(), first);
    run(&engine, &session, "ALTER USER anna PASSWORD 'two'").await.unwrap();
    assert_eq!(kind(engine.authenticate("anna", "one").await), ErrorKind::InvalidPassword);
    let second = engine.authenticate("anna", "two").await.unwrap();
    assert_ne!(first.generation, second.generation);
    // The same password again is hashed with another salt.
    run(&engine, &session, "ALTER USER anna PASSWORD 'two' NOSUPERUSER").await.unwrap();
    let third = engine.identity("anna").await.unwrap().unwrap();
    assert!(third.generation != second.generation && !third.is_superuser);
    run(&engine, &session, "ALTER USER anna PASSWORD NULL").await.unwrap();
    assert_eq!(kind(engine.authenticate("anna", "two").await), ErrorKind::InvalidPassword);
    run(&engine, &session, "DROP USER anna").await.unwrap();
    assert_eq!(engine.identity("anna").await.unwrap(), None);
    assert!(!engine.has_users().await.unwrap());
}

#[tokio::test]
async fn users_survive_and_are_shared() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Engine::open(EngineConfig::new(DataLocation::Local(directory.path().join("data"))));
    let (a, b) = (open().await.unwrap(), open().await.unwrap());
    run(&a, &a.session(), "CREATE USER \"Änne\" PASSWORD 'größer'").await.unwrap();
    assert_eq!(b.authenticate("Änne", "größer").await.unwrap(), a.authenticate("Änne", "größer").await.unwrap());
    drop((a, b));
    assert!(open().await.unwrap().authenticate("Änne", "größer").await.is_ok());
}

#[tokio::test]
async fn only_superusers_change_others() {
    let engine = engine().await;
    let embedded = engine.session();
    run(&engine, &embedded, "CREATE USER root PASSWORD 'r' SUPERUSER").await.unwrap();
    run(&engine, &embedded, "CREATE USER anna PASSWORD 'a'").await.unwrap();
    let root = log_in(&engine, "root", "r").await.unwrap();
    let anna = log_in(&engine, "anna", "a").await.unwrap();
    assert_eq!((embedded.user(), root.user(), anna.user()), (None, Some("root"), Some("anna")));
    for sql in [
        "CREATE USER mine PASSWORD 'x'",
        "CREATE USER IF NOT EXISTS root",
        "DROP USER root",
        "DROP USER IF EXISTS nobody",
        "ALTER USER root PASSWORD 'mine'",
        "ALTER USER nobody PASSWORD 'mine'",
        "ALTER USER anna SUPERUSER",
        "ALTER USER anna PASSWORD 'b' SUPERUSER",
        "ALTER USER anna NOSUPERUSER",
        "SET volley.memory_limit = '1GB'",
        "RESET volley.memory_limit",
    ] {
        let error = run(&engine, &anna, sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{sql}: {error}");
        assert!(error.to_string().contains("superuser"), "{sql}: {error}");
    }
    run(&engine, &anna, "ALTER USER anna PASSWORD 'b'").await.unwrap();
    assert!(log_in(&engine, "anna", "b").await.is_ok());
    run(&engine, &root, "CREATE USER ben").await.unwrap();
    run(&engine, &root, "ALTER USER anna SUPERUSER").await.unwrap();
    // The session that was there before is a superuser's from now on, and no longer after the next change.
    run(&engine, &anna, "DROP USER ben").await.unwrap();
    run(&engine, &root, "ALTER USER anna NOSUPERUSER").await.unwrap();
    assert_eq!(kind(run(&engine, &anna, "CREATE USER carl").await), ErrorKind::PermissionDenied);
    // A session outlives its user but can do nothing special.
    run(&engine, &root, "DROP USER anna").await.unwrap();
    assert_eq!(kind(run(&engine, &anna, "ALTER USER anna PASSWORD 'c'").await), ErrorKind::UndefinedObject);
}

#[tokio::test]
async fn a_superuser_who_can_log_in_is_left() {
    let engine = engine().await;
    let session = engine.session();
    run(&engine, &session, "CREATE USER root PASSWORD 'r' SUPERUSER").await.unwrap();
    run(&engine, &session, "CREATE USER anna PASSWORD 'a'").await.unwrap();
    // Cannot log in, so is no help.
    run(&engine, &session, "CREATE USER idle SUPERUSER").await.unwrap();
    let root = log_in(&engine, "root", "r").await.unwrap();
    for (session, sql) in [
        (&session, "DROP USER root"),
        (&session, "DROP USER root, anna"),
        (&session, "ALTER USER root NOSUPERUSER"),
        (&root, "ALTER USER root PASSWORD NULL"),
        (&root, "DROP USER root"),
    ] {
        let error = run(&engine, session, sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState, "{sql}: {error}");
    }
    run(&engine, &session, "ALTER USER anna SUPERUSER").await.unwrap();
    run(&engine, &session, "DROP USER root").await.unwrap();
    run(&engine, &session, "DROP USER anna, idle").await.unwrap();
    assert!(!engine.has_users().await.unwrap());
}

#[tokio::test]
async fn current_user_is_the_sessions() {
    let engine = engine().await;
    run(&engine, &engine.session(), "CREATE USER anna PASSWORD 'a'").await.unwrap();
    let anna = log_in(&engine, "anna", "a").await.unwrap();
    for _ in 0..3 {
        let sql = "SELECT current_user = $1, session_user = $1, user = $1";
        for (session, name) in [(engine.session(), "volley"), (Arc::clone(&anna), "anna")] {
            let request = QueryRequest::new(sql, &session).with_parameters(vec![name.into()]);
            let batches = engine.execute(request).await.unwrap().collect().await.unwrap();
            let shown = datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
            assert!(shown.matches("true").count() == 3, "{name}: {shown}");
        }
    }
    // Settings make the session's functions anew.
    run(&engine, &anna, "SET volley.batch_size = 100").await.unwrap();
    run(&engine, &anna, "RESET ALL").await.unwrap();
    assert!(run(&engine, &anna, "SELECT current_user").await.unwrap().contains("anna"));
}

#[tokio::test]
async fn passwords_are_not_shown() {
    let engine = engine().await;
    let session = engine.session();
    for sql in [
        "CREATE USER anna PASSWORD 'geheim' NOSENSE",
        "CREATE USER anna PASSWORD 'geheim' PASSWORD 'geheim'",
        "CREAT USER anna PASSWORD 'geheim'",
        "CREATE USER anna PASSWORD geheim",
        "CREATE USER anna 'geheim'",
        "PREPARE p AS CREATE USER anna PASSWORD 'geheim'",
        "EXPLAIN CREATE USER anna PASSWORD 'geheim'",
        "CREATE USER anna PASSWORD 'geheim",
        "ALTER USER nobody PASSWORD 'geheim'",
    ] {
        let error = run(&engine, &session, sql).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("geheim"), "{sql}: {error}");
    }
    run(&engine, &session, "CREATE USER anna PASSWORD 'geheim'").await.unwrap();
    for table in ["users", "queries", "plan_cache"] {
        let shown = run(&engine, &session, &format!("SELECT * FROM volley.{table}")).await.unwrap();
        assert!(!shown.contains("geheim") && !shown.contains("argon2"), "{shown}");
    }
}
