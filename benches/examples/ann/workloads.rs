//! The data sets that lie beside the project: their tables, queries and filters, and how they are loaded.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use volley::{Engine, Session};

use crate::Fallible;
use crate::queries::run;

/// One set of rows, its index and its questions.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) create: &'static str,
    pub(crate) key: &'static str,
    pub(crate) rows: &'static str,
    pub(crate) queries: &'static str,
    pub(crate) opclass: &'static str,
    pub(crate) operator: &'static str,
    /// Which answers, and the condition they are under.
    pub(crate) truths: &'static [(&'static str, &'static str)],
    /// Conditions that the files have no answers for.
    pub(crate) conditions: &'static [&'static str],
    /// Columns that the files do not have, computed from theirs while they are loaded: what follows `SELECT *`.
    pub(crate) computed: &'static str,
}

/// All of them.
pub(crate) const WORKLOADS: [Workload; 6] = [
    WORDNET,
    Workload {
        name: "wordnet-bucket",
        create: "CREATE TABLE items (synset_id BIGINT, pos TEXT, lexname TEXT, lemma TEXT, lemmas TEXT[], gloss TEXT, \
                 examples TEXT[], sense_count INTEGER, depth INTEGER, n_hypernyms INTEGER, n_hyponyms INTEGER, \
                 embedding vector(384), bucket INTEGER)",
        computed: BUCKET,
        ..WORDNET
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
        conditions: &["label = 3", "label < 5"],
        computed: "",
    },
    Workload { name: "glove-cosine", opclass: "vector_cosine_ops", operator: "<=>", truths: &GLOVE_COSINE, ..GLOVE },
    Workload {
        name: "glove-l2",
        opclass: "vector_l2_ops",
        operator: "<->",
        truths: &[("gt_l2", "")],
        conditions: &GLOVE_CONDITIONS,
        ..GLOVE
    },
    Workload {
        name: "glove-ip",
        opclass: "vector_ip_ops",
        operator: "<#>",
        truths: &[("gt_ip", "")],
        conditions: &GLOVE_CONDITIONS,
        ..GLOVE
    },
];

/// Evenly from 0 to [`BUCKETS`], and independent of what a row means: a multiplicative hash of its key.
const BUCKET: &str = ", CAST(synset_id * 2654435761 % 100000000 AS INTEGER)";

/// How many buckets there are.
pub(crate) const BUCKETS: i64 = 100_000_000;

const WORDNET: Workload = Workload {
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
    conditions: &[],
    computed: "",
};

const GLOVE_COSINE: [(&str, &str); 5] = [
    ("gt_cos", ""),
    ("gt_number", "kind = 'number'"),
    ("gt_wordnet", "in_wordnet"),
    ("gt_1pct", "rank <= 4000"),
    ("gt_01pct", "kind = 'alpha' AND length = 1 OR length >= 24"),
];

const GLOVE_CONDITIONS: [&str; 4] = [GLOVE_COSINE[1].1, GLOVE_COSINE[2].1, GLOVE_COSINE[3].1, GLOVE_COSINE[4].1];

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
    conditions: &[],
    computed: "",
};

impl Workload {
    /// All conditions that its rows are asked under.
    pub(crate) fn filters(&self) -> Vec<&'static str> {
        let with_answers =
            self.truths.iter().map(|(_, condition)| *condition).filter(|condition| !condition.is_empty());
        with_answers.chain(self.conditions.iter().copied()).collect()
    }

    /// The search of the k nearest rows to `$1` that pass a condition, if there is one.
    pub(crate) fn search(&self, condition: &str, k: usize) -> String {
        self.ordered(condition, k, "$1", "distance")
    }

    /// The same, searched exactly.
    pub(crate) fn exact_search(&self, condition: &str, k: usize) -> String {
        self.ordered(condition, k, "$1", &format!("exact(embedding {} $1)", self.operator))
    }

    /// The k nearest rows to a vector, in an order.
    pub(crate) fn ordered(&self, condition: &str, k: usize, vector: &str, order: &str) -> String {
        let clause = if condition.is_empty() { String::new() } else { format!("WHERE {condition} ") };
        format!(
            "SELECT {}, embedding {} {vector} AS distance FROM items {clause}ORDER BY {order} LIMIT {k}",
            self.key, self.operator
        )
    }

    /// Makes the table, in so many segments, and its index.
    pub(crate) async fn load(
        &self,
        engine: &Engine,
        session: &Arc<Session>,
        (directory, segments): (&Path, usize),
    ) -> Fallible<()> {
        run(engine, session, self.create).await?;
        let rows = directory.join(self.rows);
        if segments == 1 && self.computed.is_empty() {
            run(engine, session, &format!("COPY items FROM '{}'", rows.display())).await?;
        } else {
            let source = format!("CREATE EXTERNAL TABLE source STORED AS PARQUET LOCATION '{}'", rows.display());
            run(engine, session, &source).await?;
            let Self { key, computed, .. } = self;
            for part in 0..segments {
                let insert =
                    format!("INSERT INTO items SELECT *{computed} FROM source WHERE {key} % {segments} = {part}");
                run(engine, session, &insert).await?;
            }
        }
        let begun = Instant::now();
        run(engine, session, &format!("CREATE INDEX ON items USING hnsw (embedding {})", self.opclass)).await?;
        let build_s = begun.elapsed().as_secs_f64();
        println!("{{\"system\":\"volley\",\"data\":\"{}\",\"build_s\":{build_s:.1}}}", self.name);
        Ok(())
    }
}
