//! Conditions whose literal was not seen before: what the first search under one costs, and the ones after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::scalar::ScalarValue;
use volley::{Engine, Session};

use crate::Fallible;
use crate::prepared::{median_us, rate};
use crate::queries::{Query, distances, near, share_of};
use crate::workloads::{BUCKETS, Workload};

/// Shares of the rows that pass `bucket < x`, roughly: literals lie up to a tenth to either side.
const SHARES: [f64; 4] = [0.5, 0.1, 0.01, 0.001];

/// Searches under other literals that come first, so that the statement is known and only its literal is new.
const WARMING: usize = 50;

/// One query of so many is asked exactly too.
const CHECKED_EVERY: usize = 4;

/// How a statement says its vector and its literal.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// Both as parameters.
    Parameters,
    /// Both within the text.
    Text,
    /// The vector as a parameter, the literal within the text.
    Mixed,
}

/// A table with a column `bucket`, and what it is asked.
pub(crate) struct Literals<'a> {
    pub(crate) engine: Arc<Engine>,
    pub(crate) session: Arc<Session>,
    pub(crate) workload: &'a Workload,
    pub(crate) queries: Vec<Query>,
    pub(crate) k: usize,
}

impl Literals<'_> {
    /// Prints a line for each share of the rows and each form of the statement.
    pub(crate) async fn measure(&self) -> Fallible<()> {
        for share in SHARES {
            for form in [Form::Parameters, Form::Text, Form::Mixed] {
                self.measure_form(share, form).await?;
            }
        }
        Ok(())
    }

    /// Every query under a literal of its own, each beside the same query without a condition; then all once more.
    async fn measure_form(&self, share: f64, form: Form) -> Fallible<()> {
        let literals: Vec<i32> = (0..self.queries.len()).map(|number| self.literal(share, form, number)).collect();
        for (number, query) in self.queries.iter().cycle().take(WARMING).enumerate() {
            // Outside of what is measured.
            let literal = (share * BUCKETS as f64 * 1.2) as i32 + number as i32 * 3 + form as i32;
            self.search(form, query, None).await?;
            self.search(form, query, Some(literal)).await?;
        }
        let (mut unfiltered, mut first, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for (query, literal) in self.queries.iter().zip(&literals) {
            unfiltered.push(self.search(form, query, None).await?.1);
            let (found, took) = self.search(form, query, Some(*literal)).await?;
            first.push(took);
            answers.push(found);
        }
        let mut again = Vec::new();
        for (query, literal) in self.queries.iter().zip(&literals) {
            again.push(self.search(form, query, Some(*literal)).await?.1);
        }
        let recall = self.recall(&literals, &answers).await?;
        let middle = literals.get(literals.len() / 2).copied().unwrap_or_default();
        let passing = share_of(&self.engine, &self.session, &format!("bucket < {middle}")).await?;
        let repeated = rate(&again);
        let (first, unfiltered) = (median_us(&mut first), median_us(&mut unfiltered));
        println!(
            "{{\"system\":\"volley-literals\",\"data\":\"{}\",\"condition\":\"bucket < x\",\"form\":\"{form:?}\",\
             \"passing\":{passing:.5},\"literals\":{},\"k\":{},\"recall\":{recall:.4},\"unfiltered_us\":{unfiltered:.1},\
             \"first_us\":{first:.1},\"ratio\":{:.2},\"again_us\":{:.1},\"again_qps\":{repeated:.0}}}",
            self.workload.name,
            literals.len(),
            self.k,
            first / unfiltered,
            median_us(&mut again),
        );
        Ok(())
    }

    /// The literal of a query, another one for each query and form.
    fn literal(&self, share: f64, form: Form, number: usize) -> i32 {
        let middle = share * BUCKETS as f64;
        let step = (3 * number + form as usize) as f64 / (3 * self.queries.len()) as f64;
        (middle * (0.9 + 0.2 * step)) as i32
    }

    /// One search, and how long it took.
    async fn search(&self, form: Form, query: &Query, literal: Option<i32>) -> Fallible<(Vec<f64>, Duration)> {
        let mut parameters = Vec::new();
        let vector = if form == Form::Text {
            format!("'{:?}'", query.components()?)
        } else {
            parameters.push(query.vector.clone());
            "$1".to_owned()
        };
        let condition = match literal {
            None => String::new(),
            Some(literal) if form == Form::Parameters => {
                parameters.push(ScalarValue::Int32(Some(literal)));
                "bucket < $2".to_owned()
            }
            Some(literal) => format!("bucket < {literal}"),
        };
        let sql = self.workload.ordered(&condition, self.k, &vector, "distance");
        let begun = Instant::now();
        let found = distances(&self.engine, &self.session, &sql, parameters).await?;
        Ok((found, begun.elapsed()))
    }

    /// The share of the true nearest rows in the answers, for one query of [`CHECKED_EVERY`].
    async fn recall(&self, literals: &[i32], answers: &[Vec<f64>]) -> Fallible<f64> {
        let (mut right, mut wanted) = (0, 0);
        let asked = self.queries.iter().zip(literals).zip(answers);
        for ((query, literal), found) in asked.step_by(CHECKED_EVERY) {
            let sql = self.workload.exact_search(&format!("bucket < {literal}"), self.k);
            let truth = distances(&self.engine, &self.session, &sql, vec![query.vector.clone()]).await?;
            right += near(found, &truth)?;
            wanted += truth.len();
        }
        Ok(right as f64 / wanted as f64)
    }
}
