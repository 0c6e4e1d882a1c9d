//! A set of rows of one matrix, as a bitmap: what a filter and the deletions of a segment become before a search.

use std::ops::Range;

const WORD_BITS: usize = u64::BITS as usize;

/// A set of row numbers below [`RowSet::len`], one bit each. Bits past the length are always zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
    len: usize,
}

impl RowSet {
    /// The set that holds none of `len` rows.
    pub fn new_empty(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(WORD_BITS)], len }
    }

    /// The set that holds all of `len` rows.
    pub fn new_full(len: usize) -> Self {
        let mut set = Self { words: vec![u64::MAX; len.div_ceil(WORD_BITS)], len };
        set.clear_past_end();
        set
    }

    /// How many rows there are to be in the set or not; [`RowSet::count`] is how many are in it.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many rows are in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the row is in the set. Rows past the length never are.
    #[inline]
    pub fn contains(&self, row: usize) -> bool {
        self.words.get(row / WORD_BITS).is_some_and(|word| word >> (row % WORD_BITS) & 1 == 1)
    }

    /// Adds a row; a row past the length is ignored.
    #[inline]
    pub fn insert(&mut self, row: usize) {
        if row < self.len {
            self.words[row / WORD_BITS] |= 1 << (row % WORD_BITS);
        }
    }

    /// Adds a range of rows; what lies past the length is ignored.
    pub fn insert_range(&mut self, rows: Range<usize>) {
        let end = rows.end.min(self.len);
        if rows.start >= end {
            return;
        }
        let (first, last) = (rows.start / WORD_BITS, (end - 1) / WORD_BITS);
        for word in first..=last {
            let from = if word == first { rows.start % WORD_BITS } else { 0 };
            let to = if word == last { (end - 1) % WORD_BITS } else { WORD_BITS - 1 };
            self.words[word] |= (u64::MAX << from) & (u64::MAX >> (WORD_BITS - 1 - to));
        }
    }

    /// Adds the rows `start + i` whose bit `i` is set in `bits`, 64 bits a word with the lowest bit first: the layout of
    /// Arrow's boolean buffers. What lies past the length is ignored.
    pub fn insert_bits(&mut self, start: usize, bits: impl IntoIterator<Item = u64>) {
        let shift = start % WORD_BITS;
        for (word, bits) in (start / WORD_BITS..self.words.len()).zip(bits) {
            self.words[word] |= bits << shift;
            if shift > 0
                && let Some(next) = self.words.get_mut(word + 1)
            {
                *next |= bits >> (WORD_BITS - shift);
            }
        }
        self.clear_past_end();
    }

    /// Takes a row out.
    #[inline]
    pub fn remove(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / WORD_BITS) {
            *word &= !(1 << (row % WORD_BITS));
        }
    }

    /// Keeps only the rows that are in `other` too.
    pub fn and(&mut self, other: &RowSet) {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words.iter_mut().zip(others).for_each(|(word, other)| *word &= other);
    }

    /// Takes out the rows that are in `other`.
    pub fn and_not(&mut self, other: &RowSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// Adds the rows that are in `other`; those past this set's length are ignored.
    pub fn or(&mut self, other: &RowSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
        self.clear_past_end();
    }

    /// The rows in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    index * WORD_BITS + bit
                })
            })
        })
    }

    /// The longest runs of neighbouring rows in the set, ascending: never empty, never touching each other.
    pub fn iter_ranges(&self) -> Ranges<'_> {
        Ranges { set: self, next: 0 }
    }

    /// The first row at or after `from` whose membership is `member`; the length if there is none.
    fn find(&self, from: usize, member: bool) -> usize {
        let flip = if member { 0 } else { u64::MAX };
        let mut index = from / WORD_BITS;
        let mut mask = u64::MAX << (from % WORD_BITS);
        while let Some(&word) = self.words.get(index) {
            let found = (word ^ flip) & mask;
            if found != 0 {
                return (index * WORD_BITS + found.trailing_zeros() as usize).min(self.len);
            }
            mask = u64::MAX;
            index += 1;
        }
        self.len
    }

    fn clear_past_end(&mut self) {
        let used = self.len % WORD_BITS;
        if used > 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= u64::MAX >> (WORD_BITS - used);
        }
    }
}

/// The runs of a [`RowSet`]; see [`RowSet::iter_ranges`].
#[derive(Debug, Clone)]
pub struct Ranges<'a> {
    set: &'a RowSet,
    next: usize,
}

impl Iterator for Ranges<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.set.find(self.next, true);
        if start >= self.set.len {
            return None;
        }
        self.next = self.set.find(start, false);
        Some(start..self.next)
    }
}

#[cfg(test)]
#[path = "row_set_tests.rs"]
mod tests;
