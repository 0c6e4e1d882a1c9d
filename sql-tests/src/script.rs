//! Runs a file of records on a variant and tells every record that failed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqllogictest::{Record, Runner, StatementExpect};
use tempfile::TempDir;

use crate::cells::ColumnType;
use crate::database::Database;
use crate::indexed::{create_indexes, reindex};
use crate::layout::Layout;
use crate::topology::{Deployment, Refusal, Topology};

/// One way to run a file.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// Where.
    pub topology: Topology,
    /// Over which segments.
    pub layout: Layout,
    /// Whether the planner may use the vector top-k node; without it the stock sort is the oracle.
    pub vector_topk: bool,
    /// Whether the data is in a directory instead of memory.
    pub on_disk: bool,
    /// Whether every vector column gets indexes.
    pub indexed: bool,
}

impl Variant {
    fn labels(&self) -> Vec<&'static str> {
        let topk = if self.vector_topk { "topk" } else { "stock" };
        let place = match self.topology {
            Topology::Embedded | Topology::ObjectStore => "embedded",
            Topology::Server => "server",
            Topology::Cluster | Topology::ClusterOnObjectStore => "cluster",
        };
        let mut labels = vec![self.layout.label(), topk, if self.on_disk { "disk" } else { "memory" }, place];
        labels.extend(self.indexed.then_some("indexed"));
        labels
    }

    fn prelude(&self) -> Vec<String> {
        // Plans are compared as text, so they must not depend on the machine's number of processors.
        let mut prelude = vec!["SET volley.target_partitions = 4".to_owned()];
        if !self.vector_topk {
            prelude.push("SET volley.vector_topk = off".to_owned());
        }
        prelude
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.topology, self.labels().join("/"))
    }
}

/// A record that did not do what the file says.
#[derive(Debug)]
pub struct Failure {
    /// The file.
    pub file: PathBuf,
    /// The record's line.
    pub line: u32,
    /// What happened.
    pub detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.detail)
    }
}

/// What a run of a file came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Records that did what the file says.
    pub passed: usize,
    /// Those that did not.
    pub failures: Vec<Failure>,
}

/// A deployment, a directory for files, and the runner over them.
pub struct Script {
    runner: Runner<Database, Connector>,
    deployment: Arc<dyn Deployment>,
    layout: Layout,
    indexed: bool,
    // Kept until the runner is done with it.
    _directory: TempDir,
}

type Connector = Box<dyn FnMut() -> std::pin::Pin<Box<dyn Future<Output = Result<Database, Refusal>> + Send>> + Send>;

impl Script {
    /// A fresh database in which a file of records can run. Records can name `$DATA` (the data that ships with the
    /// project) and `$SCRATCH` (an empty directory) where substitution is on.
    pub async fn new(variant: Variant) -> Result<Self, Refusal> {
        let io = |error: std::io::Error| Refusal { sentence: error.to_string(), sqlstate: "58030" };
        let directory = tempfile::tempdir().map_err(io)?;
        let scratch = directory.path().join("scratch");
        std::fs::create_dir(&scratch).map_err(io)?;
        let data = directory.path().join("data");
        let deployment = variant.topology.start(variant.on_disk.then_some(data.as_path())).await?;
        let prelude = variant.prelude();
        let clients = Arc::clone(&deployment);
        let connector: Connector = Box::new(move || {
            let (clients, prelude) = (Arc::clone(&clients), prelude.clone());
            Box::pin(async move { Database::new(clients.connect().await?, &prelude).await })
        });
        let mut runner = Runner::new(connector);
        runner.with_normalizer(normalize);
        runner.with_validator(validate);
        runner.with_column_validator(sqllogictest::strict_column_validator);
        variant.labels().into_iter().for_each(|label| runner.add_label(label));
        runner.set_var("SCRATCH".to_owned(), scratch.display().to_string());
        runner.set_var("DATA".to_owned(), project_data().display().to_string());
        Ok(Self { runner, deployment, layout: variant.layout, indexed: variant.indexed, _directory: directory })
    }

    /// From here on, rows are compared as a set: several files are read in parallel, and a query without ORDER BY gives
    /// its rows as they come.
    pub fn ignore_order(&mut self) {
        self.runner.with_validator(|normalizer, actual, expected| {
            let mut actual: Vec<_> = actual.iter().map(|row| vec![row.join(" ").trim_end().to_owned()]).collect();
            let mut expected = expected.to_vec();
            actual.sort();
            expected.sort();
            validate(normalizer, &actual, &expected)
        });
    }

