//! [`RowSet`] against the plainest model of it: a vector of booleans.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Change {
    Insert(usize),
    Remove(usize),
    InsertRange(Range<usize>),
    InsertBits(usize, Vec<u64>),
    And(Vec<bool>),
    AndNot(Vec<bool>),
    Or(Vec<bool>),
}

fn change() -> impl Strategy<Value = Change> {
    let row = 0usize..300;
    let others = prop::collection::vec(any::<bool>(), 0..300);
    prop_oneof![
        row.clone().prop_map(Change::Insert),
        row.clone().prop_map(Change::Remove),
        (row.clone(), row.clone()).prop_map(|(start, end)| Change::InsertRange(start..end)),
        (row, prop::collection::vec(any::<u64>(), 0..4)).prop_map(|(start, bits)| Change::InsertBits(start, bits)),
        others.clone().prop_map(Change::And),
        others.clone().prop_map(Change::AndNot),
        others.prop_map(Change::Or),
    ]
}

fn set_of(model: &[bool]) -> RowSet {
    let mut set = RowSet::new_empty(model.len());
    (0..model.len()).filter(|&row| model[row]).for_each(|row| set.insert(row));
    set
}

fn apply(change: &Change, set: &mut RowSet, model: &mut [bool]) {
    let other = |others: &[bool], row: usize| others.get(row).copied().unwrap_or(false);
    match change {
        Change::Insert(row) => {
            set.insert(*row);
            model.iter_mut().skip(*row).take(1).for_each(|member| *member = true);
        }
        Change::Remove(row) => {
            set.remove(*row);
            model.iter_mut().skip(*row).take(1).for_each(|member| *member = false);
        }
        Change::InsertRange(rows) => {
            set.insert_range(rows.clone());
            model.iter_mut().enumerate().filter(|(row, _)| rows.contains(row)).for_each(|(_, member)| *member = true);
        }
        Change::InsertBits(start, bits) => {
            set.insert_bits(*start, bits.iter().copied());
            for bit in (0..bits.len() * 64).filter(|bit| bits[bit / 64] >> (bit % 64) & 1 == 1) {
                model.iter_mut().skip(start + bit).take(1).for_each(|member| *member = true);
            }
        }
        Change::And(others) => {
            set.and(&set_of(others));
            model.iter_mut().enumerate().for_each(|(row, member)| *member &= other(others, row));
        }
        Change::AndNot(others) => {
            set.and_not(&set_of(others));
            model.iter_mut().enumerate().for_each(|(row, member)| *member &= !other(others, row));
        }
        Change::Or(others) => {
            set.or(&set_of(others));
            model.iter_mut().enumerate().for_each(|(row, member)| *member |= other(others, row));
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_vector_of_booleans(
        len in 0usize..260,
        full: bool,
        changes in prop::collection::vec(change(), 0..12),
    ) {
        let mut set = if full { RowSet::new_full(len) } else { RowSet::new_empty(len) };
        let mut model = vec![full; len];
        for change in &changes {
            apply(change, &mut set, &mut model);
            let members: Vec<usize> = (0..len).filter(|&row| model[row]).collect();
            prop_assert_eq!(set.len(), len);
            prop_assert_eq!(set.count(), members.len());
            prop_assert!((0..len + 70).all(|row| set.contains(row) == model.get(row).copied().unwrap_or(false)));
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), &members[..]);
            prop_assert_eq!(&set, &set_of(&model));
            let ranges: Vec<_> = set.iter_ranges().collect();
            prop_assert!(ranges.iter().all(|range| range.start < range.end));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), members);
        }
    }
}
