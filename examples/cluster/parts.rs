//! One logical queue in parts, each a key of its own, spread over the cluster by hash tags. docs/scaling.md says why.

/// How many parts: fixed for the life of the queue, and several for each node there may ever be.
pub(crate) const PARTS: usize = 12;

/// The key of a part. What is in braces decides the slot, so keys with the same tag are together.
pub(crate) fn key(part: usize) -> String {
    format!("jobs:{{{part}}}")
}

/// The part of a task, from its id (FNV-1a): whoever knows the id finds the task.
pub(crate) fn part_of(id: &str) -> usize {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    usize::try_from(hash % PARTS as u64).unwrap_or_default()
}
