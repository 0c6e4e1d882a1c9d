//! [`Aligned`].

/// Bytes at an address that the layout of an index file asks for, as a mapped file has.
#[derive(Debug)]
pub struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    const ALIGNMENT: usize = 64;

    /// A copy of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let mut memory = vec![0; bytes.len() + Self::ALIGNMENT];
        let start = memory.as_ptr().align_offset(Self::ALIGNMENT);
        memory[start..start + bytes.len()].copy_from_slice(bytes);
        Self { memory, start, length: bytes.len() }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}
