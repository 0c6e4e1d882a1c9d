//! A bound template gives what planning with the values gives, and a plan that could not is no template.

use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::arrow::util::pretty::pretty_format_batches_with_schema;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::sql::parser::Statement;
use volley_executor::types::vector_to_scalar;

use super::{Planned, Template};
use crate::resolve::plan_statement;
use crate::sql;
use crate::table::VolleyTable;
use crate::vector_topk::tests::{Pair, docs, insert};

async fn plan_of(pair: &Pair, query: &str, values: &[ScalarValue]) -> LogicalPlan {
    let statement: Statement = sql::parse_query(query).unwrap();
    let parameters: Vec<_> =
        values.iter().map(|value| Some(Arc::new(Field::new("", value.data_type(), true)))).collect();
    plan_statement(&pair.with.state(), statement, &parameters, &[]).await.unwrap()
}

async fn template(pair: &Pair, query: &str, values: &[ScalarValue]) -> Option<Box<Template>> {
    let plan = plan_of(pair, query, values).await;
    match Template::plan(pair.with.state(), &plan, values).await.unwrap() {
        Planned::Template(template) => Some(template),
        Planned::NotNow | Planned::Never => None,
    }
}

async fn answer(pair: &Pair, plan: Arc<dyn ExecutionPlan>) -> String {
    let schema = plan.schema();
    let batches = collect(plan, pair.with.task_ctx()).await.unwrap();
    pretty_format_batches_with_schema(schema, &batches).unwrap().to_string()
}

fn vector(values: &[f32]) -> ScalarValue {
    vector_to_scalar(values.to_vec()).unwrap()
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::from(value)
}

