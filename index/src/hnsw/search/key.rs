//! Distance and row in one number that compares as hits do: nearest first, equal distances by row.

use crate::Hit;

/// A hit as an integer. Comparing and moving these is what a walk does beside computing distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::hnsw) struct Key(u64);

impl Key {
    /// Farther than every hit.
    pub(in crate::hnsw) const FARTHEST: Key = Key(u64::MAX);

    #[inline(always)]
    pub(in crate::hnsw) fn new(distance: f32, row: u32) -> Self {
        let bits = distance.to_bits();
        // Total order of floats: negative numbers are turned over, positive ones come after them.
        let turned = bits ^ (((bits as i32) >> 31) as u32 | 1 << 31);
        Self(u64::from(turned) << 32 | u64::from(row))
    }

    #[inline(always)]
    pub(in crate::hnsw) fn row(self) -> u32 {
        self.0 as u32
    }

    /// Another row at the same distance.
    pub(in crate::hnsw) fn with_row(self, row: u32) -> Self {
        Self(self.0 >> 32 << 32 | u64::from(row))
    }

    pub(in crate::hnsw) fn distance(self) -> f32 {
        let turned = (self.0 >> 32) as u32;
        f32::from_bits(turned ^ (((!turned as i32) >> 31) as u32 | 1 << 31))
    }

    pub(in crate::hnsw) fn hit(self) -> Hit {
        Hit { distance: self.distance(), row: self.row() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn compares_as_hits_do(a: (f32, u32), b: (f32, u32)) {
            let (one, two) = (Key::new(a.0, a.1), Key::new(b.0, b.1));
            let hits = [a, b].map(|(distance, row)| Hit { distance, row });
            prop_assert_eq!(one.cmp(&two), hits[0].cmp(&hits[1]));
            prop_assert_eq!((one.hit(), two.hit()), (hits[0], hits[1]));
            prop_assert!(one <= Key::FARTHEST);
        }
    }
}
