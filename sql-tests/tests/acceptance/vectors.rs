//! Exact top-10 over real embeddings, loaded by COPY, against the answers that come with the data.
//!
//! Answers are compared by distance (relative tolerance 1e-5): a few lists hold equal distances.

mod ground_truth;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use volley::Error;

use self::ground_truth::{Query, read_queries};
use super::engine::Db;
use super::setting;

/// One table and where its rows come from.
pub(super) struct Table {
    pub(super) create: &'static str,
    pub(super) name: &'static str,
    pub(super) file: &'static str,
    pub(super) rows: i64,
}

/// One list of answers: which query columns hold it, and the SQL that must find it.
pub(super) struct Truth {
    /// The prefix of `…_ids` and `…_dists` (or `…_scores`).
    pub(super) columns: &'static str,
    pub(super) operator: &'static str,
    pub(super) filter: &'static str,
}

const fn truth(columns: &'static str, operator: &'static str, filter: &'static str) -> Truth {
    Truth { columns, operator, filter }
}

/// A set of data: its tables, its queries and their answers.
pub(super) struct DataSet {
    pub(super) tables: &'static [Table],
    pub(super) queries: &'static str,
    pub(super) searched: &'static str,
    pub(super) key: &'static str,
    pub(super) truths: &'static [Truth],
}

const SYNSETS: &str = "CREATE TABLE synsets (synset_id BIGINT PRIMARY KEY, pos TEXT NOT NULL, lexname TEXT NOT NULL, \
     lemma TEXT NOT NULL, lemmas TEXT[], gloss TEXT, examples TEXT[], sense_count INTEGER, depth INTEGER, \
     n_hypernyms INTEGER, n_hyponyms INTEGER, embedding vector(384) NOT NULL)";
const RELATIONS: &str = "CREATE TABLE relations (src BIGINT NOT NULL, rel TEXT NOT NULL, dst BIGINT NOT NULL, \
     src_lemma TEXT, dst_lemma TEXT)";

const SAMPLE: DataSet = DataSet {
    tables: &[
        Table { create: SYNSETS, name: "synsets", file: "wordnet_synsets.parquet", rows: 4_799 },
        Table { create: RELATIONS, name: "relations", file: "wordnet_relations.parquet", rows: 11_027 },
    ],
    queries: "wordnet_queries.parquet",
    searched: "synsets",
    key: "synset_id",
    truths: &[
        truth("gt", "<=>", "TRUE"),
        truth("gt_verb", "<=>", "pos = 'verb'"),
        truth("gt_food", "<=>", "lexname = 'noun.food'"),
    ],
};

pub(super) const WORDNET: DataSet = DataSet {
    tables: &[
        Table { create: SYNSETS, name: "synsets", file: "wordnet_synsets.parquet", rows: 117_659 },
        Table { create: RELATIONS, name: "relations", file: "wordnet_relations.parquet", rows: 377_592 },
    ],
    queries: "wordnet_queries.parquet",
    searched: "synsets",
    key: "synset_id",
    truths: &[
        truth("gt", "<=>", "TRUE"),
        truth("gt_tagged", "<=>", "sense_count > 0"),
        truth("gt_verb", "<=>", "pos = 'verb'"),
        truth("gt_animal", "<=>", "lexname = 'noun.animal'"),
        truth("gt_notdepth", "<=>", "NOT (depth < 12)"),
        truth("gt_1pct", "<=>", "n_hyponyms >= 14"),
        truth("gt_01pct", "<=>", "sense_count >= 170"),
        truth("gt_conj", "<=>", "lexname = 'noun.artifact' AND depth >= 13"),
    ],
};

pub(super) const FASHION: DataSet = DataSet {
    tables: &[Table {
        create: "CREATE TABLE fashion (id BIGINT PRIMARY KEY, label INTEGER NOT NULL, embedding vector(784) NOT NULL)",
        name: "fashion",
        file: "fashion_mnist_train.parquet",
        rows: 60_000,
    }],
    queries: "fashion_mnist_test.parquet",
    searched: "fashion",
    key: "id",
    truths: &[truth("gt", "<->", "TRUE")],
};

pub(super) const GLOVE: DataSet = DataSet {
    tables: &[Table {
        create: "CREATE TABLE glove (id BIGINT PRIMARY KEY, word TEXT NOT NULL, rank INTEGER NOT NULL, \
                 length INTEGER NOT NULL, kind TEXT NOT NULL, in_wordnet BOOLEAN NOT NULL, embedding vector(50) NOT NULL)",
        name: "glove",
        file: "glove_base.parquet",
        rows: 399_000,
    }],
    queries: "glove_queries.parquet",
    searched: "glove",
    key: "id",
    truths: &[
        truth("gt_cos", "<=>", "TRUE"),
        truth("gt_l2", "<->", "TRUE"),
        truth("gt_ip", "<#>", "TRUE"),
        truth("gt_number", "<=>", "kind = 'number'"),
        truth("gt_wordnet", "<=>", "in_wordnet"),
        truth("gt_1pct", "<=>", "rank <= 4000"),
        truth("gt_01pct", "<=>", "kind = 'alpha' AND length = 1 OR length >= 24"),
    ],
};