#[tokio::test]
async fn a_bound_template_answers_as_the_statement_does() {
    let pair = docs().await;
    let near = || [vector(&[1.0, 1.0]), vector(&[3.0, 0.0]), vector(&[0.0, 0.0])];
    let cases: Vec<(&str, Vec<Vec<ScalarValue>>)> = vec![
        ("SELECT id FROM docs ORDER BY emb <-> $1, id LIMIT 5", near().map(|v| vec![v]).into()),
        ("SELECT id, emb <=> $1 AS d, body FROM docs ORDER BY d, id DESC LIMIT 4", near().map(|v| vec![v]).into()),
        ("SELECT id FROM docs ORDER BY $1 <#> emb, id LIMIT 3 OFFSET 2", near().map(|v| vec![v]).into()),
        (
            "SELECT id FROM docs ORDER BY emb <-> $1, id LIMIT 5",
            ["[1,1]", "[3, 0]", "[0,0]"].map(|v| vec![text(v)]).into(),
        ),
        (
            "SELECT id FROM docs ORDER BY emb <-> $1::vector(2), id LIMIT 5",
            ["[1,1]", "[3, 0]"].map(|v| vec![text(v)]).into(),
        ),
        ("SELECT id FROM docs WHERE emb <-> $1 < 2 ORDER BY emb <-> $1, id LIMIT 3", near().map(|v| vec![v]).into()),
        (
            "SELECT id, $2, id + $2 AS sum FROM docs ORDER BY emb <-> $1, id LIMIT 3",
            [3i64, 4].map(|n| vec![vector(&[1.0, 2.0]), ScalarValue::from(n)]).into(),
        ),
        (
            "SELECT id, tenant FROM docs WHERE tenant = $2 ORDER BY emb <-> $1, id LIMIT 6",
            [Some(0i64), Some(1), None, Some(7)].map(|t| vec![vector(&[1.0, 2.0]), ScalarValue::Int64(t)]).into(),
        ),
        (
            "SELECT id FROM docs WHERE id BETWEEN $2 AND $2 + 9 AND body <> $3 ORDER BY emb <-> $1, id LIMIT 6",
            [(0i64, "body 3"), (7, "body 9"), (90, "x")]
                .map(|(from, body)| vec![vector(&[2.0, 0.0]), ScalarValue::from(from), text(body)])
                .into(),
        ),
        (
            "SELECT id FROM (SELECT id, emb FROM docs WHERE tenant IN (1, $2)) AS some ORDER BY emb <-> $1, id LIMIT 9",
            [0i64, 2].map(|t| vec![vector(&[1.0, 0.0]), ScalarValue::from(t)]).into(),
        ),
    ];
    for (query, rows) in cases {
        let template = template(&pair, query, &rows[0]).await.unwrap_or_else(|| panic!("no template: {query}"));
        for values in rows {
            // Twice, because a template is used again.
            for _ in 0..2 {
                let bound = template.bind(&values).unwrap_or_else(|| panic!("not bound: {query} {values:?}"));
                let plan = plan_of(&pair, query, &values).await;
                let plan = plan.with_param_values(ParamValues::from(values.clone())).unwrap();
                for context in [&pair.with, &pair.without] {
                    let expected = context.state().create_physical_plan(&plan).await.unwrap();
                    assert_eq!(
                        answer(&pair, Arc::clone(&bound)).await,
                        answer(&pair, expected).await,
                        "{query} {values:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn over_another_version_it_is_the_template_that_planning_makes_of_it() {
    let given = [vector(&[1.0, 1.0]), ScalarValue::from(1i64)];
    for query in [
        "SELECT id FROM docs ORDER BY emb <-> $1, id LIMIT 5",
        "SELECT id, emb <=> $1 AS d, body FROM docs WHERE id > 30 ORDER BY d, id DESC LIMIT 4",
        "SELECT id, id + 1 AS next FROM docs WHERE tenant = $2 AND id < 90 ORDER BY $1 <#> emb LIMIT 3 OFFSET 2",
        "SELECT id FROM (SELECT id FROM docs ORDER BY emb <-> $1, id LIMIT 9) AS some LIMIT 4",
    ] {
        let pair = docs().await;
        let values = &given[..if query.contains("$2") { 2 } else { 1 }];
        let earlier = template(&pair, query, values).await.unwrap();
        let known = pair.with.table_provider("docs").await.unwrap();
        let known = known.downcast_ref::<VolleyTable>().unwrap();
        let store = known.set().storage();
        let mut snapshot = Arc::clone(known.snapshot());
        for (number, rows) in [100..107, 24..60].into_iter().enumerate() {
            snapshot = insert(store.as_ref(), snapshot, 100 + number as u128, rows).await;
        }
        let state = pair.with.state();
        let later = earlier.at(Arc::clone(&snapshot), state.runtime_env(), state.config_options()).await;
        let later = later.unwrap().unwrap_or_else(|| panic!("{query}"));
        assert_eq!(later.table(), (snapshot.table, snapshot.version));
        for context in [&pair.with, &pair.without] {
            let table = known.at(Arc::clone(&snapshot), state.runtime_env()).await.unwrap();
            context.deregister_table("docs").unwrap();
            context.register_table("docs", Arc::new(table)).unwrap();
        }
        let planned = template(&pair, query, values).await.unwrap();
        let shown = |template: &Template| displayable(template.plan.as_ref()).indent(true).to_string();
        assert_eq!(shown(&later), shown(&planned), "{query}");
        assert_ne!(shown(&later), shown(&earlier), "{query}");
        let facts = |template: &Template| (template.segments, template.rows_max, template.is_short, template.is_pruned);
        assert_eq!(facts(&later), facts(&planned), "{query}");
        let (later, planned) = (later.bind(values).unwrap(), planned.bind(values).unwrap());
        assert_eq!(answer(&pair, later).await, answer(&pair, planned).await, "{query}");
    }
}

#[tokio::test]
async fn limits_are_part_of_the_plan() {
    let pair = docs().await;
    let query = "SELECT id FROM docs ORDER BY emb <-> $1 LIMIT $2";
    let values = [vector(&[1.0, 1.0]), ScalarValue::from(3i64)];
    let template = template(&pair, query, &values).await.unwrap();
    assert!(template.fits(&[vector(&[0.0, 0.0]), ScalarValue::from(3i64)]));
    assert!(!template.fits(&[vector(&[1.0, 1.0]), ScalarValue::from(4i64)]));
    assert_eq!(template.rows_max(), 3);
}

#[tokio::test]
async fn a_vector_that_cannot_be_searched_with_is_left_to_planning() {
    let pair = docs().await;
    let query = "SELECT id FROM docs ORDER BY emb <-> $1 LIMIT 3";
    let template = template(&pair, query, &[vector(&[1.0, 1.0])]).await.unwrap();
    for bad in
        [vector(&[1.0]), vector(&[1.0, f32::NAN]), ScalarValue::try_from(vector(&[1.0, 1.0]).data_type()).unwrap()]
    {
        assert!(template.bind(std::slice::from_ref(&bad)).is_none(), "{bad:?}");
    }
}

#[tokio::test]
async fn what_may_mean_something_else_next_time_has_no_template() {
    let pair = docs().await;
    let given = vector(&[1.0, 1.0]);
    // A bound that planning takes into the search.
    let bounded = "SELECT id FROM docs WHERE emb <-> $1 < $2 ORDER BY emb <-> $1 LIMIT 3";
    assert!(template(&pair, bounded, &[given.clone(), ScalarValue::from(2.0)]).await.is_none());
    for query in [
        // No search.
        "SELECT id FROM docs WHERE id = 3",
        "SELECT id FROM docs ORDER BY emb <-> $1 DESC LIMIT 3",
        "SELECT count(*) FROM docs WHERE emb <-> $1 < 1",
        // Of the time, or of chance.
        "SELECT id, now() FROM docs ORDER BY emb <-> $1 LIMIT 3",
        "SELECT id, random() FROM docs ORDER BY emb <-> $1 LIMIT 3",
        // Reads something else.
        "SELECT id FROM docs ORDER BY emb <-> (SELECT emb FROM docs WHERE id = 1) LIMIT 3",
        "SELECT id FROM docs WHERE id IN (SELECT id FROM docs) ORDER BY emb <-> $1 LIMIT 3",
    ] {
        assert!(template(&pair, query, std::slice::from_ref(&given)).await.is_none(), "{query}");
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_converted_is_left_to_planning() {
    let pair = docs().await;
    let query = "SELECT id FROM docs WHERE tenant = $2 ORDER BY emb <-> $1 LIMIT 3";
    let template = template(&pair, query, &[vector(&[1.0, 1.0]), text("1")]).await.unwrap();
    assert!(template.bind(&[vector(&[1.0, 1.0]), text("2")]).is_some());
    assert!(template.bind(&[vector(&[1.0, 1.0]), text("two")]).is_none());
}
