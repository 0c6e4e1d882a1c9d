//! Operators that SQL shares between numbers and vectors: `+`, `-`, `*` and comparisons with a text literal.
//!
//! ```text
//! emb + other        vector_add(emb, other)
//! emb = '[1,2,3]'    emb = to_vector('[1,2,3]', 3)
//! ```
//!
//! Only the outermost node of each side is looked at: asking an expression for its type walks all of it, and doing that
//! at every operator of a long chain would take quadratic time.

use datafusion::common::{DFSchema, ExprSchema, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Alias, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;

use crate::functions::arithmetic::{self, Operation};
use crate::functions::cast_rewrite::to_vector_expr;
use crate::types::{is_vector, vector_dimension};

/// Plans operators between vectors.
#[derive(Debug, Default)]
pub struct VectorPlanner;

impl ExprPlanner for VectorPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let operation = match &expr.op {
            BinaryOperator::Plus => Some(Operation::Add),
            BinaryOperator::Minus => Some(Operation::Subtract),
            BinaryOperator::Multiply => Some(Operation::Multiply),
            BinaryOperator::Eq | BinaryOperator::NotEq => None,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        if !is_vector_expr(&expr.left, schema) && !is_vector_expr(&expr.right, schema) {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { op, left, right } = expr;
        match operation {
            Some(operation) => Ok(PlannerResult::Planned(arithmetic::udf(operation).call(vec![left, right]))),
            None => {
                let (left, right) = (like(left, &right, schema), right);
                let right = like(right, &left, schema);
                Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
            }
        }
    }
}

/// A text literal or parameter compared with a vector becomes a vector, of the column's dimension if it is a column.
fn like(expr: Expr, other: &Expr, schema: &DFSchema) -> Expr {
    let becomes_vector = match &expr {
        Expr::Literal(value, _) => value.try_as_str().is_some(),
        Expr::Placeholder(_) => true,
        _ => false,
    };
    if !becomes_vector {
        return expr;
    }
    let dimension = match other {
        Expr::Column(column) => schema.data_type(column).ok().and_then(vector_dimension).unwrap_or(0),
        _ => 0,
    };
    to_vector_expr(expr, dimension)
}

/// Whether this is, by its outermost node, a vector.
fn is_vector_expr(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Column(column) => schema.data_type(column).is_ok_and(is_vector),
        Expr::OuterReferenceColumn(field, _) => is_vector(field.data_type()),
        Expr::Literal(value, _) => is_vector(&value.data_type()),
        Expr::Cast(cast) => is_vector(cast.field.data_type()),
        Expr::Alias(Alias { expr, .. }) => is_vector_expr(expr, schema),
        Expr::ScalarFunction(ScalarFunction { func, .. }) => matches!(
            func.name(),
            "to_vector" | "try_to_vector" | "l2_normalize" | "vector_add" | "vector_sub" | "vector_mul"
        ),
        _ => false,
    }
}
