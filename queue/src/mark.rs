//! Marks: what tells something that a reader was given from what came in its place, after a failover had lost it.

/// A 32-bit FNV-1a hash: on every server and after each restart the same. At least 1, so that 0 can stand for nothing.
pub(crate) fn mark(bytes: impl IntoIterator<Item = u8>) -> u32 {
    const BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    bytes.into_iter().fold(BASIS, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME)).max(1)
}
