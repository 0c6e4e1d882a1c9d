//! Which expressions are a distance between a vector column and one vector for all rows.

use std::sync::Arc;

use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Volatility};
use volley_executor::functions::{Contract, contract, metric_of};
use volley_executor::search::Metric;
use volley_executor::types::scalar_to_vector;
use volley_storage::schema::{TableSchema, vector_dimension};

use super::node::{ConstantVector, QueryVector, TableColumn};
use super::rule::table_column;

/// A distance that a search can compute.
pub struct Distance {
    /// The function call itself, without `exact(…)` or `approx(…)` around it.
    pub call: Expr,
    /// The metric.
    pub metric: Metric,
    /// The vector column.
    pub column: TableColumn,
    /// What rows are compared with.
    pub query: QueryVector,
    /// Dimension of both.
    pub dimension: usize,
    /// What the query demands of the answer.
    pub contract: Option<Contract>,
}

/// The distance that an expression over a table's columns is.
///
/// `None` for anything else, and where the function itself must have the word because it answers NULL for every row or
/// refuses the constant: a NULL constant, another dimension, elements that are not finite.
pub fn distance_of(expr: &Expr, schema: &TableSchema) -> Option<Distance> {
    if let Some((demanded, inner)) = contract(expr) {
        let distance = distance_of(inner, schema)?;
        // Of several the strictest holds: `exact` wherever it stands.
        let contract = match distance.contract {
            Some(Contract::Exact) => Contract::Exact,
            _ => demanded,
        };
        return Some(Distance { contract: Some(contract), ..distance });
    }
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let metric = metric_of(func.name())?;
    let (column, other) = match args.as_slice() {
        [Expr::Column(column), other] if is_for_all_rows(other) => (column, other),
        [other, Expr::Column(column)] if is_for_all_rows(other) => (column, other),
        _ => return None,
    };
    let column = table_column(column, schema)?;
    let field = schema.arrow.field(schema.index_of(column.field)?);
    let dimension = vector_dimension(field.data_type())?;
    let query = query_vector(other, dimension)?;
    Some(Distance { call: expr.clone(), metric, column, query, dimension, contract: None })
}

fn is_for_all_rows(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..) | Expr::ScalarSubquery(_)) || is_parameter(expr)
}

/// Whether an expression is a parameter, or one is made a vector of it.
fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Placeholder(_) => true,
        Expr::Cast(cast) => is_parameter(&cast.expr),
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            func.signature().volatility == Volatility::Immutable
                && args.iter().any(is_parameter)
                && args.iter().all(|arg| is_parameter(arg) || matches!(arg, Expr::Literal(..)))
        }
        _ => false,
    }
}

/// A constant as a vector of this dimension with finite elements, or a subquery that gives one for all rows.
fn query_vector(expr: &Expr, dimension: usize) -> Option<QueryVector> {
    match expr {
        Expr::Literal(constant, _) => {
            let vector = scalar_to_vector(constant).ok()??;
            let fits = vector.len() == dimension && vector.iter().all(|x| x.is_finite());
            fits.then(|| QueryVector::Constant(ConstantVector(Arc::from(vector))))
        }
        Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => {
            let given = subquery.subquery.schema().fields().first()?;
            (vector_dimension(given.data_type()) == Some(dimension)).then(|| QueryVector::Subquery(expr.clone()))
        }
        // Whether its value fits is seen when there is one.
        _ if is_parameter(expr) => Some(QueryVector::Parameter(expr.clone())),
        _ => None,
    }
}
