//! JSON as text: the functions of `datafusion-functions-json`, and PostgreSQL's operators over them.
//!
//! That crate's own planner lets `->` return a union of JSON types, which prints as nothing a user of PostgreSQL knows.
//! Here `->` gives JSON as text and `->>` the value as text:
//!
//! ```text
//! j -> 'a'          json_get_json(j, 'a')
//! j ->> 'a'         json_as_text(j, 'a')
//! j -> 'a' ->> 'b'  json_as_text(j, 'a', 'b')     one walk over the text instead of two
//! j #> '{a,0}'      json_get_json(j, 'a', '0')
//! j #>> '{a,0}'     json_as_text(j, 'a', '0')
//! ```

use std::sync::Arc;

use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Alias, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::{Expr, ScalarUDF, lit};
use datafusion_functions_json::udfs;

/// All JSON functions.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        udfs::json_get_udf(),
        udfs::json_get_bool_udf(),
        udfs::json_get_float_udf(),
        udfs::json_get_int_udf(),
        udfs::json_get_json_udf(),
        udfs::json_get_array_udf(),
        udfs::json_as_text_udf(),
        udfs::json_get_str_udf(),
        udfs::json_contains_udf(),
        udfs::json_length_udf(),
        udfs::json_object_keys_udf(),
        udfs::json_from_scalar_udf(),
        udfs::json_union_to_text_udf(),
    ]
}

/// Plans `->`, `->>`, `#>` and `#>>`.
#[derive(Debug, Default)]
pub struct JsonPlanner;

impl ExprPlanner for JsonPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (function, is_path) = match &expr.op {
            BinaryOperator::Arrow => (udfs::json_get_json_udf(), false),
            BinaryOperator::LongArrow => (udfs::json_as_text_udf(), false),
            BinaryOperator::HashArrow => (udfs::json_get_json_udf(), true),
            BinaryOperator::HashLongArrow => (udfs::json_as_text_udf(), true),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let title = format!("{} {} {}", title_of(&expr.left), expr.op, title_of(&expr.right));
        let path = if is_path { path_elements(expr.right) } else { vec![expr.right] };
        let call = Expr::ScalarFunction(ScalarFunction::new_udf(function, onto(expr.left, path)));
        // Without the alias the column would be named after the function that the operator stands for.
        Ok(PlannerResult::Planned(Expr::Alias(Alias::new(call, None::<&str>, title))))
    }
}

/// The arguments of a call: the document and the path, joined with the path of `left` if that is a lookup itself.
///
/// Only constant steps are joined, because the function takes several steps only as constants.
fn onto(left: Expr, path: Vec<Expr>) -> Vec<Expr> {
    let constant = path.iter().all(|step| matches!(step, Expr::Literal(..)));
    let inner = match &left {
        Expr::Alias(Alias { expr, .. }) => expr.as_ref(),
        other => other,
    };
    let mut args = match inner {
        Expr::ScalarFunction(lookup)
            if constant
                && lookup.func.name() == "json_get_json"
                && lookup.args.iter().skip(1).all(|step| matches!(step, Expr::Literal(..))) =>
        {
            lookup.args.clone()
        }
        _ => vec![left],
    };
    args.extend(path);
    args
}

/// The steps of PostgreSQL's path text `{a,b,0}`; any other expression is one step, such as a list of keys.
fn path_elements(path: Expr) -> Vec<Expr> {
    let Expr::Literal(value, _) = &path else {
        return vec![path];
    };
    let braced = value.try_as_str().flatten().map(str::trim);
    match braced.and_then(|text| text.strip_prefix('{')).and_then(|text| text.strip_suffix('}')) {
        Some("") => Vec::new(),
        Some(steps) => steps.split(',').map(|step| lit(step.trim().trim_matches('"').to_owned())).collect(),
        None => vec![path],
    }
}

/// How an operand reads in a column's title.
fn title_of(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => format!("'{text}'"),
        Expr::Literal(value, _) => value.to_string(),
        other => other.to_string(),
    }
}
