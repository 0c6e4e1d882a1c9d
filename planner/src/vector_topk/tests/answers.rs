//! Answers do not depend on the rule.

use super::docs;

/// Queries that become searches. Each has a total order, so that both plans have one answer.
const SEARCHES: &[&str] = &[
    "SELECT id, l2_distance(emb, '[1,1]') AS d FROM docs ORDER BY d, id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance('[1,1]', emb), id LIMIT 5",
    "SELECT * FROM docs ORDER BY cosine_distance(emb, '[1,1]'), id DESC LIMIT 24",
    "SELECT id, emb FROM docs ORDER BY negative_inner_product(emb, '[1,-1]'), tenant DESC NULLS FIRST, id LIMIT 9",
    "SELECT id FROM docs ORDER BY l1_distance(emb, '[0,3]'), tenant NULLS LAST, id LIMIT 100",
    "SELECT id, body FROM docs WHERE tenant = 2 ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 3",
    "SELECT id FROM docs WHERE tenant IS NULL AND body LIKE '%1%' ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 3",
    "SELECT id FROM docs WHERE l2_distance(emb, '[1,1]') < 2 ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 30",
    "SELECT id FROM docs WHERE tenant = 77 ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 3",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 4 OFFSET 3",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 4 OFFSET 30",
    "SELECT i + 1 AS next FROM (SELECT id AS i, emb AS e, tenant AS t FROM docs) s WHERE t > 0 \
     ORDER BY l2_distance(e, '[2,2]'), i LIMIT 6",
    "WITH near AS (SELECT id, tenant, l2_distance(emb, '[2,2]') AS d FROM docs) \
     SELECT id, d, d * 2 AS twice FROM near WHERE tenant < 3 ORDER BY d, id LIMIT 6",
    "SELECT tenant, count(*) AS n FROM (SELECT tenant FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 10) \
     GROUP BY tenant ORDER BY tenant",
    "SELECT id FROM (SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 6) ORDER BY id DESC",
    "SELECT id FROM (SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 6) WHERE id > 5 ORDER BY id",
    "SELECT id FROM (SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 9) ORDER BY id LIMIT 2",
    "SELECT a.id, b.id AS other FROM (SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 6) a \
     JOIN (SELECT id FROM docs ORDER BY l2_distance(emb, '[2,1]'), id LIMIT 6) b ON a.id = b.id ORDER BY a.id",
    "SELECT id FROM (SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 3) \
     UNION ALL SELECT id FROM docs WHERE id = 0 ORDER BY id",
    "SELECT count(*) AS n FROM (SELECT 1 FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 7)",
    "SELECT id FROM docs ORDER BY exact(l2_distance(emb, '[1,1]')), id LIMIT 5",
    "SELECT id, approx(l2_distance(emb, '[1,1]'), recall => 0.9) AS d FROM docs ORDER BY d, id LIMIT 5",
    "SELECT id, id * 2 AS i2, l2_distance(emb, '[1,1]') + 1 AS d1 FROM docs \
     ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
    "SELECT id FROM docs ORDER BY cosine_distance(emb, '[0,0]'), id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance(emb, (SELECT emb FROM docs WHERE id = 5)), id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance((SELECT emb FROM docs WHERE id = 6), emb), id LIMIT 5",
    "SELECT id, cosine_distance(emb, (SELECT emb FROM docs WHERE id = 99)) AS d FROM docs ORDER BY d, id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance(emb, (SELECT avg(emb) FROM docs WHERE tenant = 1)), id LIMIT 5",
    "SELECT emb FROM docs WHERE id >= 3 ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
    "SELECT row_number() OVER (ORDER BY id) AS n, id FROM \
     (SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5) ORDER BY n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_answer_as_scans_do() {
    let pair = docs().await;
    for sql in SEARCHES {
        assert!(pair.searches(sql).await, "{sql}\n{}", pair.logical(sql).await);
        let (with, without) = pair.answers(sql).await;
        assert_eq!(with, without, "{sql}\n{}", pair.physical(sql).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ties_are_broken_by_row_id_and_undefined_distances_come_last() {
    let pair = docs().await;
    let sql = "SELECT id, cosine_distance(emb, '[1,0]') AS d FROM docs WHERE id < 16 ORDER BY d LIMIT 16";
    let (found, _) = pair.answers(sql).await;
    // Row ids ascend with `id`; 0 and 12 are zero vectors, 6 and 13 are NULL.
    insta::assert_snapshot!(found, @r"
    +----+----------------------+
    | id | d                    |
    +----+----------------------+
    | 3  | 0.0                  |
    | 9  | 0.0                  |
    | 15 | 0.0                  |
    | 7  | 0.051316700875759125 |
    | 10 | 0.10557281225919724  |
    | 11 | 0.16794970631599426  |
    | 1  | 0.2928932309150696   |
    | 2  | 0.2928932309150696   |
    | 14 | 0.2928932309150696   |
    | 5  | 0.5527864098548889   |
    | 4  | 1.0                  |
    | 8  | 1.0                  |
    | 0  |                      |
    | 6  |                      |
    | 12 |                      |
    | 13 |                      |
    +----+----------------------+
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_constants() {
    let pair = docs().await;
    let sql = "SELECT id FROM docs ORDER BY l2_distance(emb, $1), id LIMIT 3";
    let vector = volley_executor::types::vector_to_scalar(vec![1.0, 1.0]).unwrap();
    let frame = pair.with.sql(sql).await.unwrap().with_param_values(vec![vector]).unwrap();
    let plan = frame.into_optimized_plan().unwrap().display_indent().to_string();
    assert!(plan.contains("VectorTopK"), "{plan}");
}
