//! The loops of every kernel over rows: in groups, fetching ahead. What happens to a group is its encoding's matter.

use std::{marker::PhantomData, ops::Range};

use super::{
    Residence,
    prefetch::{self, LINE_BYTES},
};

/// How many rows are computed together.
const GROUP: usize = 4;

/// How far ahead rows are fetched at least: about what memory delivers during its own latency. Twice that where they are
/// scattered, because then their addresses have to be looked up in page tables as well.
const AHEAD_BYTES: usize = 64 * LINE_BYTES;

/// Which rows to compute, in which order.
pub(super) trait Pick: Copy {
    /// Whether there is just one, so that the loops over groups need not exist.
    const ONE: bool = false;

    /// Whether the rows lie anywhere, so that the processor cannot guess which come next.
    const SCATTERED: bool = false;

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
    const SCATTERED: bool = true;

    #[inline(always)]
    fn len(self) -> usize {
        <[u32]>::len(self)
    }

    #[inline(always)]
    fn row(self, index: usize) -> usize {
        self[index] as usize
    }
}

/// A single row.
#[derive(Clone, Copy)]
pub(super) struct One(pub(super) usize);

impl Pick for One {
    const ONE: bool = true;

    #[inline(always)]
    fn len(self) -> usize {
        1
    }

    #[inline(always)]
    fn row(self, _: usize) -> usize {
        self.0
    }
}

/// Rows at equal distances in memory, each of `stride` readable bytes.
#[derive(Clone, Copy)]
pub(super) struct Strided<'r> {
    start: *const u8,
    stride: usize,
    rows: usize,
    borrowed: PhantomData<&'r [u8]>,
}

impl<'r> Strided<'r> {
    /// # Panics
    /// If the values are fewer than the rows need.
    pub(super) fn new<T>(values: &'r [T], stride: usize, rows: usize) -> Self {
        assert!(rows.checked_mul(stride).is_some_and(|bytes| bytes <= size_of_val(values)), "the rows are cut short");
        Self { start: values.as_ptr().cast(), stride, rows, borrowed: PhantomData }
    }

    /// Where a row starts.
    ///
    /// # Panics
    /// If the row does not exist.
    #[inline(always)]
    pub(super) fn row(self, row: usize) -> *const u8 {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        self.start.wrapping_add(row * self.stride)
    }
}

/// One query (or row) that is compared with rows of one encoding.
///
/// # Safety
/// Implementations use instructions that the machine must have: only to be used inside a function that enables them. All
/// methods are `inline(always)` for that reason. The rows given must be as long as the query.
pub(super) trait Compare: Copy {
    /// Whether a group's sums only fit the registers two rows at a time.
    const PAIRS: bool;

    /// The distances of `R` rows, computed side by side. While it walks the rows it fetches the rows to come, line by
    /// line, if `FETCH` says so.
    unsafe fn distances<const R: usize, const FETCH: bool>(
        self,
        rows: [*const u8; R],
        fetch: [*const u8; R],
    ) -> [f32; R];
}

/// Writes the distances to the picked rows to `out`.
///
/// # Safety
/// As for [`Compare`]. Everything else is checked.
#[inline(always)]
pub(super) unsafe fn run<C: Compare, P: Pick>(
    compare: C,
    rows: Strided<'_>,
    pick: P,
    residence: Residence,
    out: &mut [f32],
) {
    // SAFETY: as this function's own.
    unsafe {
        if P::ONE {
            let row = rows.row(pick.row(0));
            [out[0]] = compare.distances::<1, false>([row], [row]);
            return;
        }
        match residence {
            Residence::Memory => run_ahead::<C, P, true>(compare, rows, pick, out),
            Residence::Cache => run_ahead::<C, P, false>(compare, rows, pick, out),
        }
    }
}

/// [`run`], fetching ahead or not.
#[inline(always)]
unsafe fn run_ahead<C: Compare, P: Pick, const FETCH: bool>(compare: C, rows: Strided<'_>, pick: P, out: &mut [f32]) {
    let picked = pick.len();
    let out = &mut out[..picked];
    let ahead_bytes = if P::SCATTERED { 2 * AHEAD_BYTES } else { AHEAD_BYTES };
    let ahead = GROUP.max(ahead_bytes / rows.stride.max(1));
    if FETCH && P::SCATTERED {
        for index in 0..ahead.min(picked) {
            prefetch::row(rows.start, pick.row(index), rows.stride);
        }
    }
    let (groups, rest) = out.as_chunks_mut::<GROUP>();
    let grouped = groups.len() * GROUP;
    for (index, distances) in groups.iter_mut().enumerate() {
        let first = index * GROUP;
        let mut group = [rows.start; GROUP];
        let mut fetch = [rows.start; GROUP];
        for i in 0..GROUP {
            group[i] = rows.row(pick.row(first + i));
            let later = first + i + ahead;
            fetch[i] = match FETCH && later < picked {
                true => rows.start.wrapping_add(pick.row(later).wrapping_mul(rows.stride)),
                false => group[i],
            };
        }
        // SAFETY: as this function's own.
        *distances = unsafe {
            if C::PAIRS {
                let [a, b, c, d] = group;
                let [e, f, g, h] = fetch;
                let [one, two] = compare.distances::<2, FETCH>([a, b], [e, f]);
                let [three, four] = compare.distances::<2, FETCH>([c, d], [g, h]);
                [one, two, three, four]
            } else {
                compare.distances::<GROUP, FETCH>(group, fetch)
            }
        };
    }
    for (index, distance) in rest.iter_mut().enumerate() {
        let row = rows.row(pick.row(grouped + index));
        // SAFETY: as above.
        [*distance] = unsafe { compare.distances::<1, false>([row], [row]) };
    }
}
