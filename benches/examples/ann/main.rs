//! Recall and throughput of approximate search through SQL, over the data that lies beside the project.
//!
//! ```text
//! cargo run --release -p volley-benches --example ann -- ../shared/data wordnet [queries] [key=value …]
//! ```
//! Loads the rows, builds the index, and asks every query of the file, one at a time, after a hundred to warm up, without a
//! filter and under each filter. Settings such as `volley.recall_target=0.99` may follow, `segments=16` to insert the rows in
//! so many parts, `threads=1`, `k=100` to ask for other than 10 rows, `analyze=256` to calibrate by so many of the queries
//! and ask the other ones, and `keep=DIR` to leave the data there, or to ask what an earlier run left there; `sweep` asks for
//! several k, recall targets and calibrations; `prepared` times the bare index call beside the prepared query that makes it.
//!
//! Prints one JSON object a line, so that a script can put it beside what other systems did: see `benches/peers.py`. `qps` is
//! through SQL, planning and all; `search_ms` is the search alone and `expected` the mean of the recall it promised, as
//! EXPLAIN ANALYZE reports them.

mod prepared;

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Float64Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::scalar::ScalarValue;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use volley::{DataLocation, Engine, EngineConfig, QueryRequest, Session};

/// What the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Queries of each file that have exact answers: the first ones.
const WITH_ANSWERS: usize = 1000;

/// One set of rows, its index and its questions.
struct Workload {
    name: &'static str,
    create: &'static str,
    key: &'static str,
    rows: &'static str,
    queries: &'static str,
    opclass: &'static str,
    operator: &'static str,
    /// Which answers, and the condition they are under.
    truths: &'static [(&'static str, &'static str)],
}

const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "wordnet",
        create: "CREATE TABLE items (synset_id BIGINT, pos TEXT, lexname TEXT, lemma TEXT, lemmas TEXT[], gloss TEXT, \
                 examples TEXT[], sense_count INTEGER, depth INTEGER, n_hypernyms INTEGER, n_hyponyms INTEGER, \
                 embedding vector(384))",
        key: "synset_id",
        rows: "wordnet_synsets.parquet",
        queries: "wordnet_queries.parquet",
        opclass: "vector_cosine_ops",
        operator: "<=>",
        truths: &[
            ("gt", ""),
            ("gt_tagged", "sense_count > 0"),
            ("gt_verb", "pos = 'verb'"),
            ("gt_animal", "lexname = 'noun.animal'"),
            ("gt_notdepth", "NOT (depth < 12)"),
            ("gt_1pct", "n_hyponyms >= 14"),
            ("gt_01pct", "sense_count >= 170"),
            ("gt_conj", "lexname = 'noun.artifact' AND depth >= 13"),
        ],
    },
    Workload {
        name: "fashion",
        create: "CREATE TABLE items (id BIGINT, label INTEGER, embedding vector(784))",
        key: "id",
        rows: "fashion_mnist_train.parquet",
        queries: "fashion_mnist_test.parquet",
        opclass: "vector_l2_ops",
        operator: "<->",
        truths: &[("gt", "")],
    },
    Workload { name: "glove-cosine", opclass: "vector_cosine_ops", operator: "<=>", truths: &GLOVE_COSINE, ..GLOVE },
    Workload { name: "glove-l2", opclass: "vector_l2_ops", operator: "<->", truths: &[("gt_l2", "")], ..GLOVE },
    Workload { name: "glove-ip", opclass: "vector_ip_ops", operator: "<#>", truths: &[("gt_ip", "")], ..GLOVE },
];

const GLOVE_COSINE: [(&str, &str); 5] = [
    ("gt_cos", ""),
    ("gt_number", "kind = 'number'"),
    ("gt_wordnet", "in_wordnet"),
    ("gt_1pct", "rank <= 4000"),
    ("gt_01pct", "kind = 'alpha' AND length = 1 OR length >= 24"),
];

const GLOVE: Workload = Workload {
    name: "glove",
    create: "CREATE TABLE items (id BIGINT, word TEXT, rank INTEGER, length INTEGER, kind TEXT, in_wordnet BOOLEAN, \
             embedding vector(50))",
    key: "id",
    rows: "glove_base.parquet",
    queries: "glove_queries.parquet",
    opclass: "vector_cosine_ops",
    operator: "<=>",
    truths: &[],
};

/// A query and the distances of its exact answer, ascending.
#[derive(Clone)]
struct Query {
    /// Which of the file's rows it is, from 1.
    number: usize,
    vector: ScalarValue,
    distances: Vec<f64>,
    /// Whether fewer than ten rows qualify, so that these are all.
    is_whole: bool,
}