    /// From here on, the types of columns are not compared: what is a dictionary inside is sent as its values.
    pub fn ignore_types(&mut self) {
        self.runner.with_column_validator(sqllogictest::default_column_validator);
    }

    /// Runs every record, also behind one that failed.
    pub async fn run(&mut self, records: Vec<Record<ColumnType>>) -> Outcome {
        let mut outcome = Outcome::default();
        for record in records {
            if matches!(record, Record::Halt { .. }) {
                break;
            }
            let Some(place) = place_of(&record) else {
                // Comments, conditions, controls: they only change the runner.
                let _ = self.runner.run_async(record).await;
                continue;
            };
            match self.run_split(record).await {
                Ok(()) => outcome.passed += 1,
                // An included file's records fail in that file.
                Err(detail) => outcome.failures.push(Failure { file: place.0.into(), line: place.1, detail }),
            }
        }
        self.runner.shutdown_async().await;
        self.deployment.stop().await;
        outcome
    }

    /// Runs a record; an INSERT that has to succeed runs as the layout wants it.
    async fn run_split(&mut self, record: Record<ColumnType>) -> Result<(), String> {
        let parts = match &record {
            Record::Statement { sql, expected: StatementExpect::Ok, .. } => self.statements(sql),
            _ => Vec::new(),
        };
        if parts.len() < 2 {
            return self.run_one(record).await;
        }
        for part in parts {
            let mut record = record.clone();
            if let Record::Statement { sql, .. } = &mut record {
                *sql = part;
            }
            self.run_one(record).await?;
        }
        Ok(())
    }

    /// What a statement becomes in this variant.
    fn statements(&self, sql: &str) -> Vec<String> {
        let mut statements = self.layout.split(sql);
        if self.indexed {
            // Only what was split, and so folded into files, can be indexed.
            let written = if statements.len() > 1 { reindex(sql) } else { None };
            statements.extend(create_indexes(sql));
            statements.extend(written);
        }
        statements
    }

    async fn run_one(&mut self, record: Record<ColumnType>) -> Result<(), String> {
        match self.runner.run_async(record).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.kind().to_string()),
        }
    }

    /// Writes what the records answered into the file.
    pub async fn complete(&mut self, file: &Path) -> Result<(), String> {
        let columns = sqllogictest::strict_column_validator;
        let done = self.runner.update_test_file(file, " ", validate, normalize, columns).await;
        done.map_err(|error| error.to_string())
    }
}

/// Reads a file and runs it in a fresh database.
pub async fn run_file(variant: Variant, file: &Path) -> Outcome {
    let failed = |detail: String| {
        let failure = Failure { file: file.to_owned(), line: 0, detail };
        Outcome { passed: 0, failures: vec![failure] }
    };
    let records = match sqllogictest::parse_file::<ColumnType>(file) {
        Ok(records) => records,
        Err(error) => return failed(error.to_string()),
    };
    match Script::new(variant).await {
        Ok(mut script) => script.run(records).await,
        Err(refusal) => failed(refusal.sentence),
    }
}

/// File and line of a record that does something.
fn place_of(record: &Record<ColumnType>) -> Option<(String, u32)> {
    match record {
        Record::Statement { loc, .. }
        | Record::Query { loc, .. }
        | Record::System { loc, .. }
        | Record::Let { loc, .. } => Some((loc.file().to_owned(), loc.line())),
        _ => None,
    }
}

/// The folder of the data that ships with the project.
pub fn project_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data")
}

#[allow(clippy::ptr_arg, reason = "sqllogictest's type")]
fn normalize(line: &String) -> String {
    line.trim_end().to_owned()
}

/// Compares rows line by line. `<slt:ignore>` in the file stands for any text.
fn validate(normalizer: sqllogictest::Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    const IGNORED: &str = "<slt:ignore>";
    let expected: Vec<String> = expected.iter().map(normalizer).collect();
    let actual: Vec<String> = actual.iter().map(|row| row.join(" ").trim_end().to_owned()).collect();
    if !expected.iter().any(|line| line.contains(IGNORED)) {
        return actual == expected;
    }
    let (expected, actual) = (expected.join("\n"), actual.join("\n"));
    let mut fragments = expected.split(IGNORED);
    let Some(mut rest) = fragments.next().and_then(|first| actual.strip_prefix(first)) else { return false };
    for fragment in fragments {
        let Some(found) = rest.find(fragment) else { return false };
        rest = &rest[found + fragment.len()..];
    }
    expected.ends_with(IGNORED) || rest.is_empty()
}
