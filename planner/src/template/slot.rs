//! Slots: where the parameters of a template stand in its physical plan.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Extension, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::expressions::Literal;

use crate::vector_topk::VectorTopK;

/// A function that stands for a value that is not known yet.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Slot {
    /// Which parameter.
    index: usize,
    name: String,
    field: FieldRef,
    signature: Signature,
}

impl ScalarUDFImpl for Slot {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// A column that is named after its expression is called what it is with a value.
    fn schema_name(&self, _args: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("parameter {} has no value", self.name)
    }
}

/// The position of the value of `$n`.
fn index_of(placeholder: &str) -> Option<usize> {
    placeholder.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

/// The plan with slots for its placeholders; `None` where the type of one is not known.
pub(super) fn with_slots(plan: LogicalPlan) -> Result<Option<LogicalPlan>> {
    let mut is_complete = true;
    let mut slotted = |expr: Expr| {
        expr.transform_up(|expr| {
            let Expr::Placeholder(placeholder) = &expr else { return Ok(Transformed::no(expr)) };
            let (Some(field), Some(index)) = (&placeholder.field, index_of(&placeholder.id)) else {
                is_complete = false;
                return Ok(Transformed::no(expr));
            };
            // Volatile, so that nobody tries to compute it beforehand.
            let signature = Signature::nullary(Volatility::Volatile);
            let slot = Slot { index, name: placeholder.id.clone(), field: Arc::clone(field), signature };
            let call = ScalarFunction::new_udf(Arc::new(ScalarUDF::from(slot)), Vec::new());
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        })
    };
    let plan = plan.transform_up(|node| {
        let node = node.map_expressions(&mut slotted)?.data;
        let LogicalPlan::Extension(extension) = &node else { return Ok(Transformed::yes(node)) };
        let Some(search) = extension.node.as_any().downcast_ref::<VectorTopK>() else {
            return Ok(Transformed::yes(node));
        };
        // Its filter is over the table and not over its input, so that it is none of the node's expressions.
        let mut search = search.clone();
        search.search.filter = search.search.filter.take().map(|filter| slotted(filter).data()).transpose()?;
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(search) })))
    });
    let plan = plan.data()?;
    Ok(is_complete.then_some(plan))
}

fn slot_of(expr: &Arc<dyn PhysicalExpr>) -> Option<&Slot> {
    expr.downcast_ref::<ScalarFunctionExpr>()?.fun().inner().downcast_ref::<Slot>()
}

/// Whether an expression has slots.
pub(super) fn has_slot(expr: &Arc<dyn PhysicalExpr>) -> bool {
    slot_of(expr).is_some() || expr.children().into_iter().any(has_slot)
}

/// The expression with values in its slots, and what depends on nothing else computed, as planning would.
///
/// # Errors
/// What planning with the values would fail with.
pub(super) fn with_values(expr: Arc<dyn PhysicalExpr>, values: &[ScalarValue]) -> Result<Arc<dyn PhysicalExpr>> {
    let bound = expr.transform_up(|expr| {
        if let Some(slot) = slot_of(&expr) {
            return match values.get(slot.index) {
                Some(value) => Ok(Transformed::yes(literal(value.clone()))),
                None => internal_err!("parameter {} has no value", slot.name),
            };
        }
        let children = expr.children();
        if children.is_empty() || !children.iter().all(|child| child.is::<Literal>()) {
            return Ok(Transformed::no(expr));
        }
        let one_row = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one_row)?;
        Ok(Transformed::yes(literal(match expr.evaluate(&row)? {
            ColumnarValue::Scalar(value) => value,
            ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
        })))
    });
    bound.data()
}

fn literal(value: ScalarValue) -> Arc<dyn PhysicalExpr> {
    Arc::new(Literal::new(value))
}

/// A logical expression with values for its placeholders.
pub(super) fn with_literals(expr: Expr, values: &[ScalarValue]) -> Result<Expr> {
    let bound = expr.transform_up(|expr| match value_of(&expr, values) {
        Some((_, value)) => Ok(Transformed::yes(Expr::Literal(value.clone(), None))),
        None => Ok(Transformed::no(expr)),
    });
    bound.data()
}

/// Which parameter a placeholder stands for, and its value.
pub(super) fn value_of<'a>(expr: &Expr, values: &'a [ScalarValue]) -> Option<(usize, &'a ScalarValue)> {
    let Expr::Placeholder(placeholder) = expr else { return None };
    let index = index_of(&placeholder.id)?;
    Some((index, values.get(index)?))
}
