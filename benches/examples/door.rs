//! What the Flight SQL door costs: prepared searches in this process beside the same through a server of its own, latency and
//! processor time.
//!
//! `cargo run --release -p volley-benches --example door -- VOLLEY DIRECTORY TABLE KEY OPERATOR QUERIES.parquet`: `VOLLEY` is the
//! program, `DIRECTORY` a data directory whose `TABLE` has an indexed column `embedding`.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, FixedSizeListArray, RecordBatch};
use arrow_flight::sql::client::FlightSqlServiceClient;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};
use volley::{DataLocation, Engine, EngineConfig, QueryRequest};
use volley_benches::vectors::{Vectors, vector_array};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Queries that are timed; as many before them are not.
const QUERIES: usize = 1_000;

/// A prepared search, run some way: the ids it found.
trait Searcher {
    async fn search(&mut self, vector: &FixedSizeListArray) -> Fallible<usize>;
}

struct InProcess {
    engine: Arc<Engine>,
    session: Arc<volley::Session>,
    sql: String,
}

impl Searcher for InProcess {
    async fn search(&mut self, vector: &FixedSizeListArray) -> Fallible<usize> {
        let value = ScalarValue::FixedSizeList(Arc::new(vector.clone()));
        let request = QueryRequest::new(self.sql.as_str(), &self.session).with_parameters(vec![value]);
        let batches = self.engine.execute(request).await?.collect().await?;
        Ok(batches.iter().map(RecordBatch::num_rows).sum())
    }
}

struct OverFlight {
    client: FlightSqlServiceClient<Channel>,
    statement: arrow_flight::sql::client::PreparedStatement<Channel>,
}

impl Searcher for OverFlight {
    async fn search(&mut self, vector: &FixedSizeListArray) -> Fallible<usize> {
        let column: ArrayRef = Arc::new(vector.clone());
        self.statement.set_parameters(RecordBatch::try_from_iter([("$1", column)])?)?;
        let info = self.statement.execute().await?;
        let mut rows = 0;
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
            let batches: Vec<RecordBatch> = self.client.do_get(ticket).await?.try_collect().await?;
            rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        }
        Ok(rows)
    }
}

/// The median latency, and the processor time a query took of the process that `processor_time` asks about.
async fn measure(
    searcher: &mut impl Searcher,
    vectors: &[FixedSizeListArray],
    processor_time: impl Fn() -> Fallible<Duration>,
) -> Fallible<(Duration, Duration)> {
    let mut taken = Vec::with_capacity(QUERIES);
    for number in 0..QUERIES {
        searcher.search(&vectors[number % vectors.len()]).await?;
    }
    let before = processor_time()?;
    for number in 0..QUERIES {
        let begun = Instant::now();
        if searcher.search(&vectors[number % vectors.len()]).await? == 0 {
            return Err("an answer is empty".into());
        }
        taken.push(begun.elapsed());
    }
    let used = processor_time()? - before;
    taken.sort();
    Ok((taken[taken.len() / 2], used / QUERIES as u32))
}

/// User and system time of a process, from `/proc`, in ticks of 10 ms.
fn processor_time(process: &str) -> Fallible<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(10 * ticks))
}

/// A server, stopped when it is dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on ports that the system chooses; its Flight SQL address.
fn serve(program: &str, data: &str) -> Fallible<(Served, String)> {
    let mut child = Command::new(program)
        .args(["serve", "-d", data, "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let served = Served(child);
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(address) = line.split_whitespace().find_map(|word| word.strip_prefix("grpc://")) {
            return Ok((served, address.trim_end_matches(',').to_owned()));
        }
    }
    Err("the server did not say where it listens".into())
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, data, table, key, operator, queries] = arguments.as_slice() else {
        return Err("usage: door VOLLEY DIRECTORY TABLE KEY OPERATOR QUERIES.parquet".into());
    };
    let queries = Vectors::from_parquet(Path::new(queries))?;
    let vectors = queries.data.chunks(queries.dim).map(|vector| vector_array(vector, queries.dim));
    let vectors = vectors.collect::<Fallible<Vec<_>>>()?;
    let sql = format!("SELECT {key} FROM {table} ORDER BY embedding {operator} $1 LIMIT 10");

    let engine = Engine::open(EngineConfig::new(DataLocation::Local(data.into()))).await?;
    let session = engine.session();
    let mut inside = InProcess { engine, session, sql: sql.clone() };
    let (inside_latency, inside_time) = measure(&mut inside, &vectors, || processor_time("self")).await?;
    drop(inside);

    let (served, address) = serve(program, data)?;
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut client = FlightSqlServiceClient::new(channel);
    let statement = client.prepare(sql, None).await?;
    let mut outside = OverFlight { client, statement };
    let process = served.0.id().to_string();
    let (latency, time) = measure(&mut outside, &vectors, || processor_time(&process)).await?;
    println!(
        "{{\"in_process_us\":{},\"in_process_cpu_us\":{},\"flight_us\":{},\"server_cpu_us\":{},\"latency_above_us\":{},\"cpu_above_us\":{}}}",
        inside_latency.as_micros(),
        inside_time.as_micros(),
        latency.as_micros(),
        time.as_micros(),
        latency.as_micros() as i128 - inside_latency.as_micros() as i128,
        time.as_micros() as i128 - inside_time.as_micros() as i128,
    );
    Ok(())
}
