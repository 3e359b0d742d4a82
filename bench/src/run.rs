//! One run, from the first child to the last figure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde::Serialize;

use crate::client::{Connection, Target};
use crate::crowd::{self, CrowdFigures};
use crate::gateway::{self, Admin, Program};
use crate::load::Bounds;
use crate::measure::{self, LoadFigures, StreamFigures, Subject};
use crate::process::Process;
use crate::prompt::Prompts;
use crate::report::progress;
use crate::stats::Spread;
use crate::stream::milliseconds;
use crate::upstream;

/// How much is measured.
pub struct Scale {
    /// Rounds of each subject.
    pub rounds: usize,
    /// How long a round is.
    pub round: Duration,
    /// Unpaused streams through each subject.
    pub streams: usize,
    /// Paced streams through each subject.
    pub paced: usize,
    /// Starts over a fresh directory, and over one that was used.
    pub starts: usize,
    /// Streams that are open at once.
    pub crowd: usize,
}

impl Scale {
    /// What the README's figures come from; about three minutes.
    pub const FULL: Self =
        Self { rounds: 5, round: Duration::from_secs(2), streams: 200, paced: 10, starts: 5, crowd: 2_000 };
    /// Enough to see that it works.
    pub const QUICK: Self =
        Self { rounds: 2, round: Duration::from_millis(200), streams: 10, paced: 1, starts: 1, crowd: 50 };
}

/// The most calls of one round.
const CALLS: usize = 500_000;

/// All figures of a run.
#[derive(Serialize)]
pub struct Report {
    /// Processors of the machine.
    pub processors: usize,
    /// Under load, at 64 connections and at one.
    pub load: Vec<LoadFigures>,
    /// Streams, unpaused and paced.
    pub streams: Vec<StreamFigures>,
    /// Starting; absent without a gateway.
    pub start: Option<StartFigures>,
    /// What the gateway recorded of it; absent without a gateway.
    pub audit: Option<AuditFigures>,
    pub crowd: Option<CrowdFigures>,
}

/// From the start of the process; milliseconds.
#[derive(Serialize)]
pub struct StartFigures {
    /// A fresh directory (keys made, database made), to the first 200 of `/health`.
    pub fresh_health_ms: Spread,
    /// A directory that was used, to the first 200 of `/health`.
    pub health_ms: Spread,
    /// The same, to the first governed answer.
    pub governed_ms: Spread,
}

/// The audit log after the load.
#[derive(Serialize)]
pub struct AuditFigures {
    /// Calls the load made through the gateway.
    pub calls: u64,
    /// Events in the log, whose chain and signatures verify.
    pub events: u64,
}

