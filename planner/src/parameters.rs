//! What a statement's parameters should be, found out before anybody gave values.
//!
//! Drivers ask for it when a statement is prepared: JDBC builds its values from the types it is told. What can be known comes
//! from the other side of an operator, the column that is filled, the vector that is compared with, or a cast; the rest is
//! text, which every type can be read from.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement as AstStatement;
use volley_executor::functions::type_vector_parameters;

use crate::error::Error;
use crate::resolve::plan_statement;

/// The highest number a parameter may have.
const PARAMETERS_MAX: usize = 65_535;

/// The type of `$1`, `$2` … of a plan, named so; text where the statement does not say. None is NOT NULL.
///
/// # Errors
/// A parameter that would have to be of two types; more than 65,535 parameters.
pub fn parameter_fields(plan: &LogicalPlan) -> Result<Vec<FieldRef>> {
    let plan = type_vector_parameters(plan.clone())?;
    let mut found: BTreeMap<usize, Option<DataType>> = BTreeMap::new();
    let mut saw = |id: &str, data_type: Option<DataType>| {
        let Some(number) = id.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()) else { return };
        let known = found.entry(number).or_default();
        if known.is_none() {
            *known = data_type.filter(|data_type| *data_type != DataType::Null);
        }
    };
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for bound in [limit.fetch.as_deref(), limit.skip.as_deref()].into_iter().flatten() {
                if let Expr::Placeholder(Placeholder { id, .. }) = bound {
                    saw(id, Some(DataType::Int64));
                }
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Placeholder(Placeholder { id, field }) => {
                        saw(id, field.as_ref().map(|field| field.data_type().clone()));
                    }
                    Expr::Cast(Cast { expr, field }) => {
                        if let Expr::Placeholder(Placeholder { id, field: None }) = expr.as_ref() {
                            saw(id, Some(field.data_type().clone()));
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let count = found.keys().next_back().copied().unwrap_or(0);
    if count > PARAMETERS_MAX {
        return Err(Error::TooComplex {
            sentence: format!("a statement has at most {PARAMETERS_MAX} parameters, not ${count}"),
        }
        .into());
    }
    let field = |number| {
        let data_type = found.get_mut(&number).and_then(Option::take).unwrap_or(DataType::Utf8);
        Arc::new(Field::new(format!("${number}"), data_type, true))
    };
    Ok((1..=count).map(field).collect())
}

/// The plan of a query whose parameters have no values yet, and their types. `known[i]` is the type of `$i+1` where it is known
/// already.
///
/// # Errors
/// What is wrong with the statement, whatever its parameters are.
pub async fn plan_unbound(
    state: &SessionState,
    statement: AstStatement,
    known: &[Option<FieldRef>],
) -> Result<(LogicalPlan, Vec<FieldRef>)> {
    let untyped = plan_statement(state, statement.clone(), known, &[]).await?;
    let fields = parameter_fields(&untyped)?;
    if fields.is_empty() {
        return Ok((untyped, fields));
    }
    // Planned once more with the types, because the answer's own may depend on them.
    let types: Vec<_> = fields.iter().map(|field| Some(Arc::clone(field))).collect();
    Ok((plan_statement(state, statement, &types, &[]).await?, fields))
}
