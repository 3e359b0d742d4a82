//! The gateway as it ships, in a fresh data directory: storage on disk, audit durable, preset `starter`.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::sleep;

use crate::client::Target;
use crate::process::Process;

const READY_WITHIN: Duration = Duration::from_secs(20);
const POLL_EVERY: Duration = Duration::from_millis(1);

/// The gateway's program and what it is to stand in front of.
pub struct Program {
    /// The binary.
    pub binary: PathBuf,
    /// The scripted upstream.
    pub upstream: SocketAddr,
}

impl Program {
    /// `given`, or the one that lies beside this program.
    pub fn find(given: Option<PathBuf>, upstream: SocketAddr) -> Result<Self> {
        let binary = match given {
            Some(path) => path,
            None => std::env::current_exe()?.with_file_name("tappass"),
        };
        ensure!(
            binary.is_file(),
            "{} is not there; build it: cargo build --release -p tappass",
            binary.display()
        );
        Ok(Self { binary, upstream })
    }

    /// Starts it over `data`; returns at once, before it listens.
    pub fn spawn(&self, data: &Path) -> Result<Process> {
        // A port that was free a moment ago; the gateway says so when it no longer is.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = File::create(log(data))?;
        let mut command = Command::new(&self.binary);
        command
            .args([
                "up",
                "--defaults",
                "--storage",
                "local",
                "--port",
                &addr.port().to_string(),
                "--data-dir",
            ])
            .arg(data.join("data"))
            .env_clear()
            .env("HOME", data)
            .env("TAPPASS_HOST", "127.0.0.1")
            .env("TAPPASS_LICENSE", include_str!("../../tests/license/license.txt").trim())
            .env("TAPPASS_LICENSE_PUBLIC_KEY", include_str!("../../tests/license/public-key.txt").trim())
            .env("OPENAI_API_KEY", "sk-bench")
            .env("OPENAI_BASE_URL", format!("http://{}/v1", self.upstream))
            .current_dir(data)
            .stdout(log.try_clone()?)
            .stderr(log);
        Process::start(command, addr)
    }
}

fn log(data: &Path) -> PathBuf {
    data.join("gateway.log")
}

/// Waits until the gateway answers `/health`.
pub async fn healthy(process: &mut Process, data: &Path) -> Result<()> {
    let target = Target::new(process.addr, None)?;
    let begun = Instant::now();
    loop {
        if let Ok((StatusCode::OK, _)) = target.once(Method::GET, "/health", Bytes::new()).await {
            return Ok(());
        }
        if let Some(status) = process.ended() {
            let said = std::fs::read_to_string(log(data)).unwrap_or_default();
            bail!("the gateway ended with {status}:\n{said}");
        }
        ensure!(begun.elapsed() < READY_WITHIN, "the gateway is not up after {READY_WITHIN:?}");
        sleep(POLL_EVERY).await;
    }
}

/// The organisation's administrator.
pub struct Admin(Target);

impl Admin {
    /// Signs up in a gateway that has no organisation yet.
    pub async fn sign_up(addr: SocketAddr) -> Result<Self> {
        let account = json!({"email": "bench@example.com", "password": "correct horse battery staple", "org_name": "Bench"});
        let nobody = Self(Target::new(addr, None)?);
        let answer = nobody.json(Method::POST, "/auth/signup", &account).await?;
        Ok(Self(Target::new(addr, Some(text(&answer["session"]["token"])?))?))
    }

    /// Makes the pipeline `name`: `starter` without its limit on calls, and with what `scan_output` does on a hit.
    pub async fn pipeline(&self, name: &str, on_output: &str) -> Result<()> {
        let pipeline = json!({"preset": "starter", "overrides": {
            "rate_limit": {"max_calls": 100_000_000, "window_seconds": 1},
            "scan_output": {"on_detection": on_output}
        }});
        self.json(Method::PUT, &format!("/pipelines/{name}"), &pipeline).await.map(drop)
    }

    /// Registers an agent in `mode` on `pipeline`; returns its key.
    pub async fn agent(&self, id: &str, mode: &str, pipeline: &str) -> Result<String> {
        let agent = json!({"agent_id": id, "preset": "starter", "mode": mode});
        let answer = self.json(Method::POST, "/agents/register", &agent).await?;
        ensure!(answer["mode"] == mode, "agent {id} was to be in mode {mode}: {answer}");
        self.json(Method::PUT, &format!("/agents/{id}/pipeline"), &json!({"pipeline": pipeline})).await?;
        Ok(text(&answer["api_key"])?.to_owned())
    }

    /// Verifies the audit log; returns how many events it holds.
    pub async fn audited(&self) -> Result<u64> {
        let verdict = self.json(Method::GET, "/audit/verify", &Value::Null).await?;
        ensure!(verdict["ok"] == true, "the audit log does not verify: {verdict}");
        verdict["events"].as_u64().context("the verdict on the audit log has no count")
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let (status, answer) = self.0.once(method.clone(), path, body).await?;
        ensure!(status.is_success(), "{method} {path} answered {status}: {answer}");
        Ok(answer)
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("the gateway's answer lacks a text it should have")
}
