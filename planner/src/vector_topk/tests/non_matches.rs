//! What does not have the proven shape keeps its scan and its sort.

use super::docs;

const SCANS: &[&str] = &[
    // Farthest first, NULL first, no limit, a limit beyond the bound, none at all.
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]') DESC, id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]') NULLS FIRST, id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 16385",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 16000 OFFSET 1000",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 0",
    // The distance is not the first key, or not a distance.
    "SELECT id FROM docs ORDER BY tenant, l2_distance(emb, '[1,1]'), id LIMIT 5",
    "SELECT id FROM docs ORDER BY inner_product(emb, '[1,1]'), id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]') + 1, id LIMIT 5",
    // Not between a column and a constant.
    "SELECT id FROM docs ORDER BY l2_distance(emb, emb), id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance(emb, NULL), id LIMIT 5",
    "SELECT id FROM docs ORDER BY l2_distance(vector_add(emb, '[1,0]'), '[1,1]'), id LIMIT 5",
    // Tie-breakers that are no plain columns of the table.
    "SELECT id FROM docs ORDER BY l2_distance(emb, '[1,1]'), id % 3, id LIMIT 5",
    "SELECT id, id % 3 AS m FROM docs ORDER BY l2_distance(emb, '[1,1]'), m, id LIMIT 5",
    // Something between the sort and the scan that changes which rows there are.
    "SELECT a.id FROM docs a JOIN docs b ON a.id = b.id + 1 ORDER BY l2_distance(a.emb, '[1,1]'), a.id LIMIT 5",
    "SELECT DISTINCT tenant, l2_distance(emb, '[1,1]') AS d FROM docs ORDER BY d, tenant LIMIT 5",
    "SELECT tenant, min(l2_distance(emb, '[1,1]')) AS d FROM docs GROUP BY tenant ORDER BY d, tenant LIMIT 5",
    "SELECT id FROM (SELECT id, emb FROM docs ORDER BY id LIMIT 9) ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
    "SELECT id FROM (SELECT id, emb FROM docs UNION ALL SELECT id, emb FROM docs) \
     ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
    // Filters that are joins, or need them.
    "SELECT id FROM docs WHERE id IN (SELECT id + 1 FROM docs WHERE tenant = 1) \
     ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
    "SELECT id FROM docs WHERE id > (SELECT avg(id) FROM docs) ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_shapes_stay_scans() {
    let pair = docs().await;
    for sql in SCANS {
        assert!(!pair.searches(sql).await, "{sql}\n{}", pair.logical(sql).await);
        let (with, without) = pair.answers(sql).await;
        assert_eq!(with, without, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volatile_expressions_are_not_absorbed() {
    let pair = docs().await;
    for sql in [
        "SELECT id FROM docs WHERE random() < 0.5 ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
        "SELECT r, r AS again FROM (SELECT id, emb, random() AS r FROM docs) \
         ORDER BY l2_distance(emb, '[1,1]'), id LIMIT 5",
    ] {
        assert!(!pair.searches(sql).await, "{sql}\n{}", pair.logical(sql).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constant_that_does_not_fit_stays_the_functions_error() {
    let pair = docs().await;
    for constant in ["'[1,2,3]'", "'[1]'", "'nonsense'", "'[1,nan]'"] {
        let sql = format!("SELECT id FROM docs ORDER BY l2_distance(emb, {constant}) LIMIT 5");
        let failed = match pair.with.sql(&sql).await {
            Ok(frame) => frame.collect().await.is_err(),
            Err(_) => true,
        };
        assert!(failed, "{sql}");
    }
}
