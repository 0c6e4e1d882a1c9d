//! Which rows a walk has come by.

/// A set of rows that is emptied in constant time: a row is in it if its mark is the current epoch. A byte a row, so that
/// the marks of a segment of a million rows stay in a second-level cache.
#[derive(Debug, Default)]
pub(in crate::hnsw) struct Visited {
    marks: Vec<u8>,
    epoch: u8,
}

impl Visited {
    /// Empties the set and makes room for `rows` rows.
    pub(in crate::hnsw) fn reset(&mut self, rows: usize) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.marks.fill(0);
            self.epoch = 1;
        }
        if self.marks.len() < rows {
            self.marks.resize(rows, 0);
        }
    }

    /// Adds a row; whether it is new to the set.
    ///
    /// # Panics
    /// If the row is beyond those that room was made for.
    #[inline(always)]
    pub(in crate::hnsw) fn insert(&mut self, row: u32) -> bool {
        let mark = &mut self.marks[row as usize];
        let is_new = *mark != self.epoch;
        *mark = self.epoch;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_at_every_reset_through_all_epochs() {
        let mut visited = Visited::default();
        for round in 0..1000 {
            visited.reset(10 + round % 3);
            assert!(visited.insert(9) && !visited.insert(9));
            assert!(visited.insert(round as u32 % 9), "{round}");
        }
    }
}
