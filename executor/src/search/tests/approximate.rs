//! Approximate searches of random tables: whatever the index does, no row comes back that must not, none twice, none
//! missing while others qualify, and every distance is the exact one.
//!
//! The short form runs 250 cases; `VOLLEY_SEARCH_CASES=10000` runs so many, `VOLLEY_SEARCH_SEED=n` one alone.

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use volley_storage::index_definition::IndexDefinition;

use super::fixture::{EMB, Fixture, ID, Insert, Row, searcher_on};
use super::properties::Filter;
use crate::search::{Approximate, FilterStrategy, Metric, SearchRequest, SearchResponse, ShardSearcher, Way};

/// A table, its index and a search of it.
#[derive(Debug)]
struct Case {
    dim: usize,
    inserts: Vec<Insert>,
    deleted_before: Vec<u64>,
    deleted_after: Vec<u64>,
    metric: Metric,
    quantizer: &'static str,
    m: usize,
    query: Vec<f32>,
    k: usize,
    ties: bool,
    bound: Option<f32>,
    filter: Filter,
    ef: Option<usize>,
    target: f32,
    strategy: FilterStrategy,
}

/// Vectors of one kind: continuous, few different values, or with a few directions that dominate.
fn vector(random: &mut StdRng, dim: usize, kind: u32) -> Vec<f32> {
    match kind {
        0 => (0..dim).map(|_| random.random_range(-1.0f32..1.0)).collect(),
        1 => (0..dim).map(|_| f32::from(random.random_range(-1i8..=1))).collect(),
        _ => {
            let size = 10f32.powi(random.random_range(-3..4));
            (0..dim).map(|i| random.random_range(-1.0f32..1.0) * size / (1 + i % 7) as f32).collect()
        }
    }
}

fn case(seed: u64) -> Case {
    let mut random = StdRng::seed_from_u64(seed);
    let dim = match random.random_range(0..10) {
        0 => random.random_range(65..=1024),
        1..4 => random.random_range(1..=3),
        _ => random.random_range(4..=64),
    };
    let kind = random.random_range(0..3);
    let rows_most = if dim > 64 { 60 } else { 300 };
    let mut id = 0;
    let inserts = (0..random.random_range(1..5))
        .map(|_| {
            let count = random.random_range(0..rows_most);
            let rows = (0..count)
                .map(|_| {
                    id += 1;
                    let is_null = random.random_range(0..12) == 0;
                    let is_zero = random.random_range(0..20) == 0;
                    let emb = if is_zero { vec![0.0; dim] } else { vector(&mut random, dim, kind) };
                    let tenant = (random.random_range(0..9) > 0).then(|| random.random_range(0..3));
                    Row { id: id - 1, tenant, emb: (!is_null).then_some(emb) }
                })
                .collect();
            Insert { rows, inline: random.random_range(0..5) == 0 }
        })
        .collect();
    let rows = id as u64;
    let some = |random: &mut StdRng, most: u64| -> Vec<u64> {
        let count = random.random_range(0..=most);
        (0..count).map(|_| random.random_range(0..rows.max(1))).collect()
    };
    let deleted_before = if random.random_range(0..3) == 0 { some(&mut random, rows / 4) } else { Vec::new() };
    let deleted_after = if random.random_range(0..2) == 0 { some(&mut random, rows / 2) } else { Vec::new() };
    Case {
        dim,
        inserts,
        deleted_before,
        deleted_after,
        metric: Metric::ALL[random.random_range(0..4)],
        quantizer: ["f32", "f16", "i8"][random.random_range(0..3)],
        m: random.random_range(2..20),
        query: vector(&mut random, dim, kind),
        k: [1, 2, 10, 10, 50, 400][random.random_range(0..6)],
        ties: random.random_range(0..4) == 0,
        bound: (random.random_range(0..6) == 0).then(|| random.random_range(-1.0f32..3.0)),
        filter: match random.random_range(0..6) {
            0..2 => Filter::None,
            2 => Filter::TenantIs(random.random_range(0..4)),
            3 => Filter::TenantIsNull,
            4 => Filter::IdBelow(random.random_range(0..id + 1)),
            _ => Filter::IdBelow(id - id / 20),
        },
        ef: (random.random_range(0..2) == 0).then(|| random.random_range(1..100)),
        target: [0.5, 0.9, 0.95, 0.99][random.random_range(0..4)],
        strategy: FilterStrategy::ALL[[0, 0, 2, 3][random.random_range(0..4)]],
    }
}

