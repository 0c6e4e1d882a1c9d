//! The four distances. Smaller is nearer for every one of them.

use std::{fmt, str::FromStr};

use crate::Error;

/// How far apart two vectors are. For every metric a smaller value is nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Euclidean distance, `sqrt(Σ (a−b)²)`: the operator `<->`.
    L2,
    /// `1 − Σab / (|a||b|)`, within 0 … 2: the operator `<=>`. Undefined if either vector is all zeros.
    Cosine,
    /// The negative inner product, `−Σab`: the operator `<#>`.
    InnerProduct,
    /// Taxicab distance, `Σ |a−b|`: the operator `<+>`.
    L1,
}

impl Metric {
    /// Every metric, in the order of their declaration.
    pub const ALL: [Metric; 4] = [Metric::L2, Metric::Cosine, Metric::InnerProduct, Metric::L1];

    /// The short name that [`FromStr`] reads and plans show.
    pub fn name(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::Cosine => "cosine",
            Metric::InnerProduct => "ip",
            Metric::L1 => "l1",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    /// Reads a name as [`Metric::name`] writes it, in either case.
    fn from_str(name: &str) -> Result<Self, Error> {
        Metric::ALL
            .into_iter()
            .find(|metric| metric.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::UnknownMetric { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse(), Ok(metric));
            assert_eq!(metric.name().to_uppercase().parse(), Ok(metric));
        }
        assert_eq!("L3".parse::<Metric>(), Err(Error::UnknownMetric { name: "L3".into() }));
        assert!("".parse::<Metric>().is_err());
    }
}