/// Runs all of it. `gateway` is None to measure the bare proxy alone; in it, the path of the binary if one is given.
pub async fn run(scale: Scale, gateway: Option<Option<PathBuf>>) -> Result<Report> {
    let upstream = Process::role(&["upstream"]).await?;
    let bare = Process::role(&["bare", &upstream.addr.to_string()]).await?;
    let program = gateway.map(|given| Program::find(given, upstream.addr)).transpose()?;
    let directory = tempfile::tempdir()?;
    let governed = match &program {
        Some(program) => Some(Governed::start(program, directory.path()).await?),
        None => None,
    };

    let mut subjects = vec![
        Subject { name: "upstream", target: Target::new(upstream.addr, None)?, process: &upstream },
        Subject { name: "bare", target: Target::new(bare.addr, None)?, process: &bare },
    ];
    if let Some(governed) = &governed {
        subjects.push(governed.subject("observe", &governed.observe)?);
        subjects.push(governed.subject("enforce", &governed.enforce)?);
    }
    let prompts = Prompts::new();
    let mut load = Vec::new();
    for connections in [64, 1] {
        progress(&format!("load, {connections} connections"))?;
        let bounds = Bounds { connections, time: scale.round, calls: CALLS };
        load.extend(measure::load(&subjects, &prompts, bounds, scale.rounds).await?);
    }
    if let (Some(governed), Some(last)) = (&governed, subjects.last_mut()) {
        last.target = Target::new(governed.process.addr, Some(&governed.redact))?;
    }
    let mut streams = Vec::new();
    for (user, count) in [(measure::UNPAUSED, scale.streams), (upstream::PACED, scale.paced)] {
        progress(&format!("streams, {user}"))?;
        streams.extend(measure::streams(&subjects, user, count).await?);
    }
    drop(subjects);

    let (mut audit, mut start, mut crowd) = (None, None, None);
    if let (Some(program), Some(governed)) = (program, governed) {
        progress("audit log")?;
        let calls: usize = load.iter().filter(|l| l.governed()).map(|l| l.calls).sum();
        let (calls, events) = (calls as u64, governed.admin.audited().await?);
        ensure!(events >= calls, "{calls} calls were answered, but the audit log has {events} events");
        audit = Some(AuditFigures { calls, events });
        progress(&format!("{} streams at once", scale.crowd))?;
        let target = Target::new(governed.process.addr, Some(&governed.enforce))?;
        crowd = Some(crowd::run(&target, &governed.process, scale.crowd).await?);
        governed.process.stop().await?;
        progress("starts")?;
        start = Some(starts(&program, scale.starts).await?);
    }
    let processors = std::thread::available_parallelism()?.get();
    Ok(Report { processors, load, streams, start, audit, crowd })
}

/// A gateway with its agents' keys.
struct Governed {
    process: Process,
    admin: Admin,
    observe: String,
    enforce: String,
    /// In enforce too, and masking what comes back.
    redact: String,
}

impl Governed {
    async fn start(program: &Program, directory: &std::path::Path) -> Result<Self> {
        let mut process = program.spawn(directory)?;
        gateway::healthy(&mut process, directory).await?;
        let admin = Admin::sign_up(process.addr).await?;
        admin.pipeline("bench", "log").await?;
        admin.pipeline("bench-redact", "redact").await?;
        let observe = admin.agent("observing", "observe", "bench").await?;
        let enforce = admin.agent("enforcing", "enforce", "bench").await?;
        let redact = admin.agent("redacting", "enforce", "bench-redact").await?;
        Ok(Self { process, admin, observe, enforce, redact })
    }

    fn subject(&self, name: &'static str, key: &str) -> Result<Subject<'_>> {
        Ok(Subject { name, target: Target::new(self.process.addr, Some(key))?, process: &self.process })
    }
}

/// Starts over fresh directories, and again over the same ones.
async fn starts(program: &Program, count: usize) -> Result<StartFigures> {
    let (mut fresh, mut again, mut governed) = (Vec::new(), Vec::new(), Vec::new());
    let body = Prompts::new().next();
    for _ in 0..count {
        let directory = tempfile::tempdir()?;
        let begun = Instant::now();
        let mut process = program.spawn(directory.path())?;
        gateway::healthy(&mut process, directory.path()).await?;
        fresh.push(milliseconds(begun.elapsed()));
        let key = Admin::sign_up(process.addr).await?.agent("starting", "enforce", "starter").await?;
        process.stop().await?;

        let begun = Instant::now();
        let mut process = program.spawn(directory.path())?;
        gateway::healthy(&mut process, directory.path()).await?;
        again.push(milliseconds(begun.elapsed()));
        answer(process.addr, &key, body.clone()).await?;
        governed.push(milliseconds(begun.elapsed()));
        process.stop().await?;
    }
    Ok(StartFigures {
        fresh_health_ms: Spread::of(fresh),
        health_ms: Spread::of(again),
        governed_ms: Spread::of(governed),
    })
}

/// One call on a connection of its own.
async fn answer(addr: SocketAddr, key: &str, body: Bytes) -> Result<()> {
    let mut connection = Connection::open(&Target::new(addr, Some(key))?).await?;
    http_body_util::BodyExt::collect(connection.chat(body).await?.into_body()).await?;
    Ok(())
}
