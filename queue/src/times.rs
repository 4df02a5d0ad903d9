//! How long tasks waited and ran, as percentiles in bounded memory.

use crate::blocks::Rounding;
use crate::error::Mismatch;
use crate::time::Ms;
use hdrhistogram::Histogram;

/// Decimal digits that a percentile is exact to: one keeps a histogram at about a kilobyte.
const DIGITS: u8 = 1;
/// When so many times are held, each count is halved: the percentiles are of recent tasks, and old outliers go.
const HELD_MAX: u64 = 1 << 16;

/// A histogram of times. Empty, it costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Option<Box<Histogram<u32>>>);

/// What is shown of how long tasks took, in milliseconds, to about 6 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: Ms,
    pub p90: Ms,
    pub p99: Ms,
    pub max: Ms,
}

impl Times {
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        let of = |histogram: &Histogram<u32>| {
            rounding.block(size_of_val(histogram)) + rounding.vec::<u32>(histogram.distinct_values())
        };
        self.0.as_deref().map_or(0, of)
    }

    pub(crate) fn record(&mut self, time: Ms) {
        self.record_many(time, 1);
        if self.0.as_ref().is_some_and(|histogram| histogram.len() >= HELD_MAX) {
            self.halve();
        }
    }

    fn record_many(&mut self, time: Ms, count: u32) {
        if self.0.is_none() {
            self.0 = Histogram::new(DIGITS).ok().map(Box::new);
        }
        if let Some(histogram) = &mut self.0 {
            // It resizes itself to any time, so this cannot fail.
            let _ = histogram.record_n(time.0.min(Ms::MAX.0), count);
        }
    }

    fn halve(&mut self) {
        let halves: Vec<(Ms, u32)> =
            self.counts().map(|(time, count)| (time, count / 2)).filter(|&(_, count)| count > 0).collect();
        self.0 = None;
        for (time, count) in halves {
            self.record_many(time, count);
        }
    }

    fn counts(&self) -> impl Iterator<Item = (Ms, u32)> + '_ {
        let recorded = self.0.iter().flat_map(|histogram| histogram.iter_recorded());
        recorded.map(|value| (Ms(value.value_iterated_to()), value.count_at_value()))
    }

    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        let at = |quantile| Ms(histogram.value_at_quantile(quantile));
        Some(Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: Ms(histogram.max()) })
    }

    /// As bytes for a snapshot: pairs of time and count, in postcard's wire format. Equal histograms give equal bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let counts: Vec<(Ms, u32)> = self.counts().collect();
        postcard::to_allocvec(&counts).unwrap_or_default()
    }

    /// From [`Times::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Mismatch> {
        let counts: Vec<(Ms, u32)> = postcard::from_bytes(bytes).map_err(|_| Mismatch::Invalid)?;
        let total: u64 = counts.iter().map(|&(_, count)| u64::from(count)).sum();
        let ascending = counts.is_sorted_by(|(a, _), (b, _)| a < b);
        if total >= HELD_MAX || !ascending || counts.iter().any(|&(time, count)| count == 0 || time > UPPER) {
            return Err(Mismatch::Invalid);
        }
        let mut times = Self::default();
        for (time, count) in counts {
            times.record_many(time, count);
        }
        Ok(times)
    }
}

/// No bucket ends later: the longest time, rounded up to a bucket's end.
const UPPER: Ms = Ms(Ms::MAX.0 * 2);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_close_and_the_encoding_is_exact() {
        let mut times = Times::default();
        for ms in 0..10_000 {
            times.record(Ms(ms));
        }
        let shown = times.percentiles().unwrap();
        assert!((4_700..=5_350).contains(&shown.p50.0), "{shown:?}");
        assert!((9_300..=10_700).contains(&shown.p99.0), "{shown:?}");
        let again = Times::decode(&times.encode()).unwrap();
        assert_eq!(again.percentiles(), times.percentiles());
        assert_eq!(again.encode(), times.encode());
    }

    #[test]
    fn memory_is_bounded_and_old_times_go() {
        let mut times = Times::default();
        times.record(Ms::MAX);
        for ms in 0..1_000_000 {
            times.record(Ms(ms % 1000));
        }
        let bytes = times.bytes(Rounding::Classes);
        assert!(bytes < 16 * 1024, "{bytes}");
        assert!(times.percentiles().unwrap().max < Ms(1100));
    }

    #[test]
    fn the_longest_time_survives_the_encoding() {
        let mut times = Times::default();
        times.record(Ms(u64::MAX));
        assert_eq!(Times::decode(&times.encode()).unwrap().encode(), times.encode());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for counts in [vec![(Ms(1), 0_u32)], vec![(Ms(2), 1), (Ms(1), 1)], vec![(Ms(u64::MAX), 1)], vec![(Ms(1), u32::MAX)]] {
            assert!(Times::decode(&postcard::to_allocvec(&counts).unwrap()).is_err());
        }
        assert!(Times::decode(&[255; 9]).is_err());
        assert!(Times::default().percentiles().is_none());
    }
}
