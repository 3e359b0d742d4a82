//! Measuring in turns: every subject has its round before any has its next, and every other turn goes backwards,
//! so that what drifts on the machine drifts for all. What is compared is compared within a turn.

use anyhow::Result;
use serde::Serialize;

use crate::client::{Connection, Target};
use crate::load::{self, Bounds, Round};
use crate::process::Process;
use crate::prompt::{self, Prompts};
use crate::stats::Spread;
use crate::stream::{self, Timing};

/// The `user` of a call that wants an unpaused stream.
pub const UNPAUSED: &str = "unpaused";
/// Where the bare proxy stands among the subjects; the upstream without a proxy is before it, the gateway after.
const BARE: usize = 1;

/// What is measured.
pub struct Subject<'a> {
    /// Its name in the report.
    pub name: &'static str,
    /// Who is called.
    pub target: Target,
    /// Whose CPU time and memory it is.
    pub process: &'a Process,
}

/// One subject under load, over all rounds.
#[derive(Serialize)]
pub struct LoadFigures {
    /// The subject.
    pub subject: &'static str,
    /// Connections, each with one call in flight.
    pub connections: usize,
    /// Calls in all rounds.
    pub calls: usize,
    /// Calls a second.
    pub throughput: Spread,
    /// Median latency, in milliseconds.
    pub p50_ms: Spread,
    /// 99th percentile of the latency, in milliseconds.
    pub p99_ms: Spread,
    /// CPU time of its process, in microseconds per call.
    pub cpu_us: Spread,
    /// The most resident memory, in megabytes (of 1,000,000 bytes).
    pub resident_mb: f64,
    /// Beside the bare proxy, round by round; absent for what is not the gateway.
    pub beside_bare: Option<LoadBeside>,
}

impl LoadFigures {
    /// Whether these are of the gateway.
    pub fn governed(&self) -> bool {
        self.beside_bare.is_some()
    }
}

/// A subject's rounds beside the bare proxy's.
#[derive(Serialize)]
pub struct LoadBeside {
    /// Its throughput as a share of the bare proxy's.
    pub throughput_ratio: Spread,
    /// CPU time per call beyond the bare proxy's, in microseconds.
    pub added_cpu_us: Spread,
    /// Median latency beyond the bare proxy's, in milliseconds.
    pub added_p50_ms: Spread,
}

/// Loads every subject in turns, after one turn that does not count.
pub async fn load(
    subjects: &[Subject<'_>],
    prompts: &Prompts,
    bounds: Bounds,
    rounds: usize,
) -> Result<Vec<LoadFigures>> {
    let mut all: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
    for turn in 0..=rounds {
        for i in order(turn, subjects.len()) {
            let round = load::round(&subjects[i].target, subjects[i].process, prompts, bounds).await?;
            if turn > 0 {
                all[i].push(round);
            }
        }
    }
    let figures = |i: usize, rounds: &[Round]| LoadFigures {
        subject: subjects[i].name,
        connections: bounds.connections,
        calls: rounds.iter().map(|r| r.calls).sum(),
        throughput: Spread::of(rounds.iter().map(|r| r.throughput)),
        p50_ms: Spread::of(rounds.iter().map(|r| f64::from(r.p50) / 1e3)),
        p99_ms: Spread::of(rounds.iter().map(|r| f64::from(r.p99) / 1e3)),
        cpu_us: Spread::of(rounds.iter().map(|r| r.cpu_per_call)),
        resident_mb: rounds.iter().map(|r| r.resident).max().unwrap_or(0) as f64 / 1e6,
        beside_bare: (i > BARE).then(|| {
            let pairs = || rounds.iter().zip(&all[BARE]);
            LoadBeside {
                throughput_ratio: Spread::of(pairs().map(|(r, bare)| r.throughput / bare.throughput)),
                added_cpu_us: Spread::of(pairs().map(|(r, bare)| r.cpu_per_call - bare.cpu_per_call)),
                added_p50_ms: Spread::of(
                    pairs().map(|(r, bare)| (f64::from(r.p50) - f64::from(bare.p50)) / 1e3),
                ),
            }
        }),
    };
    Ok(all.iter().enumerate().map(|(i, rounds)| figures(i, rounds)).collect())
}

/// Streams of one kind through one subject; milliseconds from the sending of the call.
#[derive(Serialize)]
pub struct StreamFigures {
    /// The subject.
    pub subject: &'static str,
    /// `unpaused` or `paced`.
    pub kind: &'static str,
    /// How many.
    pub streams: usize,
    /// To the first event.
    pub first_chunk_ms: Spread,
    /// To the first event with text.
    pub first_text_ms: Spread,
    /// To the end.
    pub total_ms: Spread,
    /// Beside the bare proxy, stream by stream; absent for what is not the gateway.
    pub beside_bare: Option<StreamBeside>,
}

/// A subject's streams beside the bare proxy's; milliseconds.
#[derive(Serialize)]
pub struct StreamBeside {
    /// To the first event, beyond the bare proxy's.
    pub added_first_chunk_ms: Spread,
    /// To the first event with text.
    pub added_first_text_ms: Spread,
    /// To the end.
    pub added_total_ms: Spread,
}

/// Streams through every subject in turns, one at a time, after one turn that does not count.
pub async fn streams(
    subjects: &[Subject<'_>],
    kind: &'static str,
    count: usize,
) -> Result<Vec<StreamFigures>> {
    let body = prompt::streamed(kind);
    let mut connections = Vec::new();
    for subject in subjects {
        connections.push(Connection::open(&subject.target).await?);
    }
    let mut all: Vec<Vec<Timing>> = subjects.iter().map(|_| Vec::new()).collect();
    for turn in 0..=count {
        for i in order(turn, subjects.len()) {
            let timing = stream::run(&mut connections[i], body.clone()).await?;
            if turn > 0 {
                all[i].push(timing);
            }
        }
    }
    let figures = |i: usize, timings: &[Timing]| {
        let spread = |of: fn(&Timing) -> f64| Spread::of(timings.iter().map(of));
        let added = |of: fn(&Timing) -> f64| {
            Spread::of(timings.iter().zip(&all[BARE]).map(|(t, bare)| of(t) - of(bare)))
        };
        StreamFigures {
            subject: subjects[i].name,
            kind,
            streams: timings.len(),
            first_chunk_ms: spread(|t| t.first_chunk),
            first_text_ms: spread(|t| t.first_text),
            total_ms: spread(|t| t.total),
            beside_bare: (i > BARE).then(|| StreamBeside {
                added_first_chunk_ms: added(|t| t.first_chunk),
                added_first_text_ms: added(|t| t.first_text),
                added_total_ms: added(|t| t.total),
            }),
        }
    };
    Ok(all.iter().enumerate().map(|(i, timings)| figures(i, timings)).collect())
}

/// Forwards in even turns, backwards in odd ones.
fn order(turn: usize, len: usize) -> impl Iterator<Item = usize> {
    (0..len).map(move |i| if turn.is_multiple_of(2) { i } else { len - 1 - i })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_both_ways() {
        assert_eq!(order(0, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(order(1, 3).collect::<Vec<_>>(), [2, 1, 0]);
    }
}
