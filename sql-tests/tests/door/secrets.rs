//! Planted secrets: nowhere to be found in what the server says, counts or logs.

use std::io;
use std::sync::{Arc, Mutex};

use tonic::Status;
use tracing_subscriber::fmt::MakeWriter;
use volley_server::options::Options;
use volley_server::options::values::Period;

use super::fixture::{Served, rows, runtime, status};

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

const SECRETS: [&str; 5] =
    ["s3cret-of-ada", "s3cret-of-bob", "s3cret-that-fails", "s3cret-in-a-typo", "s3cret-at-login"];

#[test]
fn secrets_stay_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // The server has threads of its own; other tests may log there too, and say nothing of these secrets.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let said = runtime().block_on(said());
    let everything = said.join("\n") + &String::from_utf8_lossy(&log.0.lock().unwrap());
    assert!(everything.contains("slow statement"), "the log is empty: {everything}");
    for secret in SECRETS {
        assert_eq!(everything.matches(secret).count(), 0, "{secret} in {everything}");
    }
}

/// Everything that can be heard of a server in which these secrets were used.
async fn said() -> Vec<String> {
    let options = Options { slow_query: Some(Period(std::time::Duration::from_nanos(1))), ..Options::default() };
    let served = Served::start(options).await;
    let mut said: Vec<String> = Vec::new();
    let mut hear = |answer: Result<Vec<arrow::array::RecordBatch>, Status>| {
        said.push(match answer {
            Ok(batches) => arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string(),
            Err(status) => format!("{status:?}"),
        });
    };
    let mut client = served.client().await;
    hear(rows(&mut client, &format!("CREATE USER ada PASSWORD '{}' SUPERUSER", SECRETS[0])).await);
    let mut client = served.client_of("ada", SECRETS[0]).await;
    for sql in [
        format!("CREATE USER bob WITH PASSWORD '{}'", SECRETS[1]),
        format!("CREATE USER bob WITH PASSWORD '{}'", SECRETS[2]),
        format!("CREATE USER eve WITH PASWORD '{}'", SECRETS[3]),
        format!("CREATE USER eve PASSWORD '{}' NO SUCH THING", SECRETS[3]),
        format!("EXPLAIN CREATE USER eve PASSWORD '{}'", SECRETS[3]),
        format!("PREPARE p AS CREATE USER eve PASSWORD '{}'", SECRETS[3]),
        "SELECT * FROM volley.queries".to_owned(),
        "SELECT * FROM volley.users".to_owned(),
        "SELECT * FROM volley.plan_cache".to_owned(),
        "EXPLAIN ANALYZE VERBOSE SELECT * FROM volley.users".to_owned(),
        "SHOW ALL".to_owned(),
    ] {
        hear(rows(&mut client, &sql).await);
        let prepared = client.prepare(sql, None).await;
        hear(prepared.map(|_| Vec::new()).map_err(status));
    }
    let mut stranger = served.client().await;
    hear(stranger.handshake("ada", SECRETS[4]).await.map(|_| Vec::new()).map_err(status));
    said.push(served.metrics.encode());
    said.push(super::http::get(served.http(), "/metrics").await);
    said.push(format!("{:?}", served.engine));
    served.stop().await;
    said
}

#[test]
fn errors_carry_what_programs_want_to_know() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let refused = rows(&mut served.client().await, "SELECT * FROM nowhere").await.unwrap_err();
        assert_eq!(refused.message(), "table \"nowhere\" does not exist");
        assert_eq!(refused.metadata().get("volley-sqlstate").unwrap(), "42P01");
        assert_eq!(refused.metadata().get("volley-query-id").unwrap().len(), 26);
        served.stop().await;
    });
}
