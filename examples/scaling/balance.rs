//! How evenly parts fall on shards that have equal ranges of the slots.

const SLOTS: u32 = 16_384;

/// The slot of a hash tag: CRC16 (XMODEM) modulo 16384, as the cluster specification says.
fn slot(tag: &str) -> u32 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    u32::from(crc) % SLOTS
}

/// The slots of the tags 0, 1, 2 …
pub(crate) fn counted_tags(parts: u32) -> Vec<u32> {
    (0..parts).map(|part| slot(&part.to_string())).collect()
}

/// The slots of tags that are chosen, one for each of as many equal ranges of slots (there must be no more than there are slots):
/// for a part the smallest number that falls into its range.
pub(crate) fn chosen_tags(parts: u32) -> Vec<u32> {
    let mut slots = vec![None; parts as usize];
    let mut open = slots.len();
    for tag in 0_u32.. {
        let slot = slot(&tag.to_string());
        let range = slot * parts / SLOTS;
        if let Some(free @ None) = slots.get_mut(range as usize) {
            *free = Some(slot);
            open -= 1;
        }
        if open == 0 {
            break;
        }
    }
    slots.into_iter().flatten().collect()
}

/// The parts of the fullest shard over the mean.
pub(crate) fn of(slots: &[u32], shards: u32) -> f64 {
    let mut counts = vec![0_u32; shards as usize];
    for slot in slots {
        if let Some(count) = counts.get_mut((slot * shards / SLOTS) as usize) {
            *count += 1;
        }
    }
    let parts: u32 = counts.iter().sum();
    f64::from(counts.into_iter().max().unwrap_or_default()) * f64::from(shards) / f64::from(parts.max(1))
}

/// The same for parts in random slots: the mean and the 99th percentile of so many draws.
pub(crate) fn random(parts: u32, shards: u32, draws: u32, seed: u64) -> (f64, f64) {
    let mut state = seed;
    let mut draw = || {
        let slots: Vec<_> = (0..parts).map(|_| u32::try_from(next(&mut state) % u64::from(SLOTS)).unwrap_or_default()).collect();
        of(&slots, shards)
    };
    let mut balances: Vec<_> = (0..draws).map(|_| draw()).collect();
    balances.sort_by(f64::total_cmp);
    let high = balances.get(balances.len() * 99 / 100).copied().unwrap_or_default();
    (balances.iter().sum::<f64>() / f64::from(draws), high)
}

/// `SplitMix64`.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
