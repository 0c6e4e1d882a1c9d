//! Searches on the way from the bare graph to SQL, and building the graph: where a query's time goes.
//!
//! ```text
//! cargo bench -p volley-benches --bench search
//! ```
//! Random vectors, one thread (two for building). `walk` is the index call that `sql/template` makes; what lies between the two is
//! the price of SQL, and what lies between `sql/template` and `sql/planned` is what the plan cache saves. `filters` are `bucket < x`
//! with another `x` each time, so that no filter has been seen before, and with the same `x`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use datafusion::scalar::ScalarValue;
use tokio::runtime::Runtime;
use volley::{DataLocation, Engine, EngineConfig, QueryRequest, Session};
use volley_benches::aligned::Aligned;
use volley_benches::vectors::{Vectors, vector_array};
use volley_index::hnsw::{BuildRequest, HnswParams, HnswView, Scratch, Walk, build, rescore, search, validate};
use volley_index::{Matrix, Metric, RowSet};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 20_000;
const DIM: usize = 128;
const QUERIES: usize = 256;
const K: usize = 10;
const EF: usize = 64;
/// Buckets that the rows are dealt to in turn, so that `bucket < x` keeps the share `x / BUCKETS`.
const BUCKETS: usize = 1_000;

fn graph_of(rows: Matrix<'_>, threads: usize) -> Vec<u8> {
    let present = RowSet::new_full(rows.rows());
    let params = HnswParams::new(Metric::L2);
    let request = BuildRequest { rows, present: &present, params, threads, progress: &|_| {}, cancel: &|| false };
    build(&request).expect("the parameters are the defaults")
}

fn building(criterion: &mut Criterion) {
    let vectors = Vectors::random(ROWS / 4, DIM);
    let rows = Matrix::new(&vectors.data, DIM).expect("whole rows");
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10).measurement_time(Duration::from_secs(15));
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("threads", threads), |bencher| bencher.iter(|| graph_of(rows, threads)));
    }
    group.finish();
}

fn walking(criterion: &mut Criterion) {
    let (vectors, queries) = (Vectors::random(ROWS, DIM), Vectors::random(QUERIES, DIM));
    let rows = Matrix::new(&vectors.data, DIM).expect("whole rows");
    let file = Aligned::new(&graph_of(rows, 2));
    let facts = validate(file.bytes()).expect("it was just built");
    let view = HnswView::new(file.bytes(), &facts, rows).expect("it was built over these rows");
    let mut queries = queries.data.chunks(DIM).cycle();
    let mut scratch = Scratch::new();
    criterion.bench_function("walk", |bencher| {
        bencher.iter(|| {
            let query = queries.next().unwrap_or_default();
            let walk = Walk { k: EF, ef: EF, ..Walk::default() };
            let matrix = Matrix::new(query, DIM).expect("one row");
            let walked = search(&view, matrix, &walk, &mut scratch).swap_remove(0);
            black_box(rescore(rows, Metric::L2, query, &walked.hits, K, false, f32::INFINITY))
        });
    });
}

/// A table with an index, and queries.
struct Table {
    runtime: Runtime,
    engine: Arc<Engine>,
    session: Arc<Session>,
    queries: Vec<ScalarValue>,
    _directory: tempfile::TempDir,
}

impl Table {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("vectors.parquet");
        Vectors::random(ROWS, DIM).write_parquet(&file).expect("room on the disk");
        let location = DataLocation::Local(directory.path().join("data"));
        let config = EngineConfig { threads: Some(1), ..EngineConfig::new(location) };
        let engine = runtime.block_on(Engine::open(config)).expect("an engine");
        let session = engine.session();
        let queries = Vectors::random(QUERIES, DIM);
        let scalar = |query| ScalarValue::FixedSizeList(Arc::new(vector_array(query, DIM).expect("one vector")));
        let queries = queries.data.chunks(DIM).map(scalar).collect();
        let table = Self { runtime, engine, session, queries, _directory: directory };
        for sql in [
            format!("CREATE TABLE loaded (id BIGINT NOT NULL, v vector({DIM}) NOT NULL)"),
            format!("COPY loaded FROM '{}'", file.display()),
            format!("CREATE TABLE t (id BIGINT NOT NULL, bucket BIGINT NOT NULL, v vector({DIM}) NOT NULL)"),
            format!("INSERT INTO t SELECT id, id % {BUCKETS}, v FROM loaded"),
            "CREATE INDEX ON t USING hnsw (v vector_l2_ops)".to_owned(),
        ] {
            table.run(&sql, Vec::new());
        }
        table
    }

    fn run(&self, sql: &str, parameters: Vec<ScalarValue>) -> usize {
        let request = QueryRequest::new(sql, &self.session).with_parameters(parameters);
        let rows = self.runtime.block_on(async { self.engine.execute(request).await?.collect().await });
        rows.expect("a statement that runs").iter().map(|batch| batch.num_rows()).sum()
    }
}

fn through_sql(criterion: &mut Criterion) {
    let table = Table::new();
    let mut queries = table.queries.iter().cycle();
    let mut query = || queries.next().cloned().unwrap_or(ScalarValue::Null);
    let nearest = format!("SELECT id FROM t ORDER BY v <-> $1 LIMIT {K}");
    let mut group = criterion.benchmark_group("sql");
    group.bench_function("template", |bencher| bencher.iter(|| table.run(&nearest, vec![query()])));
    table.run("SET volley.plan_cache = off", Vec::new());
    group.bench_function("planned", |bencher| bencher.iter(|| table.run(&nearest, vec![query()])));
    table.run("RESET volley.plan_cache", Vec::new());
    group.finish();

    let filtered = format!("SELECT id FROM t WHERE bucket < $2 AND id <> $3 ORDER BY v <-> $1 LIMIT {K}");
    let mut group = criterion.benchmark_group("filters");
    for share in [500, 100, 10, 1] {
        let percent = share as f64 * 100.0 / BUCKETS as f64;
        let mut run =
            |other: i64| table.run(&filtered, vec![query(), ScalarValue::from(share as i64), ScalarValue::from(other)]);
        // No row has a negative id, so that each filter is another and keeps the same rows.
        let mut other = 0;
        group.bench_function(BenchmarkId::new("new", format!("{percent} %")), |bencher| {
            bencher.iter(|| {
                other -= 1;
                run(other)
            });
        });
        group.bench_function(BenchmarkId::new("repeated", format!("{percent} %")), |bencher| bencher.iter(|| run(-1)));
    }
    group.finish();
}

criterion_group!(benches, building, walking, through_sql);
criterion_main!(benches);
