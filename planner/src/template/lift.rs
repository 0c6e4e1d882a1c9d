//! Literals as parameters: statements that differ in nothing but their values share a template.
//!
//! ```text
//! SELECT id FROM t WHERE bucket < 7 ORDER BY embedding <=> '[0.1, 0.2]' LIMIT 10
//! SELECT id FROM t WHERE bucket < $1 ORDER BY embedding <=> $2 LIMIT 10            7, '[0.1, 0.2]'
//!
//! SELECT id FROM t WHERE bucket < 7 ORDER BY embedding <=> $1 LIMIT 10
//! SELECT id FROM t WHERE bucket < $2 ORDER BY embedding <=> $1 LIMIT 10            …, 7
//! ```
//! Lifted is what means the same as a parameter: whole numbers and texts that a column is compared with, and texts that may
//! be vectors. Not the LIMIT, not positions (`ORDER BY 1`), not what gives a column its name.

use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, OrderByKind, Query, SelectItem, SetExpr, Value, ValueWithSpan, Visit, visit_expressions,
    visit_expressions_mut,
};
use volley_executor::functions::metric_of;

/// The query with parameters for its literals too, and the values of all: those of its own parameters, which are `given`, and
/// then the literals. `None` if it is no search, has nothing to lift, or does not take just what is given.
pub fn lift(query: &Query, given: &[ScalarValue]) -> Option<(Query, Vec<ScalarValue>)> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let names_a_column = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(expr) if has(expr, may_be_vector));
    if query.limit_clause.is_none()
        || query.with.is_some()
        || !takes(query, given.len())
        || select.projection.iter().any(names_a_column)
    {
        return None;
    }
    let mut lifted = query.clone();
    let mut lift = Lift { values: given.to_vec(), given: given.len(), is_search: has(query, is_distance_of_parameter) };
    if let Some(order) = &mut lifted.order_by
        && let OrderByKind::Expressions(keys) = &mut order.kind
    {
        keys.iter_mut().for_each(|key| lift.vectors_of(&mut key.expr));
    }
    if let SetExpr::Select(select) = lifted.body.as_mut() {
        for item in &mut select.projection {
            if let SelectItem::ExprWithAlias { expr, .. } = item {
                lift.vectors_of(expr);
            }
        }
        if let Some(condition) = &mut select.selection {
            lift.vectors_of(condition);
            lift.comparisons_of(condition);
        }
    }
    let is_worth_it = lift.is_search && lift.values.len() > given.len();
    is_worth_it.then_some((lifted, lift.values))
}

struct Lift {
    /// What was given, then the literals.
    values: Vec<ScalarValue>,
    given: usize,
    is_search: bool,
}

impl Lift {
    /// Lifts texts that may be vectors.
    fn vectors_of(&mut self, expr: &mut Expr) {
        let _ = visit_expressions_mut(expr, |expr| {
            if may_be_vector(expr)
                && let Some(value) = value_of(expr)
            {
                self.is_search = true;
                self.put(expr, value);
            }
            ControlFlow::<()>::Continue(())
        });
    }

    /// Lifts numbers and texts that columns are compared with.
    fn comparisons_of(&mut self, expr: &mut Expr) {
        let _ = visit_expressions_mut(expr, |expr| {
            if let Expr::BinaryOp { left, op, right } = expr
                && is_comparison(op)
            {
                let is_column = |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                let literal = match (is_column(left), is_column(right)) {
                    (true, false) => right,
                    (false, true) => left,
                    _ => return ControlFlow::<()>::Continue(()),
                };
                if let Some(value) = value_of(literal) {
                    self.put(literal, value);
                }
            }
            ControlFlow::Continue(())
        });
    }

    /// Puts a parameter in the place of a literal: the same one for the same value, so that equal expressions stay equal, but
    /// none of the statement's own, whose next value is another.
    fn put(&mut self, literal: &mut Expr, value: ScalarValue) {
        let known = self.values[self.given..].iter().position(|known| *known == value);
        let index = known.map_or(self.values.len(), |known| self.given + known);
        if known.is_none() {
            self.values.push(value);
        }
        *literal = parameter(index + 1);
    }
}

/// Whether an expression is in a piece of SQL.
fn has(sql: &impl Visit, mut is_wanted: impl FnMut(&Expr) -> bool) -> bool {
    let found = visit_expressions(sql, |expr| match is_wanted(expr) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether the parameters of a query are `$1`, `$2` … to this number, all of them.
fn takes(query: &Query, count: usize) -> bool {
    let mut seen = vec![false; count];
    let mut see = |name: &str| {
        let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        match number.and_then(|number| seen.get_mut(number.checked_sub(1)?)) {
            Some(seen) => *seen = true,
            None => return false,
        }
        true
    };
    let has_other = has(query, |expr| name_of(expr).is_some_and(|name| !see(name)));
    !has_other && seen.into_iter().all(|seen| seen)
}

/// The name of a parameter.
fn name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => Some(name),
        _ => None,
    }
}

fn is_distance_of_parameter(expr: &Expr) -> bool {
    let Expr::Function(call) = expr else { return false };
    let name = call.name.to_string().to_ascii_lowercase();
    metric_of(&name).is_some() && has(&call.args, |expr| name_of(expr).is_some())
}

fn may_be_vector(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) if text.starts_with('['))
}

