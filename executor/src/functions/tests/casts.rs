use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Cast, Expr, TryCast, col};

use super::*;
use crate::types::{unsized_vector_type, vector_type};

#[tokio::test]
async fn values_become_vectors() {
    let context = session();
    for (call, text) in [
        ("to_vector('[1, 2,3]', 3)", "[1,2,3]"),
        ("to_vector('[1, 2,3]', 0)", "[1,2,3]"),
        ("to_vector('[1, 2,3]')", "[1,2,3]"),
        ("to_vector(ARRAY[1,2], 2)", "[1,2]"),
        ("to_vector(ARRAY[1,2], 0)", "[1,2]"),
        ("to_vector(ARRAY[1.5,2])", "[1.5,2]"),
        ("to_vector(CAST('[1,2]' AS VARCHAR), 0)", "[1,2]"),
        ("to_vector(to_vector('[1,2]', 2), 2)", "[1,2]"),
        ("to_vector(NULL, 2)", "NULL"),
        ("to_vector(NULL, 0)", "NULL"),
        ("try_to_vector('[1,x]', 2)", "NULL"),
        ("try_to_vector('[1]', 2)", "NULL"),
        ("try_to_vector('[1,2]', 2)", "[1,2]"),
    ] {
        assert_eq!(value(&context, &format!("vector_to_text({call})")).await, text, "{call}");
    }
    for call in ["to_vector('[1,2]')", "to_vector(ARRAY[1,2])", "to_vector(ARRAY[1,2], 0)"] {
        let arrow_type = value(&context, &format!("arrow_typeof({call})")).await;
        assert_eq!(arrow_type, vector_type(2).unwrap().to_string(), "{call}");
    }
}

#[tokio::test]
async fn columns_become_vectors_and_back() {
    let context = session();
    assert_eq!(
        rows(&context, "SELECT to_vector(txt, 3)::text FROM t ORDER BY id").await,
        ["[1,2,3]", "[3,2,1]", "[0,0,0]", "NULL"]
    );
    assert_eq!(
        rows(&context, "SELECT emb::text, CAST(emb AS VARCHAR) || '!', try_cast(emb AS TEXT) AS c FROM t ORDER BY id")
            .await,
        ["[1,2,3] [1,2,3]! [1,2,3]", "[4,5,6] [4,5,6]! [4,5,6]", "NULL NULL NULL", "[0,0,0] [0,0,0]! [0,0,0]"]
    );
    assert_eq!(
        rows(&context, "SELECT emb::real[], emb::double[] AS d, vector_to_array(emb) FROM t WHERE id < 4 ORDER BY id")
            .await,
        [
            "[1.0, 2.0, 3.0] [1.0, 2.0, 3.0] [1.0, 2.0, 3.0]",
            "[4.0, 5.0, 6.0] [4.0, 5.0, 6.0] [4.0, 5.0, 6.0]",
            "NULL NULL NULL"
        ]
    );
    assert_eq!(rows(&context, "SELECT to_vector(emb::double[], 3)::text FROM t WHERE id = 2").await, ["[4,5,6]"]);
    assert_eq!(
        rows(&context, "SELECT try_to_vector(body, 2)::text FROM t ORDER BY id").await,
        ["NULL", "[10,20]", "NULL", "NULL"]
    );
}

#[tokio::test]
async fn bad_casts_are_one_sentence() {
    let context = session();
    assert_eq!(failure(&context, "SELECT to_vector('[1,2]', 3)").await, "expected 3 dimensions, not 2");
    assert_eq!(failure(&context, "SELECT to_vector(emb, 2) FROM t").await, "expected 2 dimensions, not 3");
    assert_eq!(failure(&context, "SELECT to_vector('[]', 0)").await, "a vector must have at least 1 dimension");
    assert_eq!(failure(&context, "SELECT to_vector('[1]', -1)").await, "a vector must have at least 1 dimension");
    assert_eq!(
        failure(&context, "SELECT to_vector('[1]', 40000)").await,
        "a vector cannot have more than 32768 dimensions, this one has 40000"
    );
    assert_eq!(failure(&context, "SELECT to_vector(true, 1)").await, "cannot cast Boolean to vector");
    assert_eq!(
        failure(&context, "SELECT to_vector(ARRAY['NaN'::double], 1)").await,
        "NaN is not allowed in a vector (element 1)"
    );
    assert_eq!(
        failure(&context, "SELECT to_vector(txt, 0) FROM t").await,
        "the dimension of this vector cannot be known before the statement runs; cast to vector(n)"
    );
}

#[tokio::test]
async fn casts_in_plans_are_rewritten() {
    let context = session();
    let table = context.table("t").await.unwrap();
    let sized = vector_type(3).unwrap();
    let select = table
        .select(vec![
            Expr::Cast(Cast::new(Box::new(col("txt")), sized.clone())).alias("a"),
            Expr::TryCast(TryCast::new(Box::new(col("body")), sized)).alias("b"),
            Expr::Cast(Cast::new(Box::new(col("emb")), DataType::LargeUtf8)).alias("c"),
            to_vector_expr(col("txt"), 3).alias("d"),
        ])
        .unwrap();
    let batches = select.collect().await.unwrap();
    let schema = batches[0].schema();
    assert_eq!(schema.field(0).data_type(), &vector_type(3).unwrap());
    assert_eq!(schema.field(2).data_type(), &DataType::LargeUtf8);
    let vectors = Vectors::try_new(batches[0].column(0)).unwrap();
    assert_eq!((vectors.get(1), vectors.get(3)), (Some([3.0f32, 2.0, 1.0].as_slice()), None));
    assert_eq!(batches[0].column(1).null_count(), 4);
    // A distance takes text as it is, so a cast without a dimension disappears.
    let bare = Expr::Cast(Cast::new(Box::new(col("txt")), unsized_vector_type()));
    let distance = distance::all().find(|function| function.name() == "l1_distance").unwrap();
    let select = context.table("t").await.unwrap().select(vec![distance.call(vec![col("emb"), bare])]).unwrap();
    assert_eq!(select.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
}
