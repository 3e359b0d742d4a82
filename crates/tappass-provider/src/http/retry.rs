//! When to try again: rarely, soon, and never beyond a fifth of the calls.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;

/// The longest wait that is better than passing the error on.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// What one retry costs, in calls.
const COST: u32 = 5;
/// At most ten retries in a row.
const FULL: u32 = 10 * COST;

/// A token bucket in fifths of a retry: each call puts in one, each retry takes five. It starts one short of a
/// retry, so that the first call has one and `n` calls never make more than `n / 5` retries, rounded up.
#[derive(Debug)]
pub struct RetryBudget(Mutex<u32>);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(COST - 1))
    }
}

impl RetryBudget {
    /// Counts a call.
    pub fn call(&self) {
        let mut fifths = self.0.lock();
        *fifths = (*fifths + 1).min(FULL);
    }

    /// Takes a retry, if there is one.
    #[must_use]
    pub fn retry(&self) -> bool {
        let mut fifths = self.0.lock();
        let Some(rest) = fifths.checked_sub(COST) else { return false };
        *fifths = rest;
        true
    }
}

/// How long to wait before another try; `None` where another try would not help or could do the work twice.
///
/// 429 is tried again only when the provider says soon. 502, 503 and 529 (overloaded, as Anthropic says) come from
/// something in front of a model that did no work; 504 and 500 from one that may have.
pub fn wait_for_status(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if headers.get("x-should-retry").is_some_and(|no| no == "false") {
        return None;
    }
    let named = retry_after(headers);
    match status.as_u16() {
        429 => named.filter(|wait| *wait <= LONGEST_WAIT),
        502 | 503 | 529 => Some(named.unwrap_or_else(backoff)).filter(|wait| *wait <= LONGEST_WAIT),
        _ => None,
    }
}

/// The wait that the provider names: `Retry-After` in seconds (RFC 9110 §10.2.3), or `retry-after-ms`. A date is
/// taken as none.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds =
        number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number(header::RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// 100 to 300 ms, different each time.
pub fn backoff() -> Duration {
    Duration::from_millis(100 + RandomState::new().hash_one(()) % 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(k, v)| (k.parse().expect("a name"), v.parse().expect("a value"))).collect()
    }

    #[test]
    fn a_fifth_of_the_calls_and_no_more() {
        let budget = RetryBudget::default();
        let retries = (0..100).filter(|_| {
            budget.call();
            budget.retry()
        });
        assert_eq!(retries.count(), 20);
        for _ in 0..1000 {
            budget.call();
        }
        assert_eq!((0..100).filter(|_| budget.retry()).count(), 10, "saved up to a limit");
    }

    #[test]
    fn waits_only_where_it_helps() {
        let wait = |status, list: &[(&'static str, &str)]| {
            wait_for_status(StatusCode::from_u16(status).expect("a status"), &headers(list))
        };
        assert_eq!(wait(429, &[("retry-after", "1")]), Some(Duration::from_secs(1)));
        assert_eq!(wait(429, &[("retry-after-ms", "50")]), Some(Duration::from_millis(50)));
        for (status, list) in [
            (429, &[][..]),
            (429, &[("retry-after", "30")]),
            (429, &[("retry-after", "-1")]),
            (503, &[("retry-after", "30")]),
            (503, &[("x-should-retry", "false")]),
            (500, &[]),
            (504, &[]),
            (400, &[]),
        ] {
            assert_eq!(wait(status, list), None, "{status} {list:?}");
        }
        let short = wait(503, &[]).expect("a wait");
        assert!((100..300).contains(&short.as_millis()));
    }
}
