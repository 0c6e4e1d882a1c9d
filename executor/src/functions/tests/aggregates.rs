use super::*;

#[tokio::test]
async fn vectors_are_summed() {
    let context = session();
    assert_eq!(
        rows(&context, "SELECT sum(emb)::text, avg(emb)::text, mean(other)::text FROM t").await,
        ["[5,7,9] [1.6666666,2.3333333,3] [0.33333334,0.33333334,0.33333334]"]
    );
    assert_eq!(rows(&context, "SELECT sum(emb)::text FROM t WHERE id = 3").await, ["NULL"]);
    assert_eq!(rows(&context, "SELECT sum(emb), avg(emb) FROM t WHERE id > 9").await, ["NULL NULL"]);
    assert_eq!(
        rows(&context, "SELECT id % 2 AS g, sum(emb)::text, avg(emb)::text, count(*) FROM t GROUP BY g ORDER BY g")
            .await,
        ["0 [4,5,6] [2,2.5,3] 2", "1 [1,2,3] [1,2,3] 2"]
    );
    assert_eq!(rows(&context, "SELECT sum(emb) FILTER (WHERE id > 1)::text AS s FROM t").await, ["[4,5,6]"]);
    assert_eq!(
        rows(
            &context,
            "SELECT id, sum(emb) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)::text FROM t ORDER BY id"
        )
        .await,
        ["1 [1,2,3]", "2 [5,7,9]", "3 [4,5,6]", "4 [0,0,0]"]
    );
    assert_eq!(
        rows(&context, "SELECT sum(DISTINCT emb)::text FROM (SELECT emb FROM t UNION ALL SELECT emb FROM t)").await,
        ["[5,7,9]"]
    );
}

/// More groups than one batch, in many partitions, so that states are merged and, when aggregation does not reduce the
/// rows, skipped.
#[tokio::test]
async fn groups_are_merged_over_partitions() {
    let context = session();
    let numbers = "SELECT i, to_vector(make_array(i, 2 * i, 1), 3) AS v FROM (SELECT unnest(range(0, 30000)) AS i)";
    let sql = format!("SELECT sum(s)::text FROM (SELECT i % 7000 AS g, sum(v) AS s FROM ({numbers}) GROUP BY g)");
    assert_eq!(rows(&context, &sql).await, ["[4.49985e+08,8.9997e+08,30000]"]);
    let sql = format!("SELECT avg(v)::text FROM ({numbers})");
    assert_eq!(rows(&context, &sql).await, ["[14999.5,29999,1]"]);
}

#[tokio::test]
async fn numbers_are_summed_as_before() {
    let ours = session();
    let stock = SessionContext::new();
    stock.register_batch("t", table()).unwrap();
    for sql in [
        "SELECT sum(id), avg(id), sum(id + 1), sum(DISTINCT id), avg(DISTINCT id), sum(id) FILTER (WHERE id > 2) FROM t",
        "SELECT id % 2, sum(id), avg(id::decimal(10,2)), sum(DISTINCT id), count(DISTINCT txt) FROM t GROUP BY id % 2 ORDER BY 1",
        "SELECT sum(id) OVER (ORDER BY id), avg(id) OVER (ORDER BY id ROWS 1 PRECEDING) FROM t",
        "SELECT sum(1.5), avg(2::real), sum(arrow_cast(3, 'UInt8')), sum(arrow_cast(3, 'Duration(Second)'))",
    ] {
        assert_eq!(rows(&ours, sql).await, rows(&stock, sql).await, "{sql}");
        let explain = format!("EXPLAIN {sql}");
        assert_eq!(rows(&ours, &explain).await, rows(&stock, &explain).await, "{sql}");
    }
    for argument in ["NULL", "txt", "true", "id, id"] {
        let sql = format!("SELECT sum({argument}) FROM t");
        assert_eq!(run(&ours, &sql).await.is_ok(), run(&stock, &sql).await.is_ok(), "{sql}");
    }
}

#[tokio::test]
async fn overflow_is_an_error() {
    let context = session();
    let sql = "SELECT sum(v) FROM (SELECT to_vector('[3e38]', 1) AS v UNION ALL SELECT to_vector('[3e38]', 1))";
    let message = failure(&context, sql).await;
    assert!(message.ends_with("is out of range for a vector element (element 1)"), "{message}");
    let sql = sql.replace("sum(v)", "avg(v)::text");
    assert_eq!(rows(&context, &sql).await, ["[3e+38]"]);
}
