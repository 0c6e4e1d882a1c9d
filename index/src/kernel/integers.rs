//! Sixteen 16-bit integers and sums of their products: all that the integer kernels need of an instruction set.
//!
//! Integer sums are exact, so their order is nobody's concern: all instruction sets give the same bits. They do not
//! overflow 32 bits for the values that `i8.rs` lets in.

/// How many components are multiplied in a step.
pub(super) const STEP: usize = 16;

/// Partial sums of products, 32 bits each, in registers.
///
/// # Safety
/// As for [`Lanes`](super::lanes::Lanes): only to be used, inlined, inside a function that enables its target features.
pub(super) trait Integers: Copy {
    /// Sixteen 16-bit integers.
    type Values: Copy;

    /// Sums of nothing.
    unsafe fn zero() -> Self;

    /// The sixteen integers from `from` on, which must be readable.
    unsafe fn load(from: *const i16) -> Self::Values;

    /// The sixteen bytes from `from` on, which must be readable, as integers.
    unsafe fn load_bytes(from: *const i8) -> Self::Values;

    /// The first `count` (at most sixteen) of the sixteen bytes from `from` on, all of which must be readable, then zeros.
    unsafe fn load_first_bytes(from: *const i8, count: usize) -> Self::Values;

    /// The sums with sixteen products more.
    unsafe fn add_products(self, a: Self::Values, b: Self::Values) -> Self;

    /// All partial sums of each element added up.
    unsafe fn totals<const R: usize>(sums: [Self; R]) -> [i32; R];
}

/// [`Integers`] in plain Rust, for every machine.
#[derive(Clone, Copy)]
pub(super) struct PortableIntegers([i32; STEP]);

impl Integers for PortableIntegers {
    type Values = [i16; STEP];

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0; STEP])
    }

    #[inline(always)]
    unsafe fn load(from: *const i16) -> [i16; STEP] {
        // SAFETY: the caller promises sixteen readable values; an array of i16 is aligned as an i16 is.
        unsafe { from.cast::<[i16; STEP]>().read() }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> [i16; STEP] {
        // SAFETY: the caller promises sixteen readable bytes.
        unsafe { from.cast::<[i8; STEP]>().read() }.map(i16::from)
    }

    #[inline(always)]
    unsafe fn load_first_bytes(from: *const i8, count: usize) -> [i16; STEP] {
        // SAFETY: as the caller promises.
        let mut values = unsafe { Self::load_bytes(from) };
        values[count..].fill(0);
        values
    }

    #[inline(always)]
    unsafe fn add_products(self, a: [i16; STEP], b: [i16; STEP]) -> Self {
        Self(std::array::from_fn(|i| self.0[i].wrapping_add(i32::from(a[i]) * i32::from(b[i]))))
    }

    #[inline(always)]
    unsafe fn totals<const R: usize>(sums: [Self; R]) -> [i32; R] {
        sums.map(|sums| sums.0.into_iter().fold(0, i32::wrapping_add))
    }
}
