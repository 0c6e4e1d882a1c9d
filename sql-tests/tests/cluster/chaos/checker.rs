//! Rows whose answers are known, and whether an answer is right.

use std::fmt::Write;
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use volley_sql_tests::cluster::Cluster;

use super::super::run;

const ROWS: i64 = 36_000;
const SEGMENTS: i64 = 12;
const DIMENSION: usize = 16;
const QUERIES: usize = 40;
pub(super) const K: usize = 10;
/// Fewer of the nearest rows than this are not found by accident.
const FOUND_MIN: usize = 5;

/// A table `docs (id, grp, v)` as it is loaded, and questions about it.
pub(super) struct Data {
    vectors: Vec<[f32; DIMENSION]>,
    questions: Vec<Question>,
}

/// A vector to search for.
pub(super) struct Question {
    pub(super) sql: String,
    vector: [f32; DIMENSION],
    /// The ids of the nearest rows.
    nearest: Vec<i64>,
}

impl Data {
    pub(super) fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let mut vector = || std::array::from_fn(|_| (rng.random_range(-1000..1000) as f32) / 1000.0);
        let vectors: Vec<[f32; DIMENSION]> = (0..ROWS).map(|_| vector()).collect();
        let questions = (0..QUERIES).map(|_| vector()).map(|asked| Question::new(asked, &vectors)).collect();
        Self { vectors, questions }
    }

    /// Loads the table in several segments and indexes it.
    pub(super) async fn load(&self, cluster: &Cluster, directory: &Path) {
        let mut client = cluster.connect().await.unwrap();
        let table = format!("CREATE TABLE docs (id BIGINT PRIMARY KEY, grp BIGINT, v vector({DIMENSION}))");
        let writes = "CREATE TABLE events (id BIGINT PRIMARY KEY, batch BIGINT NOT NULL)";
        run(&mut client, &[&table, writes, "SET volley.auto_index = off"]).await;
        let mut order: Vec<i64> = (0..ROWS).collect();
        order.shuffle(&mut StdRng::seed_from_u64(8));
        for ids in order.chunks((ROWS / SEGMENTS) as usize) {
            let file = directory.join("docs.csv");
            let mut csv = String::from("id,grp,v\n");
            for id in ids {
                writeln!(csv, "{id},{},\"{}\"", id % 10, text(&self.vectors[*id as usize])).unwrap();
            }
            std::fs::write(&file, csv).unwrap();
            run(&mut client, &[&format!("COPY docs FROM '{}'", file.display())]).await;
        }
        run(&mut client, &["CREATE INDEX docs_v ON docs USING hnsw (v vector_l2_ops)"]).await;
    }

    pub(super) fn question(&self, rng: &mut StdRng) -> &Question {
        &self.questions[rng.random_range(0..self.questions.len())]
    }

    /// Whether these are k near rows in order; how many of the nearest are among them.
    pub(super) fn check_nearest(&self, question: &Question, rows: &[Vec<i64>]) -> Result<usize, String> {
        let ids: Vec<i64> = rows.iter().map(|row| row[0]).collect();
        if ids.len() != K {
            return Err(format!("{} nearest rows instead of {K}", ids.len()));
        }
        let mut distances = Vec::with_capacity(K);
        for id in &ids {
            let vector = usize::try_from(*id).ok().and_then(|id| self.vectors.get(id));
            let vector = vector.ok_or_else(|| format!("among the nearest: {id}, which is no row"))?;
            distances.push(distance(vector, &question.vector));
        }
        if distances.windows(2).any(|pair| pair[0] > pair[1] + 1e-4) {
            return Err(format!("nearest rows out of order: {distances:?}"));
        }
        let found = question.nearest.iter().filter(|id| ids.contains(id)).count();
        if found < FOUND_MIN {
            return Err(format!("{found} of the {K} nearest rows"));
        }
        Ok(found)
    }

    /// A query over all rows and what it has to answer.
    pub(super) fn sums() -> (&'static str, Vec<Vec<i64>>) {
        let groups = (0..10).map(|group| {
            let ids = (0..ROWS).filter(|id| id % 10 == group);
            vec![group, ids.clone().count() as i64, ids.sum()]
        });
        ("SELECT grp, count(*), sum(id) FROM docs GROUP BY grp ORDER BY grp", groups.collect())
    }

    /// A look-up and what it has to answer.
    pub(super) fn look_up(rng: &mut StdRng) -> (String, Vec<Vec<i64>>) {
        let id = rng.random_range(0..ROWS);
        (format!("SELECT id, grp FROM docs WHERE id = {id}"), vec![vec![id, id % 10]])
    }
}

impl Question {
    fn new(vector: [f32; DIMENSION], vectors: &[[f32; DIMENSION]]) -> Self {
        let mut near: Vec<(f32, i64)> =
            vectors.iter().enumerate().map(|(id, row)| (distance(row, &vector), id as i64)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        let nearest = near.iter().take(K).map(|(_, id)| *id).collect();
        let sql = format!("SELECT id FROM docs ORDER BY v <-> '{}' LIMIT {K}", text(&vector));
        Self { sql, vector, nearest }
    }
}

fn text(vector: &[f32; DIMENSION]) -> String {
    let values: Vec<String> = vector.iter().map(f32::to_string).collect();
    format!("[{}]", values.join(","))
}

fn distance(a: &[f32; DIMENSION], b: &[f32; DIMENSION]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
