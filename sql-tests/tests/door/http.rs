//! The HTTP door beside the other: health, readiness, metrics.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use volley_server::options::Options;

use super::fixture::{Served, rows, runtime};

/// What the server answers, with its head.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: volley\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_was_done_is_counted() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let mut client = served.client().await;
        rows(&mut client, "CREATE TABLE t (a BIGINT)").await.unwrap();
        rows(&mut client, "INSERT INTO t VALUES (1), (2), (3)").await.unwrap();
        rows(&mut client, "SELECT a FROM t").await.unwrap();
        rows(&mut client, "SELECT b FROM t").await.unwrap_err();
        assert!(get(served.http(), "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(served.http(), "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = get(served.http(), "/metrics").await;
        for line in [
            "volley_queries_total{kind=\"query\",outcome=\"ok\",sqlstate=\"\"} 1",
            "volley_queries_total{kind=\"update\",outcome=\"ok\",sqlstate=\"\"} 1",
            "volley_queries_total{kind=\"ddl\",outcome=\"ok\",sqlstate=\"\"} 1",
            "volley_queries_total{kind=\"query\",outcome=\"error\",sqlstate=\"42703\"} 1",
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
        served.stop().await;
    });
}
