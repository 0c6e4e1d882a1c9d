use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::*;
use crate::types::{scalar_to_vector, vector_type};

/// The expression of a one-column query's top projection, after optimisation.
async fn optimized(context: &SessionContext, sql: &str) -> Expr {
    let plan = context.sql(sql).await.unwrap().into_optimized_plan().unwrap();
    match plan {
        LogicalPlan::Projection(projection) => projection.expr[0].clone().unalias(),
        other => panic!("{other}"),
    }
}

/// What the top-k rule relies on: the column on the left, a `vector(n)` literal on the right.
#[tokio::test]
async fn constants_fold_to_vectors() {
    let context = session();
    for constant in [
        "'[1,2,3]'",
        "ARRAY[1,2,3]",
        "[1.0, 2.0, 3.0]",
        "to_vector('[1,2,3]', 3)",
        "to_vector('[1,2,3]', 0)",
        "to_vector(ARRAY[1,2,3], 0)",
        "to_vector(CAST('[1,2,3]' AS VARCHAR), 0)",
        "vector_add('[1,1,1]', '[0,1,2]')",
    ] {
        for call in [format!("cosine_distance(emb, {constant})"), format!("cosine_distance({constant}, emb)")] {
            let expr = optimized(&context, &format!("SELECT {call} FROM t")).await;
            let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr else { panic!("{expr}") };
            assert_eq!(func.name(), "cosine_distance");
            let [Expr::Column(column), Expr::Literal(literal, _)] = args.as_slice() else { panic!("{call}: {expr}") };
            assert_eq!(column.name, "emb");
            assert_eq!(literal.data_type(), vector_type(3).unwrap(), "{call}");
            assert_eq!(scalar_to_vector(literal).unwrap(), Some(vec![1.0, 2.0, 3.0]));
        }
    }
    let expr = optimized(&context, "SELECT l2_distance(emb, NULL) FROM t").await;
    assert_eq!(expr, Expr::Literal(ScalarValue::Float64(None), None));
}

#[tokio::test]
async fn contracts_are_read_from_plans() {
    let context = session();
    let expr = optimized(&context, "SELECT approx(l2_distance(emb, '[1,2,3]'), recall => 0.95) FROM t").await;
    let (demanded, distance) = contract(&expr).unwrap();
    assert_eq!(demanded, Contract::Approximate(Some(0.95)));
    assert!(matches!(distance, Expr::ScalarFunction(function) if function.func.name() == "l2_distance"));
    assert!(contract(distance).is_none());
    let expr = optimized(&context, "SELECT exact(l2_distance(emb, '[1,2,3]')) FROM t").await;
    assert_eq!(contract(&expr).unwrap().0, Contract::Exact);
}

#[tokio::test]
async fn parameters_are_typed_and_bound() {
    let context = session();
    let sql = "SELECT id FROM t ORDER BY approx(l2_distance(emb, $1), $2) LIMIT 1";
    let plan = context.state().create_logical_plan(sql).await.unwrap();
    let typed = type_vector_parameters(plan).unwrap();
    let types = typed.get_parameter_types().unwrap();
    assert_eq!(types["$1"], vector_type(3).ok());
    assert_eq!(types["$2"], Some(DataType::Float64));
    let list = ScalarValue::List(ScalarValue::new_list_nullable(
        &[4.0, 5.0, 6.0].map(|x| ScalarValue::Float64(Some(x))),
        &DataType::Float64,
    ));
    let vector = crate::types::vector_to_scalar(vec![4.0, 5.0, 6.0]).unwrap();
    for value in [ScalarValue::from("[4,5,6]"), list, vector] {
        let bound = typed.clone().with_param_values(vec![value, ScalarValue::from(0.9)]).unwrap();
        let batches = context.execute_logical_plan(bound).await.unwrap().collect().await.unwrap();
        assert_eq!(batches[0].column(0).as_ref(), &Int64Array::from(vec![2]) as &dyn Array);
    }
    // Without types, and through a cast whose dimension only the value knows.
    for sql in
        ["SELECT l1_distance(emb, $1) FROM t", "SELECT l1_distance(emb, to_vector(CAST($1 AS VARCHAR), 0)) FROM t"]
    {
        let frame = context.sql(sql).await.unwrap().with_param_values(vec![ScalarValue::from("[4,5,6]")]).unwrap();
        assert_eq!(frame.collect().await.unwrap()[0].num_rows(), 4, "{sql}");
        let frame = context.sql(sql).await.unwrap().with_param_values(vec![ScalarValue::from("[4,5]")]).unwrap();
        let error = frame.collect().await.unwrap_err();
        assert_eq!(Error::find(&error).unwrap().to_string(), "different vector dimensions 3 and 2", "{sql}");
    }
}

#[tokio::test]
async fn registers_where_no_sql_is_planned() {
    let mut registry = datafusion::logical_expr::registry::MemoryFunctionRegistry::new();
    register(&mut registry).unwrap();
    assert!(registry.udf("l2_distance").is_ok() && registry.udaf("sum").is_ok());
    assert!(matches!(registry.register_expr_planner(Arc::new(JsonPlanner)), Err(DataFusionError::NotImplemented(_))));
}
