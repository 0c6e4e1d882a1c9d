//! Results: read again, read in parts, read slowly, given up.

use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow_flight::sql::CommandStatementQuery;
use arrow_flight::sql::ProstMessageExt;
use arrow_flight::{Action, CancelFlightInfoRequest, FlightDescriptor};
use futures::StreamExt;
use prost::Message;
use tonic::{Code, Request};
use volley_scheduler::{Engine, QueryRequest};
use volley_server::options::Options;

use super::fixture::{Served, count, fetch, fetch_ticket, is_alone, resident, rows, runtime, status};

/// A query whose rows take long to compute and fill no memory.
fn many(rows: u64) -> String {
    format!("SELECT value, value * 2 AS twice FROM generate_series(1, {rows})")
}

async fn running(engine: &std::sync::Arc<Engine>) -> i64 {
    let sql = "SELECT count(*) FROM volley.queries WHERE statement LIKE 'SELECT value%'";
    let result = engine.execute(QueryRequest::new(sql, &engine.session())).await.unwrap();
    result.collect().await.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Waits until no such query runs any more after what happened; how long that took.
async fn until_none_runs(engine: &std::sync::Arc<Engine>, happened: &str) -> Duration {
    let begun = Instant::now();
    while running(engine).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(2), "the query still runs two seconds after {happened}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[test]
fn a_ticket_is_good_until_it_expires_and_sees_one_version() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        served.run(&["CREATE TABLE t (a BIGINT)", "INSERT INTO t SELECT value FROM generate_series(1, 300000)"]).await;
        let mut client = served.client().await;
        for (sql, wanted) in [("SELECT count(*) FROM t", 1), ("SELECT a, a * 2, a * 3, a * 4 FROM t", 300_001)] {
            let info = client.execute(sql.into(), None).await.unwrap();
            assert!(info.endpoint[0].expiration_time.is_some(), "{sql}");
            let first = fetch(&mut client, info.clone()).await.unwrap();
            served.run(&["INSERT INTO t VALUES (0)"]).await;
            let again = fetch(&mut client, info).await.unwrap();
            assert_eq!((count(&first), count(&again)), (wanted, wanted), "{sql}");
            if wanted == 1 {
                assert_eq!(first, again);
            }
        }
        let after = rows(&mut client, "SELECT count(*) FROM t").await.unwrap();
        assert_eq!(after[0].column(0).as_primitive::<Int64Type>().value(0), 300_002);
        served.stop().await;
    });
}

#[test]
fn large_answers_without_order_come_in_parts_where_that_is_wanted() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        served.run(&["CREATE TABLE t (a BIGINT, b TEXT)"]).await;
        for part in 0..4 {
            let sql = format!("INSERT INTO t SELECT value, repeat('x', 50) FROM generate_series({part} * 100000 + 1, ({part} + 1) * 100000)");
            served.run(&[&sql]).await;
        }
        let mut client = served.client().await;
        let whole = client.execute("SELECT a, b FROM t".into(), None).await.unwrap();
        assert_eq!(whole.endpoint.len(), 1);
        rows(&mut client, "SET volley.parallel_endpoints = on").await.unwrap();
        let parts = client.execute("SELECT a, b FROM t".into(), None).await.unwrap();
        assert!(parts.endpoint.len() > 1, "{}", parts.endpoint.len());
        assert!(!parts.ordered);
        let batches = fetch(&mut client, parts).await.unwrap();
        let mut seen: Vec<i64> =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (1..=400_000).collect::<Vec<_>>());
        for ordered in ["SELECT a, b FROM t ORDER BY a", "SELECT b, count(*) FROM t GROUP BY b"] {
            let info = client.execute(ordered.into(), None).await.unwrap();
            assert_eq!(info.endpoint.len(), 1, "{ordered}");
        }
        let sorted = rows(&mut client, "SELECT a, b FROM t ORDER BY a").await.unwrap();
        let sorted: Vec<i64> =
            sorted.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert!(sorted.is_sorted() && sorted.len() == 400_000);
        served.stop().await;
    });
}

