//! A batch of f32 queries compared with the same rows.
//!
//! Four queries and four rows are computed at a time, so that each load from a cache is used four times; a single query can
//! use only its own. And the squared lengths of the rows are summed once for the whole batch. Neither changes the order in
//! which the sums of a pair are added up, so that distances have the bits that a single query's have.

use std::ops::Range;

use super::{
    F32Query, InstructionSet,
    driver::Strided,
    floats::{Plain, again},
    lanes::{LANES, Lanes},
    portable::Portable,
    sums::{Cosine, InnerProduct, L1, L2, Sums, Wide},
};
use crate::Metric;

/// How many rows are computed together.
const ROWS: usize = 4;

/// Queries, and the neighbouring rows that each is compared with.
pub(super) struct Batch<'a, 'q> {
    /// All of one length.
    pub(super) queries: &'a [F32Query<'q>],
    /// f32 rows of the queries' length.
    pub(super) rows: Strided<'a>,
    pub(super) range: Range<usize>,
}

/// Writes the distances to `out`: those of the first query to all rows of the range, then those of the next.
///
/// # Safety
/// The rows have as many components as each query, and the machine has the instructions.
///
/// # Panics
/// If a row does not exist.
pub(super) unsafe fn run((metric, instructions): (Metric, InstructionSet), batch: Batch<'_, '_>, out: &mut [f32]) {
    // SAFETY: as this function's own.
    unsafe {
        match metric {
            Metric::L2 => run_sums::<L2>(instructions, batch, out),
            Metric::Cosine => run_sums::<Cosine>(instructions, batch, out),
            Metric::InnerProduct => run_sums::<InnerProduct>(instructions, batch, out),
            Metric::L1 => run_sums::<L1>(instructions, batch, out),
        }
    }
}

/// [`run`] with the metric's sums: chooses the instructions.
unsafe fn run_sums<S: Sums>(instructions: InstructionSet, batch: Batch<'_, '_>, out: &mut [f32]) {
    // SAFETY: the caller promises the lengths and the instructions; plain Rust needs none.
    unsafe {
        match instructions {
            InstructionSet::Portable => batch.compare::<Portable, S>(out),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => super::avx2::run_batch::<S>(batch, out),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => super::avx512::run_batch::<S>(batch, out),
            // Kernels with these instructions are not made on other machines.
            #[cfg(not(target_arch = "x86_64"))]
            InstructionSet::Avx2 | InstructionSet::Avx512 => batch.compare::<Portable, S>(out),
        }
    }
}

/// All of the following needs what [`run`] needs, and a caller that enables the target features of `L`.
impl Batch<'_, '_> {
    #[inline(always)]
    pub(super) unsafe fn compare<L: Lanes, S: Sums>(self, out: &mut [f32]) {
        if self.range.is_empty() {
            return;
        }
        let mut squares = vec![0.0; self.range.len()];
        // SAFETY: as the caller promises.
        unsafe {
            if S::SQUARES {
                self.squares::<L>(&mut squares);
            }
            // Sixteen accumulators need thirty-two registers.
            match L::WIDE_GROUPS {
                true => self.strips::<L, S, 4>(&squares, out),
                false => self.strips::<L, S, 1>(&squares, out),
            }
        }
    }

    /// The squared lengths of the rows, by the additions that comparing them with a single query makes.
    #[inline(always)]
    unsafe fn squares<L: Lanes>(&self, squares: &mut [f32]) {
        let dim = self.queries.first().map_or(0, |query| query.values.len());
        let whole = dim - dim % LANES;
        for (index, square) in squares.iter_mut().enumerate() {
            let row = self.rows.row(self.range.start + index).cast::<f32>();
            // SAFETY: the row has `dim` components.
            unsafe {
                let mut sum = L::zero();
                let mut at = 0;
                while at < whole {
                    let part = L::load(row.add(at));
                    sum = sum.add_product(part, part);
                    at += LANES;
                }
                if at < dim {
                    let part = L::load_first(row.add(at), dim - at);
                    sum = sum.add_product(part, part);
                }
                [*square] = L::totals([sum]);
            }
        }
    }

    /// Takes `Q` queries at a time.
    #[inline(always)]
    unsafe fn strips<L: Lanes, S: Sums, const Q: usize>(&self, squares: &[f32], out: &mut [f32]) {
        let (together, rest) = self.queries.as_chunks::<Q>();
        let (of_together, of_rest) = out.split_at_mut(together.len() * Q * squares.len());
        // SAFETY: as the caller promises.
        unsafe {
            for (queries, out) in together.iter().zip(of_together.chunks_exact_mut(Q * squares.len())) {
                self.strip::<L, S, Q>(queries, squares, out);
            }
            for (query, out) in rest.iter().zip(of_rest.chunks_exact_mut(squares.len())) {
                self.strip::<L, S, 1>(&[*query], squares, out);
            }
        }
    }

    /// Compares `Q` queries with all rows.
    #[inline(always)]
    unsafe fn strip<L: Lanes, S: Sums, const Q: usize>(
        &self,
        queries: &[F32Query<'_>; Q],
        squares: &[f32],
        out: &mut [f32],
    ) {
        let (groups, rest) = squares.as_chunks::<ROWS>();
        let mut at = 0;
        // SAFETY: as the caller promises.
        unsafe {
            for squares in groups {
                self.tile::<L, S, Q, ROWS>(queries, at, squares, out);
                at += ROWS;
            }
            for square in rest {
                self.tile::<L, S, Q, 1>(queries, at, &[*square], out);
                at += 1;
            }
        }
    }

    /// Compares `Q` queries with the `R` rows from the range's `first`-th on.
    #[inline(always)]
    unsafe fn tile<L: Lanes, S: Sums, const Q: usize, const R: usize>(
        &self,
        queries: &[F32Query<'_>; Q],
        first: usize,
        squares: &[f32; R],
        out: &mut [f32],
    ) {
        let dim = queries[0].values.len();
        let whole = dim - dim % LANES;
        let mut rows = [std::ptr::null::<f32>(); R];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = self.rows.row(self.range.start + first + r).cast();
        }
        // SAFETY: all offsets stay below `dim`, the length of every query and row.
        unsafe {
            let mut running = [[L::zero(); R]; Q];
            let mut at = 0;
            while at < whole {
                for q in 0..Q {
                    let part = L::load(queries[q].values.as_ptr().add(at));
                    for r in 0..R {
                        running[q][r] = S::step(running[q][r], part, L::load(rows[r].add(at)));
                    }
                }
                at += LANES;
            }
            if at < dim {
                for q in 0..Q {
                    let part = L::load_first(queries[q].values.as_ptr().add(at), dim - at);
                    for r in 0..R {
                        running[q][r] = S::step(running[q][r], part, L::load_first(rows[r].add(at), dim - at));
                    }
                }
            }
            for q in 0..Q {
                let again = |r: usize, wide: Wide| again(queries[q].left(), Plain, rows[r].cast(), wide);
                let distances = S::finish(L::totals(running[q]), queries[q].norm_squared, *squares, again);
                out[q * self.range.len() + first..][..R].copy_from_slice(&distances);
            }
        }
    }
}
