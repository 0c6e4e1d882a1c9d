//! A store that refuses, lies or falls silent: the answer is right or there is one clear error, and afterwards all is well.

use std::time::{Duration, Instant};

use volley::{Engine, EngineConfig, ErrorKind, StoreOptions};

use super::{Db, Faults, ObjectStore, behind_a_proxy};

const COUNT: &str = "SELECT count(*) FROM t";

#[test]
fn a_busy_store_is_asked_again() {
    let Some((place, proxy)) = behind_a_proxy() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let db = Db::open(place.config(directory.path()));
    db.sql("SET volley.consistency = strong");
    db.sql("CREATE TABLE t (id BIGINT)");
    proxy.set(Faults { refused: 300, slow: 300, ..Faults::default() });
    for row in 1..=10 {
        db.sql(&format!("INSERT INTO t VALUES ({row})"));
        assert_eq!(db.number(COUNT), row);
    }
    assert!(proxy.count() > 5);
}

#[test]
fn a_silent_store_is_one_error_in_time_and_recovers_by_itself() {
    let Some((place, proxy)) = behind_a_proxy() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let db = Db::open(place.config(directory.path()));
    db.sql("CREATE TABLE t (id BIGINT)");
    db.sql("INSERT INTO t VALUES (1)");
    db.sql("SET volley.consistency = strong");
    proxy.set(Faults { silent: true, ..Faults::default() });
    let timed = |sql: &str| {
        let begun = Instant::now();
        let error = db.refused(sql);
        (error, begun.elapsed())
    };
    db.sql("SET volley.statement_timeout = '2s'");
    for sql in [COUNT, "INSERT INTO t VALUES (2)"] {
        let (error, took) = timed(sql);
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
        assert!(took < Duration::from_secs(6), "{sql}: {took:?}");
    }
    db.sql("SET volley.statement_timeout = 0");
    let (error, took) = timed(COUNT);
    assert_eq!((error.kind(), error.kind().is_retryable()), (ErrorKind::Io, true), "{error}");
    assert!(error.to_string().contains("does not answer") && took < Duration::from_secs(45), "{error}: {took:?}");
    // What is known is enough where the session says so.
    db.sql("SET volley.consistency = eventual");
    assert_eq!(db.number(COUNT), 1);
    proxy.set(Faults::default());
    db.sql("SET volley.consistency = strong");
    let rows = db.number(COUNT);
    assert!((1..=2).contains(&rows), "{rows}: the insert that was given up may have landed, once");
    db.sql("INSERT INTO t VALUES (3)");
    assert_eq!(db.number(COUNT), rows + 1);
}

#[test]
fn what_is_wrong_with_a_store_is_said_without_its_secrets() {
    let Some(store) = ObjectStore::shared() else { return };
    let (place, directory) = (store.place(), tempfile::tempdir().expect("a directory"));
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let refused = |name: &str, value: &str| {
        let config = place.config(directory.path());
        let StoreOptions(mut options) = config.store_options.clone();
        options.insert(name.to_owned(), value.to_owned());
        let config = EngineConfig { store_options: StoreOptions(options), ..config };
        assert!(!format!("{config:?}").contains("very-secret"));
        let begun = Instant::now();
        let error = runtime.block_on(Engine::open(config)).map(drop).expect_err(name).to_string();
        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
        assert!(!error.contains('\n') && !error.contains("very-secret") && !error.contains("tests"), "{error}");
        error
    };
    assert!(refused("AWS_SECRET_ACCESS_KEY", "very-secret").contains("403 Forbidden (SignatureDoesNotMatch)"));
    assert!(refused("AWS_ENDPOINT_URL", "http://127.0.0.1:9").contains("cannot be reached"));
    let missing = EngineConfig {
        data: volley::DataLocation::Url("s3://no-such-bucket/x".to_owned()),
        ..place.config(directory.path())
    };
    let error = runtime.block_on(Engine::open(missing)).map(drop).expect_err("no bucket").to_string();
    assert!(error.contains("NoSuchBucket"), "{error}");
}