fn parameter(number: usize) -> Expr {
    Expr::value(Value::Placeholder(format!("${number}")))
}

fn value_of(literal: &Expr) -> Option<ScalarValue> {
    match literal {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, false), .. }) => {
            digits.parse::<i64>().ok().map(ScalarValue::from)
        }
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
            Some(ScalarValue::from(text.as_str()))
        }
        _ => None,
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::Statement as Parsed;
    use datafusion::sql::sqlparser::ast::Statement;

    use super::*;

    fn lifted(sql: &str, given: &[ScalarValue]) -> Option<(String, Vec<ScalarValue>)> {
        let Parsed::Statement(statement) = crate::sql::parse_query(sql).unwrap() else { panic!("{sql}") };
        let Statement::Query(query) = *statement else { panic!("{sql}") };
        lift(&query, given).map(|(query, values)| (query.to_string(), values))
    }

    #[test]
    fn values_become_parameters() {
        let (text, values) =
            lifted("SELECT id, l2_distance(e, '[1,2]') AS d FROM t WHERE a < 7 AND 'x' = b AND c IN (1, 2) ORDER BY l2_distance(e, '[1,2]'), 1 LIMIT 5", &[])
                .unwrap();
        assert_eq!(
            text,
            "SELECT id, l2_distance(e, $1) AS d FROM t WHERE a < $2 AND $3 = b AND c IN (1, 2) ORDER BY l2_distance(e, $1), 1 LIMIT 5"
        );
        assert_eq!(values, [ScalarValue::from("[1,2]"), ScalarValue::from(7i64), ScalarValue::from("x")]);
    }

    #[test]
    fn literals_go_on_behind_the_parameters() {
        let given = [ScalarValue::from("[1,2]"), ScalarValue::from(7i64)];
        for (sql, wanted, literals) in [
            (
                // The same value as a parameter has now is a literal all the same.
                "SELECT id, e <-> $1 AS d FROM t WHERE a < 7 AND b = 'x' AND c > 7 AND f = $2 ORDER BY d LIMIT 5",
                "SELECT id, l2_distance(e, $1) AS d FROM t WHERE a < $3 AND b = $4 AND c > $3 AND f = $2 ORDER BY d LIMIT 5",
                vec![ScalarValue::from(7i64), ScalarValue::from("x")],
            ),
            (
                "SELECT id FROM t WHERE a = 1 ORDER BY L2_Distance(e, $1::vector(2)) LIMIT $2",
                "SELECT id FROM t WHERE a = $3 ORDER BY L2_Distance(e, to_vector($1, 2)) LIMIT $2",
                vec![ScalarValue::from(1i64)],
            ),
            (
                "SELECT id, ? AS f FROM t WHERE a = ? ORDER BY e <=> '[3,4]' LIMIT 3",
                "SELECT id, $1 AS f FROM t WHERE a = $2 ORDER BY cosine_distance(e, $3) LIMIT 3",
                vec![ScalarValue::from("[3,4]")],
            ),
        ] {
            let values = [given.to_vec(), literals].concat();
            assert_eq!(lifted(sql, &given), Some((wanted.to_owned(), values)), "{sql}");
        }
    }

    #[test]
    fn parameters_that_do_not_fit_stay_as_they_are() {
        let given = [ScalarValue::from("[1,2]"), ScalarValue::from(7i64)];
        for sql in [
            "SELECT id FROM t WHERE a < 3 ORDER BY e <-> $1 LIMIT 3",
            "SELECT id FROM t WHERE a < 3 ORDER BY e <-> '[1,2]' LIMIT 3",
            "SELECT id FROM t WHERE a < 3 AND b = $3 ORDER BY e <-> $1 LIMIT 3",
            "SELECT id FROM t WHERE a < 3 AND b = $3 AND c = $2 ORDER BY e <-> $1 LIMIT 3",
            "SELECT id FROM t WHERE a < 3 AND b = $x ORDER BY e <-> $1 LIMIT $2",
            "SELECT id FROM t WHERE a < 3 AND b = $0 ORDER BY e <-> $1 LIMIT $2",
            // Nothing to lift, and no search.
            "SELECT id FROM t WHERE a < $2 ORDER BY e <-> $1 LIMIT 3",
            "SELECT id FROM t WHERE a < 3 AND b = $2 ORDER BY c + $1 LIMIT 3",
        ] {
            assert_eq!(lifted(sql, &given), None, "{sql}");
        }
        assert_eq!(lifted("SELECT id FROM t WHERE a < 3 ORDER BY e <-> $1 LIMIT 3", &[]), None);
    }

    #[test]
    fn what_would_mean_something_else_stays() {
        for sql in [
            "SELECT id FROM t ORDER BY l2_distance(e, '[1,2]')",
            "SELECT id FROM t ORDER BY l2_distance(e, $1), e <> '[1,2]' LIMIT 3",
            "SELECT id, l2_distance(e, '[1,2]') FROM t ORDER BY 2 LIMIT 3",
            "SELECT id FROM t WHERE a < 3 ORDER BY b LIMIT 3",
            "WITH w AS (SELECT 1) SELECT id FROM t ORDER BY l2_distance(e, '[1,2]') LIMIT 3",
        ] {
            assert_eq!(lifted(sql, &[]), None, "{sql}");
        }
    }
}
