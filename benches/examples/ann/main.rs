//! Recall and throughput of approximate search through SQL, over the data that lies beside the project.
//!
//! ```text
//! cargo run --release -p volley-benches --example ann -- ../shared/data wordnet [queries] [key=value …] [mode]
//! ```
//! Loads the rows, builds the index, and asks every query of the file, one at a time, after a hundred to warm up, without a
//! filter and under each filter. Settings such as `volley.recall_target=0.99` may follow, `segments=16` to insert the rows in
//! so many parts, `threads=1`, `k=100` to ask for other than 10 rows, `analyze=256` to calibrate by so many of the queries
//! and ask the other ones, and `keep=DIR` to leave the data there, or to ask what an earlier run left there.
//!
//! | mode | what it does instead |
//! |---|---|
//! | `sweep` | asks for several k, recall targets and calibrations |
//! | `prepared` | times the bare index call beside the prepared query that makes it |
//! | `filters` | a table of the ways to search under each filter: the one that is chosen beside those that can be forced; `all` for the data sets is all that have filters, each below `keep=DIR` |
//! | `literals` | asks `wordnet-bucket` under conditions whose literal is new each time, and again |
//!
//! Prints one JSON object a line, so that a script can put it beside what other systems did: see `benches/peers.py`. `qps` is
//! through SQL, planning and all; `search_ms` is the search alone and `expected` the mean of the recall it promised, as
//! EXPLAIN ANALYZE reports them.

mod filters;
mod literals;
mod prepared;
mod queries;
mod workloads;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use volley::{DataLocation, Engine, EngineConfig, Session};

use queries::{Query, ask, explained, read_queries, run};
use workloads::{WORKLOADS, Workload};

/// What the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Queries of each file that have exact answers: the first ones.
const WITH_ANSWERS: usize = 1000;

/// What stands behind the data set's name on the command line.
struct Arguments {
    /// Where the files are.
    directory: PathBuf,
    rest: Vec<String>,
}

impl Arguments {
    /// How many queries to ask.
    fn count(&self) -> usize {
        self.rest.iter().find_map(|word| word.parse().ok()).unwrap_or(WITH_ANSWERS)
    }

    /// The number behind `name=`.
    fn number(&self, name: &str) -> Option<usize> {
        let mut pairs = self.rest.iter().filter_map(|word| word.split_once('='));
        pairs.find(|(known, _)| *known == name)?.1.parse().ok()
    }

    fn k(&self) -> usize {
        self.number("k").unwrap_or(10)
    }

    fn has(&self, word: &str) -> bool {
        self.rest.iter().any(|known| known == word)
    }

    fn keep(&self) -> Option<&Path> {
        self.rest.iter().find_map(|word| word.strip_prefix("keep=")).map(Path::new)
    }

    /// An engine over the data below a directory, and a session with the settings.
    async fn open(&self, home: &Path) -> Fallible<(Arc<Engine>, Arc<Session>)> {
        let data = DataLocation::Local(home.join("data"));
        let engine = Engine::open(EngineConfig { threads: self.number("threads"), ..EngineConfig::new(data) }).await?;
        let session = engine.session();
        let settings = self.rest.iter().filter_map(|word| word.split_once('=')).filter(|(name, _)| name.contains('.'));
        for (name, value) in settings {
            run(&engine, &session, &format!("SET {name} = '{value}'")).await?;
        }
        Ok((engine, session))
    }

    /// The same, with the rows of a data set, loaded if they are not there.
    async fn open_loaded(&self, home: &Path, workload: &Workload) -> Fallible<(Arc<Engine>, Arc<Session>)> {
        let is_loaded = home.join("data").exists();
        let (engine, session) = self.open(home).await?;
        if !is_loaded {
            let segments = self.number("segments").unwrap_or(1);
            workload.load(&engine, &session, (&self.directory, segments)).await?;
        }
        Ok((engine, session))
    }
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let mut words = std::env::args().skip(1);
    let (Some(directory), Some(name)) = (words.next(), words.next()) else {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        let usage = format!("usage: ann DIRECTORY all|{} [queries] [setting=value …] [mode]", names.join("|"));
        return Err(usage.into());
    };
    let arguments = Arguments { directory: directory.into(), rest: words.collect() };
    let temporary = tempfile::tempdir()?;
    let home = arguments.keep().unwrap_or(temporary.path());
    if name == "all" {
        if !arguments.has("filters") {
            return Err("all data sets are for the mode `filters`".into());
        }
        return filters::compare_all(&arguments, home).await;
    }
    let workload = WORKLOADS.iter().find(|workload| workload.name == name).ok_or("no such workload")?;
    if arguments.has("filters") {
        return filters::compare(&arguments, home, workload).await;
    }
    let (engine, session) = arguments.open_loaded(home, workload).await?;
    let (count, k) = (arguments.count(), arguments.k());
    let file = arguments.directory.join(workload.queries);
    if arguments.has("prepared") || arguments.has("literals") {
        let mut queries = read_queries(&file, workload.truths[0].0, k)?;
        queries.truncate(count);
        if arguments.has("literals") {
            return literals::Literals { engine, session, workload, queries, k }.measure().await;
        }
        let files = (workload, home, arguments.directory.join(workload.rows));
        return prepared::compare(&engine, &session, (files.0, files.1, &files.2), (&queries, k)).await;
    }
    let analyzed = arguments.number("analyze").unwrap_or(0);
    let asked = Asked { engine, session, file, workload, count };
    if !arguments.has("sweep") {
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

/// A table with an index, and what it is asked.
struct Asked<'a> {
    engine: Arc<Engine>,
    session: Arc<Session>,
    /// The queries.
    file: PathBuf,
    workload: &'a Workload,
    /// How many of them.
    count: usize,
}

impl Asked<'_> {
    /// Calibrates the index by so many of the queries, drawn evenly from the whole file, which may be ordered.
    async fn analyze(&self, count: usize) -> Fallible<()> {
        if count == 0 {
            return Ok(());
        }
        let source = format!("CREATE EXTERNAL TABLE asked STORED AS PARQUET LOCATION '{}'", self.file.display());
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
            let queries = read_queries(&self.file, columns, k)?;
            let is_new = |query: &Query| query.number * analyzed % WITH_ANSWERS >= analyzed;
            let queries: Vec<Query> = queries.into_iter().filter(is_new).take(self.count).collect();
            if queries.iter().any(|query| query.distances.len() < k && !query.is_whole) {
                continue;
            }
            let sql = workload.search(condition, k);
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
