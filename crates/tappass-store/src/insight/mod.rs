//! What the dashboard counts: roll-ups of the audit log by hour and by day, what was stopped, and what people said of
//! it. What an event counts as is the server's business; here it is kept and added up.

mod fold;
pub mod histogram;
mod marks;
mod read;

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

pub use fold::{Batch, Behind};
use histogram::{BUCKETS, Part};
pub use marks::{Mark, MarkRow};
pub use read::{ByModel, ByStep};

use crate::Db;

/// The roll-ups in the database.
#[derive(Debug)]
pub struct Insight<'a>(pub(crate) &'a Db);

/// How long a roll-up's row lasts, in seconds: an hour.
pub const HOUR: i64 = 3_600;
/// And a day, of 24 hours UTC.
pub const DAY: i64 = 86_400;

/// What happened to calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// How many.
    pub calls: u64,
    /// Those with at least one finding.
    pub flagged: u64,
    /// All findings in them.
    pub findings: u64,
    /// Those that enforce would have refused and their mode let through.
    pub would_block: u64,
    /// Those that were refused.
    pub blocked: u64,
    /// Those whose text was masked.
    pub masked: u64,
    /// Those whose text enforce would have masked and their mode did not.
    pub would_mask: u64,
    /// Those whose provider gave no answer.
    pub errors: u64,
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
    /// What they cost, in billionths of a dollar.
    pub cost_nano: u64,
    /// The gateway's own time, by bucket.
    pub gateway: [u64; BUCKETS],
    /// The provider's, of those that got there.
    pub upstream: [u64; BUCKETS],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            calls: 0,
            flagged: 0,
            findings: 0,
            would_block: 0,
            blocked: 0,
            masked: 0,
            would_mask: 0,
            errors: 0,
            tokens_in: 0,
            tokens_out: 0,
            cost_nano: 0,
            gateway: [0; BUCKETS],
            upstream: [0; BUCKETS],
        }
    }
}

/// The columns of [`Counts::plain`], in its order.
const PLAIN: [&str; 11] = [
    "calls",
    "flagged",
    "findings",
    "would_block",
    "blocked",
    "masked",
    "would_mask",
    "errors",
    "tokens_in",
    "tokens_out",
    "cost_nano",
];

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.plain_mut().into_iter().zip(other.plain()) {
            *mine += theirs;
        }
        for (mine, theirs) in self.gateway.iter_mut().zip(other.gateway) {
            *mine += theirs;
        }
        for (mine, theirs) in self.upstream.iter_mut().zip(other.upstream) {
            *mine += theirs;
        }
    }

    /// The duration below which this share of the calls lies, in microseconds; `None` without calls.
    #[must_use]
    pub fn quantile(&self, part: Part, share: f64) -> Option<f64> {
        match part {
            Part::Gateway => part.quantile(&self.gateway, share),
            Part::Upstream => part.quantile(&self.upstream, share),
        }
    }

    const fn plain(&self) -> [u64; 11] {
        [
            self.calls,
            self.flagged,
            self.findings,
            self.would_block,
            self.blocked,
            self.masked,
            self.would_mask,
            self.errors,
            self.tokens_in,
            self.tokens_out,
            self.cost_nano,
        ]
    }

    const fn plain_mut(&mut self) -> [&mut u64; 11] {
        [
            &mut self.calls,
            &mut self.flagged,
            &mut self.findings,
            &mut self.would_block,
            &mut self.blocked,
            &mut self.masked,
            &mut self.would_mask,
            &mut self.errors,
            &mut self.tokens_in,
            &mut self.tokens_out,
            &mut self.cost_nano,
        ]
    }
}

/// What a step did about one kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepCounts {
    /// Calls in which it was found.
    pub calls: u64,
    /// How often.
    pub findings: u64,
    /// Calls that enforce would have refused for it.
    pub would_block: u64,
    /// Calls that were refused for it.
    pub blocked: u64,
}

