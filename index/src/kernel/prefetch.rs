//! Fetching memory ahead of its use.

/// What a processor fetches at a time.
pub(crate) const LINE_BYTES: usize = 64;

/// Asks the processor to fetch the cache line of an address, which need not be valid.
#[inline(always)]
pub(crate) fn line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch is a hint that cannot fault, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks the processor to fetch every line that holds one of the `row`-th `stride` bytes from `start` on, which need not
/// exist.
#[inline(always)]
pub(super) fn row(start: *const u8, row: usize, stride: usize) {
    let first = start.wrapping_add(row.wrapping_mul(stride));
    let into = first.addr() % LINE_BYTES;
    for at in (0..into + stride).step_by(LINE_BYTES) {
        line(first.wrapping_sub(into).wrapping_add(at));
    }
}
