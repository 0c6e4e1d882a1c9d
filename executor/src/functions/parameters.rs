//! Types of parameters that stand where a vector is expected.
//!
//! DataFusion infers the type of `$1` from the other side of an operator, but not from the other arguments of a
//! function. Clients that build their parameters from the announced schema (JDBC does) need `emb <-> $1` to announce
//! `vector(n)`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use crate::functions::distance::is_distance_function;
use crate::types::{vector_dimension, vector_type};

/// Gives every untyped parameter of a distance function, `to_vector` or `approx` its type.
///
/// The plan's own types do not change: distances are Float64 whatever they compare.
///
/// # Errors
/// None of its own; those of walking the plan.
pub fn type_vector_parameters(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        plan.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(function) => Ok(type_arguments(function, &schema)),
                other => Ok(Transformed::no(other)),
            })
        })
    })
    .data()
}

fn type_arguments(mut function: ScalarFunction, schema: &DFSchema) -> Transformed<Expr> {
    let name = function.func.name();
    let changed = match function.args.as_mut_slice() {
        [left, right] if is_distance_function(name) => {
            let known = [&*left, &*right]
                .into_iter()
                .find_map(|side| side.get_type(schema).ok().filter(|data_type| vector_dimension(data_type).is_some()));
            known.is_some_and(|data_type| set_type(left, &data_type) | set_type(right, &data_type))
        }
        [value, Expr::Literal(dimension, _)] if name == "to_vector" => match dimension.cast_to(&DataType::UInt32) {
            Ok(ScalarValue::UInt32(Some(dimension))) => {
                vector_type(dimension as usize).is_ok_and(|data_type| set_type(value, &data_type))
            }
            _ => false,
        },
        [_, recall] if name == "approx" => set_type(recall, &DataType::Float64),
        _ => false,
    };
    let expr = Expr::ScalarFunction(function);
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// Types a parameter that has no type yet; says whether it did.
fn set_type(expr: &mut Expr, data_type: &DataType) -> bool {
    match expr {
        Expr::Placeholder(Placeholder { id, field: field @ None }) => {
            *field = Some(Arc::new(Field::new(id.as_str(), data_type.clone(), true)));
            true
        }
        _ => false,
    }
}
