//! Repeated columns of a SELECT get names of their own, because DataFusion's schemas hold each name once:
//!
//! ```text
//! SELECT a, a, a::int FROM t   →   SELECT a, a AS a_1, a::int AS a_2 FROM t
//! ```

use std::collections::{HashMap, HashSet};

use datafusion::sql::sqlparser::ast::{Expr, Ident, Select, SelectItem};

/// Names the repetitions in a SELECT's list; the first of its kind keeps its name.
pub(super) fn name_repeated(select: &mut Select) {
    let mut taken: HashSet<String> = HashSet::new();
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            taken.insert(alias.value.clone());
        }
    }
    // How many columns of each name there have been, so that a long list is read once.
    let mut repetitions: HashMap<String, usize> = HashMap::new();
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        // DataFusion names a cast by what it casts.
        let name = without_casts(expr).to_string();
        let repetition = repetitions.entry(name.clone()).and_modify(|count| *count += 1).or_insert(0);
        if *repetition == 0 {
            continue;
        }
        let base = name.rsplit('.').next().unwrap_or(&name).trim_matches('"');
        while !taken.insert(format!("{base}_{repetition}")) {
            *repetition += 1;
        }
        let alias = Ident::with_quote('"', format!("{base}_{repetition}"));
        let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
}

fn without_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => without_casts(expr),
        other => other,
    }
}
