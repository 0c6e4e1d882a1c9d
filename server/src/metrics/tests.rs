use volley_scheduler::{DataLocation, Engine, EngineConfig, QueryRequest};
use volley_storage::ErrorKind;

use super::engine::EngineMetrics;
use super::*;

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "{line:?} is missing in\n{text}");
}

#[test]
fn what_passes_the_doors_is_counted() {
    let metrics = Metrics::new();
    metrics.query_finished(QueryKind::Query, Outcome::Ok, Duration::from_millis(3), 10);
    metrics.query_finished(QueryKind::Query, Outcome::Error(ErrorKind::UndefinedTable), Duration::from_secs(2), 0);
    metrics.query_started(QueryKind::Update).finish(Outcome::Refused, 0);
    drop(metrics.query_started(QueryKind::Ingest));
    metrics.bytes_sent(100);
    metrics.ingested(7, 70);
    metrics.login(true);
    metrics.login(false);
    metrics.connection_refused();
    let held = (metrics.connection(), metrics.session(), metrics.queued(), metrics.query_started(QueryKind::Ddl));
    let text = metrics.encode();
    for line in [
        r#"volley_queries_total{kind="query",outcome="ok",sqlstate=""} 1"#,
        r#"volley_queries_total{kind="query",outcome="error",sqlstate="42P01"} 1"#,
        r#"volley_queries_total{kind="update",outcome="refused",sqlstate=""} 1"#,
        r#"volley_queries_total{kind="ingest",outcome="cancelled",sqlstate=""} 1"#,
        r#"volley_query_duration_seconds_count{kind="query"} 2"#,
        r#"volley_query_duration_seconds_bucket{le="0.005",kind="query"} 1"#,
        "volley_rows_returned_total 10",
        "volley_sent_bytes_total 100",
        "volley_rows_ingested_total 7",
        "volley_ingested_bytes_total 70",
        r#"volley_logins_total{outcome="ok"} 1"#,
        r#"volley_logins_total{outcome="failed"} 1"#,
        "volley_connections_refused_total 1",
        "volley_queries_running 1",
        "volley_queries_queued 1",
        "volley_connections 1",
        "volley_sessions 1",
    ] {
        has(&text, line);
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    drop(held);
    let text = metrics.encode();
    for gauge in ["queries_running", "queries_queued", "connections", "sessions"] {
        has(&text, &format!("volley_{gauge} 0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_tells_its_own() {
    let config = EngineConfig { threads: Some(1), ..EngineConfig::new(DataLocation::Memory) };
    let engine = Engine::open(config).await.expect("opens");
    let session = engine.session();
    for sql in [
        "CREATE TABLE \"a\"\"b\" (id BIGINT PRIMARY KEY, v vector(2))",
        "INSERT INTO \"a\"\"b\" VALUES (1, '[1,2]'), (2, '[3,4]'), (3, '[5,6]')",
        "CREATE INDEX i ON \"a\"\"b\" USING hnsw (v)",
        "DELETE FROM \"a\"\"b\" WHERE id = 1",
    ] {
        engine.execute(QueryRequest::new(sql, &session)).await.expect(sql);
    }
    let asked = EngineMetrics::new(Arc::clone(&engine));
    let text = Metrics::new().encode_with(&asked.text().await);
    has(&text, r#"volley_table_rows{schema="public",table="a\"b"} 2.0"#);
    has(&text, r#"volley_table_deleted_rows{schema="public",table="a\"b"} 1.0"#);
    has(&text, r#"volley_index_damaged_segments{schema="public",table="a\"b",index="i"} 0.0"#);
    let limit = engine.memory().2;
    has(&text, &format!("volley_memory_limit_bytes {limit}"));
    for name in ["volley_cache_hits_total{", "volley_cache_size_bytes{", "volley_index_indexed_rows{"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{text}");
    }
    assert_eq!(text.matches("# EOF").count(), 1);
    let page = include_str!("../../../docs/server.md");
    for name in text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()) {
        // The text names counters without the end of their lines.
        assert!(page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}_")), "{name} is undocumented");
    }
    // Whoever looks again at once sees the same and costs nothing.
    assert!(Arc::ptr_eq(&asked.text().await, &asked.text().await));
    engine.close().await;
}
