//! The operators against brute force, over random tables.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{Column, binary, is_null, lit};
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, collect};
use proptest::prelude::*;
use volley_storage::ids::FieldId;

use super::fixture::{EMB, Fixture, ID, Insert, Row, TENANT, brute_force, ids_and_distances};
use crate::fetch_rows::FetchRowsExec;
use crate::search::Metric;
use crate::segment_source::{even_parts, scan_config};
use crate::vector_topk::{ExactReason, Precision, Query, SearchFilter, TieBreaker, TopK, VectorTopKExec};

#[derive(Debug, Clone, Copy)]
pub(super) enum Filter {
    None,
    TenantIs(i32),
    TenantIsNull,
    IdBelow(i64),
}

impl Filter {
    pub(super) fn keeps(self, row: &Row) -> bool {
        match self {
            Filter::None => true,
            Filter::TenantIs(tenant) => row.tenant == Some(tenant),
            Filter::TenantIsNull => row.tenant.is_none(),
            Filter::IdBelow(id) => row.id < id,
        }
    }

    pub(super) fn physical(self, fixture: &Fixture) -> Option<SearchFilter> {
        let schema = &fixture.set.schema().arrow;
        let over = |column: FieldId, index: usize| {
            let narrow = schema.project(&[index]).unwrap();
            let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(index).name(), 0));
            (expr, narrow, vec![column])
        };
        let (predicate, columns) = match self {
            Filter::None => return None,
            Filter::TenantIs(tenant) => {
                let (column, schema, columns) = over(TENANT, 1);
                (binary(column, Operator::Eq, lit(tenant), &schema).unwrap(), columns)
            }
            Filter::TenantIsNull => {
                let (column, _, columns) = over(TENANT, 1);
                (is_null(column).unwrap(), columns)
            }
            Filter::IdBelow(id) => {
                let (column, schema, columns) = over(ID, 0);
                (binary(column, Operator::Lt, lit(id), &schema).unwrap(), columns)
            }
        };
        Some(SearchFilter { predicate, columns })
    }
}

#[derive(Debug, Clone)]
struct Case {
    dim: usize,
    inserts: Vec<Insert>,
    deleted: Vec<u64>,
    fold: bool,
    metric: Metric,
    query: Vec<f32>,
    k: usize,
    filter: Filter,
    ties: Vec<(FieldId, SortOptions)>,
    partitions: usize,
}

/// Few different values, so that distances tie, vectors repeat and some are zero.
fn vector(dim: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-2i8..=2).prop_map(f32::from), dim)
}

fn insert(dim: usize) -> impl Strategy<Value = Insert> {
    let row = (0i64..50, prop::option::of(0i32..3), prop::option::weighted(0.85, vector(dim)))
        .prop_map(|(id, tenant, emb)| Row { id, tenant, emb });
    (prop::collection::vec(row, 0..40), any::<bool>()).prop_map(|(rows, inline)| Insert { rows, inline })
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        2 => Just(Filter::None),
        1 => (0i32..4).prop_map(Filter::TenantIs),
        1 => Just(Filter::TenantIsNull),
        1 => (0i64..50).prop_map(Filter::IdBelow),
    ]
}

fn ties() -> impl Strategy<Value = Vec<(FieldId, SortOptions)>> {
    let options =
        (any::<bool>(), any::<bool>()).prop_map(|(descending, nulls_first)| SortOptions { descending, nulls_first });
    let both = prop_oneof![Just(vec![]), Just(vec![ID]), Just(vec![TENANT]), Just(vec![TENANT, ID])];
    (both, prop::collection::vec(options, 2)).prop_map(|(columns, options)| columns.into_iter().zip(options).collect())
}

fn case() -> impl Strategy<Value = Case> {
    (1usize..5).prop_flat_map(|dim| {
        let table = (prop::collection::vec(insert(dim), 0..5), prop::collection::vec(0u64..120, 0..40), any::<bool>());
        let search = (prop::sample::select(Metric::ALL.to_vec()), vector(dim), 1usize..60, filter(), ties(), 1usize..4);
        (table, search).prop_map(move |((inserts, deleted, fold), (metric, query, k, filter, ties, partitions))| Case {
            dim,
            inserts,
            deleted,
            fold,
            metric,
            query,
            k,
            filter,
            ties,
            partitions,
        })
    })
}

async fn answer(case: &Case) -> Vec<(i64, Option<f64>)> {
    let fixture = Fixture::new(case.dim, &case.inserts, &case.deleted, case.fold).await;
    let parts = even_parts(&fixture.set, fixture.ordinals(), case.partitions).unwrap();
    let config = scan_config(&fixture.set, &parts, None, None, fixture.task.session_config().options()).unwrap();
    let topk = TopK {
        column: EMB,
        metric: case.metric,
        query: Query::Constant(case.query.clone().into()),
        k: case.k,
        ties: case.ties.iter().map(|(column, options)| TieBreaker { column: *column, options: *options }).collect(),
        // As a search elsewhere would give its rows.
        carried: [TENANT].into_iter().filter(|id| case.fold && case.ties.iter().all(|tie| tie.0 != *id)).collect(),
        filter: case.filter.physical(&fixture),
        bound: None,
        precision: Precision::Exact(ExactReason::NoIndex),
    };
    let search = VectorTopKExec::try_new(topk, DataSourceExec::from_data_source(config)).unwrap();
    let order = search.order().clone();
    let merge = SortPreservingMergeExec::new(order.clone(), Arc::new(search)).with_fetch(Some(case.k));
    let fetch =
        FetchRowsExec::try_new(Arc::new(merge), order, Arc::clone(&fixture.set), vec![ID, TENANT], case.k).unwrap();
    assert_eq!(fetch.schema().fields().len(), 3);
    ids_and_distances(&collect(Arc::new(fetch), Arc::clone(&fixture.task)).await.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn operators_agree_with_brute_force(case in case()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let found = runtime.block_on(answer(&case));
        let rows: Vec<(u64, Row)> = (0u64..).zip(case.inserts.iter().flat_map(|insert| insert.rows.clone())).collect();
        let live: Vec<_> = rows.into_iter().filter(|(row_id, _)| !case.deleted.contains(row_id)).collect();
        let filter = case.filter;
        let expected = brute_force(&live, &case.query, case.metric, case.k, |row| filter.keeps(row), &case.ties);
        prop_assert_eq!(found, expected);
    }
}
