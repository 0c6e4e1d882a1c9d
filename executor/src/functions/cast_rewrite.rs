//! Turns SQL casts that involve vectors into the functions of [`cast`](super::cast).
//!
//! ```text
//! CAST(text or list AS vector(n))   →  to_vector(x, n)
//! CAST(x AS vector)                 →  to_vector(x)              the dimension comes from the value
//! CAST(vector AS text)              →  CAST(vector_to_text(x) AS text)
//! to_vector(ARRAY[a, b])            →  to_vector(ARRAY[a, b], 2)  the dimension is in plain sight
//! distance(a, to_vector(x))         →  distance(a, x)            the distance takes x as it is
//! ```
//!
//! It runs before type coercion, because coercion refuses casts that Arrow does not know.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Alias, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, TryCast, lit};

use crate::error::Error;
use crate::functions::cast::{self, Target};
use crate::functions::distance::is_distance_function;
use crate::types::{is_unsized_vector, is_vector, is_vector_like, text, vector_dimension, vector_type};

/// The rewrite; see the module's page.
#[derive(Debug, Default)]
pub struct VectorCastRewrite;

impl FunctionRewrite for VectorCastRewrite {
    fn name(&self) -> &str {
        "vector_cast"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(Cast { expr: source, field }) => {
                match cast_as_function(*source, field.data_type(), schema, false)? {
                    Ok(function) => Ok(Transformed::yes(function)),
                    Err(source) => Ok(Transformed::no(Expr::Cast(Cast { expr: Box::new(source), field }))),
                }
            }
            Expr::TryCast(TryCast { expr: source, field }) => {
                match cast_as_function(*source, field.data_type(), schema, true)? {
                    Ok(function) => Ok(Transformed::yes(function)),
                    Err(source) => Ok(Transformed::no(Expr::TryCast(TryCast { expr: Box::new(source), field }))),
                }
            }
            Expr::ScalarFunction(function) if is_bare_to_vector(&function) => Ok(with_dimension(function)),
            Expr::ScalarFunction(function) if is_distance_function(function.func.name()) => {
                Ok(without_bare_casts(function))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// `CAST(expr AS vector(dimension))`, or without a dimension for 0, as an expression that this crate understands.
pub fn to_vector_expr(expr: Expr, dimension: usize) -> Expr {
    call(Target::Vector, expr, dimension)
}

fn call(target: Target, expr: Expr, dimension: usize) -> Expr {
    let mut args = vec![expr];
    if dimension > 0 {
        // At most 32,768 in every type that exists; larger ones are refused when the type is made.
        args.push(lit(i64::try_from(dimension).unwrap_or(i64::MAX)));
    }
    cast::udf(target).call(args)
}

/// The function a cast stands for; gives the source back if it is not ours.
fn cast_as_function(
    source: Expr,
    target: &DataType,
    schema: &DFSchema,
    try_cast: bool,
) -> Result<std::result::Result<Expr, Expr>> {
    // Exactly our type: a cast to `real[3]` is a list of another kind and stays one.
    let to_vector = is_unsized_vector(target)
        || vector_dimension(target).is_some_and(|n| vector_type(n).is_ok_and(|vector| vector == *target));
    let to_text = matches!(target, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let to_array = matches!(target, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
    if !to_vector && !to_text && !to_array {
        return Ok(Err(source));
    }
    let source_type = source.get_type(schema)?;
    if to_array && !to_vector && matches!(source_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        // Arrow would make a list of one element, the whole text.
        let detail = "text cannot be cast to an array; write ARRAY[…]".to_owned();
        return Err(Error::ArgumentType { detail }.into());
    }
    if to_vector && source_type != *target && is_vector_like(&source_type) {
        let dimension = if is_unsized_vector(target) { 0 } else { vector_dimension(target).unwrap_or(0) };
        let function = if try_cast { Target::VectorOrNull } else { Target::Vector };
        let rewritten = call(function, source, dimension);
        return Ok(Ok(match rewritten {
            Expr::ScalarFunction(function) if is_bare_to_vector(&function) => with_dimension(function).data,
            other => other,
        }));
    }
    if to_text && is_vector(&source_type) {
        let printed = cast::udf(Target::Text).call(vec![source]);
        return Ok(Ok(Expr::Cast(Cast::new(Box::new(printed), target.clone()))));
    }
    Ok(Err(source))
}

fn is_bare_to_vector(function: &ScalarFunction) -> bool {
    match function.args.as_slice() {
        [_] => matches!(function.func.name(), "to_vector" | "try_to_vector"),
        [_, Expr::Literal(dimension, _)] => {
            matches!(function.func.name(), "to_vector" | "try_to_vector")
                && matches!(dimension.cast_to(&DataType::Int64), Ok(ScalarValue::Int64(Some(0))))
        }
        _ => false,
    }
}

/// Adds the dimension when the argument shows it although it is no literal yet.
fn with_dimension(mut function: ScalarFunction) -> Transformed<Expr> {
    let dimension = function.args.first().and_then(visible_dimension);
    match dimension {
        Some(dimension) => {
            function.args.truncate(1);
            function.args.push(lit(i64::try_from(dimension).unwrap_or(i64::MAX)));
            Transformed::yes(Expr::ScalarFunction(function))
        }
        None => Transformed::no(Expr::ScalarFunction(function)),
    }
}

/// The number of elements of `ARRAY[…]`, or of text under casts and aliases.
fn visible_dimension(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::ScalarFunction(array) if array.func.name() == "make_array" => Some(array.args.len()),
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => visible_dimension(expr),
        Expr::Alias(Alias { expr, .. }) => visible_dimension(expr),
        Expr::Literal(value, _) => value.try_as_str().flatten().map(text::count_elements),
        _ => None,
    }
}

/// A distance takes text and lists itself, so a cast whose dimension is unknown only stands in the way.
fn without_bare_casts(mut function: ScalarFunction) -> Transformed<Expr> {
    let mut changed = false;
    for arg in &mut function.args {
        while let Expr::ScalarFunction(cast) = arg
            && cast.func.name() == "to_vector"
            && is_bare_to_vector(cast)
            && !cast.args.is_empty()
        {
            *arg = cast.args.swap_remove(0);
            changed = true;
        }
    }
    let expr = Expr::ScalarFunction(function);
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}
