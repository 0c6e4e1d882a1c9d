//! Comparing a vector with rows whose components are, or become, f32 lanes.
//!
//! An encoding only says how sixteen components become lanes ([`Stored`]); from there on the sums are those of the f32
//! kernels. So the distance to an encoded row has the very bits of the f32 distance to what the row decodes to.

use std::{borrow::Cow, marker::PhantomData};

use super::{
    InstructionSet, Residence,
    driver::{self, Compare, One, Pick, Strided},
    lanes::{LANES, Lanes},
    portable::Portable,
    prefetch::{self, LINE_BYTES},
    sums::{Cosine, InnerProduct, L1, L2, Sums, Wide},
};
use crate::Metric;

/// How vectors lie in memory.
///
/// # Safety
/// The methods are only to be used, inlined, inside a function that enables the target features of `L`. Vectors must be
/// readable as far as they are asked for, rounded up to whole steps of sixteen components unless they are plain.
pub(super) trait Stored: Copy {
    /// How many bytes a component takes.
    const BYTES: usize;

    /// What the vector's components are to be multiplied by.
    unsafe fn scale<L: Lanes>(self, vector: *const u8) -> L;

    /// The components `at … at + 15`.
    unsafe fn load<L: Lanes>(vector: *const u8, at: usize, scale: L) -> L;

    /// The `count` (below sixteen) components from `at` on, then zeros.
    unsafe fn load_first<L: Lanes>(vector: *const u8, at: usize, count: usize, scale: L) -> L;

    /// All components. Needs no target features.
    unsafe fn values<'v>(self, vector: *const u8, dim: usize) -> Cow<'v, [f32]>;
}

/// f32 components.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Stored for Plain {
    const BYTES: usize = size_of::<f32>();

    #[inline(always)]
    unsafe fn scale<L: Lanes>(self, _: *const u8) -> L {
        // Not used: plain components are what they are.
        // SAFETY: as the trait says.
        unsafe { L::zero() }
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(vector: *const u8, at: usize, _: L) -> L {
        // SAFETY: as the trait says.
        unsafe { L::load(vector.cast::<f32>().add(at)) }
    }

    #[inline(always)]
    unsafe fn load_first<L: Lanes>(vector: *const u8, at: usize, count: usize, _: L) -> L {
        // SAFETY: as the trait says.
        unsafe { L::load_first(vector.cast::<f32>().add(at), count) }
    }

    unsafe fn values<'v>(self, vector: *const u8, dim: usize) -> Cow<'v, [f32]> {
        // SAFETY: the caller promises `dim` components, which were borrowed as f32 and so are aligned.
        Cow::Borrowed(unsafe { std::slice::from_raw_parts(vector.cast(), dim) })
    }
}

/// The vector that rows are compared with.
#[derive(Clone, Copy)]
pub(super) struct Left<Q> {
    pub(super) vector: *const u8,
    pub(super) dim: usize,
    /// Its squared length, by the kernel's own additions; zero for metrics that do not ask for it.
    pub(super) norm_squared: f32,
    pub(super) stored: Q,
}

/// A metric's sums over lanes.
struct Floats<L, S, Q, E> {
    left: Left<Q>,
    stored: E,
    by: PhantomData<fn() -> (L, S)>,
}

impl<L, S, Q: Copy, E: Copy> Copy for Floats<L, S, Q, E> {}

impl<L, S, Q: Copy, E: Copy> Clone for Floats<L, S, Q, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Lanes, S: Sums, Q: Stored, E: Stored> Compare for Floats<L, S, Q, E> {
    const PAIRS: bool = S::SQUARES && !L::WIDE_GROUPS;

