//! What the gateway costs, beside a bare pass-through proxy in front of the same upstream, in one run.
//!
//! `cargo run --release -p tappass-bench`; what the figures mean is in `bench/README.md`. Nothing is asserted of
//! any time: a run fails only when a call does.

mod bare;
mod client;
mod crowd;
mod gateway;
mod load;
mod measure;
mod process;
mod prompt;
mod report;
mod run;
mod stats;
mod stream;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// No run is longer.
const RUN_WITHIN: Duration = Duration::from_secs(900);

/// Measures the gateway beside a bare pass-through proxy, in one run.
#[derive(Parser)]
struct Arguments {
    /// A short run, to see that everything works; its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Measure the bare proxy only, without a gateway.
    #[arg(long)]
    bare_only: bool,
    /// Also write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The gateway's binary; the one beside this program unless given.
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program is in the processes it starts.
#[derive(Subcommand)]
enum Role {
    /// The scripted upstream.
    #[command(hide = true)]
    Upstream,
    /// The bare proxy in front of `upstream`.
    #[command(hide = true)]
    Bare { upstream: SocketAddr },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Upstream) => in_role(process::play(upstream::serve)),
        Some(Role::Bare { upstream }) => in_role(process::play(|listener| bare::serve(listener, upstream))),
        // One thread makes the load, the rest of the machine is for what is measured.
        None => Builder::new_current_thread().enable_all().build()?.block_on(bounded(arguments)),
    }
}

/// A role uses the threads a server would.
fn in_role(role: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let played = runtime.block_on(role);
    runtime.shutdown_background();
    played
}

/// The run, which ends in time or when it is told to; the children end with it.
async fn bounded(arguments: Arguments) -> Result<()> {
    let scale = if arguments.quick { run::Scale::QUICK } else { run::Scale::FULL };
    let gateway = (!arguments.bare_only).then_some(arguments.gateway);
    let mut terminate = signal(SignalKind::terminate())?;
    let report = tokio::select! {
        report = timeout(RUN_WITHIN, run::run(scale, gateway)) => report.context("the run takes too long")??,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    };
    report::print(&report)?;
    if let Some(path) = arguments.json {
        std::fs::write(&path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}
