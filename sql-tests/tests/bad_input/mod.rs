//! What has to be refused with one clear sentence and no change, and what simply has to work.

mod chains;
mod damage;
mod disk;
mod files;
mod indexes;
mod keys;
mod names;
mod ordinary;
mod paths;
mod vectors;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;
use volley_scheduler::{DataLocation, Engine, EngineConfig, QueryRequest, Session};
use volley_sql_tests::cells;
use volley_sql_tests::topology::Refusal;

/// An engine, a session, and the runtime that asks them.
struct Volley {
    runtime: tokio::runtime::Runtime,
    engine: Arc<Engine>,
    session: Arc<Session>,
    directory: TempDir,
}

/// Opens a data directory, or says why not.
fn open(path: &Path) -> Result<Volley, Refusal> {
    Volley::open(DataLocation::Local(path.to_owned()))
}

impl Volley {
    fn in_memory() -> Self {
        Self::open(DataLocation::Memory).unwrap()
    }

    fn open(data: DataLocation) -> Result<Self, Refusal> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = EngineConfig { threads: Some(2), ..EngineConfig::new(data) };
        let engine = runtime.block_on(Engine::open(config))?;
        let session = engine.session();
        Ok(Self { runtime, engine, session, directory: tempfile::tempdir().unwrap() })
    }

    /// A path for files of this test.
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, sql: &str) -> Result<Vec<Vec<String>>, Refusal> {
        self.runtime.block_on(async {
            let result = self.engine.execute(QueryRequest::new(sql, &self.session)).await?;
            Ok(cells::rows(&result.collect().await?).unwrap())
        })
    }

    /// Runs statements that have to work.
    fn ok(&self, statements: &str) {
        for statement in statements.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            if let Err(refusal) = self.run(statement) {
                panic!("{} [{}]\n{}", refusal.sentence, refusal.sqlstate, head(statement));
            }
        }
    }

    /// The one value of a query.
    fn value(&self, sql: &str) -> String {
        let rows = self.run(sql).unwrap_or_else(|refusal| panic!("{refusal}: {}", head(sql)));
        assert_eq!((rows.len(), rows.first().map(Vec::len)), (1, Some(1)), "{}", head(sql));
        rows[0][0].clone()
    }

    /// Everything that a statement could have changed: names, columns, and the rows of every table.
    fn everything(&self) -> String {
        let mut all = String::new();
        let tables = "SELECT table_schema, table_name FROM information_schema.tables \
                      WHERE table_schema NOT IN ('information_schema', 'volley') ORDER BY 1, 2";
        let columns = "SELECT table_name, column_name, data_type FROM information_schema.columns \
                       WHERE table_schema NOT IN ('information_schema', 'volley') ORDER BY 1, 2";
        all.push_str(&format!("{:?}", self.run(columns)));
        for table in self.run(tables).unwrap() {
            let mut rows = self.run(&format!("SELECT * FROM \"{}\".\"{}\"", table[0], table[1]));
            if let Ok(rows) = &mut rows {
                rows.sort();
            }
            all.push_str(&format!("{table:?} {rows:?}"));
        }
        all
    }

    /// Runs a statement that has to be refused: one clear sentence of this SQLSTATE (or one of several, as in
    /// `22P02|22023`), and nothing changed.
    #[track_caller]
    fn refuses(&self, sqlstate: &str, sql: &str) -> String {
        let before = self.everything();
        let started = Instant::now();
        let refusal = match self.run(sql) {
            Err(refusal) => refusal,
            Ok(rows) => panic!("not refused but answered with {} rows: {}", rows.len(), head(sql)),
        };
        let seconds = started.elapsed().as_secs_f64();
        assert!(seconds < 30.0, "took {seconds:.1} s to refuse: {}", head(sql));
        assert_clear(&refusal, sql);
        let wanted = sqlstate.split('|').any(|sqlstate| sqlstate == refusal.sqlstate);
        assert!(wanted, "{} instead of {sqlstate}: {}: {}", refusal.sqlstate, refusal.sentence, head(sql));
        assert_eq!(self.everything(), before, "the refused statement changed something: {}", head(sql));
        // Still well.
        assert_eq!(self.value("SELECT 1 + 1"), "2");
        refusal.sentence
    }

    /// The same, and the sentence has these words.
    #[track_caller]
    fn refuses_saying(&self, sqlstate: &str, words: &str, sql: &str) {
        let sentence = self.refuses(sqlstate, sql);
        assert!(sentence.contains(words), "\"{sentence}\" does not say \"{words}\": {}", head(sql));
    }
}

/// One sentence for people: a line, not endless, without the words of libraries or Debug output.
#[track_caller]
fn assert_clear(refusal: &Refusal, sql: &str) {
    let sentence = &refusal.sentence;
    let foreign = [
        "DataFusion",
        "Arrow error",
        "Parquet error",
        "Object Store error",
        "External(",
        "Some(",
        "None,",
        "Ok(",
        "Err(",
        "panicked",
        "backtrace",
        "Error during planning",
        "Execution error",
        "internal error",
        "likely caused by a bug",
        "Utf8View",
        "FixedSizeList",
        "::",
        " { ",
    ];
    assert!(!sentence.is_empty() && sentence.lines().count() == 1, "not one line: {sentence:?} for {}", head(sql));
    assert!(sentence.chars().count() <= 800, "too long: {sentence}");
    for word in foreign {
        // A cast in the user's own text may be quoted.
        assert!(
            !sentence.contains(word) || (word == "::" && sql.contains("::")),
            "{word:?} in {sentence:?} for {}",
            head(sql)
        );
    }
    assert_ne!(refusal.sqlstate, "XX000", "an internal error: {sentence} for {}", head(sql));
}

/// The beginning of a statement, for messages.
fn head(sql: &str) -> String {
    sql.chars().take(300).collect()
}
