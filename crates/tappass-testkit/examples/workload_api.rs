//! The Workload API for tests in other languages: `workload_api SOCKET`, then commands on stdin, a line each, answered by
//! `ok` on stdout. It ends when stdin does.
//!
//! `entry PATH` registers the workload (without a path: no entry), `rotate` adds keys, `drop` drops the old ones,
//! `federate NAME` federates with a new trust domain.

use std::{
    io::{BufRead as _, Write as _, stdin, stdout},
    path::Path,
};

use tappass_testkit::spire::{Entry, TrustDomain, WorkloadApi};

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let socket = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("usage: workload_api SOCKET"))?;
    let entry = |path: Option<&str>| Entry { path: path.map(str::to_owned), expires_in: 3_600 };
    let api = WorkloadApi::start(
        Path::new(&socket),
        TrustDomain::new("corp.example"),
        Vec::new(),
        entry(Some("/tappass")),
    )?;
    let told = tokio::task::spawn_blocking(move || {
        done()?;
        for line in stdin().lock().lines() {
            let line = line?;
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("entry"), path) => api.register(entry(path)),
                (Some("rotate"), None) => api.rotate(),
                (Some("drop"), None) => api.drop_old_keys(),
                (Some("federate"), Some(name)) => api.federate(vec![TrustDomain::new(name)]),
                _ => anyhow::bail!("no such command: {line}"),
            }
            done()?;
        }
        Ok(())
    });
    told.await?
}

fn done() -> anyhow::Result<()> {
    let mut out = stdout().lock();
    out.write_all(b"ok\n")?;
    out.flush()?;
    Ok(())
}
