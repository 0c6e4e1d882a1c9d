//! The loops of every f32 kernel: over groups of rows, and within a group over the components.

use std::ops::Range;

use super::{
    Residence,
    f32::F32Query,
    lanes::{LANES, Lanes, prefetch},
    sums::Sums,
};
use crate::Matrix;

/// How many rows are computed together.
const GROUP: usize = 4;

/// How far ahead rows are fetched at least, in values: about what memory delivers during its own latency.
const AHEAD: usize = 1024;

/// Which rows to compute, in which order.
pub(super) trait Pick: Copy {
    /// How many.
    fn len(self) -> usize;
    /// The number of the `index`-th row.
    fn row(self, index: usize) -> usize;
}

/// Rows from `start` on.
#[derive(Clone, Copy)]
pub(super) struct Neighbours {
    start: usize,
    len: usize,
}

impl From<Range<usize>> for Neighbours {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, len: range.len() }
    }
}

impl Pick for Neighbours {
    #[inline(always)]
    fn len(self) -> usize {
        self.len
    }

    #[inline(always)]
    fn row(self, index: usize) -> usize {
        self.start + index
    }
}

/// Rows by their numbers.
impl Pick for &[u32] {
    #[inline(always)]
    fn len(self) -> usize {
        <[u32]>::len(self)
    }

    #[inline(always)]
    fn row(self, index: usize) -> usize {
        self[index] as usize
    }
}

/// Writes the distances from the query to the picked rows to `out`.
///
/// # Safety
/// Only to be used inside a function that enables the target features of `L`. Everything else is checked.
#[inline(always)]
pub(super) unsafe fn run<L: Lanes, S: Sums, P: Pick>(
    query: &F32Query<'_>,
    rows: Matrix<'_>,
    pick: P,
    residence: Residence,
    out: &mut [f32],
) {
    // SAFETY: as this function's own.
    unsafe {
        match residence {
            Residence::Memory => run_ahead::<L, S, P, true>(query, rows, pick, out),
            Residence::Cache => run_ahead::<L, S, P, false>(query, rows, pick, out),
        }
    }
}

/// [`run`], fetching ahead or not.
#[inline(always)]
unsafe fn run_ahead<L: Lanes, S: Sums, P: Pick, const FETCH: bool>(
    query: &F32Query<'_>,
    rows: Matrix<'_>,
    pick: P,
    out: &mut [f32],
) {
    let picked = pick.len();
    let out = &mut out[..picked];
    assert_eq!(query.values.len(), rows.dim(), "the query and the rows differ in dimension");
    let ahead = GROUP.max(AHEAD / rows.dim());
    let start = rows.data().as_ptr();
    let (groups, rest) = out.as_chunks_mut::<GROUP>();
    let grouped = groups.len() * GROUP;
    for (index, distances) in groups.iter_mut().enumerate() {
        let first = index * GROUP;
        let mut group = [query.values; GROUP];
        let mut fetch = [query.values.as_ptr(); GROUP];
        for i in 0..GROUP {
            group[i] = rows.row(pick.row(first + i));
            let later = first + i + ahead;
            fetch[i] = match FETCH && later < picked {
                true => start.wrapping_add(pick.row(later).wrapping_mul(rows.dim())),
                false => group[i].as_ptr(),
            };
        }
        // SAFETY: the rows are as long as the query, which was checked above; features as this function's own.
        *distances = unsafe {
            if S::TWO_ACCUMULATORS && !L::WIDE_GROUPS {
                let [a, b, c, d] = group;
                let [e, f, g, h] = fetch;
                let [one, two] = distances_to::<L, S, 2, FETCH>(query, [a, b], [e, f]);
                let [three, four] = distances_to::<L, S, 2, FETCH>(query, [c, d], [g, h]);
                [one, two, three, four]
            } else {
                distances_to::<L, S, GROUP, FETCH>(query, group, fetch)
            }
        };
    }
    for (index, distance) in rest.iter_mut().enumerate() {
        let row = rows.row(pick.row(grouped + index));
        // SAFETY: as above.
        [*distance] = unsafe { distances_to::<L, S, 1, false>(query, [row], [row.as_ptr()]) };
    }
}

/// The distances of `R` rows, computed side by side. While it walks the rows it fetches the rows to come, line by line.
///
/// # Safety
/// The features of `L` are enabled, and every row is as long as the query.
#[inline(always)]
unsafe fn distances_to<L: Lanes, S: Sums, const R: usize, const FETCH: bool>(
    query: &F32Query<'_>,
    rows: [&[f32]; R],
    fetch: [*const f32; R],
) -> [f32; R] {
    let dim = query.values.len();
    let whole = dim - dim % LANES;
    let values = query.values.as_ptr();
    // SAFETY: all offsets stay below `dim`, the length of the query and of every row.
    unsafe {
        let mut running = [S::zero::<L>(); R];
        let mut at = 0;
        while at < whole {
            let part = L::load(values.add(at));
            for r in 0..R {
                if FETCH {
                    prefetch(fetch[r].wrapping_add(at));
                }
                running[r] = S::step(running[r], part, L::load(rows[r].as_ptr().add(at)));
            }
            at += LANES;
        }
        if at < dim {
            let part = L::load_first(values.add(at), dim - at);
            for r in 0..R {
                if FETCH {
                    prefetch(fetch[r].wrapping_add(at));
                }
                running[r] = S::step(running[r], part, L::load_first(rows[r].as_ptr().add(at), dim - at));
            }
        }
        S::finish::<L, R>(running, query, rows)
    }
}
