//! `tappass down`: stops the server of a data directory. The data stays.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tappass_server::{Overrides, config};

use crate::{
    error::{CliError, Exit},
    lockfile,
    output::Out,
    settings,
};

/// Longer than a server waits for running calls.
const STOP: Duration = Duration::from_secs(60);

/// Stop the server
#[derive(Debug, Args)]
pub struct Down {
    /// The server's data directory [env: TAPPASS_DATA_DIR] [default: ~/.tappass/data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file it was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Down {
    pub(crate) async fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let overrides = Overrides { data_dir: self.data_dir, config: self.config, ..Overrides::default() };
        let dir =
            config::load(&overrides, settings::env).map_err(|e| CliError::usage(e.to_string()))?.data_dir;
        let Some(server) = lockfile::holder(&dir)? else {
            out.note(&format!("no server runs on {}", dir.display()));
            return Ok(Exit::Done);
        };
        let pid = i32::try_from(server.pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("the lock file names no process")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop process {}", server.pid))?;
        let deadline = Instant::now() + STOP;
        while lockfile::holder(&dir)?.is_some_and(|now| now.pid == server.pid) {
            if Instant::now() > deadline {
                let what = format!(
                    "process {} still runs after {} s: calls may not have ended",
                    server.pid,
                    STOP.as_secs()
                );
                return Err(CliError::failed(what)
                    .mend(format!("end it at once with `kill -9 {}`", server.pid))
                    .into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        out.note(&format!(
            "stopped the server on {} (process {}); the data stays in {}",
            server.url,
            server.pid,
            dir.display()
        ));
        Ok(Exit::Done)
    }
}
