//! Number literals that meet decimals are decimals.
//!
//! The parser reads `99999.99` as a 64-bit float. DataFusion compares a float with a decimal as `Decimal(30, 15)`, in which
//! that float is 99999.990000000008 and equals no price of 99999.99. So a float literal that is compared with a decimal
//! becomes the decimal its shortest text says, which is what stood in the statement (up to 15 digits, exactly):
//!
//! ```text
//! price = Float64(99999.99)   →   price = Decimal128(99999.99, 7, 2)
//! ```
//!
//! It runs before type coercion, which would otherwise put a cast around the column and hide it from pruning.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, Operator};

/// The rewrite; see the module's page.
#[derive(Debug, Default)]
pub struct DecimalLiterals;

impl FunctionRewrite for DecimalLiterals {
    fn name(&self) -> &str {
        "decimal_literals"
    }

    fn rewrite(&self, mut expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let changed = match &mut expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
                if is_decimal(left, schema) {
                    retype(right)
                } else {
                    is_decimal(right, schema) && retype(left)
                }
            }
            Expr::Between(Between { expr, low, high, .. }) if is_decimal(expr, schema) => retype(low) | retype(high),
            Expr::InList(InList { expr, list, .. }) if is_decimal(expr, schema) => {
                // Not `any`: every element has to be looked at.
                list.iter_mut().fold(false, |changed, element| retype(element) | changed)
            }
            _ => false,
        };
        Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
    }
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_decimal(expr: &Expr, schema: &DFSchema) -> bool {
    !matches!(expr, Expr::Literal(..))
        && expr.get_type(schema).is_ok_and(|data_type| {
            matches!(
                data_type,
                DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
            )
        })
}

/// Makes a float literal (also a negated one) a decimal literal; says whether it did.
fn retype(expr: &mut Expr) -> bool {
    match expr {
        Expr::Negative(inner) => retype(inner),
        Expr::Literal(value, _) => match value {
            ScalarValue::Float64(Some(number)) => match decimal(*number) {
                Some(exact) => {
                    *value = exact;
                    true
                }
                None => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// The decimal that a float's shortest text says; `None` when no decimal holds it.
fn decimal(number: f64) -> Option<ScalarValue> {
    if !number.is_finite() {
        return None;
    }
    // `Display` of a float is its shortest text that reads back as the same float, never in scientific notation.
    let text = number.to_string();
    let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let precision = digits.trim_start_matches('0').len().max(scale).max(1);
    if precision > usize::from(DECIMAL128_MAX_PRECISION) {
        return None;
    }
    let unscaled: i128 = digits.parse().ok()?;
    let unscaled = if number.is_sign_negative() { -unscaled } else { unscaled };
    Some(ScalarValue::Decimal128(Some(unscaled), precision as u8, scale as i8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_what_stood_in_the_statement() {
        for (number, text) in [(99999.99, "99999.99"), (0.05, "0.05"), (-1.5, "-1.5"), (3.0, "3"), (0.0, "0")] {
            assert_eq!(decimal(number).unwrap().to_string(), text, "{number}");
        }
        assert_eq!(decimal(f64::NAN), None);
        assert_eq!(decimal(1e300), None);
    }
}