/// The vectors of the first queries of a file.
pub(super) fn queries(path: &Path, columns: &str, most: usize) -> Vec<datafusion::scalar::ScalarValue> {
    read_queries(path, columns, most).into_iter().map(|query| query.vector).collect()
}

#[test]
fn sample() {
    SAMPLE.check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data"));
}

#[test]
fn wordnet() {
    WORDNET.check_if_there();
}

#[test]
fn fashion_mnist() {
    FASHION.check_if_there();
}

#[test]
fn glove() {
    GLOVE.check_if_there();
}

impl DataSet {
    /// Checks it, or says that its files are not there.
    fn check_if_there(&self) {
        if let Some(directory) = self.directory() {
            self.check(&directory);
        }
    }

    /// Where its files lie; says so if they are not there.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        let directory = std::env::var_os("VOLLEY_TEST_DATA")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
        if directory.join(self.queries).exists() {
            return Some(directory);
        }
        eprintln!(
            "NOT TESTED: {} is not in {}; set VOLLEY_TEST_DATA to where the data lies",
            self.queries,
            directory.display()
        );
        None
    }

    fn check(&self, directory: &Path) {
        let data = tempfile::tempdir().expect("a directory");
        let db = Db::local(&data.path().join("data"));
        for table in self.tables {
            table.load(&db, directory);
        }
        let most: usize = setting("VOLLEY_VECTOR_QUERIES", 40);
        for truth in self.truths {
            let queries = read_queries(&directory.join(self.queries), truth.columns, most);
            self.check_truth(&db, truth, &queries);
        }
    }

    fn check_truth(&self, db: &Db, truth: &Truth, queries: &[Query]) {
        let Truth { columns, operator, filter } = truth;
        let Self { searched, key, .. } = self;
        let condition = if *filter == "TRUE" { String::new() } else { format!("WHERE {filter} ") };
        let sql = format!(
            "SELECT {key}, embedding {operator} $1 AS distance FROM {searched} {condition}ORDER BY distance LIMIT 10"
        );
        assert!(!queries.is_empty(), "{columns} has no queries");
        let mut time = Duration::ZERO;
        for query in queries {
            let request = db.request(&sql).with_parameters(vec![query.vector.clone()]);
            let start = Instant::now();
            let found = db.run(request).unwrap_or_else(|error| panic!("{error}\n{sql}"));
            time += start.elapsed();
            let (mut ids, mut distances) = (Vec::new(), Vec::new());
            for batch in &found {
                ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
                assert_eq!(batch.column(1).null_count(), 0, "{sql}");
                distances.extend(batch.column(1).as_primitive::<Float64Type>().values());
            }
            query.check(&ids, &distances, &format!("{sql}, query {}", query.number));
        }
        let rate = queries.len() as f64 / time.as_secs_f64();
        println!(
            "{searched:8} {columns:12} {operator} {filter:48} {:4} queries right, {rate:8.1} per second",
            queries.len()
        );
    }
}

impl Table {
    pub(super) fn load(&self, db: &Db, directory: &Path) {
        db.sql(self.create);
        let path = directory.join(self.file);
        let start = Instant::now();
        db.sql(&format!("COPY {} FROM '{}'", self.name, path.display()));
        let time = start.elapsed();
        assert_eq!(db.number(&format!("SELECT count(*) FROM {}", self.name)), self.rows);
        let bytes = path.metadata().expect("a file").len();
        println!(
            "{:10} {:>7} rows, {bytes:>9} bytes of Parquet, loaded in {:.2} s",
            self.name,
            self.rows,
            time.as_secs_f64()
        );
    }
}

#[test]
fn the_plan_searches_instead_of_sorting() {
    let db = Db::memory();
    db.sql("CREATE TABLE t (id BIGINT, v vector(2))");
    let plan = db.plan("SELECT id, v <=> '[1, 0]' AS d FROM t WHERE id > 3 ORDER BY d LIMIT 10");
    assert!(plan.contains("VectorTopK"), "{plan}");
}

#[test]
fn a_query_with_the_wrong_number_of_elements_is_refused() {
    let db = Db::memory();
    db.sql("CREATE TABLE t (id BIGINT, v vector(2))");
    let error: Error = db.refused("SELECT id FROM t ORDER BY v <=> '[1, 0, 0]' LIMIT 10");
    assert!(error.to_string().contains('3') && error.to_string().contains('2'), "{error}");
}
