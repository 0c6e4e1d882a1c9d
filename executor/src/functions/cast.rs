//! Casts from and to vectors, as functions.
//!
//! Arrow's own casts will not do: text to list does not exist, a list of the wrong length becomes an error about lists
//! (or silently NULL), and a vector prints as Arrow prints lists. So `CAST(x AS vector(n))` and `x::vector` become
//! `to_vector(x[, n])`, and a vector cast to text becomes `vector_to_text(x)`; see [`cast_rewrite`](super::cast_rewrite).

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ListArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;
use crate::functions::operand::{Operand, shaped};
use crate::functions::{docs, known_dimension};
use crate::types::{
    Vectors, check_dimension, is_vector_like, scalar_to_vector, text, type_name, unsized_vector_type, vector_dimension,
    vector_to_scalar, vector_type,
};

/// What a cast makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A vector, or an error.
    Vector,
    /// A vector, or NULL where the value cannot become one: TRY_CAST.
    VectorOrNull,
    /// Text as pgvector prints it.
    Text,
    /// A list of Float32.
    List,
}

impl Target {
    fn function_name(self) -> &'static str {
        match self {
            Target::Vector => "to_vector",
            Target::VectorOrNull => "try_to_vector",
            Target::Text => "vector_to_text",
            Target::List => "vector_to_array",
        }
    }
}

/// The function that casts to a target.
pub(super) fn udf(target: Target) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::from(CastFunction { name: target.function_name(), target, signature })
}

/// `to_vector`, `try_to_vector`, `vector_to_text` and `vector_to_array`.
pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    [Target::Vector, Target::VectorOrNull, Target::Text, Target::List].into_iter().map(udf)
}

/// Whether a function of this name is what a cast from or to a vector became.
pub fn is_vector_cast(name: &str) -> bool {
    [Target::Vector, Target::VectorOrNull, Target::Text, Target::List]
        .iter()
        .any(|target| target.function_name() == name)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CastFunction {
    name: &'static str,
    target: Target,
    signature: Signature,
}

impl ScalarUDFImpl for CastFunction {
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
        let wanted = match self.target {
            Target::Vector | Target::VectorOrNull => 1..=2,
            Target::Text | Target::List => 1..=1,
        };
        if !wanted.contains(&args.arg_fields.len()) {
            let detail = format!("{} was called with {} arguments", self.name, args.arg_fields.len());
            return Err(Error::Signature { detail }.into());
        }
        let source = args.arg_fields[0].data_type();
        if !is_vector_like(source) {
            let detail = format!("cannot cast {} to vector", type_name(source));
            return Err(Error::ArgumentType { detail }.into());
        }
        let data_type = match self.target {
            Target::Vector | Target::VectorOrNull => vector_target(self.name, &args)?,
            Target::Text => DataType::Utf8,
            Target::List => list_type(),
        };
        let nullable =
            args.arg_fields[0].is_nullable() || source.is_null() || matches!(self.target, Target::VectorOrNull);
        Ok(Arc::new(Field::new(self.name, data_type, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(argument) = args.args.first() else {
            return Err(Error::Signature { detail: format!("{} takes a value", self.name) }.into());
        };
        match self.target {
            Target::Vector => to_vector(argument, args.return_field.data_type()),
            Target::VectorOrNull => try_to_vector(argument, args.return_field.data_type()),
            Target::Text => to_text(argument, args.number_rows),
            Target::List => to_list(argument, args.number_rows),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name)
    }
}

/// The vector type a cast makes: the dimension that was asked for, else the value's own, else one that only the value
/// will know.
fn vector_target(name: &str, args: &ReturnFieldArgs) -> crate::error::Result<DataType> {
    let dimension = match (args.arg_fields.len(), args.scalar_arguments.get(1)) {
        (2, Some(Some(dimension))) => dimension_argument(name, dimension)?,
        (2, _) => return Err(Error::Signature { detail: format!("the dimension in {name} must be a constant") }),
        _ => 0,
    };
    if dimension > 0 {
        return vector_type(dimension);
    }
    match known_dimension(args, 0)? {
        Some(dimension) => vector_type(dimension),
        None => Ok(unsized_vector_type()),
    }
}

fn dimension_argument(name: &str, value: &ScalarValue) -> crate::error::Result<usize> {
    let dimension = match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(dimension))) => dimension,
        _ => return Err(Error::Signature { detail: format!("the dimension in {name} must be a whole number") }),
    };
    usize::try_from(dimension).map_err(|_| Error::NoDimensions)
}

fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)))
}

/// The dimension of a cast's result at run time, when the value must be known.
fn target_dimension(target: &DataType) -> crate::error::Result<usize> {
    vector_dimension(target).ok_or_else(|| Error::ArgumentType {
        detail: "the dimension of this vector cannot be known before the statement runs; cast to vector(n)".to_owned(),
    })
}

fn to_vector(argument: &ColumnarValue, target: &DataType) -> Result<ColumnarValue> {
    match argument {
        ColumnarValue::Scalar(value) => match scalar_to_vector(value)? {
            None => Ok(ColumnarValue::Scalar(ScalarValue::try_from(target)?)),
            Some(vector) => {
                let expected = target_dimension(target)?;
                if vector.len() != expected {
                    return Err(Error::WrongDimension { expected, actual: vector.len() }.into());
                }
                Ok(ColumnarValue::Scalar(vector_to_scalar(vector)?))
            }
        },
        ColumnarValue::Array(array) if array.data_type() == target => Ok(argument.clone()),
        ColumnarValue::Array(array) if array.null_count() == array.len() || array.data_type().is_null() => {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from(target)?))
        }
        ColumnarValue::Array(array) => {
            let vectors = Vectors::try_checked(array)?.into_array(target_dimension(target)?)?;
            Ok(ColumnarValue::Array(Arc::new(vectors)))
        }
    }
}

fn try_to_vector(argument: &ColumnarValue, target: &DataType) -> Result<ColumnarValue> {
    if let Ok(converted) = to_vector(argument, target) {
        return Ok(converted);
    }
    let dimension = target_dimension(target)?;
    check_dimension(dimension)?;
    let ColumnarValue::Array(array) = argument else {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from(target)?));
    };
    // Something in the batch is wrong, so each row is tried on its own.
    let rows = (0..array.len()).map(|row| {
        let one = ColumnarValue::Array(array.slice(row, 1));
        match to_vector(&one, target) {
            Ok(ColumnarValue::Array(vector)) => ScalarValue::try_from_array(&vector, 0),
            Ok(ColumnarValue::Scalar(value)) => Ok(value),
            Err(_) => ScalarValue::try_from(target),
        }
    });
    Ok(ColumnarValue::Array(ScalarValue::iter_to_array(rows.collect::<Result<Vec<_>>>()?)?))
}

fn to_text(argument: &ColumnarValue, number_rows: usize) -> Result<ColumnarValue> {
    let operand = Operand::try_new(argument)?;
    let rows = if operand.is_constant() { 1 } else { number_rows };
    let mut texts = StringBuilder::new();
    let mut line = String::new();
    for row in 0..rows {
        texts.append_option(operand.get(row).map(|vector| {
            line.clear();
            text::format_into(vector, &mut line);
            line.as_str()
        }));
    }
    shaped(Arc::new(texts.finish()), operand.is_constant())
}

fn to_list(argument: &ColumnarValue, number_rows: usize) -> Result<ColumnarValue> {
    let operand = Operand::try_new(argument)?;
    let rows = if operand.is_constant() { 1 } else { number_rows };
    let lists = ListArray::from_iter_primitive::<datafusion::arrow::datatypes::Float32Type, _, _>(
        (0..rows).map(|row| operand.get(row).map(|vector| vector.iter().map(|element| Some(*element)))),
    );
    let lists: ArrayRef = Arc::new(lists);
    shaped(cast(&lists, &list_type())?, operand.is_constant())
}
