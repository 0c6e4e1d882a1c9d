//! Which instructions the kernels may use on this machine.

use std::fmt;

/// An instruction set with kernels of its own. All of them give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// Plain Rust, for every machine; the oracle of the others.
    Portable,
    /// AVX2 with FMA and F16C: x86-64 since 2013.
    Avx2,
    /// AVX-512F: one register per sixteen lanes and twice as many registers.
    Avx512,
}

impl InstructionSet {
    /// Every instruction set that has kernels, slowest first.
    pub const ALL: [InstructionSet; 3] = [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512];

    /// The fastest one this machine can run.
    pub fn detect() -> Self {
        InstructionSet::ALL.into_iter().rev().find(|set| set.is_available()).unwrap_or(InstructionSet::Portable)
    }

    /// Whether this machine can run it. Asks the processor once per process.
    #[inline]
    pub fn is_available(self) -> bool {
        match self {
            InstructionSet::Portable => true,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            // All of these come with AVX-512F on every processor, but the kernels' promise is checked, not assumed.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => is_x86_feature_detected!("avx512f") && InstructionSet::Avx2.is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            InstructionSet::Avx2 | InstructionSet::Avx512 => false,
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            InstructionSet::Portable => "portable",
            InstructionSet::Avx2 => "avx2",
            InstructionSet::Avx512 => "avx512",
        })
    }
}
