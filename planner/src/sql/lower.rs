//! Lowers what DataFusion's SQL planner does not know to what it does, in the syntax tree.
//!
//! | in the text | in the tree |
//! |---|---|
//! | `a <-> b`, `a <=> b`, `a <#> b`, `a <+> b` | the function that [`DISTANCE_OPERATORS`] names |
//! | `CAST(x AS vector(n))`, `x::vector(n)`, `vector '…'` | `to_vector(x, n)` |
//! | `CAST(x AS vector)`, `x::vector` | `to_vector(x, 0)` |
//! | `SELECT a, a` | `SELECT a, a AS a_1`: see [`super::repeated`] |
//! | synonyms of types, such as `json` and `character varying` | the name that DataFusion knows |
//!
//! A cast *from* a vector stays a cast: only the planner knows the operand's type.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Query, Select, SetExpr, TypedString, Value, VisitMut, VisitorMut,
};

use super::repeated::name_repeated;
use super::tokens::DISTANCE_OPERATORS;
use super::types::{Meaning, meaning};
use crate::error::{Error, Result};

/// The function that turns text, arrays and vectors into a vector of the given dimension (0: whatever it has).
const TO_VECTOR: &str = "to_vector";

/// Lowers every expression and query in a piece of syntax.
pub(crate) fn lower(tree: &mut impl VisitMut) -> Result<()> {
    match tree.visit(&mut Lowering) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Lowering;

impl VisitorMut for Lowering {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Box<Error>> {
        check_query(query).map_or_else(|error| ControlFlow::Break(Box::new(error)), ControlFlow::Continue)
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Box<Error>> {
        name_repeated(select);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Box<Error>> {
        lower_expr(expr).map_or_else(|error| ControlFlow::Break(Box::new(error)), ControlFlow::Continue)
    }
}

fn lower_expr(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Custom(op), right } => {
            let Some((_, function)) = DISTANCE_OPERATORS.iter().find(|(name, _)| name == op) else { return Ok(()) };
            let arguments = [take(left), take(right)];
            *expr = call(function, arguments);
        }
        Expr::Cast { kind, expr: operand, data_type, .. } => match meaning(data_type)? {
            Meaning::Plain(plain) => *data_type = plain,
            Meaning::Vector(_) if matches!(kind, CastKind::TryCast | CastKind::SafeCast) => {
                return Err(Error::unsupported("TRY_CAST to vector is not supported; use CAST"));
            }
            Meaning::Vector(dimension) => *expr = to_vector(take(operand), dimension),
        },
        Expr::TypedString(TypedString { data_type, value, .. }) => match meaning(data_type)? {
            Meaning::Plain(plain) => *data_type = plain,
            Meaning::Vector(dimension) => *expr = to_vector(Expr::Value(value.clone()), dimension),
        },
        Expr::Convert { data_type: Some(data_type), .. } => {
            if let Meaning::Plain(plain) = meaning(data_type)? {
                *data_type = plain;
            }
        }
        _ => {}
    }
    Ok(())
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

fn to_vector(operand: Expr, dimension: Option<usize>) -> Expr {
    let dimension = Value::Number(dimension.unwrap_or(0).to_string(), false);
    call(TO_VECTOR, [operand, Expr::value(dimension)])
}

/// The call of a function.
pub(crate) fn call(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Expr {
    let arguments = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Refuses what DataFusion would ignore or misunderstand.
fn check_query(query: &Query) -> Result<()> {
    if !query.locks.is_empty() {
        return Err(Error::unsupported(
            "FOR UPDATE and FOR SHARE are not supported; every statement commits by itself",
        ));
    }
    match query.body.as_ref() {
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => Err(Error::unsupported(
            "statements that change data cannot stand inside or behind WITH; write INSERT INTO … WITH …",
        )),
        SetExpr::Select(select) if select.into.is_some() => {
            Err(Error::unsupported("SELECT INTO is not supported; use CREATE TABLE … AS SELECT"))
        }
        _ => Ok(()),
    }
}

/// The type of a column of an external table, which DataFusion plans by itself.
pub(crate) fn lower_external_type(data_type: &mut DataType) -> Result<()> {
    match meaning(data_type)? {
        Meaning::Plain(plain) => {
            *data_type = plain;
            Ok(())
        }
        Meaning::Vector(_) => Err(Error::unsupported(
            "an external table has no vector columns; leave the columns out and cast the array with ::vector where it is used",
        )),
    }
}
