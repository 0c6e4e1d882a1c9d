//! Codes: what a graph is navigated by instead of the vectors, because fewer bytes are fetched sooner.
//!
//! | module | what it holds |
//! |---|---|
//! | [`quantizer`] | [`Quantizer`]: the encodings and their names |
//! | [`layout`] | [`CodesLayout`]: the shape and parameters of a segment's codes, and fitting them to its vectors |
//! | `encode` | vectors to rows of codes |
//! | [`view`] | [`Codes`]: rows of codes, borrowed, and the kernel that goes with them |
//!
//! An encoding is symmetric and scalar: a component is rounded to a multiple of a step. How rows lie in memory is drawn
//! in `kernel/rows.rs`. Distances to codes only decide which rows to look at; answers come from the vectors.
//!
//! | encoding | step | bytes of a row | navigates by |
//! |---|---|---|---|
//! | f32 | – | 4 · dim, the vectors themselves | the distance |
//! | f16 | 2⁻¹¹ of the component | 2 · dim | the f32 distance to the decoded row |
//! | i8 | 1/127 of the row's largest component | dim, or two more where there is room | the distance to the decoded row, with the query rounded to some 15 bits |
//!
//! Under cosine a row is brought to a length that suits the encoding, since only its direction counts.

mod encode;
pub mod layout;
pub mod quantizer;
pub mod view;

pub use self::{
    layout::CodesLayout,
    quantizer::Quantizer,
    view::{Codes, WithKernel},
};

#[cfg(test)]
mod tests;