#[test]
fn a_query_ends_with_its_stream_its_time_or_a_word() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let mut client = served.client().await;

        // The client goes away in the middle.
        let info = client.execute(many(1 << 40), None).await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let mut stream = client.do_get(ticket.clone()).await.unwrap();
        assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
        assert_eq!(running(&served.engine).await, 1);
        drop(stream);
        let dropped = until_none_runs(&served.engine, "its stream was dropped").await;

        // It says so.
        let info = client.execute(many(1 << 40), None).await.unwrap();
        let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        for _ in 0..2 {
            let cancel = CancelFlightInfoRequest { info: Some(info.clone()) };
            client.do_action(Request::new(Action::new("CancelFlightInfo", cancel.encode_to_vec()))).await.unwrap();
        }
        let cancelled = until_none_runs(&served.engine, "CancelFlightInfo").await;
        let end = loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break status(error),
                None => panic!("a cancelled query ended as if it were whole"),
            }
        };
        assert_eq!(end.code(), Code::Cancelled, "{end:?}");

        // Another session says so, by the query's id.
        let info = client.execute(many(1 << 40), None).await.unwrap();
        let about: serde_json::Value = serde_json::from_slice(&info.app_metadata).unwrap();
        let cancel = format!("CANCEL QUERY '{}'", about["query_id"].as_str().unwrap());
        rows(&mut served.client().await, &cancel).await.unwrap();
        until_none_runs(&served.engine, "CANCEL QUERY").await;

        // Its time is over.
        let descriptor = FlightDescriptor::new_cmd(
            CommandStatementQuery {
                query: "SELECT sum(value % 7) FROM generate_series(1, 100000000000)".into(),
                transaction_id: None,
            }
            .as_any()
            .encode_to_vec(),
        );
        let info = served.bare().await.get_flight_info(descriptor).await.unwrap().into_inner();
        let mut request = Request::new(info.endpoint[0].ticket.clone().unwrap());
        request.set_timeout(Duration::from_millis(300));
        let begun = Instant::now();
        let mut stream = served.bare().await.do_get(request).await.unwrap().into_inner();
        let end = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a query ended as if it were whole"),
                Err(status) => break status,
            }
        };
        assert!(matches!(end.code(), Code::DeadlineExceeded | Code::Cancelled), "{end:?}");
        assert!(begun.elapsed() < Duration::from_secs(2));
        println!("stopped {dropped:?} after its stream, {cancelled:?} after a word");
        served.stop().await;
    });
}

#[test]
fn a_slow_client_holds_back_the_query_and_fills_no_memory() {
    if !is_alone("door::results::a_slow_client_holds_back_the_query_and_fills_no_memory") {
        return;
    }
    // `VOLLEY_SLOW_ROWS=50000000` is the long form.
    let wanted: usize = std::env::var("VOLLEY_SLOW_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(5_000_000);
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let mut client = served.client().await;
        let sql = format!("SELECT value, 'row number ' || value AS text FROM generate_series(1, {wanted})");
        let info = client.execute(sql, None).await.unwrap();
        let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        let (mut read, mut most, before) = (0, 0, resident());
        let mut pauses = 0;
        while let Some(batch) = stream.next().await {
            read += batch.unwrap().num_rows();
            most = most.max(resident());
            // Pauses in which the server could run ahead by gigabytes.
            if read / (wanted / 20) > pauses {
                pauses += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
                most = most.max(resident());
            }
        }
        assert_eq!(read, wanted);
        let grown = most.saturating_sub(before) >> 20;
        println!("{wanted} rows read slowly: {grown} MB above {} MB, server and client together", before >> 20);
        assert!(grown <= 100, "resident memory grew by {grown} MB");
        served.stop().await;
    });
}

#[test]
fn one_time_tickets_are_good_for_once() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let mut client = served.client().await;
        rows(&mut client, "SET volley.parallel_endpoints = on").await.unwrap();
        served.run(&["CREATE TABLE t (a BIGINT, b TEXT)"]).await;
        for _ in 0..4 {
            served.run(&["INSERT INTO t SELECT value, repeat('x', 50) FROM generate_series(1, 100000)"]).await;
        }
        let info = client.execute("SELECT a, b FROM t".into(), None).await.unwrap();
        let endpoint = &info.endpoint[0];
        assert!(endpoint.expiration_time.is_none());
        let ticket = endpoint.ticket.clone().unwrap();
        fetch_ticket(&mut client, ticket.clone()).await.unwrap();
        assert_eq!(fetch_ticket(&mut client, ticket).await.unwrap_err().code(), Code::NotFound);
        served.stop().await;
    });
}
