//! Sixteen f32 lanes: all that the floating-point kernels need of an instruction set.

/// How many partial sums a kernel keeps; part of the result, see the parent module.
pub(super) const LANES: usize = 16;

/// Sixteen f32 values in registers.
///
/// # Safety
/// Every method may use instructions that the machine must have: an implementation is only to be used, inlined, inside a
/// function that enables its target features. The methods are `inline(always)` for that reason, and because a register
/// must not cross a call. For the same reason code over lanes uses plain loops: the closures of `array::map` and its
/// like are compiled without those features, and calls to them cost a factor of three.
pub(super) trait Lanes: Copy {
    /// Whether registers suffice for two accumulators of four rows each, beside what else is in flight.
    const WIDE_GROUPS: bool;

    /// Sixteen zeros (+0).
    unsafe fn zero() -> Self;

    /// Sixteen times the same value.
    unsafe fn all(value: f32) -> Self;

    /// The sixteen values from `from` on, which must be readable.
    unsafe fn load(from: *const f32) -> Self;

    /// The first `count` (below sixteen) values from `from` on, which must be readable, then zeros.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;

    /// The values of the sixteen halves from `from` on, which must be readable.
    unsafe fn load_halves(from: *const u16) -> Self;

    /// The values of the sixteen bytes from `from` on, which must be readable.
    unsafe fn load_bytes(from: *const i8) -> Self;

    /// The first `count` (at most sixteen) of the sixteen bytes from `from` on, all of which must be readable, then zeros.
    unsafe fn load_first_bytes(from: *const i8, count: usize) -> Self;

    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;

    /// `self − other`
    unsafe fn sub(self, other: Self) -> Self;

    /// `self · other`
    unsafe fn mul(self, other: Self) -> Self;

    /// `|self|`
    unsafe fn abs(self) -> Self;

    /// `a·b + self`, rounded once
    unsafe fn add_product(self, a: Self, b: Self) -> Self;

    /// All lanes of each element added up, by halves.
    unsafe fn totals<const R: usize>(lanes: [Self; R]) -> [f32; R];
}