impl Query {
    fn components(&self) -> Fallible<Vec<f32>> {
        match &self.vector {
            ScalarValue::FixedSizeList(vector) => Ok(vector.value(0).as_primitive::<Float32Type>().values().to_vec()),
            _ => Err("a query is no vector".into()),
        }
    }
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err(
            "usage: ann DIRECTORY wordnet|fashion|glove-cosine|glove-l2|glove-ip [queries] [setting=value …]".into()
        );
    };
    let workload = WORKLOADS.iter().find(|workload| workload.name == name).ok_or("no such workload")?;
    let rest: Vec<String> = arguments.collect();
    let count = rest.first().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let home = tempfile::tempdir()?;
    let keep = rest.iter().find_map(|setting| setting.strip_prefix("keep="));
    let home = keep.map_or(home.path(), Path::new);
    let is_loaded = keep.is_some() && home.join("data").exists();
    let number = |name: &str| {
        rest.iter().filter_map(|setting| setting.split_once('=')).find(|(known, _)| *known == name)?.1.parse().ok()
    };
    let segments: usize = number("segments").unwrap_or(1);
    let threads: Option<usize> = number("threads");
    let k: usize = number("k").unwrap_or(10);
    let analyzed: usize = number("analyze").unwrap_or(0);
    let data = DataLocation::Local(home.join("data"));
    let engine = Engine::open(EngineConfig { threads, ..EngineConfig::new(data) }).await?;
    let session = engine.session();
    let settings = rest.iter().filter_map(|setting| setting.split_once('=')).filter(|(name, _)| name.contains('.'));
    for (name, value) in settings {
        run(&engine, &session, &format!("SET {name} = '{value}'")).await?;
    }
    let directory = Path::new(&directory);
    if !is_loaded {
        load(&engine, &session, workload, directory, segments).await?;
    }
    if rest.iter().any(|word| word == "prepared") {
        let mut queries = read_queries(&directory.join(workload.queries), workload.truths[0].0, k)?;
        queries.truncate(count);
        let files = (workload, home, directory.join(workload.rows));
        return prepared::compare(&engine, &session, (files.0, files.1, &files.2), (&queries, k)).await;
    }
    let asked = Asked { engine, session, directory, workload, count };
    if !rest.iter().any(|word| word == "sweep") {
        asked.analyze(analyzed).await?;
        return asked.all(k, analyzed).await;
    }
    for (target, k) in [("0.95", 10), ("0.99", 10), ("0.95", 1), ("0.95", 100)] {
        println!("{{\"recall_target\":{target},\"calibrated_by\":\"rows\"}}");
        run(&asked.engine, &asked.session, &format!("SET volley.recall_target = {target}")).await?;
        asked.all(k, 0).await?;
    }
    let analyzed = 256;
    asked.analyze(analyzed).await?;
    for target in ["0.95", "0.99"] {
        println!("{{\"recall_target\":{target},\"calibrated_by\":\"queries\"}}");
        run(&asked.engine, &asked.session, &format!("SET volley.recall_target = {target}")).await?;
        asked.all(10, analyzed).await?;
    }
    Ok(())
}

/// Makes the table, in so many segments, and its index.
async fn load(
    engine: &Engine,
    session: &Arc<Session>,
    workload: &Workload,
    directory: &Path,
    segments: usize,
) -> Fallible<()> {
    run(engine, session, workload.create).await?;
    let rows = directory.join(workload.rows);
    match segments {
        1 => run(engine, session, &format!("COPY items FROM '{}'", rows.display())).await?,
        _ => {
            let source = format!("CREATE EXTERNAL TABLE source STORED AS PARQUET LOCATION '{}'", rows.display());
            run(engine, session, &source).await?;
            for part in 0..segments {
                let key = workload.key;
                let insert = format!("INSERT INTO items SELECT * FROM source WHERE {key} % {segments} = {part}");
                run(engine, session, &insert).await?;
            }
        }
    }
    let begun = Instant::now();
    run(engine, session, &format!("CREATE INDEX ON items USING hnsw (embedding {})", workload.opclass)).await?;
    let build_s = begun.elapsed().as_secs_f64();
    println!("{{\"system\":\"volley\",\"data\":\"{}\",\"build_s\":{build_s:.1}}}", workload.name);
    Ok(())
}

/// A table with an index, and what it is asked.
struct Asked<'a> {
    engine: Arc<Engine>,
    session: Arc<Session>,
    directory: &'a Path,
    workload: &'a Workload,
    /// How many queries.
    count: usize,
}

