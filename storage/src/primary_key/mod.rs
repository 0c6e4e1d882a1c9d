//! Primary keys: 128-bit hashes of key values, the sidecar that finds them, and the probe for duplicates.
//!
//! A key is encoded canonically (see [`hash_rows`]) and hashed with BLAKE3 to 128 bits. Two different keys share a hash
//! with a probability of about n² / 2¹²⁹: one in 10²⁰ for a table of a billion rows. The hash therefore stands for the
//! key, and no second look at the rows is needed.

mod hash;
mod probe;
mod sidecar;

#[cfg(test)]
mod tests;

pub use hash::{hash_columns, hash_rows, key_text};
pub use probe::{probe, ranges_overlap};
pub use sidecar::{FORMAT_VERSION, View, encode};
