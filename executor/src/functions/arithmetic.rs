//! Element-wise arithmetic behind `+`, `-` and `*` between vectors.

use std::sync::Arc;

use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;
use crate::functions::operand::{Operand, shaped};
use crate::functions::{docs, result_dimension};
use crate::types::vector_array;
use crate::types::{is_vector_like, type_name, vector_dimension, vector_type};

/// What happens to each pair of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
}

impl Operation {
    fn apply(self, left: f32, right: f32) -> f32 {
        match self {
            Operation::Add => left + right,
            Operation::Subtract => left - right,
            Operation::Multiply => left * right,
        }
    }
}

/// The function of an operation.
pub(super) fn udf(operation: Operation) -> ScalarUDF {
    let name = match operation {
        Operation::Add => "vector_add",
        Operation::Subtract => "vector_sub",
        Operation::Multiply => "vector_mul",
    };
    ScalarUDF::from(ArithmeticFunction { name, operation, signature: Signature::user_defined(Volatility::Immutable) })
}

/// `vector_add`, `vector_sub` and `vector_mul`.
pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    [Operation::Add, Operation::Subtract, Operation::Multiply].into_iter().map(udf)
}

/// Two vectors of one dimension to a third; NULL if either is NULL; an error if an element leaves the range of f32.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArithmeticFunction {
    name: &'static str,
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for ArithmeticFunction {
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
        let [left, right] = args.arg_fields else {
            let count = args.arg_fields.len();
            let detail = format!("{} takes 2 vectors, it was called with {count} arguments", self.name);
            return Err(Error::Signature { detail }.into());
        };
        let (left, right) = (left.data_type(), right.data_type());
        if !is_vector_like(left) || !is_vector_like(right) {
            let (left, right) = (type_name(left), type_name(right));
            let detail = format!("{}({left}, {right}) does not exist; it takes two vectors", self.name);
            return Err(Error::Signature { detail }.into());
        }
        if let (Some(left), Some(right)) = (vector_dimension(left), vector_dimension(right))
            && left != right
        {
            return Err(Error::DimensionMismatch { left, right }.into());
        }
        Ok(Arc::new(Field::new(self.name, vector_type(result_dimension(self.name, &args)?)?, true)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let data_type = args.return_field.data_type();
        let (Some(dimension), [left, right]) = (vector_dimension(data_type), args.args.as_slice()) else {
            return Err(Error::Signature { detail: format!("{} takes 2 vectors", self.name) }.into());
        };
        let (left, right) = (Operand::try_new(left)?, Operand::try_new(right)?);
        if matches!(left, Operand::Constant(None)) || matches!(right, Operand::Constant(None)) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(data_type)?));
        }
        let constant = left.is_constant() && right.is_constant();
        let rows = if constant { 1 } else { args.number_rows };
        let mut values = Vec::with_capacity(rows * dimension);
        let mut valid = Vec::with_capacity(rows);
        for row in 0..rows {
            match (left.get(row), right.get(row)) {
                (Some(left), Some(right)) => {
                    self.combine(left, right, dimension, &mut values)?;
                    valid.push(true);
                }
                _ => {
                    values.resize(values.len() + dimension, 0.0);
                    valid.push(false);
                }
            }
        }
        let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
        shaped(Arc::new(vector_array(ScalarBuffer::from(values), dimension, nulls, rows)?), constant)
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name)
    }
}

impl ArithmeticFunction {
    /// Appends the result for one row.
    fn combine(
        &self,
        left: &[f32],
        right: &[f32],
        dimension: usize,
        values: &mut Vec<f32>,
    ) -> crate::error::Result<()> {
        if left.len() != right.len() {
            return Err(Error::DimensionMismatch { left: left.len(), right: right.len() });
        }
        if left.len() != dimension {
            return Err(Error::WrongDimension { expected: dimension, actual: left.len() });
        }
        for (position, (left, right)) in left.iter().zip(right).enumerate() {
            let value = self.operation.apply(*left, *right);
            if !value.is_finite() {
                return Err(Error::ElementOutOfRange { value: value.to_string(), position: position + 1 });
            }
            values.push(value);
        }
        Ok(())
    }
}
