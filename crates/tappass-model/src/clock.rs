//! Time, injected: nothing else in the workspace asks the wall clock.

use jiff::Timestamp;

/// The wall clock, in UTC. Durations are measured with `std::time::Instant`, which needs no injection.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// RFC 3339 in UTC with microseconds, the form of every time the gateway writes: `2026-11-22T09:30:00.000001Z`.
#[must_use]
pub fn rfc3339(ts: Timestamp) -> String {
    ts.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_six_digits_and_z() {
        let ts: Timestamp = "2026-11-22T09:30:00.5Z".parse().expect("a timestamp");
        assert_eq!(rfc3339(ts), "2026-11-22T09:30:00.500000Z");
    }
}