    #[inline(always)]
    unsafe fn distances<const R: usize, const FETCH: bool>(
        self,
        rows: [*const u8; R],
        fetch: [*const u8; R],
    ) -> [f32; R] {
        let Left { vector, dim, norm_squared, stored } = self.left;
        let whole = dim - dim % LANES;
        // SAFETY: all offsets stay below `dim`, the length of the left vector and of every row.
        unsafe {
            let scale = stored.scale::<L>(vector);
            let mut scales = [L::zero(); R];
            for r in 0..R {
                scales[r] = self.stored.scale::<L>(rows[r]);
            }
            let (mut running, mut squares) = ([L::zero(); R], [L::zero(); R]);
            let mut at = 0;
            while at < whole {
                let part = Q::load(vector, at, scale);
                for r in 0..R {
                    if FETCH && (at * E::BYTES).is_multiple_of(LINE_BYTES) {
                        prefetch::line(fetch[r].wrapping_add(at * E::BYTES));
                    }
                    let row = E::load(rows[r], at, scales[r]);
                    running[r] = S::step(running[r], part, row);
                    if S::SQUARES {
                        squares[r] = squares[r].add_product(row, row);
                    }
                }
                at += LANES;
            }
            if at < dim {
                let part = Q::load_first(vector, at, dim - at, scale);
                for r in 0..R {
                    if FETCH {
                        prefetch::line(fetch[r].wrapping_add(at * E::BYTES));
                    }
                    let row = E::load_first(rows[r], at, dim - at, scales[r]);
                    running[r] = S::step(running[r], part, row);
                    if S::SQUARES {
                        squares[r] = squares[r].add_product(row, row);
                    }
                }
            }
            let squares = if S::SQUARES { L::totals(squares) } else { [0.0; R] };
            let again = |r: usize, wide: Wide| again(self.left, self.stored, rows[r], wide);
            S::finish(L::totals(running), norm_squared, squares, again)
        }
    }
}

/// One pair once more, in f64.
///
/// # Safety
/// Both vectors have the left one's number of components.
#[cold]
#[inline(never)]
pub(super) unsafe fn again<Q: Stored, E: Stored>(left: Left<Q>, stored: E, row: *const u8, wide: Wide) -> f32 {
    // SAFETY: as this function's own.
    unsafe { wide(&left.stored.values(left.vector, left.dim), &stored.values(row, left.dim)) }
}

/// Writes the distances from the left vector to the picked rows to `out`.
///
/// # Safety
/// The rows have as many components as the left vector, and the machine has the instructions.
pub(super) unsafe fn run<Q: Stored, E: Stored, P: Pick>(
    (metric, instructions): (Metric, InstructionSet),
    left: Left<Q>,
    (stored, rows): (E, Strided<'_>),
    pick: P,
    residence: Residence,
    out: &mut [f32],
) {
    let rows = (stored, rows);
    // SAFETY: as this function's own.
    unsafe {
        match metric {
            Metric::L2 => run_sums::<L2, Q, E, P>(instructions, left, rows, pick, residence, out),
            Metric::Cosine => run_sums::<Cosine, Q, E, P>(instructions, left, rows, pick, residence, out),
            Metric::InnerProduct => run_sums::<InnerProduct, Q, E, P>(instructions, left, rows, pick, residence, out),
            Metric::L1 => run_sums::<L1, Q, E, P>(instructions, left, rows, pick, residence, out),
        }
    }
}

/// The squared length of the left vector, which is a row: the very additions that a kernel makes for a row.
///
/// # Safety
/// As for [`run`].
pub(super) unsafe fn norm_squared<E: Stored>(
    instructions: InstructionSet,
    left: Left<E>,
    rows: Strided<'_>,
    row: usize,
) -> f32 {
    let mut product = [0.0];
    let rows = (left.stored, rows);
    // SAFETY: as this function's own.
    unsafe { run_sums::<InnerProduct, E, E, One>(instructions, left, rows, One(row), Residence::Cache, &mut product) };
    -product[0]
}

/// [`run`] with the metric's sums: chooses the instructions.
unsafe fn run_sums<S: Sums, Q: Stored, E: Stored, P: Pick>(
    instructions: InstructionSet,
    left: Left<Q>,
    (stored, rows): (E, Strided<'_>),
    pick: P,
    residence: Residence,
    out: &mut [f32],
) {
    fn floats<L: Lanes, S: Sums, Q: Stored, E: Stored>(left: Left<Q>, stored: E) -> Floats<L, S, Q, E> {
        Floats { left, stored, by: PhantomData }
    }
    // SAFETY: the caller promises the lengths and the instructions; plain Rust needs none.
    unsafe {
        match instructions {
            InstructionSet::Portable => {
                driver::run(floats::<Portable, S, Q, E>(left, stored), rows, pick, residence, out)
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => {
                super::avx2::run(floats::<super::avx2::Avx2, S, Q, E>(left, stored), rows, pick, residence, out)
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => {
                super::avx512::run(floats::<super::avx512::Avx512, S, Q, E>(left, stored), rows, pick, residence, out)
            }
            // Kernels with these instructions are not made on other machines.
            #[cfg(not(target_arch = "x86_64"))]
            InstructionSet::Avx2 | InstructionSet::Avx512 => {
                driver::run(floats::<Portable, S, Q, E>(left, stored), rows, pick, residence, out)
            }
        }
    }
}