impl StepCounts {
    /// Adds others.
    pub const fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.findings += other.findings;
        self.would_block += other.would_block;
        self.blocked += other.blocked;
    }
}

/// What one step found of one kind in a call that was refused for it, or would have been. Never the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Its number in the log.
    pub seq: u64,
    /// The step's id, or the policy's package.
    pub step: String,
    /// What it found; empty where a step found nothing of a kind.
    pub kind: String,
    /// The call.
    pub event_id: Uuid,
    /// When.
    pub ts: Timestamp,
    /// Whose.
    pub agent_id: String,
    /// Which model was asked for.
    pub model: String,
    /// Whether it was refused; else it would have been.
    pub blocked: bool,
    /// Whether an allowlist could hold the text.
    pub maskable: bool,
    /// How often it was found.
    pub findings: u64,
    /// The score that decided, in thousandths.
    pub score: Option<i64>,
    /// What it was held against, in thousandths.
    pub threshold: Option<i64>,
    /// The first one, masked.
    pub sample: String,
    /// The step's sentence.
    pub reason: String,
}

/// From when until when, in whole hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first hour's beginning.
    pub since: Timestamp,
    /// The last hour's end.
    pub until: Timestamp,
}

impl Window {
    /// The last so many hours, with the one that is under way.
    #[must_use]
    pub fn last(hours: i64, now: Timestamp) -> Self {
        let until = floor(now.as_second(), HOUR) + HOUR;
        Self { since: at(until - hours.max(1) * HOUR), until: at(until) }
    }

    /// As long a time, right before.
    #[must_use]
    pub fn before(self) -> Self {
        let length = self.until.as_second() - self.since.as_second();
        Self { since: at(self.since.as_second() - length), until: self.since }
    }

    /// The fewest rows that cover it: whole days, and hours before and after them. `(span, from, to)` in seconds.
    fn pieces(self) -> Vec<(i64, i64, i64)> {
        let (since, until) = (self.since.as_second(), self.until.as_second());
        let (first, last) = (floor(since + DAY - 1, DAY), floor(until, DAY));
        if first >= last {
            return vec![(HOUR, since, until)];
        }
        [(HOUR, since, first), (DAY, first, last), (HOUR, last, until)]
            .into_iter()
            .filter(|(_, from, to)| from < to)
            .collect()
    }
}

/// Where the span of that length begins in which the second lies.
const fn floor(second: i64, span: i64) -> i64 {
    second - second.rem_euclid(span)
}

/// No time of ours lies outside what a timestamp holds.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Which row: `(span, starts, agent_id, model)`.
type CallKey = (i64, i64, String, String);
/// Which row: `(span, starts, agent_id, step, kind)`.
type StepKey = (i64, i64, String, String, String);
/// Rows, and what is added to each.
type Rows<K, V> = BTreeMap<K, V>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_covered_once_with_the_fewest_rows() {
        let now: Timestamp = "2026-11-22T09:30:00Z".parse().expect("a time");
        let day = Window::last(24, now);
        assert_eq!(
            (day.since.to_string(), day.until.to_string()),
            ("2026-11-21T10:00:00Z".into(), "2026-11-22T10:00:00Z".into())
        );
        assert_eq!(day.pieces().len(), 1);
        let week = Window::last(7 * 24, now);
        assert_eq!(week.before().until, week.since);
        let pieces = week.pieces();
        assert_eq!(pieces.iter().map(|p| p.0).collect::<Vec<_>>(), [HOUR, DAY, HOUR]);
        assert_eq!((pieces[0].1, pieces[2].2), (week.since.as_second(), week.until.as_second()));
        assert!(pieces.windows(2).all(|p| p[0].2 == p[1].1));
        let whole = Window::last(48, "2026-11-22T23:30:00Z".parse().expect("a time"));
        assert_eq!(whole.pieces().iter().map(|p| p.0).collect::<Vec<_>>(), [DAY]);
    }
}
