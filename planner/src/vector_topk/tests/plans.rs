//! The plans that the rule makes.

use super::docs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selected_distance_is_computed_once() {
    let sql = "SELECT id, l2_distance(emb, '[1,1]') AS d FROM docs WHERE tenant = 2 ORDER BY d, id LIMIT 5";
    let pair = docs().await;
    insta::assert_snapshot!(pair.logical(sql).await, @r"
    Sort: d ASC NULLS LAST, docs.id ASC NULLS LAST, fetch=5
      Projection: docs.id, __distance AS d
        VectorTopK: k=5, metric=l2, column=docs.emb, dimension=2, ties=[docs.id ASC NULLS LAST], filter=docs.tenant = Int32(2), strategy=exact (no index)
          TableScan: docs projection=[id], partial_filters=[docs.tenant = Int32(2)]
    ");
    insta::assert_snapshot!(pair.physical(sql).await, @r"
    ProjectionExec: expr=[id@0 as id, __distance@1 as d]
      FetchRowsExec: k=5, columns=[id]
        SortPreservingMergeExec: [__distance@3 ASC NULLS LAST, id@0 ASC NULLS LAST, _rowid@2 ASC NULLS LAST], fetch=5
          VectorTopKExec: k=5, metric=l2, column=emb, dimension=2, ties=[id ASC NULLS LAST], filter=tenant@0 = 2, strategy=exact (no index)
            DataSourceExec: projection=[id], output_partitioning=UnknownPartitioning(1), file_type=segment, version=3
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distance_that_is_not_selected_is_carried_and_cut_off() {
    let sql = "SELECT body FROM docs ORDER BY exact(cosine_distance(emb, '[1,1]')) LIMIT 5 OFFSET 2";
    let pair = docs().await;
    insta::assert_snapshot!(pair.logical(sql).await, @r"
    Projection: docs.body
      Limit: skip=2, fetch=5
        Sort: __distance ASC NULLS LAST, fetch=7
          VectorTopK: k=7, metric=cosine, column=docs.emb, dimension=2, strategy=exact (asked for)
            TableScan: docs projection=[body]
    ");
    insta::assert_snapshot!(pair.physical(sql).await, @r"
    ProjectionExec: expr=[body@0 as body]
      GlobalLimitExec: skip=2, fetch=5
        FetchRowsExec: k=7, columns=[body]
          SortPreservingMergeExec: [__distance@2 ASC NULLS LAST, _rowid@1 ASC NULLS LAST], fetch=7
            VectorTopKExec: k=7, metric=cosine, column=emb, dimension=2, strategy=exact (asked for)
              DataSourceExec: projection=[body], output_partitioning=UnknownPartitioning(1), file_type=segment, version=3
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_aliases_becomes_one_projection() {
    let sql = "WITH s AS (SELECT id AS i, emb AS e, tenant AS t FROM docs WHERE id > 3) \
               SELECT i + 1 AS next FROM s x WHERE t = 1 ORDER BY l2_distance(e, '[2,2]'), t DESC LIMIT 6";
    let pair = docs().await;
    insta::assert_snapshot!(pair.logical(sql).await, @r"
    Projection: next
      Sort: __distance ASC NULLS LAST, x.t DESC NULLS FIRST, fetch=6
        Projection: docs.id + Int64(1) AS next, docs.tenant AS t, __distance
          VectorTopK: k=6, metric=l2, column=docs.emb, dimension=2, ties=[docs.tenant DESC NULLS FIRST], filter=docs.id > Int64(3) AND docs.tenant = Int32(1), strategy=exact (no index)
            TableScan: docs projection=[id, tenant], partial_filters=[docs.id > Int64(3), docs.tenant = Int32(1)]
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_above_runs_over_the_winners() {
    let sql = "SELECT tenant, count(*) AS n FROM (SELECT tenant FROM docs ORDER BY l2_distance(emb, '[1,1]') LIMIT 4) \
               GROUP BY tenant ORDER BY tenant";
    let pair = docs().await;
    insta::assert_snapshot!(pair.logical(sql).await, @r"
    Sort: docs.tenant ASC NULLS LAST
      Projection: docs.tenant, count(Int64(1)) AS count(*) AS n
        Aggregate: groupBy=[[docs.tenant]], aggr=[[count(Int64(1))]]
          Projection: docs.tenant
            Sort: __distance ASC NULLS LAST, fetch=4
              VectorTopK: k=4, metric=l2, column=docs.emb, dimension=2, strategy=exact (no index)
                TableScan: docs projection=[tenant]
    ");
    insta::assert_snapshot!(pair.physical(sql).await, @r"
    SortPreservingMergeExec: [tenant@0 ASC NULLS LAST]
      ProjectionExec: expr=[tenant@0 as tenant, count(Int64(1))@1 as n]
        SortExec: expr=[tenant@0 ASC NULLS LAST], preserve_partitioning=[true]
          AggregateExec: mode=FinalPartitioned, gby=[tenant@0 as tenant], aggr=[count(Int64(1))]
            RepartitionExec: partitioning=Hash([tenant@0], 2), input_partitions=2
              AggregateExec: mode=Partial, gby=[tenant@0 as tenant], aggr=[count(Int64(1))]
                RepartitionExec: partitioning=RoundRobinBatch(2), input_partitions=1
                  ProjectionExec: expr=[tenant@0 as tenant]
                    FetchRowsExec: k=4, columns=[tenant]
                      SortPreservingMergeExec: [__distance@2 ASC NULLS LAST, _rowid@1 ASC NULLS LAST], fetch=4
                        VectorTopKExec: k=4, metric=l2, column=emb, dimension=2, strategy=exact (no index)
                          DataSourceExec: projection=[tenant], output_partitioning=UnknownPartitioning(1), file_type=segment, version=3
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_order_above_sorts_the_winners() {
    let sql =
        "SELECT id FROM (SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]') LIMIT 6) ORDER BY id DESC LIMIT 2";
    let pair = docs().await;
    insta::assert_snapshot!(pair.physical(sql).await, @r"
    SortExec: TopK(fetch=2), expr=[id@0 DESC], preserve_partitioning=[false]
      ProjectionExec: expr=[id@0 as id]
        FetchRowsExec: k=6, columns=[id]
          SortPreservingMergeExec: [__distance@2 ASC NULLS LAST, _rowid@1 ASC NULLS LAST], fetch=6
            VectorTopKExec: k=6, metric=l2, column=emb, dimension=2, strategy=exact (no index)
              DataSourceExec: projection=[id], output_partitioning=UnknownPartitioning(1), file_type=segment, version=3
    ");
}
