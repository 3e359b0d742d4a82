//! Durations by size: buckets that grow by the same factor, so that a median can be read from sums of them.

/// How many buckets; as many columns of `insight_calls` for each of the two times.
pub const BUCKETS: usize = 24;
/// Each bucket ends at 1.6 times the end of the one before.
const GROWTH: f64 = 1.6;

/// Which time is measured. The provider's takes longer, so its buckets begin later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The gateway's own: the first bucket ends at 64 µs, the last but one at 2 s.
    Gateway,
    /// The provider's: the first bucket ends at 4 ms, the last but one at two minutes.
    Upstream,
}

impl Part {
    const fn first(self) -> f64 {
        match self {
            Self::Gateway => 64.0,
            Self::Upstream => 4_000.0,
        }
    }

    /// Where a bucket ends, in microseconds. The last has no end; this is where it would.
    fn end(self, bucket: usize) -> f64 {
        self.first() * GROWTH.powi(i32::try_from(bucket).unwrap_or(i32::MAX))
    }

    /// The bucket of a duration.
    #[must_use]
    pub fn bucket(self, micros: u64) -> usize {
        #[expect(clippy::cast_precision_loss, reason = "a bucket is wider than the loss")]
        let micros = micros as f64;
        (0..BUCKETS - 1).find(|bucket| micros < self.end(*bucket)).unwrap_or(BUCKETS - 1)
    }

    /// The duration below which this share of them lies, in microseconds; `None` where there are none. Exact to the
    /// bucket, and within it as if they were spread evenly over its logarithm.
    #[must_use]
    pub fn quantile(self, counts: &[u64; BUCKETS], share: f64) -> Option<f64> {
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of calls, far below 2^52")]
        let (mut before, wanted) = (0.0, share * total as f64);
        for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            #[expect(clippy::cast_precision_loss, reason = "counts of calls, far below 2^52")]
            let count = *count as f64;
            if before + count >= wanted {
                let within = ((wanted - before) / count).clamp(0.0, 1.0);
                return Some(self.end(bucket) / GROWTH * GROWTH.powf(within));
            }
            before += count;
        }
        Some(self.end(BUCKETS - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_near_the_truth_wherever_it_lies() {
        for (part, durations) in [
            (Part::Gateway, (1..=1000_u64).map(|n| n * 3).collect::<Vec<_>>()),
            (Part::Upstream, (1..=1000_u64).map(|n| 200_000 + n * 1500).collect()),
        ] {
            let mut counts = [0; BUCKETS];
            for d in &durations {
                counts[part.bucket(*d)] += 1;
            }
            for share in [0.5, 0.95] {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
                let truth = durations[(share * 1000.0) as usize - 1] as f64;
                let read = part.quantile(&counts, share).expect("there are some");
                // A third of a bucket: durations need not be spread within it as is supposed.
                assert!((read / truth - 1.0).abs() < 0.2, "{part:?} {share}: {read} for {truth}");
            }
        }
    }

    #[test]
    fn none_and_the_longest() {
        assert_eq!(Part::Gateway.quantile(&[0; BUCKETS], 0.5), None);
        assert_eq!(Part::Gateway.bucket(0), 0);
        assert_eq!(Part::Upstream.bucket(u64::MAX), BUCKETS - 1);
    }
}
