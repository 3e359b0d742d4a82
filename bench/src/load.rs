//! Load: some connections, each sending its next call when the last one is answered.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};

use crate::client::{Connection, Target};
use crate::process::Process;
use crate::prompt::Prompts;
use crate::stats::percentile;

/// How often memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// What a call may take beyond the end of its round.
const LAST_CALL: Duration = Duration::from_secs(15);

/// The bounds of one round.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Connections, and so calls in flight.
    pub connections: usize,
    /// No call begins later than this.
    pub time: Duration,
    /// No more calls than this.
    pub calls: usize,
}

/// What one round showed.
pub struct Round {
    /// Calls answered with 200.
    pub calls: usize,
    /// Calls a second.
    pub throughput: f64,
    /// Median latency, in microseconds.
    pub p50: u32,
    /// 99th percentile of the latency, in microseconds.
    pub p99: u32,
    /// CPU time of the measured process, in microseconds per call.
    pub cpu_per_call: f64,
    /// The most resident memory seen, in bytes.
    pub resident: u64,
}

/// One round against `target`, which `process` serves.
pub async fn round(target: &Target, process: &Process, prompts: &Prompts, bounds: Bounds) -> Result<Round> {
    let mut connections = Vec::with_capacity(bounds.connections);
    for _ in 0..bounds.connections {
        connections.push(Connection::open(target).await?);
    }
    let shared = Shared { prompts, sent: Cell::new(0), resident: Cell::new(0) };
    let cpu_before = process.cpu()?;
    let begun = Instant::now();
    let workers = connections.iter_mut().map(|connection| worker(connection, &shared, bounds, begun));
    let latencies = tokio::select! {
        latencies = timeout(bounds.time + LAST_CALL, try_join_all(workers)) => latencies.context("a call hangs")??,
        failed = watch_memory(process, &shared) => failed?,
    };
    let elapsed = begun.elapsed();
    let cpu = process.cpu()?.saturating_sub(cpu_before);
    let mut latencies = latencies.concat();
    latencies.sort_unstable();
    let calls = latencies.len();
    Ok(Round {
        calls,
        throughput: calls as f64 / elapsed.as_secs_f64(),
        p50: percentile(&latencies, 0.5),
        p99: percentile(&latencies, 0.99),
        cpu_per_call: cpu.as_secs_f64() * 1e6 / calls.max(1) as f64,
        resident: shared.resident.get(),
    })
}

/// What the workers of a round have in common; they run on one thread.
struct Shared<'a> {
    prompts: &'a Prompts,
    sent: Cell<usize>,
    resident: Cell<u64>,
}

/// Calls until a bound is reached; returns the latencies in microseconds.
async fn worker(
    connection: &mut Connection,
    shared: &Shared<'_>,
    bounds: Bounds,
    begun: Instant,
) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    while shared.sent.get() < bounds.calls && begun.elapsed() < bounds.time {
        shared.sent.set(shared.sent.get() + 1);
        let body = shared.prompts.next();
        let sent = Instant::now();
        let mut answer = connection.chat(body).await?.into_body();
        while let Some(frame) = answer.frame().await {
            frame?;
        }
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}

/// Notes the most memory seen; ends only with an error.
async fn watch_memory<T>(process: &Process, shared: &Shared<'_>) -> Result<T> {
    loop {
        shared.resident.set(shared.resident.get().max(process.resident()?));
        sleep(SAMPLE_EVERY).await;
    }
}
