//! Functions of one vector: `vector_dims`, `l2_norm`, `l2_normalize`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array};
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
use crate::types::{is_vector_like, type_name, vector_type};

/// What is computed of the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Measure {
    /// Its number of elements, an Int32.
    Dimensions,
    /// Its Euclidean length, a Float64 accumulated in f64.
    Norm,
    /// The vector divided by its length; the zero vector stays zero, as in pgvector.
    Normalized,
}

/// The functions of one vector.
pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    [
        ("vector_dims", Measure::Dimensions, vec![]),
        ("l2_norm", Measure::Norm, vec!["vector_norm".to_owned()]),
        ("l2_normalize", Measure::Normalized, vec![]),
    ]
    .into_iter()
    .map(|(name, measure, aliases)| {
        let signature = Signature::user_defined(Volatility::Immutable);
        ScalarUDF::from(MeasureFunction { name, measure, aliases, signature })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MeasureFunction {
    name: &'static str,
    measure: Measure,
    aliases: Vec<String>,
    signature: Signature,
}

impl ScalarUDFImpl for MeasureFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
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
        let [field] = args.arg_fields else {
            let detail =
                format!("{} takes 1 vector, it was called with {} arguments", self.name, args.arg_fields.len());
            return Err(Error::Signature { detail }.into());
        };
        if !is_vector_like(field.data_type()) {
            let detail = format!("{}({}) does not exist; it takes a vector", self.name, type_name(field.data_type()));
            return Err(Error::Signature { detail }.into());
        }
        let data_type = match self.measure {
            Measure::Dimensions => DataType::Int32,
            Measure::Norm => DataType::Float64,
            Measure::Normalized => vector_type(result_dimension(self.name, &args)?)?,
        };
        Ok(Arc::new(Field::new(self.name, data_type, field.is_nullable() || field.data_type().is_null())))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = args.args.as_slice() else {
            let detail = format!("{} takes 1 vector", self.name);
            return Err(Error::Signature { detail }.into());
        };
        let operand = Operand::try_new(argument)?;
        if matches!(operand, Operand::Constant(None)) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?));
        }
        let rows = if operand.is_constant() { 1 } else { args.number_rows };
        let vectors = (0..rows).map(|row| operand.get(row));
        let array: ArrayRef = match self.measure {
            // A dimension is at most 32,768.
            Measure::Dimensions => Arc::new(vectors.map(|v| v.map(|v| v.len() as i32)).collect::<Int32Array>()),
            Measure::Norm => Arc::new(vectors.map(|v| v.map(norm)).collect::<Float64Array>()),
            Measure::Normalized => normalized(vectors, args.return_field.data_type(), rows)?,
        };
        shaped(array, operand.is_constant())
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name)
    }
}

fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|element| f64::from(*element) * f64::from(*element)).sum::<f64>().sqrt()
}

fn normalized<'a>(
    vectors: impl Iterator<Item = Option<&'a [f32]>>,
    data_type: &DataType,
    rows: usize,
) -> crate::error::Result<ArrayRef> {
    let dimension = crate::types::vector_dimension(data_type).ok_or(Error::NoDimensions)?;
    let mut values = Vec::with_capacity(rows * dimension);
    let mut valid = Vec::with_capacity(rows);
    for vector in vectors {
        valid.push(vector.is_some());
        let Some(vector) = vector else {
            values.resize(values.len() + dimension, 0.0);
            continue;
        };
        if vector.len() != dimension {
            return Err(Error::WrongDimension { expected: dimension, actual: vector.len() });
        }
        let length = norm(vector);
        let scale = |element: &f32| if length > 0.0 { (f64::from(*element) / length) as f32 } else { 0.0 };
        values.extend(vector.iter().map(scale));
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    Ok(Arc::new(vector_array(ScalarBuffer::from(values), dimension, nulls, rows)?))
}
