//! Which rows become nodes: one of every group of rows with the same code.

use std::collections::HashMap;

use crate::{Matrix, RowSet};

/// The codes of rows, to be told apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum Alike<'a> {
    /// By the bits of their components.
    F32(Matrix<'a>),
    /// By their codes of so many bytes each.
    Codes(&'a [u8], usize),
}

impl<'a> Alike<'a> {
    /// A code in words of up to eight bytes.
    fn words(self, row: usize) -> impl Iterator<Item = u64> + 'a {
        let (floats, bytes): (&[f32], &[u8]) = match self {
            Alike::F32(rows) => (rows.row(row), &[]),
            Alike::Codes(codes, stride) => (&[], &codes[row * stride..(row + 1) * stride]),
        };
        let (words, rest) = bytes.as_chunks();
        let words = words.iter().map(|word| u64::from_le_bytes(*word)).chain(rest.iter().map(|&byte| byte.into()));
        floats.iter().map(|float| float.to_bits().into()).chain(words)
    }

    /// A number that differs, but for accidents, where the codes do.
    fn hash(self, row: usize) -> u64 {
        // 2⁶⁴ divided by the golden ratio; the high bits of the product depend on all bits below them.
        self.words(row).fold(0, |hash, word| (hash.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn are_equal(self, a: usize, b: usize) -> bool {
        self.words(a).eq(self.words(b))
    }
}

/// The rows that become nodes, and those that the nodes stand for.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    /// Ascending.
    pub(super) nodes: Vec<u32>,
    /// Pairs of a node and a copy, ascending. A node is the first row of its group.
    pub(super) copies: Vec<(u32, u32)>,
}

/// Groups the rows in the set that are below `len`.
///
/// Takes about 16 bytes a row while it runs, 4 of which the result keeps.
pub(super) fn group(rows: &RowSet, len: usize, codes: Alike<'_>) -> Grouped {
    let mut grouped = Grouped::default();
    // The first row of each hash. A row that differs from it all the same becomes a node, and so do the rows equal to that
    // one: rare, and no harm.
    let mut first: HashMap<u64, u32> = HashMap::with_capacity(rows.count());
    for row in rows.iter().take_while(|&row| row < len) {
        let node = *first.entry(codes.hash(row)).or_insert(row as u32);
        if node as usize != row && codes.are_equal(node as usize, row) {
            grouped.copies.push((node, row as u32));
        } else {
            grouped.nodes.push(row as u32);
        }
    }
    grouped.copies.sort_unstable();
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_codes_are_one_node() {
        let values = [1.0, 2.0, 0.0, 0.0, 1.0, 2.0, 2.0, 1.0, 0.0, -0.0, 1.0, 2.0, 2.0, 1.0];
        let mut rows = RowSet::new_full(7);
        rows.remove(6);
        let grouped = group(&rows, 7, Alike::F32(Matrix::new(&values, 2).unwrap()));
        assert_eq!(grouped.nodes, [0, 1, 3, 4]);
        assert_eq!(grouped.copies, [(0, 2), (0, 5)]);
        let codes = b"0123456789abcdef0123456789x0123456789";
        let grouped = group(&RowSet::new_full(100), 3, Alike::Codes(codes, 10));
        assert_eq!((grouped.nodes.len(), grouped.copies.len()), (3, 0));
        let grouped = group(&RowSet::new_full(100), 4, Alike::Codes(b"aabbaabbaabb", 3));
        assert_eq!((grouped.nodes, grouped.copies), (vec![0, 1, 2, 3], vec![]));
        let grouped = group(&RowSet::new_full(100), 3, Alike::Codes(b"aabbaabbaabb", 4));
        assert_eq!((grouped.nodes, grouped.copies), (vec![0], vec![(0, 1), (0, 2)]));
    }
}
