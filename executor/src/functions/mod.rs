//! Volley's SQL functions, beside and in place of DataFusion's.
//!
//! | module | functions |
//! |---|---|
//! | [`distance`] | `l2_distance`, `cosine_distance`, `negative_inner_product`, `l1_distance`, `inner_product` |
//! | [`measure`] | `vector_dims`, `l2_norm`, `l2_normalize` |
//! | [`arithmetic`] | `vector_add`, `vector_sub`, `vector_mul` |
//! | [`cast`] | `to_vector`, `try_to_vector`, `vector_to_text`, `vector_to_array` |
//! | [`marker`] | `exact`, `approx` |
//! | [`aggregate`] | `sum` and `avg`, over vectors too |
//! | [`json`] | JSON as text, `->`, `->>`, `#>`, `#>>` |
//! | [`info`] | `version`, `current_schema`, `current_database`, `current_user` |
//!
//! Executors need [`register`] only, because they decode plans by function name. Where SQL is planned, the session also
//! takes [`expr_planners`].

mod aggregate;
mod arithmetic;
mod cast;
mod cast_rewrite;
mod distance;
mod docs;
mod info;
mod json;
mod marker;
mod measure;
mod operand;
mod parameters;
mod vector_planner;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{ReturnFieldArgs, ScalarUDF};

pub use cast::is_vector_cast;
pub use cast_rewrite::{VectorCastRewrite, to_vector_expr};
pub use distance::{function_of, metric_of};
pub use info::{EMBEDDED_USER, of_user, version};
pub use json::JsonPlanner;
pub use marker::{Contract, contract};
pub use parameters::type_vector_parameters;
pub use vector_planner::VectorPlanner;

use crate::error::Error;
use crate::types::{is_unsized_vector, text};

/// Registers every function, replacing stock ones of the same name, and the rewrites that run before type coercion.
///
/// # Errors
/// Those of the registry.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in scalar_functions()? {
        registry.register_udf(function)?;
    }
    for function in aggregate::all() {
        registry.register_udaf(Arc::new(function))?;
    }
    match registry.register_function_rewrite(Arc::new(VectorCastRewrite)) {
        // A registry without an analyzer plans no SQL, so there is nothing to rewrite.
        Err(DataFusionError::NotImplemented(_)) => Ok(()),
        result => result,
    }
}

/// The planners of our operators, to stand before DataFusion's own.
pub fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(JsonPlanner), Arc::new(VectorPlanner)]
}

fn scalar_functions() -> Result<Vec<Arc<ScalarUDF>>> {
    let mut functions: Vec<Arc<ScalarUDF>> = distance::all()
        .chain(measure::all())
        .chain(arithmetic::all())
        .chain(cast::all())
        .chain(marker::all()?)
        .chain(info::all())
        .map(Arc::new)
        .collect();
    functions.extend(json::all());
    Ok(functions)
}

/// The dimension of a vector that a function returns: that of the first argument which shows one.
fn result_dimension(name: &str, args: &ReturnFieldArgs) -> crate::error::Result<usize> {
    for index in 0..args.arg_fields.len() {
        if let Some(dimension) = known_dimension(args, index)? {
            return Ok(dimension);
        }
    }
    Err(Error::ArgumentType { detail: format!("{name} needs a vector whose dimension is known; cast it to vector(n)") })
}

/// The dimension that an argument's type or constant value shows.
fn known_dimension(args: &ReturnFieldArgs, index: usize) -> crate::error::Result<Option<usize>> {
    let data_type = args.arg_fields[index].data_type();
    if let DataType::FixedSizeList(_, n) = data_type
        && !is_unsized_vector(data_type)
    {
        return Ok(usize::try_from(*n).ok());
    }
    let Some(Some(value)) = args.scalar_arguments.get(index) else {
        return Ok(None);
    };
    if value.is_null() {
        return Ok(None);
    }
    Ok(match value {
        ScalarValue::List(list) => Some(list.value_length(0) as usize),
        ScalarValue::LargeList(list) => Some(list.value_length(0) as usize),
        other => other.try_as_str().flatten().map(text::count_elements),
    })
}
