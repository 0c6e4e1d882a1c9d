//! `exact(distance)` and `approx(distance, recall => r)`: what a query demands of the plan for its ORDER BY.
//!
//! As functions they return their first argument unchanged; the planner's top-k rule reads them through [`contract`].

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{Alias, ScalarFunction};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::error::Error;
use crate::functions::docs;
use crate::types::type_name;

/// What a query demands of the search behind a distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Contract {
    /// `exact(d)`: every qualifying row is looked at.
    Exact,
    /// `approx(d, recall => r)`: at least this share of the true neighbours, above 0 and at most 1; `None` leaves it to
    /// the session's setting.
    Approximate(Option<f64>),
}

/// The contract an expression states and the distance it is about; `None` if it states none or its recall is not a
/// valid constant.
pub fn contract(expr: &Expr) -> Option<(Contract, &Expr)> {
    match expr {
        Expr::Alias(Alias { expr, .. }) => contract(expr),
        Expr::ScalarFunction(ScalarFunction { func, args }) => match (func.name(), args.as_slice()) {
            ("exact", [distance]) => Some((Contract::Exact, distance)),
            ("approx", [distance]) => Some((Contract::Approximate(None), distance)),
            ("approx", [distance, Expr::Literal(recall, _)]) => {
                Some((Contract::Approximate(Some(recall_argument(recall).ok()?)), distance))
            }
            _ => None,
        },
        _ => None,
    }
}

/// `exact` and `approx`.
pub(super) fn all() -> Result<Vec<ScalarUDF>> {
    let exact = Signature::user_defined(Volatility::Immutable).with_parameter_names(vec!["distance"])?;
    let approx = Signature::user_defined(Volatility::Immutable).with_parameter_names(vec!["distance", "recall"])?;
    Ok(vec![
        ScalarUDF::from(MarkerFunction { name: "exact", arguments_max: 1, signature: exact }),
        ScalarUDF::from(MarkerFunction { name: "approx", arguments_max: 2, signature: approx }),
    ])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MarkerFunction {
    name: &'static str,
    arguments_max: usize,
    signature: Signature,
}

impl ScalarUDFImpl for MarkerFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Err(Error::Internal { detail: format!("{} needs the fields of its arguments", self.name) }.into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let count = args.arg_fields.len();
        if count == 0 || count > self.arguments_max {
            let detail = format!("{} takes a distance, it was called with {count} arguments", self.name);
            return Err(Error::Signature { detail }.into());
        }
        let distance = &args.arg_fields[0];
        if !distance.data_type().is_numeric() && !distance.data_type().is_null() {
            let detail =
                format!("{}({}) does not exist; it takes a distance", self.name, type_name(distance.data_type()));
            return Err(Error::Signature { detail }.into());
        }
        if let Some(Some(recall)) = args.scalar_arguments.get(1) {
            recall_argument(recall)?;
        }
        Ok(Arc::new(Field::new(self.name, distance.data_type().clone(), distance.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.get(1) {
            Some(ColumnarValue::Scalar(recall)) => {
                recall_argument(recall)?;
            }
            Some(ColumnarValue::Array(_)) => {
                return Err(Error::InvalidArgument { detail: "recall must be a constant".to_owned() }.into());
            }
            None => {}
        }
        args.args
            .into_iter()
            .next()
            .ok_or_else(|| Error::Signature { detail: format!("{} takes a distance", self.name) }.into())
    }

    // Ordering by the marked distance is ordering by the distance.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(inputs.first().map_or(SortProperties::Unordered, |distance| distance.sort_properties))
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name)
    }
}

/// The recall a constant asks for.
fn recall_argument(value: &ScalarValue) -> crate::error::Result<f64> {
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(recall))) if recall > 0.0 && recall <= 1.0 => Ok(recall),
        _ => Err(Error::InvalidArgument { detail: format!("recall must be above 0 and at most 1, not {value}") }),
    }
}
