//! In which order nodes are added, and on how many levels each is.

/// The order in which nodes are added: each next one far from all before it.
///
/// Rows often lie in a table in an order that has to do with their vectors. Added in that order, a neighbourhood is complete
/// before the next one begins, and too few links lead from one to the other: of narrow clusters one after another, a
/// quarter of the neighbours was not found, and one in eight if coarse steps through the table came first. Steps by the
/// golden section spread any number of first nodes evenly.
///
/// So the first nodes are as good a sample as any, and are those of the upper levels: of n nodes the first `n / m` are on
/// the first of them, `n / m²` on the second, and so on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    step: usize,
    count: usize,
    m: usize,
}

impl Order {
    pub(super) fn new(count: usize, m: usize) -> Self {
        let golden = (count as f64 * 0.618_033_988_749_895) as usize;
        // Coprime to the count, so that every node has its turn.
        let step = (golden.max(1)..).find(|&step| greatest_common_divisor(step, count) == 1).unwrap_or(1);
        Self { step, count, m }
    }

    /// Which node is the `turn`-th; beyond the last one there is none.
    pub(super) fn place(self, turn: usize) -> usize {
        // Both are below 2³²: rows are numbered with 32 bits.
        if turn < self.count { (turn as u64 * self.step as u64 % self.count as u64) as usize } else { self.count }
    }

    /// How many nodes are on each upper level, the lowest of them first.
    pub(super) fn upper_counts(self) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(self.count / self.m), move |&above| Some(above / self.m))
            .take_while(|&nodes| nodes > 0)
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_turn() {
        for count in (0..300).chain([1000, 1024, 4181]) {
            let order = Order::new(count, 16);
            let mut places: Vec<usize> = (0..count).map(|turn| order.place(turn)).collect();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..count), "{count}");
            assert_eq!(order.place(count), count);
        }
    }

    #[test]
    fn each_level_has_an_m_th_of_the_nodes_below() {
        let counts = |count, m| Order::new(count, m).upper_counts().collect::<Vec<_>>();
        assert_eq!(counts(100_000, 16), [6250, 390, 24, 1]);
        assert_eq!(counts(15, 16), []);
        assert_eq!(counts(1 << 31, 2).len(), 31);
    }
}
