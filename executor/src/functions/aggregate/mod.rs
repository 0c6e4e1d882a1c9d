//! `sum` and `avg` over vectors, element by element, beside DataFusion's over numbers.
//!
//! SQL has one `sum`, so these functions take the place of the stock ones and hand everything that is not a vector to
//! them unchanged: signature, coercion, accumulators (grouped, sliding and distinct), statistics, simplification. A plan
//! over numbers is the plan DataFusion would have made.

mod accumulator;
mod groups;
mod sums;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Operator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs, TypeSignature,
};

use crate::error::Error;
use crate::types::{is_unsized_vector, is_vector, vector_dimension, vector_type};
use accumulator::VectorAccumulator;
use groups::VectorGroupsAccumulator;
use sums::{Total, sums_type};

/// `sum` and `avg`.
pub(super) fn all() -> [AggregateUDF; 2] {
    [
        AggregateUDF::from(VectorAware::new(sum_udaf(), Total::Sum)),
        AggregateUDF::from(VectorAware::new(avg_udaf(), Total::Average)),
    ]
}

/// A stock aggregate that also takes vectors.
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorAware {
    stock: Arc<AggregateUDF>,
    total: Total,
    signature: Signature,
}

impl VectorAware {
    fn new(stock: Arc<AggregateUDF>, total: Total) -> Self {
        // The stock signature stands first, so it decides whatever it can; `coerce_types` adds vectors.
        let stock_signature = stock.signature();
        let alternatives = match &stock_signature.type_signature {
            TypeSignature::OneOf(alternatives) => alternatives.clone(),
            one => vec![one.clone()],
        };
        let signature = Signature::one_of(
            alternatives.into_iter().chain([TypeSignature::UserDefined]).collect(),
            stock_signature.volatility,
        );
        Self { stock, total, signature }
    }

    fn stock(&self) -> &dyn AggregateUDFImpl {
        self.stock.inner().as_ref()
    }

    fn refuse_distinct(&self, is_distinct: bool) -> Result<()> {
        if is_distinct {
            return not_impl_err!(
                "{}(DISTINCT) together with other aggregates is not supported for vectors",
                self.name()
            );
        }
        Ok(())
    }
}

impl AggregateUDFImpl for VectorAware {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn aliases(&self) -> &[String] {
        self.stock.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [vector] if is_vector(vector) && !is_unsized_vector(vector) => Ok(arg_types.to_vec()),
            _ => Err(Error::Signature { detail: format!("{} takes numbers or vectors", self.name()) }.into()),
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types.first().and_then(vector_dimension) {
            Some(dimension) => Ok(vector_type(dimension)?),
            None => self.stock().return_type(arg_types),
        }
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        match arg_fields.first().and_then(|field| vector_dimension(field.data_type())) {
            Some(dimension) => Ok(Arc::new(Field::new(self.name(), vector_type(dimension)?, true))),
            None => self.stock().return_field(arg_fields),
        }
    }

    fn is_nullable(&self) -> bool {
        self.stock().is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match vector_dimension(args.return_type()) {
            Some(dimension) => {
                self.refuse_distinct(args.is_distinct)?;
                Ok(Box::new(VectorAccumulator::new(self.total, dimension)))
            }
            None => self.stock().accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match vector_dimension(args.return_type()) {
            // It takes rows back as well as in.
            Some(_) => self.accumulator(args),
            None => self.stock().create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match vector_dimension(args.return_type()) {
            Some(dimension) => {
                self.refuse_distinct(args.is_distinct)?;
                Ok(vec![
                    Arc::new(Field::new(format_state_name(args.name, "count"), DataType::UInt64, true)),
                    Arc::new(Field::new(format_state_name(args.name, "sum"), sums_type(dimension), true)),
                ])
            }
            None => self.stock().state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match vector_dimension(args.return_type()) {
            Some(_) => !args.is_distinct,
            None => self.stock().groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match vector_dimension(args.return_type()) {
            Some(dimension) => Ok(Box::new(VectorGroupsAccumulator::new(self.total, dimension))),
            None => self.stock().create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.stock().order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.stock().simplify()
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        literal: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.stock().simplify_expr_op_literal(function, arg, op, literal, arg_is_left)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.stock().reverse_expr()
    }

    fn is_descending(&self) -> Option<bool> {
        self.stock().is_descending()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        match vector_dimension(statistics.return_type) {
            Some(_) => None,
            None => self.stock().value_from_stats(statistics),
        }
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.stock().default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.stock().supports_null_handling_clause()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.stock().supports_within_group_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.stock().documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.stock().set_monotonicity(data_type)
    }
}
