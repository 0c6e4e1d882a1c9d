//! The same queries on Volley tables and on plain DataFusion over the original Parquet, in one process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use tempfile::TempDir;
use volley::{DataLocation, Engine, EngineConfig, QueryRequest, ResultKind, Session};

use super::answer::Answer;
use super::data::{TableFile, generate};

/// Any error of the comparison; a test or a benchmark shows it and ends.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Both sides, loaded.
#[derive(Debug)]
pub struct Comparison {
    /// The original files.
    pub files: Vec<TableFile>,
    /// How long each table took to load into Volley, in the order of `files`.
    pub loading: Vec<Duration>,
    engine: Arc<Engine>,
    session: Arc<Session>,
    plain: Plain,
    /// Holds the data directory as long as it is used.
    _data: TempDir,
}

struct Plain(SessionContext);

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionContext")
    }
}

impl Comparison {
    /// The tables of TPC-H at a scale factor, generated below `directory` (and kept for the next run) and loaded as
    /// [`Comparison::of_files`] does.
    ///
    /// # Errors
    /// Anything that goes wrong on the way.
    pub async fn load(directory: &Path, scale: f64) -> Result<Self> {
        let files = generate(&directory.join(format!("parquet-{scale}")), scale)?;
        Self::of_files(directory, files).await
    }

    /// Loads files into a Volley data directory below `directory` by COPY, and registers them with a stock DataFusion session
    /// with as many partitions.
    ///
    /// # Errors
    /// Anything that goes wrong on the way.
    pub async fn of_files(directory: &Path, files: Vec<TableFile>) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("volley-").tempdir_in(directory)?;
        let engine = Engine::open(EngineConfig::new(DataLocation::Local(data.path().join("data")))).await?;
        let session = engine.session();
        let mut loading = Vec::new();
        for file in &files {
            engine.execute(QueryRequest::new(file.create_statement(), &session)).await?;
            let start = Instant::now();
            let loaded = engine.execute(QueryRequest::new(file.copy_statement(), &session)).await?;
            loading.push(start.elapsed());
            if loaded.kind != ResultKind::Affected(file.rows as u64) {
                return Err(format!("{} has {} rows, but the load says {}", file.name, file.rows, loaded.tag).into());
            }
        }
        // Background work of the loads would disturb what is measured next.
        engine.close().await;
        let partitions = std::thread::available_parallelism().map_or(1, |n| n.get());
        let config = SessionConfig::new().with_target_partitions(partitions);
        let plain = SessionContext::new_with_config(config);
        for file in &files {
            let path = file.path.display().to_string();
            plain.register_parquet(file.name, path, ParquetReadOptions::default()).await?;
        }
        Ok(Self { files, loading, engine, session, plain: Plain(plain), _data: data })
    }

    /// One statement on Volley.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn volley(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        Ok(self.engine.execute(QueryRequest::new(sql, &self.session)).await?.collect().await?)
    }

    /// One statement on plain DataFusion.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn plain(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        // On a worker of the runtime, as Volley's: the caller's own thread need not be one.
        let context = self.plain.0.clone();
        let sql = sql.to_owned();
        let running = tokio::spawn(async move { context.sql(&sql).await?.collect().await });
        Ok(running.await??)
    }

    /// The answers of both sides, Volley's first, with the time each took.
    ///
    /// # Errors
    /// One of them fails.
    pub async fn both(&self, sql: &str) -> Result<[(Answer, Duration); 2]> {
        let start = Instant::now();
        let volley = self.volley(sql).await?;
        let volley_time = start.elapsed();
        let start = Instant::now();
        let plain = self.plain(sql).await?;
        let plain_time = start.elapsed();
        Ok([(Answer::from_batches(&volley)?, volley_time), (Answer::from_batches(&plain)?, plain_time)])
    }
}