impl Asked<'_> {
    /// Calibrates the index by so many of the queries, drawn evenly from the whole file, which may be ordered.
    async fn analyze(&self, count: usize) -> Fallible<()> {
        if count == 0 {
            return Ok(());
        }
        let path = self.directory.join(self.workload.queries);
        let source = format!("CREATE EXTERNAL TABLE asked STORED AS PARQUET LOCATION '{}'", path.display());
        run(&self.engine, &self.session, &source).await?;
        let using = format!(
            "ANALYZE items USING (SELECT embedding FROM (SELECT embedding, row_number() OVER () AS number FROM asked) \
             AS numbered WHERE number <= {WITH_ANSWERS} AND number * {count} % {WITH_ANSWERS} < {count})"
        );
        run(&self.engine, &self.session, &using).await
    }

    /// Asks for k rows, without a filter and under each that there are answers for; all queries but those that `analyze`
    /// draws.
    async fn all(&self, k: usize, analyzed: usize) -> Fallible<()> {
        let Self { engine, session, workload, .. } = self;
        for (columns, condition) in workload.truths {
            let queries = read_queries(&self.directory.join(workload.queries), columns, k)?;
            let is_new = |query: &Query| query.number * analyzed % WITH_ANSWERS >= analyzed;
            let queries: Vec<Query> = queries.into_iter().filter(is_new).take(self.count).collect();
            if queries.iter().any(|query| query.distances.len() < k && !query.is_whole) {
                continue;
            }
            let clause = if condition.is_empty() { String::new() } else { format!("WHERE {condition} ") };
            let sql = format!(
                "SELECT {}, embedding {} $1 AS distance FROM items {clause}ORDER BY distance LIMIT {k}",
                workload.key, workload.operator
            );
            ask(engine, session, &sql, &queries[..queries.len().min(100)]).await?;
            let begun = Instant::now();
            let (right, wanted) = ask(engine, session, &sql, &queries).await?;
            let rate = queries.len() as f64 / begun.elapsed().as_secs_f64();
            let recall = right as f64 / wanted as f64;
            let (search_ms, expected) = explained(engine, session, &sql, &queries).await?;
            println!(
                "{{\"system\":\"volley\",\"data\":\"{}\",\"filter\":{condition:?},\"k\":{k},\"recall\":{recall:.4},\
                 \"expected\":{expected:.4},\"qps\":{rate:.0},\"search_ms\":{search_ms:.3}}}",
                workload.name
            );
        }
        Ok(())
    }
}

async fn run(engine: &Engine, session: &Arc<Session>, sql: &str) -> Fallible<()> {
    engine.execute(QueryRequest::new(sql, session)).await?.collect().await?;
    Ok(())
}

/// Asks all queries; how many rows are as near as the true answer's last, and how many there should be.
async fn ask(engine: &Engine, session: &Arc<Session>, sql: &str, queries: &[Query]) -> Fallible<(usize, usize)> {
    let (mut right, mut wanted) = (0, 0);
    for query in queries {
        let request = QueryRequest::new(sql, session).with_parameters(vec![query.vector.clone()]);
        let batches = engine.execute(request).await?.collect().await?;
        let truth = &query.distances;
        let last = truth.last().copied().unwrap_or(f64::NEG_INFINITY);
        let near = last + 1e-5 * last.abs().max(0.1);
        if batches.iter().map(|batch| batch.num_rows()).sum::<usize>() < truth.len() {
            return Err("an answer has fewer rows than qualify".into());
        }
        for batch in &batches {
            right += batch.column(1).as_primitive::<Float64Type>().values().iter().filter(|d| **d <= near).count();
        }
        wanted += truth.len();
    }
    Ok((right, wanted))
}

/// The mean time of the searches alone, and of the recall that they let expect.
async fn explained(engine: &Engine, session: &Arc<Session>, sql: &str, queries: &[Query]) -> Fallible<(f64, f64)> {
    let (mut time, mut recall) = (0.0, 0.0);
    for query in queries {
        let text = explained_text(engine, session, sql, query).await?;
        let (before, behind) = text.split_once("returned=").ok_or("no search")?;
        let (_, expected) = before.rsplit_once("expected_recall=").ok_or("nothing expected")?;
        recall += expected.split([' ', ',']).next().ok_or("nothing expected")?.parse::<f64>()?;
        let (_, behind) = behind.split_once("time=").ok_or("no time")?;
        time += behind.split_once("ms").ok_or("no time")?.0.parse::<f64>()?;
    }
    Ok((time / queries.len() as f64, recall / queries.len() as f64))
}

/// What EXPLAIN ANALYZE says.
async fn explained_text(engine: &Engine, session: &Arc<Session>, sql: &str, query: &Query) -> Fallible<String> {
    let explain = format!("EXPLAIN ANALYZE {sql}");
    let request = QueryRequest::new(explain, session).with_parameters(vec![query.vector.clone()]);
    let batches = engine.execute(request).await?.collect().await?;
    Ok(pretty_format_batches(&batches)?.to_string())
}

fn read_queries(path: &Path, columns: &str, k: usize) -> Fallible<Vec<Query>> {
    let mut queries = Vec::new();
    let mut before = 0;
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()? {
        let batch = batch?;
        let vectors = batch.column_by_name("embedding").ok_or("no vectors")?.as_fixed_size_list().clone();
        // Scores are inner products, which the SQL operator returns negated.
        let (distances, sign) = match batch.column_by_name(&format!("{columns}_dists")) {
            Some(distances) => (distances, 1.0),
            None => (batch.column_by_name(&format!("{columns}_scores")).ok_or("no answers")?, -1.0),
        };
        let distances = distances.as_list::<i32>();
        for row in (0..batch.num_rows()).filter(|row| distances.is_valid(*row)) {
            let answer = distances.value(row);
            let answer = answer.as_primitive::<Float32Type>().values();
            queries.push(Query {
                number: before + row + 1,
                vector: ScalarValue::FixedSizeList(Arc::new(vectors.slice(row, 1))),
                distances: answer.iter().take(k).map(|d| sign * f64::from(*d)).collect(),
                is_whole: answer.len() < 10,
            });
        }
        before += batch.num_rows();
    }
    Ok(queries)
}
