//! How long a failed task waits for its next try.

use crate::time::Ms;

/// Longest backoff before its jitter: one hour.
pub const BACKOFF_MAX: Ms = Ms(3_600_000);
/// Jitter to either side, in thousandths: 10 %.
const JITTER_MILLI: u64 = 100;

/// The backoff after the `tries`-th failed try: `base` doubled with each try before, at most [`BACKOFF_MAX`], ±10 % as `dice`
/// falls, so that tasks which failed together do not come back together.
///
/// This is truncated exponential backoff; see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. The jitter is
/// narrow, unlike there, so that a user can still predict the wait.
#[must_use]
pub fn backoff(base: Ms, tries: u32, dice: u64) -> Ms {
    let doublings = tries.saturating_sub(1).min(63);
    let wait = base.0.saturating_mul(1 << doublings).min(BACKOFF_MAX.0);
    let milli = 1000 - JITTER_MILLI + dice % (2 * JITTER_MILLI + 1);
    Ms(wait * milli / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dice that give no jitter.
    const EVEN: u64 = JITTER_MILLI;

    #[test]
    fn doubles_up_to_an_hour() {
        let waits: Vec<u64> = (1..=4).map(|tries| backoff(Ms(1000), tries, EVEN).0).collect();
        assert_eq!(waits, [1000, 2000, 4000, 8000]);
        assert_eq!(backoff(Ms(1000), u32::MAX, EVEN), BACKOFF_MAX);
        assert_eq!(backoff(Ms::MAX, 1, EVEN), BACKOFF_MAX);
        assert_eq!(backoff(Ms(0), 9, EVEN), Ms(0));
    }

    #[test]
    fn jitter_stays_within_ten_percent() {
        for dice in 0..1000 {
            let wait = backoff(Ms(1000), 1, dice).0;
            assert!((900..=1100).contains(&wait), "{wait}");
        }
    }
}
