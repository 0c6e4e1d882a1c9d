//! A validated file together with its rows.

use super::{Malformed, Validated, graph::Graph};
use crate::{Codes, Matrix};

/// An index file that can be searched: its bytes, mapped or not, the facts of its validation, and the f32 rows it was built
/// over. Borrows everything, so it can be made anew for every query.
#[derive(Debug, Clone, Copy)]
pub struct HnswView<'a> {
    bytes: &'a [u8],
    facts: &'a Validated,
    rows: Matrix<'a>,
    codes: Codes<'a>,
}

impl<'a> HnswView<'a> {
    /// A view of the file that `facts` come from. Where the bytes are not the ones that were validated, walks return
    /// arbitrary rows or panic, but read nothing out of bounds.
    ///
    /// # Errors
    /// The length of the file is another than the validated one's, or the rows are not as many or as long as those that the
    /// index was built over.
    pub fn new(bytes: &'a [u8], facts: &'a Validated, rows: Matrix<'a>) -> Result<Self, Malformed> {
        if bytes.len() != facts.bytes() {
            return Err(Malformed::WrongLength { len: bytes.len() as u64, expected: facts.bytes() as u64 });
        }
        if (rows.rows(), rows.dim()) != (facts.rows(), facts.dim()) {
            return Err(Malformed::OtherRows {
                rows: rows.rows(),
                dim: rows.dim(),
                expected_rows: facts.rows(),
                expected_dim: facts.dim(),
            });
        }
        let sections = &facts.facts().sections;
        let codes = Codes::new(&facts.facts().header.codes, &bytes[sections.codes.clone()], rows)?;
        Ok(Self { bytes, facts, rows, codes })
    }

    /// The facts of the file.
    pub fn facts(&self) -> &'a Validated {
        self.facts
    }

    /// The f32 rows.
    pub fn rows(&self) -> Matrix<'a> {
        self.rows
    }

    pub(super) fn graph(&self) -> Graph<'a> {
        let facts = self.facts.facts();
        Graph::new(self.bytes, &facts.header, &facts.sections)
    }

    /// The rows as the walk sees them.
    pub(super) fn codes(&self) -> Codes<'a> {
        self.codes
    }
}
