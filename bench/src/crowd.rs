//! Many streams at once: what they cost in memory while they are open, and what stays when they have ended.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::client::{Connection, Target};
use crate::process::Process;
use crate::{prompt, stream, upstream};

/// How often memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// How long memory may take to come back.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(20);
/// What all of them may take.
const WITHIN: Duration = Duration::from_secs(120);

/// Resident memory of the process, in MB.
#[derive(Serialize)]
pub struct CrowdFigures {
    /// How many streams were open at once.
    pub streams: usize,
    /// Before the first.
    pub before_mb: f64,
    /// The most while they were open.
    pub open_mb: f64,
    /// The least within twenty seconds of the last one's end.
    pub after_mb: f64,
}

/// Opens so many streams, each on a connection of its own, and reads all of them to their end.
pub async fn run(target: &Target, process: &Process, streams: usize) -> Result<CrowdFigures> {
    let mb = || process.resident().map(|bytes| bytes as f64 / (1024.0 * 1024.0));
    let before_mb = mb()?;
    let most = Cell::new(before_mb);
    let one = async || {
        let mut connection = Connection::open(target).await?;
        stream::run(&mut connection, prompt::streamed(upstream::SLOW)).await
    };
    let watch = async {
        loop {
            most.set(most.get().max(mb()?));
            sleep(SAMPLE_EVERY).await;
        }
    };
    let all = timeout(WITHIN, try_join_all((0..streams).map(|_| one())));
    tokio::select! {
        done = all => drop(done.context("streams hang")??),
        failed = watch => { let failed: Result<()> = failed; failed? }
    }
    let (ended, mut after_mb) = (Instant::now(), mb()?);
    while ended.elapsed() < COMES_BACK_WITHIN {
        sleep(SAMPLE_EVERY).await;
        after_mb = after_mb.min(mb()?);
    }
    Ok(CrowdFigures { streams, before_mb, open_mb: most.get(), after_mb })
}
