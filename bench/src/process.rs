//! What is measured runs in processes of its own, so that its CPU time and its memory can be told from the rest.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// The kernel's unit in /proc/PID/stat: 100 a second on every Linux, whatever its own tick is.
const TICK: Duration = Duration::from_millis(10);
const START_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A child that listens on the loopback interface and dies with its handle.
pub struct Process {
    /// Where it listens.
    pub addr: SocketAddr,
    child: Child,
    pid: u32,
    /// A role of ours ends when this closes, also when this process is killed.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// This program again, in the role that `arguments` name; it prints where it listens.
    pub async fn role(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no stdout")?;
        let line = timeout(START_WITHIN, BufReader::new(stdout).lines().next_line()).await??;
        let addr = line.with_context(|| format!("`{}` ended at once", arguments.join(" ")))?.parse()?;
        Self::of(child, addr, stdin)
    }

    /// `command`, which will listen on `addr`.
    pub fn start(mut command: Command, addr: SocketAddr) -> Result<Self> {
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        Self::of(child, addr, None)
    }

    fn of(child: Child, addr: SocketAddr, stdin: Option<ChildStdin>) -> Result<Self> {
        let pid = child.id().context("the child has ended")?;
        Ok(Self { addr, child, pid, _stdin: stdin })
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// CPU time of all its threads so far, user and system; in steps of 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        cpu_ticks(&stat).map(|ticks| TICK * ticks).context("/proc/PID/stat is not as expected")
    }

    /// Resident memory now, in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        resident_kib(&status).map(|kib| kib * 1024).context("/proc/PID/status has no VmRSS")
    }

    /// Asks it to end, and ends it when it does not.
    pub async fn stop(mut self) -> Result<()> {
        drop(self._stdin.take());
        Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().await?;
        if timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// User and system time from /proc/PID/stat: the 14th and 15th field. The second is the name, in parentheses,
/// and may hold anything; so the count begins behind the last parenthesis.
fn cpu_ticks(stat: &str) -> Option<u32> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// The other side of [`Process::role`]: listens, says where, and serves until the parent is gone.
pub async fn play<F: Future<Output = Result<()>>>(serve: impl FnOnce(TcpListener) -> F) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    crate::report::line(&listener.local_addr()?.to_string())?;
    let (mut parent, mut nothing) = (tokio::io::stdin(), [0]);
    tokio::select! {
        served = serve(listener) => served,
        gone = parent.read(&mut nothing) => gone.map(drop).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_behind_a_name_with_parentheses() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 900 0 0 0 17 25 0 0 20 0 3 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("nothing"), None);
    }

    #[test]
    fn resident_memory_of_this_process() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(resident_kib(&status).unwrap() > 100);
    }
}
