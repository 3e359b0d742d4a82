//! A histogram of durations in atomics: eight buckets to each power of two, so that a quantile is known to an
//! eighth. Observing takes three additions and no lock.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// Values below 16 µs have a bucket each; the last bucket holds all from 2^32 µs (71 minutes) on.
const BUCKETS: usize = 16 + 28 * 8 + 1;

/// Counts of microseconds. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    buckets: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { buckets, sum_us: AtomicU64::new(0) }))
    }
}

/// The bucket of a value.
const fn bucket_of(us: u64) -> usize {
    if us < 16 {
        return us as usize;
    }
    let power = 63 - us.leading_zeros() as usize;
    if power >= 32 {
        return BUCKETS - 1;
    }
    16 + (power - 4) * 8 + ((us >> (power - 3)) & 7) as usize
}

/// The first value beyond a bucket.
const fn end_of(bucket: usize) -> u64 {
    if bucket < 16 {
        return bucket as u64 + 1;
    }
    let (power, eighth) = ((bucket - 16) / 8 + 4, ((bucket - 16) % 8) as u64);
    (8 + eighth + 1) << (power - 3)
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, took: Duration) {
        self.observe_us(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts one duration in microseconds.
    pub fn observe_us(&self, us: u64) {
        if let Some(bucket) = self.0.buckets.get(bucket_of(us)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.0.sum_us.fetch_add(us, Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|b| b.load(Relaxed)).sum()
    }

    /// The value that a share of all (0 to 1) does not exceed, rounded up to its bucket's last; 0 of none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let counts: Vec<u64> = self.0.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank"
        )]
        let rank = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in counts.into_iter().enumerate() {
            seen += count;
            if seen >= rank {
                return end_of(bucket) - 1;
            }
        }
        0
    }

    /// Sum in seconds, count, and for Prometheus one bucket to each fourfold, from a microsecond to a minute.
    fn classic(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let mut fine =
            self.0.buckets.iter().enumerate().map(|(i, b)| (end_of(i), b.load(Relaxed))).peekable();
        let mut classic = Vec::with_capacity(15);
        let mut total = 0;
        for power in (0..=26).step_by(2) {
            let mut count = 0;
            while let Some((_, n)) = fine.next_if(|(end, _)| *end <= 1 << power) {
                count += n;
            }
            total += count;
            classic.push((f64::from(1_u32 << power) / 1e6, count));
        }
        let rest: u64 = fine.map(|(_, n)| n).sum();
        classic.push((f64::MAX, rest));
        #[expect(clippy::cast_precision_loss, reason = "a sum for display")]
        let sum = self.0.sum_us.load(Relaxed) as f64 / 1e6;
        (sum, total + rest, classic)
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let (sum, count, buckets) = self.classic();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_value_once() {
        let mut begin = 0;
        for bucket in 0..BUCKETS - 1 {
            let end = end_of(bucket);
            assert!(end > begin);
            assert_eq!((bucket_of(begin), bucket_of(end - 1)), (bucket, bucket));
            begin = end;
        }
        assert_eq!(begin, 1 << 32);
        assert_eq!((bucket_of(begin), bucket_of(u64::MAX)), (BUCKETS - 1, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_right_to_an_eighth() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=10_000).for_each(|us| histogram.observe_us(us));
        for (share, exact) in [(0.5, 5_000_u64), (0.95, 9_500), (0.99, 9_900)] {
            let found = histogram.quantile(share);
            assert!(found >= exact && found <= exact + exact / 8, "{share}: {found}");
        }
        let (_, count, classic) = histogram.classic();
        assert_eq!(count, 10_000);
        assert_eq!(classic.iter().map(|(_, n)| n).sum::<u64>(), 10_000);
    }
}