impl Case {
    async fn search(&self) -> SearchResponse {
        let parameters = [
            ("ef_construction", "40".to_owned()),
            ("m", self.m.to_string()),
            ("metric", self.metric.to_string()),
            ("quantizer", self.quantizer.to_owned()),
        ];
        let index = IndexDefinition {
            method: "hnsw".into(),
            columns: vec![EMB],
            parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let fixture = Fixture::new(self.dim, &self.inserts, &self.deleted_before, false).await;
        let fixture = fixture.with_index(&index, &self.deleted_after).await;
        let filter = self.filter.physical(&fixture);
        let request = SearchRequest {
            segments: Arc::clone(&fixture.set),
            ordinals: fixture.ordinals(),
            column: EMB,
            metric: self.metric,
            queries: self.query.as_slice().into(),
            dim: self.dim,
            k: self.k,
            ties: self.ties,
            tie_order: Vec::new(),
            filter: filter.as_ref().map(|filter| Arc::clone(&filter.predicate)),
            filter_columns: filter.map_or_else(Vec::new, |filter| filter.columns),
            approximate: Some(Approximate { index, recall_target: self.target, ef: self.ef, strategy: self.strategy }),
            floor: self.bound.map(|bound| Arc::from([bound])),
            projection: vec![ID],
            deadline: None,
        };
        searcher_on(2).search(request, &fixture.task).await.unwrap()
    }

    /// Rows that may come back, by id.
    fn qualifies(&self, row: &Row) -> bool {
        let id = row.id as u64;
        let is_live = !self.deleted_before.contains(&id) && !self.deleted_after.contains(&id);
        let is_near = self.bound.is_none_or(|bound| self.distance(row).is_some_and(|distance| distance <= bound));
        is_live && is_near && self.filter.keeps(row)
    }

    fn distance(&self, row: &Row) -> Option<f32> {
        volley_index::distance(self.metric, row.emb.as_ref()?, &self.query).filter(|distance| !distance.is_nan())
    }

    /// Checks an answer; whether a graph had a part in it.
    fn check(&self, response: &SearchResponse) -> bool {
        let rows: Vec<&Row> = self.inserts.iter().flat_map(|insert| &insert.rows).collect();
        let answer = &response.queries[0];
        let ids = answer.columns.column(0).as_primitive::<Int64Type>().values();
        assert_eq!(ids.len(), answer.hits.len());
        let qualifying = rows.iter().filter(|row| self.qualifies(row)).count();
        let wanted = self.k.min(qualifying);
        let found = answer.hits.len();
        assert!(found == wanted || self.ties && found > wanted, "{found} rows of {wanted}");
        let mut last = f32::NEG_INFINITY;
        for (position, (id, hit)) in ids.iter().zip(&answer.hits).enumerate() {
            assert!(!ids[..position].contains(id), "row {id} twice");
            let row = rows[*id as usize];
            assert!(self.qualifies(row), "row {id} must not be found");
            assert_eq!(hit.distance, self.distance(row), "row {id}");
            let distance = hit.distance.unwrap_or(f32::INFINITY);
            assert!(distance >= last, "out of order at {position}");
            last = distance;
        }
        if self.ties {
            // Of rows with one vector in one segment, none or all.
            for insert in &self.inserts {
                for row in insert.rows.iter().filter(|row| self.qualifies(row) && self.distance(row).is_some()) {
                    let is_copy = |other: &&Row| other.emb == row.emb && ids.contains(&other.id);
                    let copy = insert.rows.iter().find(is_copy);
                    assert!(copy.is_none() || ids.contains(&row.id), "row {} is as near as {copy:?}", row.id);
                }
            }
        }
        response.metrics.groups.iter().any(|group| !matches!(group.way, Way::Exact(_)))
    }
}

#[test]
fn answers_are_sound_whatever_the_index_does() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seeds = match number("VOLLEY_SEARCH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("VOLLEY_SEARCH_CASES").unwrap_or(250),
    };
    let (mut cases, mut walked) = (0, 0);
    for seed in seeds {
        let case = case(seed);
        let done =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.check(&runtime.block_on(case.search()))));
        match done {
            Ok(is_walked) => walked += u64::from(is_walked),
            Err(panic) => {
                eprintln!("VOLLEY_SEARCH_SEED={seed} fails");
                std::panic::resume_unwind(panic);
            }
        }
        cases += 1;
    }
    println!("{cases} cases, {walked} of them with a graph");
    assert!(cases < 100 || walked > cases / 5, "only {walked} of {cases} cases used a graph");
}
