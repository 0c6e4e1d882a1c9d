//! What can be wrong with a caller's input. There is nothing else that can fail in this crate.

/// An input this crate cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is no metric.
    #[error("unknown metric \"{name}\": the metrics are l2, cosine, ip and l1")]
    UnknownMetric {
        /// The name as it was given.
        name: String,
    },
    /// A name that is no quantizer.
    #[error("unknown quantizer \"{name}\": the quantizers are f32, f16 and i8")]
    UnknownQuantizer {
        /// The name as it was given.
        name: String,
    },
    /// Rows without a single component have no distances.
    #[error("a matrix needs at least one dimension")]
    ZeroDimension,
    /// The values do not divide into whole rows.
    #[error("{values} values are not a whole number of rows of {dim} dimensions")]
    PartialRow {
        /// How many values were given.
        values: usize,
        /// How many values make a row.
        dim: usize,
    },
    /// Rows are numbered with 32 bits.
    #[error("{rows} rows are too many for one matrix: at most 4294967295")]
    TooManyRows {
        /// How many rows were given.
        rows: usize,
    },
    /// Codes are for vectors of a bounded length.
    #[error("{dim} dimensions are too many for codes: at most 65536")]
    TooManyDimensions {
        /// How many dimensions were given.
        dim: usize,
    },
    /// No layout of codes has this exponent.
    #[error("the codes' exponent {exponent} is out of range")]
    CodesExponent {
        /// The exponent as it was given.
        exponent: i32,
    },
    /// The bytes of codes are more or fewer than their layout says.
    #[error("{bytes} bytes of codes where their layout says {expected}")]
    CodesLength {
        /// How many bytes were given.
        bytes: usize,
        /// How many the layout says.
        expected: usize,
    },
    /// Vectors and the codes made of them differ in shape.
    #[error("{rows} vectors of {dim} dimensions where the codes are of {} vectors of {}", .expected.0, .expected.1)]
    VectorsShape {
        /// How many vectors were given.
        rows: usize,
        /// Of how many dimensions.
        dim: usize,
        /// Rows and dimensions of the codes.
        expected: (usize, usize),
    },
    /// Bytes that are no calibration.
    #[error("the calibration cannot be used: {detail}")]
    Calibration {
        /// What is wrong with them.
        detail: String,
    },
}

/// A result with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;
