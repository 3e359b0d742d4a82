//! A clock that begins weeks ago, is moved on by whoever drives, and then goes as the machine's does.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use tappass_model::{Clock, Ids, SystemClock, SystemIds};
use uuid::{NoContext, Uuid};

/// Microseconds since 1970; [`LIVE`] once it goes by itself.
#[derive(Debug)]
pub struct WeekClock(AtomicI64);

const LIVE: i64 = i64::MIN;

impl WeekClock {
    /// Standing at a moment.
    #[must_use]
    pub fn at(moment: Timestamp) -> Self {
        Self(AtomicI64::new(moment.as_microsecond()))
    }

    /// Moves on; never back.
    pub fn set(&self, moment: Timestamp) {
        self.0.fetch_max(moment.as_microsecond(), Ordering::SeqCst);
    }

    /// From now on it is the machine's.
    pub fn go(&self) {
        self.0.store(LIVE, Ordering::SeqCst);
    }
}

impl Clock for WeekClock {
    fn now(&self) -> Timestamp {
        match self.0.load(Ordering::SeqCst) {
            LIVE => SystemClock.now(),
            micros => Timestamp::from_microsecond(micros).unwrap_or_default(),
        }
    }
}

/// Ids that say the clock's time, so that they sort as the week went.
pub struct WeekIds(pub std::sync::Arc<WeekClock>);

impl Ids for WeekIds {
    fn uuid(&self) -> Uuid {
        if self.0.0.load(Ordering::SeqCst) == LIVE {
            return SystemIds.uuid();
        }
        let now = self.0.now();
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
        Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_moves_on_and_goes() {
        let clock = std::sync::Arc::new(WeekClock::at(Timestamp::UNIX_EPOCH));
        let later: Timestamp = "2026-11-20T10:00:00Z".parse().expect("a time");
        let early = WeekIds(clock.clone()).uuid();
        clock.set(later);
        clock.set(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), later);
        assert!(early < WeekIds(clock.clone()).uuid());
        clock.go();
        assert!(clock.now() > later);
    }
}
